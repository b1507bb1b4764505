//! 32-bit ARM. The intrinsics for its NEON are not stable in Rust (rust-lang/rust#111800), so the plain
//! kernels are used; the CPU's features come from Linux's auxiliary vector (arch/arm/include/uapi/asm/hwcap.h).

use super::present;

pub struct Arm;

const HWCAP_NEON: usize = 1 << 12;
const HWCAP_VFPV3: usize = 1 << 13;
const HWCAP_VFPV4: usize = 1 << 16;
const HWCAP_IDIVA: usize = 1 << 17;
const HWCAP2_AES: usize = 1 << 0;
const HWCAP2_CRC32: usize = 1 << 4;

impl crate::ArchOptimization for Arm {
    fn features(&self) -> Vec<&'static str> {
        let (one, two) = rustix::param::linux_hwcap();
        present([
            ("neon", one & HWCAP_NEON != 0),
            ("vfpv3", one & HWCAP_VFPV3 != 0),
            ("vfpv4", one & HWCAP_VFPV4 != 0),
            ("idiva", one & HWCAP_IDIVA != 0),
            ("aes", two & HWCAP2_AES != 0),
            ("crc", two & HWCAP2_CRC32 != 0),
        ])
    }

    fn vector_width(&self, _: crate::Path) -> usize {
        0
    }

    fn usual_cache_line(&self) -> usize {
        64 // 32 before Cortex-A7; a larger value does no harm
    }
}
