//! What a program needs of std: threads, unwinding, a HashMap (which asks the kernel for random bytes), floats.
use std::collections::HashMap;

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let workers: Vec<_> = (0..4u64).map(|n| std::thread::spawn(move || (n, n * n))).collect();
    let squares: HashMap<u64, u64> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    let caught = std::panic::catch_unwind(|| panic!("thrown")).is_err();
    let order = if 1u16.to_ne_bytes() == [1, 0] { "little" } else { "big" };
    println!(
        "{} {} {} squares={} caught={} root={:.3}",
        std::env::consts::ARCH,
        usize::BITS,
        order,
        squares.values().sum::<u64>(),
        caught,
        std::hint::black_box(2.0f64).sqrt()
    );
}
