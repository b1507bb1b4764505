//! Byte by byte; the compiler makes of it what it can.

/// Which of the first 64 bytes mean something in an MQTT topic: bit `n` is byte `n`.
pub fn special(bytes: &[u8]) -> u64 {
    let bits = bytes.iter().take(64).enumerate();
    bits.fold(0, |bits, (at, byte)| bits | u64::from(matches!(byte, b'/' | b'+' | b'#' | 0)) << at)
}

/// How many bytes from the start are ASCII.
pub fn ascii(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte >= 0x80).unwrap_or(bytes.len())
}
