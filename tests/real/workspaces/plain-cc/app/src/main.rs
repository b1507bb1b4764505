fn main() {
    println!("{} {} {}", std::env::consts::ARCH, env!("ANSWER"), targetlib::answer());
}
