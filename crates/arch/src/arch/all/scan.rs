//! Byte by byte; the compiler makes of it what it can.

/// Where the first byte is that means something in an MQTT topic; the length when there is none.
pub fn special(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| matches!(byte, b'/' | b'+' | b'#' | 0)).unwrap_or(bytes.len())
}

/// How many bytes from the start are ASCII.
pub fn ascii(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte >= 0x80).unwrap_or(bytes.len())
}
