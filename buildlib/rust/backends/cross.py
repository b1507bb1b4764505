"""cross: cross-rs, which compiles in containers with a toolchain, a C library and an emulator of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from buildlib.core.plan import Script
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain

# cross 0.2.5 does not understand the "(active, default)" that current versions of rustup write behind a toolchain, takes the
# toolchain for missing, and lets rustup "install" it: a build would update a stable toolchain.
RUSTUP = """\
#!/bin/sh
[ "$1 $2" = "toolchain list" ] && {{ {rustup} "$@" | sed 's/ (.*//'; exit; }}
exec {rustup} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross:
    """Compiles with cross in a container."""

    why: str
    minimum_glibc: str  # only if configured: the libc of the image is not known

    name = "cross"
    local = False

    def requirements(self, target: Target) -> tuple[Requirement, ...]:
        """Require cross, rustup and a container engine."""
        return (
            Requirement(
                what="cross", why="the cross backend runs it", met=lambda host: host.which("cross") is not None,
                fixes=(Fix(text="cargo install cross"),),
            ),
            Requirement(
                what="rustup", why="cross asks it for the toolchain", met=lambda host: host.which("rustup") is not None,
                fixes=(Fix(text="install rustup, or choose --backend zig"),),
            ),
            Requirement(
                what="a running container engine", why="cross compiles in a container",
                met=lambda host: host.engine is not None, fixes=(Fix(text="start Docker, or choose --backend zig"),),
            ),
        )  # fmt: skip

    def program(self, host: Host, toolchain: Toolchain | None) -> tuple[str, ...]:
        """Return the path of cross."""
        return (host.which("cross") or "cross",)

    def triple(self, target: Target) -> str:
        """Return Rust's triple."""
        return target.triple

    def compiles_c(self, host: Host, target: Target) -> bool:
        """Return False: the container has its own compilers and variables."""
        return False

    def variables(self, host: Host, target: Target, script: Script, tools: Path) -> Mapping[str, str]:
        """Return a PATH on which cross finds the wrapper of rustup first."""
        script("rustup", RUSTUP.format(rustup=quote(host.which("rustup") or "rustup")))
        return {"PATH": ":".join((str(tools), *host.path))}

    def fingerprint(self, host: Host) -> object:
        """Return None: nothing of this machine reaches the container."""
        return None

    def own_fingerprint(self) -> object:
        """Return None: all targets have the same."""
        return None
