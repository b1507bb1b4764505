//! The CRC32C instructions, optional in ARMv8.0 and mandatory since ARMv8.1.

use std::arch::aarch64::{__crc32cb, __crc32cd};

use crate::arch::all::crc32c::striped;

/// The implementation for this CPU, `None` without the instructions.
pub fn update() -> Option<fn(u32, &[u8]) -> u32> {
    std::arch::is_aarch64_feature_detected!("crc").then_some(|crc, bytes| {
        // SAFETY: the CPU has the instructions; this was checked before the function was returned.
        unsafe { armv8(crc, bytes) }
    })
}

#[target_feature(enable = "crc")]
fn armv8(crc: u32, bytes: &[u8]) -> u32 {
    let word = |state: u32, word: u64| __crc32cd(state, word);
    let (state, bytes) = striped(!crc, bytes, word);
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(state, |state, bytes| word(state, u64::from_le_bytes(*bytes)));
    !rest.iter().fold(state, |state, byte| __crc32cb(state, *byte))
}
