//! Which implementation of the kernels runs.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// The environment variable that forces a path, for tests and benches: `ARCH_PATH=plain`.
pub const VARIABLE: &str = "ARCH_PATH";

/// An instruction set that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Plain Rust: runs on every CPU.
    Plain,
    /// x86-64 with SSE4.2 (CRC-32C in hardware) but without AVX2.
    Sse42,
    /// x86-64 with AVX2 and SSE4.2.
    Avx2,
    /// AArch64: NEON, which every CPU has, and the CRC instructions if the CPU has them.
    Neon,
}

impl Path {
    /// All paths, the slowest first.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Sse42, Self::Avx2, Self::Neon];

    /// Whether this CPU supports the path.
    pub fn is_available(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Sse42 => std::arch::is_x86_feature_detected!("sse4.2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("sse4.2")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns, reason = "which arms remain depends on the target")]
            _ => false,
        }
    }

    /// The paths that this CPU supports, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|path| path.is_available())
    }

    /// The path that the kernels use: the best available one, or the one that [`VARIABLE`] names. An unsupported or unknown
    /// path is ignored here; [`Self::forced`] reports it.
    pub fn chosen() -> Self {
        static CHOSEN: OnceLock<Path> = OnceLock::new();
        *CHOSEN.get_or_init(|| match Self::forced() {
            Some(Ok(path)) => path,
            _ => Self::available().max().unwrap_or(Self::Plain),
        })
    }

    /// The path that [`VARIABLE`] requests, or why it is not available. `None` if the variable is not set.
    pub fn forced() -> Option<Result<Self, String>> {
        let word = std::env::var(VARIABLE).ok()?;
        Some(word.parse().and_then(|path: Self| {
            if path.is_available() {
                Ok(path)
            } else {
                Err(format!("{VARIABLE}={word}: this CPU has no {path}"))
            }
        }))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Plain => "plain",
            Self::Sse42 => "sse4.2",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
        })
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|path| path.to_string() == word).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(ToString::to_string).collect();
            format!("{VARIABLE}={word}: unknown path (expected one of {})", known.join(" "))
        })
    }
}
