//! Plain Rust: runs on every CPU, and is the reference for all other implementations.

pub mod crc32c;
pub mod scan;

/// An architecture without implementations of its own: 386, ppc64le, s390x, loong64.
#[cfg_attr(
    any(target_arch = "aarch64", target_arch = "arm", target_arch = "riscv64", target_arch = "x86_64"),
    allow(dead_code, reason = "these have their own")
)]
pub struct Plain;

impl crate::ArchOptimization for Plain {
    fn features(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn vector_width(&self, _: crate::Path) -> usize {
        0
    }

    fn usual_cache_line(&self) -> usize {
        if cfg!(target_arch = "s390x") {
            256
        } else if cfg!(target_arch = "powerpc64") {
            128
        } else {
            64
        }
    }
}
