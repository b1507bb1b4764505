//! RISC-V. The intrinsics of its vectors are not stable in Rust, so the plain kernels are used; Linux reports the
//! single-letter extensions in the auxiliary vector, one bit per letter (arch/riscv/include/uapi/asm/hwcap.h).

use super::present;

pub struct Riscv64;

impl crate::ArchOptimization for Riscv64 {
    fn features(&self) -> Vec<&'static str> {
        let (letters, _) = rustix::param::linux_hwcap();
        let has = |letter: u8| letters >> (letter - b'a') & 1 == 1;
        present([
            ("m", has(b'm')),
            ("a", has(b'a')),
            ("f", has(b'f')),
            ("d", has(b'd')),
            ("c", has(b'c')),
            ("v", has(b'v')),
        ])
    }

    fn vector_width(&self, _: crate::Path) -> usize {
        0
    }

    fn usual_cache_line(&self) -> usize {
        64
    }
}
