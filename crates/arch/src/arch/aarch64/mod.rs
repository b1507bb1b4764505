//! NEON and the CRC instructions of ARMv8.

use std::arch::is_aarch64_feature_detected as has;

use super::present;
use crate::path::Path;

pub mod crc32c;
pub mod scan;

pub struct Aarch64;

impl crate::ArchOptimization for Aarch64 {
    fn features(&self) -> Vec<&'static str> {
        present([
            ("neon", has!("neon")),
            ("crc", has!("crc")),
            ("aes", has!("aes")),
            ("lse", has!("lse")),
            ("sve", has!("sve")),
        ])
    }

    fn vector_width(&self, path: Path) -> usize {
        if path == Path::Neon { 16 } else { 0 }
    }

    fn usual_cache_line(&self) -> usize {
        64
    }
}
