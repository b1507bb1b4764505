//! MQTT topic names and filters (MQTT 5.0, section 4.7): positions of separators and wildcards, and matching.

use std::sync::OnceLock;

use crate::arch;
use crate::path::Path;

type Scan = fn(&[u8]) -> u64;

/// Which of the first 64 bytes are `/`, `+`, `#` or NUL: bit `n` is byte `n`.
pub fn special(bytes: &[u8]) -> u64 {
    static CHOSEN: OnceLock<Scan> = OnceLock::new();
    CHOSEN.get_or_init(|| on(Path::chosen()).unwrap_or(arch::all::scan::special))(bytes)
}

/// Every `/`, `+`, `#` and NUL of a topic, with its position; `scan` is an implementation of [`special`].
pub fn specials(bytes: &[u8], scan: impl Fn(&[u8]) -> u64) -> impl Iterator<Item = (usize, u8)> {
    let mut blocks = bytes.chunks(64).enumerate();
    let (mut start, mut bits) = (0, 0);
    std::iter::from_fn(move || {
        while bits == 0 {
            let (number, block) = blocks.next()?;
            (start, bits) = (64 * number, scan(block));
        }
        let at = start + bits.trailing_zeros() as usize;
        bits &= bits - 1;
        Some((at, bytes[at]))
    })
}

/// The implementation of [`special`] for `path`, `None` if this CPU cannot run it.
pub fn on(path: Path) -> Option<Scan> {
    if !path.is_available() {
        return None;
    }
    match path {
        // SSE alone is not faster than the compiler's code for the plain implementation.
        Path::Plain | Path::Sse42 => Some(arch::all::scan::special),
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => arch::x86_64::scan::special(),
        #[cfg(target_arch = "aarch64")]
        Path::Neon => arch::aarch64::scan::special(),
        #[allow(unreachable_patterns, reason = "which arms remain depends on the target")]
        _ => None,
    }
}

/// Whether a message may be published under this name: not empty, no wildcard, no NUL, at most 65,535 bytes.
pub fn is_name(topic: &str) -> bool {
    is_sized(topic) && specials(topic.as_bytes(), special).all(|(_, byte)| byte == b'/')
}

/// Whether a subscription may use this filter: `+` and `#` only as whole levels, `#` only as the last.
pub fn is_filter(filter: &str) -> bool {
    let bytes = filter.as_bytes();
    is_sized(filter)
        && specials(bytes, special).all(|(at, byte)| {
            let starts = at == 0 || bytes[at - 1] == b'/';
            match byte {
                b'+' => starts && bytes.get(at + 1).is_none_or(|next| *next == b'/'),
                b'#' => starts && at + 1 == bytes.len(),
                byte => byte == b'/',
            }
        })
}

/// Whether a message with the topic `name` matches the subscription `filter`; both must be valid. Filters that begin with a
/// wildcard do not match names that begin with `$` (section 4.7.2).
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut name) = (Some(filter), Some(name));
    loop {
        match (filter.map(level), name.map(level)) {
            (Some(("#", _)), _) => return true,
            (Some((pattern, filter_rest)), Some((level, name_rest)))
                if pattern == "+" || pattern == level =>
            {
                (filter, name) = (filter_rest, name_rest);
            }
            (filter, name) => return filter.is_none() && name.is_none(),
        }
    }
}

/// The first level, and what follows its separator.
fn level(topic: &str) -> (&str, Option<&str>) {
    match topic.as_bytes().iter().position(|byte| *byte == b'/') {
        Some(at) => (&topic[..at], Some(&topic[at + 1..])),
        None => (topic, None),
    }
}

fn is_sized(topic: &str) -> bool {
    (1..=usize::from(u16::MAX)).contains(&topic.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_filters_of_the_standard() {
        for name in ["/", "/finance", "sport/tennis/player1", "Accounts payable", "$SYS/broker", "ä/ö"] {
            assert!(is_name(name) && is_filter(name), "{name}");
        }
        for filter in ["#", "+", "sport/#", "sport/+", "+/tennis/#", "/+", "sport/+/player1"] {
            assert!(is_filter(filter) && !is_name(filter), "{filter}");
        }
        for wrong in ["", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "+a", "a\0b", "#/"] {
            assert!(!is_filter(wrong), "{wrong:?}");
        }
        assert!(is_name(&"a".repeat(65_535)) && !is_name(&"a".repeat(65_536)));
    }

    #[test]
    fn examples_of_the_standard_match() {
        for (filter, name) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/monitor"),
        ] {
            assert!(matches(filter, name), "{filter} matches {name}");
        }
        for (filter, name) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/monitor"),
            ("+/monitor", "$SYS/monitor"),
            ("a/b", "a/b/c"),
            ("a/b/c", "a/b"),
        ] {
            assert!(!matches(filter, name), "{filter} does not match {name}");
        }
    }

    proptest! {
        #[test]
        fn every_path_finds_the_same(
            mut bytes in prop::collection::vec(prop_oneof![9 => 1u8..0x23, 1 => any::<u8>()], 0..300), from in 0usize..40,
        ) {
            bytes.drain(..from.min(bytes.len()));
            let expected: Vec<_> = bytes.iter().copied().enumerate().filter(|(_, byte)| b"/+#\0".contains(byte)).collect();
            for path in Path::available() {
                let actual: Vec<_> = specials(&bytes, on(path).expect("available")).collect();
                prop_assert_eq!(&actual, &expected, "{}", path);
            }
        }

        #[test]
        fn a_filter_made_from_a_name_matches_it(levels in prop::collection::vec("[a-zä]{0,6}", 1..6), pick in any::<u32>()) {
            let name = levels.join("/");
            prop_assume!(!name.is_empty());
            let filter: Vec<_> = levels.iter().enumerate().map(|(at, level)| if pick >> at & 1 == 1 { "+" } else { level }).collect();
            prop_assert!(matches(&filter.join("/"), &name));
        }
    }
}
