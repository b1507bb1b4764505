"""Who compiles and links for a target, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from buildlib.artifacts import version
from buildlib.config import Config
from buildlib.emulation import is_native
from buildlib.errors import Lacking
from buildlib.host import Host
from buildlib.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Who compiles and links for one target, and why it is this one."""

    name: str  # zig, gcc, cross
    why: str
    floor: str  # the oldest glibc its binaries may need, "" where none is promised
    gcc: str = ""  # the C compiler of the gcc backend
    linker: str = ""  # a linker that the workspace configures; it stays
    headers: str = ""  # where gcc keeps stddef.h and its like, for a libclang that brings none


def gcc_for(host: Host, target: Target) -> str | None:
    """The GNU compiler that links for the target: Debian's cross compiler, or the machine's own."""
    if is_native(host, target) and not target.is_musl:
        return host.which("cc", "gcc")
    return host.which(f"{target.gnu}-gcc")


def pick_backend(host: Host, config: Config, target: Target, libc: Callable[[Target], str]) -> Backend:
    """The backend for `target`; `auto` takes the first that can serve it here. `libc` tells the version of the glibc
    that gcc links against, "" if not known. Lacking names what each would have needed."""
    linker = configured_linker(host, target)
    gcc_path = gcc_for(host, target) or ""
    zig = Backend(name="zig", why="needs no cross compiler", floor=_zig_floor(config, target))
    gcc = Backend(name="gcc", why=f"{gcc_path} is here", floor=config.glibc, gcc=gcc_path, linker=linker)
    cross = Backend(name="cross", why="a container engine is here", floor=config.glibc)
    if config.backend != "auto":
        picked = replace({"zig": zig, "gcc": gcc, "cross": cross}[config.backend], why="it was asked for")
    elif linker and host.which(linker):
        picked = replace(gcc, why=f"the workspace links with {linker}")
    elif host.zig and host.zigbuild:
        picked = replace(zig, why=f"the workspace's linker {linker} is not here") if linker else zig
    elif gcc_path:
        picked = gcc
    elif host.which("cross") and host.engine:
        picked = cross
    else:
        raise Lacking(
            f"no backend can link for {target.name} here: no zig, no {target.gnu}-gcc, no cross with a container engine",
            "pip install ziglang cargo-zigbuild",
        )
    return replace(picked, floor=picked.floor or libc(target)) if picked.name == "gcc" else picked


def _zig_floor(config: Config, target: Target) -> str:
    """What was asked for, raised to what there is for the target: one setting serves all arches."""
    if target.is_musl:
        return ""
    return max(config.glibc or target.glibc, target.oldest or "2.0", key=version)


def configured_linker(host: Host, target: Target) -> str:
    """The linker that the user's or the workspace's own configuration names for `target`, "" for none."""
    return host.env.get(f"CARGO_TARGET_{target.env.upper()}_LINKER") or host.linkers.get(target.triple, "")
