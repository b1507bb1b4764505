//! CPU features by name.
//!
//! The standard library can ask the CPU on x86 and AArch64. Elsewhere its macros are not stable yet
//! (rust-lang/rust#111190 for arm, #111192 for riscv64), so the kernel's auxiliary vector would be the
//! source; until a kernel of ours needs it, what the compiler assumes is reported, which is never too much.

/// The features of this CPU among those that the services may use.
pub fn detected() -> Vec<&'static str> {
    candidates().into_iter().filter(|(_, found)| *found).map(|(name, _)| name).collect()
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn candidates() -> Vec<(&'static str, bool)> {
    use std::arch::is_x86_feature_detected as has;
    vec![
        ("sse2", has!("sse2")),
        ("sse4.2", has!("sse4.2")),
        ("pclmulqdq", has!("pclmulqdq")),
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
        ("bmi2", has!("bmi2")),
    ]
}

#[cfg(target_arch = "aarch64")]
fn candidates() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as has;
    vec![
        ("neon", has!("neon")),
        ("crc", has!("crc")),
        ("aes", has!("aes")),
        ("lse", has!("lse")),
        ("sve", has!("sve")),
    ]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn candidates() -> Vec<(&'static str, bool)> {
    vec![
        ("neon", cfg!(target_feature = "neon")),
        ("c", cfg!(target_feature = "c")),
        ("v", cfg!(target_feature = "v")),
        ("vector", cfg!(target_feature = "vector")),
        ("vsx", cfg!(target_feature = "vsx")),
        ("lsx", cfg!(target_feature = "lsx")),
    ]
}
