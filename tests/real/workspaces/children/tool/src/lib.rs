macros::seven!();

/// Seven times as much.
/// ```
/// assert_eq!(tool::times_seven(2), 14);
/// ```
pub fn times_seven(number: u32) -> u32 {
    number * seven()
}
