//! The CRC32 instruction of SSE4.2, which computes exactly this polynomial.

use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u64};

/// The version for this CPU, `None` without SSE4.2.
pub fn update() -> Option<fn(u32, &[u8]) -> u32> {
    std::arch::is_x86_feature_detected!("sse4.2").then_some(|crc, bytes| {
        // SAFETY: SSE4.2 was found just before this function was handed out.
        unsafe { sse42(crc, bytes) }
    })
}

#[target_feature(enable = "sse4.2")]
fn sse42(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = u64::from(!crc);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        crc = _mm_crc32_u64(crc, u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
    }
    let rest = chunks.remainder().iter().fold(crc as u32, |crc, byte| _mm_crc32_u8(crc, *byte));
    !rest
}
