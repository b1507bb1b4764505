fn main() {
    println!("app {}", env!("CARGO_PKG_VERSION"));
}

#[test]
fn app_is_tested() {}
