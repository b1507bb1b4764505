//! The CRC32C instructions, optional in ARMv8.0 and always there from ARMv8.1 on.

use std::arch::aarch64::{__crc32cb, __crc32cd};

/// The version for this CPU, `None` without the instructions.
pub fn update() -> Option<fn(u32, &[u8]) -> u32> {
    std::arch::is_aarch64_feature_detected!("crc").then_some(|crc, bytes| {
        // SAFETY: the instructions were found just before this function was handed out.
        unsafe { armv8(crc, bytes) }
    })
}

#[target_feature(enable = "crc")]
fn armv8(crc: u32, bytes: &[u8]) -> u32 {
    let mut crc = !crc;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        crc = __crc32cd(crc, u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
    }
    let rest = chunks.remainder().iter().fold(crc, |crc, byte| __crc32cb(crc, *byte));
    !rest
}
