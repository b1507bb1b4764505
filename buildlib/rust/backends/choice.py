"""Choose the backend of a target, and say why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from buildlib.core.errors import MissingRequirements
from buildlib.core.settings import Config
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.rust.backends import gcc, zig
from buildlib.rust.backends.base import Backend
from buildlib.rust.backends.cross import Cross
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig

REQUESTED = "requested"


def choose(host: Host, config: Config, target: Target, libc: Callable[[Target], str]) -> Backend:
    """Return the backend for `target`; `auto` takes the first that can link for it on this machine.

    Args:
        host: This machine.
        config: The settings; `backend` and `glibc` are read.
        target: The target to link for.
        libc: Returns the version of the glibc that gcc links against, "" if unknown.

    Raises:
        MissingRequirements: no backend can link; the message names what each would need.
    """
    linker = configured_linker(host, target)
    compiler = gcc.compiler_for(host, target) or ""
    in_zig = Zig(why=REQUESTED, minimum_glibc=zig.minimum_glibc(config.glibc, target))
    in_gcc = Gcc(why=REQUESTED, minimum_glibc=config.glibc, gcc=compiler, linker=linker)
    in_cross = Cross(why=REQUESTED, minimum_glibc=config.glibc)
    chosen: Backend
    match config.backend:
        case "zig":
            return in_zig
        case "cross":
            return in_cross
        case "gcc":
            chosen = in_gcc
        case _ if linker and host.which(linker):
            chosen = replace(in_gcc, why=f"the workspace links with {linker}")
        case _ if host.zig and host.zigbuild:
            absent = f"the workspace's linker {linker} is not installed"
            return replace(in_zig, why=absent if linker else "needs no cross compiler")
        case _ if compiler:
            chosen = replace(in_gcc, why=f"found {compiler}")
        case _ if host.which("cross") and host.engine:
            return replace(in_cross, why="found a running container engine")
        case _:
            raise MissingRequirements(
                f"no backend can link for {target.name}: no zig, no {target.gnu}-gcc, no cross with a container engine",
                "pip install ziglang cargo-zigbuild",
            )
    return chosen if chosen.minimum_glibc else replace(chosen, minimum_glibc=libc(target))


def configured_linker(host: Host, target: Target) -> str:
    """Return the linker that the configuration of the user or the workspace names for `target`, "" for none."""
    return host.env.get(f"CARGO_TARGET_{target.env.upper()}_LINKER") or host.linkers.get(target.triple, "")
