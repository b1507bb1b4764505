//! Sixteen bytes at a time with NEON.

use std::arch::aarch64::{
    uint8x16_t, vandq_u8, vceqq_u8, vcgeq_u8, vdupq_n_u8, vdupq_n_u64, vget_lane_u64, vgetq_lane_u64,
    vld1q_u8, vorrq_u8, vpaddq_u8, vreinterpret_u64_u8, vreinterpretq_u8_u64, vreinterpretq_u16_u8,
    vreinterpretq_u64_u8, vshrn_n_u16,
};

use crate::arch::all;

/// The implementation for this CPU, `None` without NEON (every AArch64 Linux has it).
pub fn special() -> Option<fn(&[u8]) -> u64> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(|bytes| {
        // SAFETY: the CPU has NEON; this was checked before the function was returned.
        unsafe { special_neon(bytes) }
    })
}

/// The implementation for this CPU, `None` without NEON.
pub fn ascii() -> Option<fn(&[u8]) -> usize> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(|bytes| {
        // SAFETY: the CPU has NEON; this was checked before the function was returned.
        unsafe { ascii_neon(bytes) }
    })
}

#[target_feature(enable = "neon")]
fn load(chunk: &[u8]) -> uint8x16_t {
    assert_eq!(chunk.len(), 16);
    // SAFETY: the slice has sixteen bytes, and the load needs no alignment.
    unsafe { vld1q_u8(chunk.as_ptr()) }
}

/// The index of the first byte of `hits` that is set. NEON has no movemask; narrowing by four bits leaves four bits per
/// byte, which fit into a register.
#[target_feature(enable = "neon")]
fn first(hits: uint8x16_t) -> Option<usize> {
    let nibbles = vget_lane_u64::<0>(vreinterpret_u64_u8(vshrn_n_u16::<4>(vreinterpretq_u16_u8(hits))));
    (nibbles != 0).then(|| nibbles.trailing_zeros() as usize / 4)
}

#[target_feature(enable = "neon")]
fn special_neon(bytes: &[u8]) -> u64 {
    let bytes = &bytes[..bytes.len().min(64)];
    if let Ok(whole) = <&[u8; 64]>::try_from(bytes) {
        return special_64(whole);
    }
    // Shorter inputs do not fill a vector.
    let Some(last) = bytes.len().checked_sub(16) else {
        return all::scan::special(bytes);
    };
    // If the length is not a multiple of sixteen, the last chunk overlaps the one before it.
    let whole = (0..last).step_by(16).fold(0, |bits, at| bits | special_16(&bytes[at..at + 16]) << at);
    whole | special_16(&bytes[last..]) << last
}

/// All bits set in each byte that is special.
#[target_feature(enable = "neon")]
fn hits(chunk: &[u8]) -> uint8x16_t {
    let loaded = load(chunk);
    let [slash, plus, hash, nul] = [b'/', b'+', b'#', 0].map(|byte| vceqq_u8(loaded, vdupq_n_u8(byte)));
    vorrq_u8(vorrq_u8(slash, nul), vorrq_u8(plus, hash))
}

/// One bit for each byte, at its position in its group of eight; pairs are added until each group is one byte.
#[target_feature(enable = "neon")]
fn special_64(bytes: &[u8; 64]) -> u64 {
    let places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let [a, b, c, d] = [0, 16, 32, 48].map(|at| vandq_u8(hits(&bytes[at..at + 16]), places));
    let quarters = vpaddq_u8(vpaddq_u8(a, b), vpaddq_u8(c, d));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(vpaddq_u8(quarters, quarters)))
}

#[target_feature(enable = "neon")]
fn special_16(chunk: &[u8]) -> u64 {
    let places = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let pairs = vandq_u8(hits(chunk), places);
    let sums = (0..3).fold(pairs, |sums, _| vpaddq_u8(sums, sums));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(sums)) & 0xFFFF
}

#[target_feature(enable = "neon")]
fn ascii_neon(bytes: &[u8]) -> usize {
    let limit = vdupq_n_u8(0x80);
    let mut at = 0;
    for chunk in bytes.chunks_exact(16) {
        if let Some(hit) = first(vcgeq_u8(load(chunk), limit)) {
            return at + hit;
        }
        at += 16;
    }
    at + all::scan::ascii(&bytes[at..])
}
