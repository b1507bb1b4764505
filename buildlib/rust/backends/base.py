"""What a backend is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from buildlib.core.requirements import Requirement
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain

# Registers a small executable file; takes its name and text, returns its path.
Script = Callable[[str, str], str]


class Backend(Protocol):
    """A toolchain that compiles and links for one target."""

    @property
    def name(self) -> str:
        """The value of the setting `backend`: zig, gcc or cross."""

    @property
    def why(self) -> str:
        """Why it was chosen, for the log."""

    @property
    def minimum_glibc(self) -> str:
        """The oldest glibc version that its binaries may require, "" where none is promised."""

    @property
    def local(self) -> bool:
        """Whether the compiler runs on this machine, and not in a container with a toolchain and an emulator of its own."""

    def requirements(self, target: Target) -> tuple[Requirement, ...]:
        """What linking for `target` needs of the machine, apart from the standard library."""

    def program(self, host: Host, toolchain: Toolchain | None) -> tuple[str, ...]:
        """The words before `build` or `test`. `toolchain` is None where `local` is False."""

    def triple(self, target: Target) -> str:
        """The value of --target."""

    def compiles_c(self, host: Host, target: Target) -> bool:
        """Whether build scripts find a C compiler for the target that is not the one of this machine."""

    def variables(self, host: Host, target: Target, script: Script, tools: Path) -> Mapping[str, str]:
        """Environment variables for cargo. `script` writes a file into the directory `tools`."""

    def fingerprint(self, host: Host) -> object:
        """What `variables` depends on, as JSON data: build scripts do not notice that a variable changed, so another
        fingerprint must be another target directory."""
