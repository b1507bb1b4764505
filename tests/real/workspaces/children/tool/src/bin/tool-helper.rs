fn main() {
    println!("helper on {}", std::env::consts::ARCH);
}
