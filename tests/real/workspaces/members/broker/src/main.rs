fn main() {
    println!("healthcheck of broker");
}
