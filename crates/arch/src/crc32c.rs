//! CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of journal records.

use std::sync::OnceLock;

use crate::arch;
use crate::path::Path;

type Update = fn(u32, &[u8]) -> u32;

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    update(0, bytes)
}

/// Continues the checksum `crc` with `bytes`.
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    static CHOSEN: OnceLock<Update> = OnceLock::new();
    CHOSEN.get_or_init(|| on(Path::chosen()).unwrap_or(arch::all::crc32c::update))(crc, bytes)
}

/// The implementation for `path`, `None` if this CPU cannot run it.
pub fn on(path: Path) -> Option<Update> {
    if !path.is_available() {
        return None;
    }
    match path {
        Path::Plain => Some(arch::all::crc32c::update),
        #[cfg(target_arch = "x86_64")]
        Path::Sse42 | Path::Avx2 => arch::x86_64::crc32c::update(),
        #[cfg(target_arch = "aarch64")]
        Path::Neon => arch::aarch64::crc32c::update().or(Some(arch::all::crc32c::update)),
        #[allow(unreachable_patterns, reason = "which arms remain depends on the target")]
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The checksum of a published crate, as the reference for the plain implementation.
    const PUBLISHED: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

    #[test]
    fn test_vectors_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        for path in Path::available() {
            let crc = |bytes: &[u8]| on(path).expect("available")(0, bytes);
            assert_eq!(crc(b""), 0, "{path}");
            assert_eq!(crc(b"123456789"), 0xE306_9283, "{path}");
            assert_eq!(crc(&[0; 32]), 0x8A91_36AA, "{path}");
            assert_eq!(crc(&[0xFF; 32]), 0x62A8_AB43, "{path}");
            assert_eq!(crc(&ascending), 0x46DD_794E, "{path}");
            assert_eq!(crc(&descending), 0x113F_DB5C, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_path_agrees_at_every_length_and_alignment(
            bytes in prop::collection::vec(any::<u8>(), 0..7000), from in 0usize..16, split in any::<prop::sample::Index>(),
        ) {
            let bytes = &bytes[from.min(bytes.len())..];
            let split = split.index(bytes.len() + 1);
            let expected = PUBLISHED.checksum(bytes);
            for path in Path::available() {
                let update = on(path).expect("available");
                prop_assert_eq!(update(0, bytes), expected, "{}", path);
                prop_assert_eq!(update(update(0, &bytes[..split]), &bytes[split..]), expected, "{} in two parts", path);
            }
        }
    }
}
