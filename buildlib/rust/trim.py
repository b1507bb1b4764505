"""Paths of this machine that compilers write into programs, and what stands for them instead.

The same sources then give the same bytes in another directory, for another user and with another HOME. cargo has no stable setting
for it (`trim-paths`, rust-lang/rfcs 3127). The flags are not in RUSTFLAGS, which would replace the workspace's own, nor in CFLAGS,
which OpenSSL and others write into what they compile: small scripts add them to each call of a compiler.
"""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from buildlib.core.plan import Trims, words
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain

# Directories of the system: what is in them has the same path on other machines.
KEPT = (Path("/"), Path("/usr"))


def trims(host: Host, root: Path, target_dir: Path, toolchain: Toolchain) -> Trims:
    """What stands for the paths of this machine in a build of the workspace in `root`.

    A path dependency beside the workspace is below `/src/..`. Any of these directories may be in any other: cargo's home is in the
    workspace where CI caches it there. The innermost is the last, and counts.
    """
    cargo_home = host.cwd / (host.env.get("CARGO_HOME") or Path(host.env.get("HOME", "/nonexistent"), ".cargo"))
    pairs = (
        (root.parent, "/src/.."),
        (cargo_home, "/cargo"),
        (root, "/src"),
        (target_dir, "/target"),
        *std_sources(toolchain),
    )
    kept = sorted((pair for pair in pairs if pair[0] not in KEPT), key=lambda pair: len(pair[0].parts))
    return tuple((str(path), name) for path, name in kept)


def std_sources(toolchain: Toolchain) -> tuple[tuple[Path, str], ...]:
    """Where the sources of std may be, and the name that rustc gives them when it does not find them."""
    inside = Path("lib", "rustlib", "src", "rust")
    folders = [root / inside for root in (toolchain.sysroot, toolchain.managed_root)]
    folders += [toolchain.sources.parent] if toolchain.sources else []
    return tuple((folder, f"/rustc/{toolchain.commit}") for folder in dict.fromkeys(folders))


def rustc_flags(trims: Trims) -> str:
    """The flags for rustc, as words of a shell."""
    return " ".join(words("--remap-path-prefix", (quote(f"{path}={name}") for path, name in trims)))


def c_flags(trims: Trims) -> str:
    """The flags for C compilers, as words of a shell. They read up to the first `=`, so that a path with one stays."""
    return " ".join(quote(f"-ffile-prefix-map={path}={name}") for path, name in trims if "=" not in path)
