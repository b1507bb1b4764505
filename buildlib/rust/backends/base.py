"""The protocol that every backend implements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from buildlib.core.plan import Script
from buildlib.core.requirements import Requirement
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain


class Backend(Protocol):
    """A toolchain that compiles and links for one target."""

    @property
    def name(self) -> str:
        """The value of the setting `backend`: zig, gcc or cross."""

    @property
    def why(self) -> str:
        """The reason for choosing it, for the log."""

    @property
    def minimum_glibc(self) -> str:
        """The oldest glibc version that its binaries may require, "" where the backend guarantees none."""

    @property
    def local(self) -> bool:
        """Whether the compiler runs on this machine. Otherwise a container has its own toolchain and emulator."""

    def requirements(self, target: Target) -> tuple[Requirement, ...]:
        """Return what linking for `target` needs of the machine, apart from the standard library."""

    def program(self, host: Host, toolchain: Toolchain | None) -> tuple[str, ...]:
        """Return the words before `build` or `test`. `toolchain` is None where `local` is False."""

    def triple(self, target: Target) -> str:
        """Return the value of --target."""

    def compiles_c(self, host: Host, target: Target) -> bool:
        """Return whether build scripts find a C compiler for the target that differs from the machine's own."""

    def variables(self, host: Host, target: Target, script: Script, tools: Path) -> Mapping[str, str]:
        """Return environment variables for cargo. `script` writes a file into the directory `tools`."""

    def fingerprint(self, host: Host) -> object:
        """Return what `variables` depends on for all targets that share their build scripts, as JSON data.

        Build scripts do not notice that a variable changed, so another fingerprint is another target directory.
        """

    def own_fingerprint(self) -> object:
        """Return what `variables` depends on for this target alone, as JSON data, None for nothing.

        No unit that cargo compiles for this machine depends on that: its fingerprint has the linker of this machine, and of
        variables those that a build script or a crate names (calculate_normal in cargo's fingerprint/mod.rs).
        """


def cmake_toolchain(host: Host, target: Target, own: Mapping[str, str], libraries: str = "") -> str:
    """Return a CMake toolchain file with a backend's `own` variables. CMake searches the target's sysroot, then `libraries`.

    Without that directory it also finds what the build has made, and what is installed on this machine.
    """
    sysroot = host.sysroots.get(target.name)
    roots = (f'"{root}"' for root in (sysroot.root if sysroot else "", libraries) if root)
    mode = "ONLY" if libraries else "BOTH"
    settings = {
        "SYSTEM_NAME": "Linux", "SYSTEM_PROCESSOR": target.triple.split("-")[0], **own,
        "LIBRARY_ARCHITECTURE": target.multiarch, "FIND_ROOT_PATH": " ".join(roots), "FIND_ROOT_PATH_MODE_PROGRAM": "NEVER",
        **{f"FIND_ROOT_PATH_MODE_{kind}": mode for kind in ("LIBRARY", "INCLUDE", "PACKAGE")},
    }  # fmt: skip
    return "".join(f"set(CMAKE_{name} {value})\n" for name, value in settings.items())
