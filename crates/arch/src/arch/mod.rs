//! One module per architecture, each with its [`ArchOptimization`](crate::ArchOptimization) and its implementations of the
//! kernels. `all` runs on every CPU; the other kernels are called only through a function that has checked the CPU first.

pub mod all;

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
#[cfg(target_arch = "arm")]
pub mod arm;
#[cfg(target_arch = "riscv64")]
pub mod riscv64;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

#[cfg(target_arch = "aarch64")]
pub static THIS: aarch64::Aarch64 = aarch64::Aarch64;
#[cfg(target_arch = "arm")]
pub static THIS: arm::Arm = arm::Arm;
#[cfg(target_arch = "riscv64")]
pub static THIS: riscv64::Riscv64 = riscv64::Riscv64;
#[cfg(target_arch = "x86_64")]
pub static THIS: x86_64::X86_64 = x86_64::X86_64;
#[cfg(not(any(
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "riscv64",
    target_arch = "x86_64"
)))]
pub static THIS: all::Plain = all::Plain;

/// The names of the features that this CPU has.
pub fn present<const N: usize>(candidates: [(&'static str, bool); N]) -> Vec<&'static str> {
    candidates.into_iter().filter(|(_, present)| *present).map(|(name, _)| name).collect()
}
