fn main() {
    println!("healthcheck of agent");
}
