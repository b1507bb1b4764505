//! The machine that a program runs on, as the program itself detects it.

use std::fmt;

use crate::arch;
use crate::path::Path;

/// Facts about an architecture. Each architecture implements this in the module of its name.
pub trait ArchOptimization {
    /// Rust's name for it: `aarch64`, `arm`, ...
    fn name(&self) -> &'static str {
        std::env::consts::ARCH
    }

    /// The features of this CPU that matter to a service, in a fixed order; detected at run time.
    fn features(&self) -> Vec<&'static str>;

    /// Bytes that one vector instruction of `path` processes; 0 for a path without vectors.
    fn vector_width(&self, path: Path) -> usize;

    /// Bytes of a cache line, used if the kernel does not report it.
    fn usual_cache_line(&self) -> usize;

    /// The memory layout.
    fn layout(&self) -> Layout {
        let reported =
            std::fs::read_to_string("/sys/devices/system/cpu/cpu0/cache/index0/coherency_line_size");
        let reported = reported
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .filter(|size: &usize| size.is_power_of_two());
        Layout {
            cache_line: reported.unwrap_or(self.usual_cache_line()),
            page: rustix::param::page_size(),
            pointer_width: usize::BITS,
            alignment: align_of::<u128>(),
        }
    }
}

/// The architecture that this program was compiled for.
pub fn this_machine() -> &'static dyn ArchOptimization {
    &arch::THIS
}

/// The memory layout, in bytes except for the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The unit of transfer between CPU and memory; data of two threads should not share one.
    pub cache_line: usize,
    /// The unit in which the kernel maps memory: mostly 4096, 16 or 64 KiB on some AArch64 and POWER kernels.
    pub page: usize,
    /// Bits of a pointer.
    pub pointer_width: u32,
    /// The largest alignment of a primitive type.
    pub alignment: usize,
}

/// All facts, shown as lines of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub name: &'static str,
    pub endian: &'static str,
    pub features: Vec<&'static str>,
    pub path: Path,
    pub vector_width: usize,
    pub layout: Layout,
}

impl Report {
    /// Detects the machine that this program runs on.
    pub fn new() -> Self {
        let machine = this_machine();
        let path = Path::chosen();
        Self {
            name: machine.name(),
            endian: if cfg!(target_endian = "little") { "little" } else { "big" },
            features: machine.features(),
            path,
            vector_width: machine.vector_width(path),
            layout: machine.layout(),
        }
    }
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = if self.features.is_empty() { "none".to_owned() } else { self.features.join(" ") };
        let Layout { cache_line, page, pointer_width, alignment } = self.layout;
        writeln!(out, "arch: {}", self.name)?;
        writeln!(out, "pointer width: {pointer_width}")?;
        writeln!(out, "endian: {}", self.endian)?;
        writeln!(out, "features: {features}")?;
        writeln!(out, "path: {} ({} bytes a vector)", self.path, self.vector_width)?;
        write!(out, "memory: cache line {cache_line}, page {page}, alignment {alignment}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_describes_the_compilation_target() {
        let report = Report::new();
        assert_eq!(report.name, std::env::consts::ARCH);
        assert_eq!(report.endian, if 1u16.to_ne_bytes() == [1, 0] { "little" } else { "big" });
        assert!(report.path.is_available());
    }

    #[test]
    fn guaranteed_features_are_detected() {
        let features = this_machine().features();
        let sure = match std::env::consts::ARCH {
            "x86_64" => Some("sse2"),
            "aarch64" => Some("neon"),
            _ => None,
        };
        assert!(sure.is_none_or(|feature| features.contains(&feature)), "{features:?}");
    }

    #[test]
    fn layout_sizes_are_powers_of_two() {
        let Layout { cache_line, page, pointer_width, alignment } = this_machine().layout();
        assert_eq!(pointer_width as usize, std::mem::size_of::<*const u8>() * 8);
        assert_eq!(alignment, align_of::<u128>());
        assert!(cache_line.is_power_of_two() && (16..=1024).contains(&cache_line), "{cache_line}");
        assert!(page.is_power_of_two() && page >= 4096, "{page}");
    }

    #[test]
    fn the_vector_width_matches_the_path() {
        let widths: Vec<_> =
            Path::available().map(|path| (path, this_machine().vector_width(path))).collect();
        for (path, width) in widths {
            let expected = match path {
                Path::Plain => 0,
                Path::Sse42 | Path::Neon => 16,
                Path::Avx2 => 32,
            };
            assert_eq!(width, expected, "{path}");
        }
    }

    #[test]
    fn the_report_has_one_line_per_fact() {
        let layout = Layout { cache_line: 32, page: 4096, pointer_width: 32, alignment: 8 };
        let features = vec!["neon", "vfpv3"];
        let report =
            Report { name: "arm", endian: "little", features, path: Path::Plain, vector_width: 0, layout };
        assert_eq!(
            report.to_string(),
            "arch: arm\npointer width: 32\nendian: little\nfeatures: neon vfpv3\npath: plain (0 bytes a vector)\n\
             memory: cache line 32, page 4096, alignment 8"
        );
    }
}
