fn main() {
    println!("demo on {}", std::env::consts::ARCH);
}
