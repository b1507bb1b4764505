//! A harness of its own, with as much of libtest's command line as nextest needs.

fn main() {
    if std::env::args().any(|word| word == "--list") {
        if !std::env::args().any(|word| word == "--ignored") {
            println!("custom: test");
        }
        return;
    }
    println!("a harness of its own on {}", std::env::consts::ARCH);
    assert_eq!(tool::times_seven(1), 7);
}
