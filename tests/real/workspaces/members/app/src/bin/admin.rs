fn main() {
    println!("admin {}", env!("CARGO_PKG_VERSION"));
}
