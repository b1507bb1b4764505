//! The CRC32 instruction of SSE4.2, which computes exactly this polynomial.

use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};

use crate::arch::all::crc32c::striped;

/// The implementation for this CPU, `None` without SSE4.2.
pub fn update() -> Option<fn(u32, &[u8]) -> u32> {
    std::arch::is_x86_feature_detected!("sse4.2").then_some(|crc, bytes| {
        // SAFETY: the CPU has SSE4.2; this was checked before the function was returned.
        unsafe { sse42(crc, bytes) }
    })
}

#[target_feature(enable = "sse4.2")]
fn sse42(crc: u32, bytes: &[u8]) -> u32 {
    let word = |state: u32, word: u64| _mm_crc32_u64(state.into(), word) as u32;
    let (state, bytes) = striped(!crc, bytes, word);
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(state, |state, bytes| word(state, u64::from_le_bytes(*bytes)));
    !rest.iter().fold(state, |state, byte| _mm_crc32_u8(state, *byte))
}
