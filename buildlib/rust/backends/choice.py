"""Choose the backend of a target, and say why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from buildlib.core.errors import UsageError
from buildlib.core.settings import Config
from buildlib.core.targets import Target
from buildlib.core.versions import version
from buildlib.machine.host import Host
from buildlib.rust import user_flags
from buildlib.rust.backends import gcc, zig
from buildlib.rust.backends.base import Backend
from buildlib.rust.backends.cross import Cross
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig

REQUESTED = "requested"


def choose(host: Host, config: Config, target: Target, libc: Callable[[Target], str]) -> Backend:
    """Return the backend for `target`; `auto` takes the first that can link for it on this machine, or zig if none can.

    Args:
        host: This machine.
        config: The settings; `backend` and `glibc` are read.
        target: The target to link for.
        libc: Returns the version of the glibc that gcc links against, "" if unknown.

    Raises:
        UsageError: zig cannot link for the configured glibc, or a system library requires a newer one.
    """
    linker = configured_linker(host, target)
    installed = linker if linker and host.which(linker) else ""
    absent = f"the workspace's linker {linker} is not installed" if linker and not installed else ""
    compiler = gcc.compiler_for(host, target) or ""
    in_gcc = Gcc(why=REQUESTED, minimum_glibc=config.glibc, gcc=compiler, linker=linker)
    in_cross = Cross(why=REQUESTED, minimum_glibc=config.glibc)
    chosen: Backend
    match config.backend:
        case "zig":
            return _with_zig(host, config, target, REQUESTED)
        case "cross":
            return _without_libraries(in_cross, host, target)
        case "gcc":
            chosen = in_gcc
        case _ if installed:
            chosen = replace(in_gcc, why=f"the workspace links with {linker}")
        case _ if host.zig and host.zigbuild:
            return _with_zig(host, config, target, absent or "needs no cross compiler")
        case _ if compiler:
            chosen = replace(in_gcc, why=f"{absent}; found {compiler}" if absent else f"found {compiler}", linker="")
        case _ if host.which("cross") and host.engine:
            return _without_libraries(replace(in_cross, why="found a running container engine"), host, target)
        case _:  # What it lacks is reported together with everything else that is missing.
            return _with_zig(
                host, config, target, f"the default; no {target.gnu}-gcc, no cross with a container engine"
            )
    minimum = chosen.minimum_glibc or libc(target)
    return replace(chosen, minimum_glibc=_with_libraries(host, config, target, minimum))


def _without_libraries(backend: Cross, host: Host, target: Target) -> Cross:
    """The backend, whose container does not see this machine's sysroots. UsageError if there is one."""
    if target.name in host.sysroots:
        raise UsageError(
            f"{target.name}: the container of cross does not see the setting `libraries`",
            "use --backend zig, or install them with cross's own `pre-build`, in Cross.toml",
        )
    return backend


def _with_zig(host: Host, config: Config, target: Target, why: str) -> Zig:
    minimum = zig.minimum_glibc(config.glibc, target, newest=host.newest_glibc, source=_source(config))
    return Zig(why=why, minimum_glibc=_with_libraries(host, config, target, minimum))


def _source(config: Config) -> str:
    return f"glibc = {config.glibc} ({config.origins.get('glibc', '')})"


def _with_libraries(host: Host, config: Config, target: Target, minimum: str) -> str:
    """The minimum glibc, raised to what the target's system libraries require. UsageError if an older one is configured."""
    sysroot = host.sysroots.get(target.name)
    if not sysroot or version(sysroot.glibc) <= version(minimum):
        return minimum
    library = f"{sysroot.newest} of {sysroot.libraries[sysroot.newest].package} (Debian {sysroot.suite})"
    if config.glibc:
        raise UsageError(
            f"{_source(config)}: {library} requires glibc {sysroot.glibc}",
            f"leave the setting out for {sysroot.glibc}, or set `suite` to an older one",
        )
    return sysroot.glibc


def configured_linker(host: Host, target: Target) -> str:
    """Return the linker that the configuration of the user or the workspace names for `target`, "" for none.

    One that is named for every target, in `build.rustflags` or for cfg(unix), is this machine's.
    """
    linker = user_flags.chosen_linker(host, target.triple)
    if linker and target.triple != host.triple and linker == user_flags.chosen_linker(host, host.triple):
        return ""
    return linker.text if linker else ""
