//! Sixteen bytes at a time with NEON.

use std::arch::aarch64::{
    uint8x16_t, vceqq_u8, vcgeq_u8, vdupq_n_u8, vget_lane_u64, vld1q_u8, vorrq_u8, vreinterpret_u64_u8,
    vreinterpretq_u16_u8, vshrn_n_u16,
};

use crate::arch::all;

type Scan = fn(&[u8]) -> usize;

/// The versions for this CPU, `None` without NEON (no AArch64 Linux is without it).
pub fn special() -> Option<Scan> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(|bytes| {
        // SAFETY: NEON was found just before this function was handed out.
        unsafe { special_neon(bytes) }
    })
}

pub fn ascii() -> Option<Scan> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(|bytes| {
        // SAFETY: NEON was found just before this function was handed out.
        unsafe { ascii_neon(bytes) }
    })
}

#[target_feature(enable = "neon")]
fn load(chunk: &[u8]) -> uint8x16_t {
    assert_eq!(chunk.len(), 16);
    // SAFETY: sixteen bytes are there, and the load asks for no alignment.
    unsafe { vld1q_u8(chunk.as_ptr()) }
}

/// Where the first byte of `hits` is that is set. NEON has no movemask; narrowing by four bits leaves four bits a byte,
/// which fit a register.
#[target_feature(enable = "neon")]
fn first(hits: uint8x16_t) -> Option<usize> {
    let nibbles = vget_lane_u64::<0>(vreinterpret_u64_u8(vshrn_n_u16::<4>(vreinterpretq_u16_u8(hits))));
    (nibbles != 0).then(|| nibbles.trailing_zeros() as usize / 4)
}

#[target_feature(enable = "neon")]
fn special_neon(bytes: &[u8]) -> usize {
    let [slash, plus, hash, nul] = [b'/', b'+', b'#', 0].map(|byte| vdupq_n_u8(byte));
    let mut at = 0;
    for chunk in bytes.chunks_exact(16) {
        let loaded = load(chunk);
        let separators = vorrq_u8(vceqq_u8(loaded, slash), vceqq_u8(loaded, nul));
        let wildcards = vorrq_u8(vceqq_u8(loaded, plus), vceqq_u8(loaded, hash));
        if let Some(hit) = first(vorrq_u8(separators, wildcards)) {
            return at + hit;
        }
        at += 16;
    }
    at + all::scan::special(&bytes[at..])
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
