//! A bench without criterion: two bodies, the first of which does ten times as much work.

use std::env;
use std::hint::black_box;

const BODIES: [(&str, u64); 2] = [("sum/plain", 1000), ("sum/quick", 100)];

fn sum(end: u64) -> u64 {
    (0..end).fold(0, |sum, number| black_box(sum + number))
}

fn main() {
    let words: Vec<String> = env::args().collect();
    if words.iter().any(|word| word == "--list") {
        BODIES.iter().for_each(|(name, _)| println!("{name}: benchmark"));
        return;
    }
    let iterations = env::var("BUILDLIB_ITERATIONS").map_or(1, |number| number.parse().expect("a number"));
    for (name, end) in BODIES {
        if words.iter().any(|word| word == "--test") || words.last().is_some_and(|word| word == name) {
            for _ in 0..iterations {
                assert_eq!(sum(black_box(end)), end * (end - 1) / 2);
            }
        }
    }
}
