//! Byte by byte; the compiler vectorizes it where possible.

/// Which of the first 64 bytes have a meaning in an MQTT topic: bit `n` is byte `n`.
pub fn special(bytes: &[u8]) -> u64 {
    let bits = bytes.iter().take(64).enumerate();
    bits.fold(0, |bits, (at, byte)| bits | u64::from(matches!(byte, b'/' | b'+' | b'#' | 0)) << at)
}

/// The number of ASCII bytes at the start.
pub fn ascii(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte >= 0x80).unwrap_or(bytes.len())
}
