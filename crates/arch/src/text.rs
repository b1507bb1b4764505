//! UTF-8 validation: most text that a broker receives is ASCII, which can be checked many bytes at a time.

use std::str::Utf8Error;
use std::sync::OnceLock;

use crate::arch;
use crate::path::Path;

type Scan = fn(&[u8]) -> usize;

/// `bytes` as text, or where and why they are not UTF-8.
pub fn utf8(bytes: &[u8]) -> Result<&str, Utf8Error> {
    static CHOSEN: OnceLock<Scan> = OnceLock::new();
    let ascii = CHOSEN.get_or_init(|| on(Path::chosen()).unwrap_or(arch::all::scan::ascii));
    if ascii(bytes) == bytes.len() {
        // SAFETY: every byte is ASCII, and ASCII is UTF-8.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes)
}

/// The function that counts the ASCII bytes at the start, for `path`; `None` if this CPU cannot run it.
pub fn on(path: Path) -> Option<Scan> {
    if !path.is_available() {
        return None;
    }
    match path {
        Path::Plain | Path::Sse42 => Some(arch::all::scan::ascii),
        #[cfg(target_arch = "x86_64")]
        Path::Avx2 => arch::x86_64::scan::ascii(),
        #[cfg(target_arch = "aarch64")]
        Path::Neon => arch::aarch64::scan::ascii(),
        #[allow(unreachable_patterns, reason = "which arms remain depends on the target")]
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_path_counts_the_same(
            mut bytes in prop::collection::vec(prop_oneof![40 => 0u8..0x80, 1 => 0x80u8..], 0..300), from in 0usize..40,
        ) {
            bytes.drain(..from.min(bytes.len()));
            let expected = bytes.iter().take_while(|byte| byte.is_ascii()).count();
            for path in Path::available() {
                prop_assert_eq!(on(path).expect("available")(&bytes), expected, "{}", path);
            }
        }

        #[test]
        fn validation_agrees_with_the_standard_library(bytes in prop::collection::vec(any::<u8>(), 0..80), text in ".{0,80}") {
            prop_assert_eq!(utf8(&bytes), std::str::from_utf8(&bytes));
            prop_assert_eq!(utf8(text.as_bytes()), Ok(text.as_str()));
        }
    }
}
