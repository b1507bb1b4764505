//! Thirty-two bytes at a time with AVX2.

use std::arch::x86_64::{
    __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8,
};

use crate::arch::all;

/// The implementation for this CPU, `None` without AVX2.
pub fn special() -> Option<fn(&[u8]) -> u64> {
    std::arch::is_x86_feature_detected!("avx2").then_some(|bytes| {
        // SAFETY: the CPU has AVX2; this was checked before the function was returned.
        unsafe { special_avx2(bytes) }
    })
}

/// The implementation for this CPU, `None` without AVX2.
pub fn ascii() -> Option<fn(&[u8]) -> usize> {
    std::arch::is_x86_feature_detected!("avx2").then_some(|bytes| {
        // SAFETY: the CPU has AVX2; this was checked before the function was returned.
        unsafe { ascii_avx2(bytes) }
    })
}

#[target_feature(enable = "avx2")]
fn load(chunk: &[u8]) -> __m256i {
    assert_eq!(chunk.len(), 32);
    // SAFETY: the slice has thirty-two bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
fn special_avx2(bytes: &[u8]) -> u64 {
    let bytes = &bytes[..bytes.len().min(64)];
    // Shorter inputs do not fill a vector.
    let Some(last) = bytes.len().checked_sub(32) else {
        return all::scan::special(bytes);
    };
    // The second half overlaps the first if there are fewer than 64 bytes.
    special_32(&bytes[..32]) | special_32(&bytes[last..]) << last
}

#[target_feature(enable = "avx2")]
fn special_32(chunk: &[u8]) -> u64 {
    let loaded = load(chunk);
    let [a, b, c, d] =
        [b'/', b'+', b'#', 0].map(|byte| _mm256_cmpeq_epi8(loaded, _mm256_set1_epi8(byte as i8)));
    let hits = _mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    u64::from(hits as u32)
}

#[target_feature(enable = "avx2")]
fn ascii_avx2(bytes: &[u8]) -> usize {
    let mut at = 0;
    for chunk in bytes.chunks_exact(32) {
        let high = _mm256_movemask_epi8(load(chunk)); // the top bit of every byte
        if high != 0 {
            return at + high.trailing_zeros() as usize;
        }
        at += 32;
    }
    at + all::scan::ascii(&bytes[at..])
}
