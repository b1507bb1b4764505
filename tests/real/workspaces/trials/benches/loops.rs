//! A bench without criterion: two bodies, one of which goes through ten times as much.

use std::env;
use std::hint::black_box;

const BODIES: [(&str, u64); 2] = [("sum/plain", 1000), ("sum/quick", 100)];

fn sum(upto: u64) -> u64 {
    (0..upto).fold(0, |sum, number| black_box(sum + number))
}

fn main() {
    let words: Vec<String> = env::args().collect();
    if words.iter().any(|word| word == "--list") {
        BODIES.iter().for_each(|(name, _)| println!("{name}: benchmark"));
        return;
    }
    let times = env::var("BUILDLIB_ITERATIONS").map_or(1, |times| times.parse().expect("a number"));
    for (name, upto) in BODIES {
        if words.iter().any(|word| word == "--test") || words.last().is_some_and(|word| word == name) {
            for _ in 0..times {
                assert_eq!(sum(black_box(upto)), upto * (upto - 1) / 2);
            }
        }
    }
}
