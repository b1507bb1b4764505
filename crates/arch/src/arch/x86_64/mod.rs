//! SSE4.2 and AVX2.

use std::arch::is_x86_feature_detected as has;

use super::present;
use crate::path::Path;

pub mod crc32c;
pub mod scan;

pub struct X86_64;

impl crate::ArchOptimization for X86_64 {
    fn features(&self) -> Vec<&'static str> {
        present([
            ("sse2", has!("sse2")),
            ("sse4.2", has!("sse4.2")),
            ("pclmulqdq", has!("pclmulqdq")),
            ("avx", has!("avx")),
            ("avx2", has!("avx2")),
            ("bmi2", has!("bmi2")),
        ])
    }

    fn vector_width(&self, path: Path) -> usize {
        match path {
            Path::Sse42 => 16,
            Path::Avx2 => 32,
            Path::Plain | Path::Neon => 0,
        }
    }

    fn usual_cache_line(&self) -> usize {
        64
    }
}
