//! What the CPU that this runs on is, and what it can do: found at run time, once.

mod features;

use std::fmt;

/// The machine a program runs on, as the program itself sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arch {
    /// Rust's name of the architecture: `aarch64`, `arm`, `x86_64`, ...
    pub name: &'static str,
    /// Width of a pointer, in bits.
    pub pointer_width: u32,
    /// `little` or `big`.
    pub endian: &'static str,
    /// The CPU features that were found, in a fixed order.
    pub features: Vec<&'static str>,
}

impl Arch {
    /// Looks at the CPU. Without a way to ask it (see [`features`]), the list of features is what the
    /// compiler was told to assume.
    pub fn detect() -> Self {
        Self {
            name: std::env::consts::ARCH,
            pointer_width: usize::BITS,
            endian: if cfg!(target_endian = "little") { "little" } else { "big" },
            features: features::detected(),
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = if self.features.is_empty() { "none".to_owned() } else { self.features.join(" ") };
        write!(
            out,
            "arch: {}\npointer width: {}\nendian: {}\nfeatures: {features}",
            self.name, self.pointer_width, self.endian
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_of_the_machine_it_was_compiled_for() {
        let arch = Arch::detect();
        assert_eq!(arch.name, std::env::consts::ARCH);
        assert_eq!(arch.pointer_width as usize, size_of::<usize>() * 8);
        assert_eq!(arch.endian, if 1u16.to_ne_bytes() == [1, 0] { "little" } else { "big" });
    }

    #[test]
    fn what_the_architecture_guarantees_is_found() {
        let features = Arch::detect().features;
        if cfg!(target_arch = "x86_64") {
            assert!(features.contains(&"sse2"), "{features:?}");
        }
        if cfg!(target_arch = "aarch64") {
            assert!(features.contains(&"neon"), "{features:?}");
        }
    }

    #[test]
    fn the_report_has_a_line_for_each_fact() {
        let arch = Arch { name: "arm", pointer_width: 32, endian: "little", features: vec!["neon", "vfp3"] };
        assert_eq!(arch.to_string(), "arch: arm\npointer width: 32\nendian: little\nfeatures: neon vfp3");
    }

    #[test]
    fn no_features_are_said_to_be_none() {
        let arch = Arch { name: "s390x", pointer_width: 64, endian: "big", features: vec![] };
        assert!(arch.to_string().ends_with("features: none"));
    }
}
