"""zig: cargo-zigbuild with the ziglang wheel, the default. It needs no cross compiler, no container and no root."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from buildlib.core.errors import UsageError
from buildlib.core.plan import Script, Step
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.targets import Target, cargo_variable
from buildlib.core.versions import version
from buildlib.emulation.qemu import is_native
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain
from buildlib.rust.backends.base import cmake_toolchain

# Which linker flags zig accepts, and which of rustc's flags cargo-zigbuild translates, changes between minor versions:
# pyproject.toml pins the same pair.
PAIR = ("cargo-zigbuild>=0.24,<0.25", "ziglang>=0.17,<0.18")
INSTALL = Step(title="zig and cargo-zigbuild", argv=(sys.executable, "-m", "pip", "install", *PAIR), attempts=3)
# Rust's std needs 2.17 (the platform support page); with less, zig fails: "undefined symbol: getauxval".
OLDEST = "2.17"
# glibc_min in zig's lib/std/zig/target.zig, where it is newer than that.
ZIG_OLDEST = {"riscv64": "2.27"}
LINKER = Path(__file__).parents[1] / "linker.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zig:
    """Compiles with cargo-zigbuild and links with zig."""

    why: str
    minimum_glibc: str  # "" for musl

    name = "zig"
    local = True

    def requirements(self, target: Target) -> tuple[Requirement, ...]:
        """Require zig and cargo-zigbuild, and recommend the pair of versions that is tested."""
        fixes = (Fix(text="pip install ziglang cargo-zigbuild", steps=(INSTALL,), root=False),)
        return (
            Requirement(
                what="zig", why="the zig backend links with it", met=lambda host: host.zig is not None, fixes=fixes
            ),
            Requirement(
                what="cargo-zigbuild",
                why="zig links through it",
                met=lambda host: host.zigbuild is not None,
                fixes=fixes,
            ),
            Requirement(
                what="the tested pair of zig and cargo-zigbuild",
                why="other versions may differ in the flags that they accept and translate",
                met=lambda host: not host.zig_version or is_tested_pair(host),
                fixes=(Fix(text=f"pip install {' '.join(map(repr, PAIR))}"),),
                required=False,
            ),
        )

    def program(self, host: Host, toolchain: Toolchain | None) -> tuple[str, ...]:
        """Return the path of cargo-zigbuild."""
        return (str(host.zigbuild),)

    def triple(self, target: Target) -> str:
        """Return the triple with the glibc version to link against, which cargo-zigbuild reads from a suffix."""
        return f"{target.triple}.{self.minimum_glibc}" if self.minimum_glibc else target.triple

    def compiles_c(self, host: Host, target: Target) -> bool:
        """Return True except on the native arch: cargo-zigbuild sets CC_<target>."""
        return not is_native(host, target)

    def variables(self, host: Host, target: Target, script: Script, tools: Path) -> Mapping[str, str]:
        """Return the zig of this installation, a cache directory per project, and the linker wrapper."""
        sysroot = host.sysroots.get(target.name)
        search = f" {quote(sysroot.search)}" if sysroot else ""
        project = hashlib.sha256(str(tools).encode()).hexdigest()[:8]
        env = {
            # The zig of this installation, not the one of the first python3 on PATH; it also saves starting that Python.
            "CARGO_ZIGBUILD_ZIG_COMMAND": str(host.zig),
            # cargo-zigbuild 0.24 writes its links and wrappers into this directory without a lock: of two that start at once, one
            # fails with "File exists". Each project and minimum glibc has its own. The path has no spaces: the wrappers become CC.
            "CARGO_ZIGBUILD_CACHE_DIR": str(host.cache / "zigbuild" / f"{self.minimum_glibc or 'musl'}-{project}"),
            # lld refuses version scripts that name absent symbols, GNU ld accepts them (librdkafka has one).
            "LDFLAGS": f"{host.script_env.get('LDFLAGS', '')} -Wl,--undefined-version".strip(),
            cargo_variable(target.triple, "LINKER"): script(
                f"{target.triple}-link-cc",
                f'#!/bin/sh\nexec {quote(str(host.python))} -I -S {quote(str(LINKER))} "$CC_{target.env}"{search} "$@"\n',
            ),
        }
        if sysroot and not {"TARGET_CMAKE_TOOLCHAIN_FILE", "CMAKE_TOOLCHAIN_FILE"} & set(host.script_env):
            # Instead of cargo-zigbuild's, with the same compilers: CMake does not find libraries by CFLAGS and pkg-config.
            programs = {"C_COMPILER": "CC", "CXX_COMPILER": "CXX", "AR": "AR", "RANLIB": "RANLIB"}
            own = {name: f"$ENV{{{variable}_{target.env}}}" for name, variable in programs.items()}
            own |= dict.fromkeys(("C_LINKER_DEPFILE_SUPPORTED", "CXX_LINKER_DEPFILE_SUPPORTED"), "FALSE")
            env[f"CMAKE_TOOLCHAIN_FILE_{target.env}"] = script("toolchain.cmake", cmake_toolchain(host, target, own))
        if "HOME" not in host.env and "XDG_CACHE_HOME" not in host.env:
            env["ZIG_GLOBAL_CACHE_DIR"] = str(host.cache / "zig")
        if not host.which("cc"):
            # Without any compiler, as in a slim container, zig also links build scripts and proc macros. rustc looks for `cc`.
            for name in ("cc", "c++", "ar", "ranlib"):
                path = script(f"host/{name}", f'#!/bin/sh\nexec {quote(str(host.zigbuild))} zig {name} -- "$@"\n')
                env["PATH"] = ":".join((*host.path, str(Path(path).parent)))
        return env

    def fingerprint(self, host: Host) -> object:
        """Return both versions."""
        return (host.zig_version, host.zigbuild_version)

    def own_fingerprint(self) -> object:
        """Return None: all targets have the same."""
        return None


def is_tested_pair(host: Host) -> bool:
    """Return whether zig and cargo-zigbuild have the versions that the real tests use."""
    return version(host.zig_version)[:2] == (0, 17) and version(host.zigbuild_version)[:2] == (0, 24)


def minimum_glibc(configured: str, target: Target, *, newest: str = "", source: str = "") -> str:
    """Return the configured version, raised to the oldest that zig can link for: one setting applies to all arches.

    Args:
        configured: The setting, "" for the target's default.
        target: The target to link for.
        newest: The newest version that zig knows, "" if that is not known.
        source: The setting in messages.

    Raises:
        UsageError: the version is older than what Rust's std supports anywhere, or newer than what zig knows.
    """
    if target.is_musl:
        return ""
    if configured and (version(configured) < version(OLDEST) or (newest and version(configured) > version(newest))):
        raise UsageError(
            f"{source}: zig links for glibc {OLDEST} to {newest or 'the newest that it knows'}",
            f"choose a version in this range, or leave it out for {target.glibc}",
        )
    return max(configured or target.glibc, target.oldest or OLDEST, ZIG_OLDEST.get(target.name, ""), key=version)
