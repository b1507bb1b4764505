"""Programs that cargo's configuration names: the linker of build scripts, -fuse-ld, and wrappers of rustc."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from buildlib.core.requirements import Fix, Requirement, apt_fix
from buildlib.core.targets import Target, cargo_variable
from buildlib.machine.cargo_config import Value
from buildlib.machine.host import Host
from buildlib.rust import user_flags
from buildlib.rust.backends.base import Backend

# What gcc and clang start for -fuse-ld=X (gcc's manual, "Options for Linking"); any other X is looked for as ld.X.
FAST_LINKERS = {"lld": ("ld.lld",), "mold": ("ld.mold", "mold")}
PACKAGES = {
    "cc": "gcc",
    "gcc": "gcc",
    "clang": "clang",
    "lld": "lld",
    "ld.lld": "lld",
    "mold": "mold",
    "sccache": "sccache",
}
OWN_COMPILERS = ("cc", "gcc", "clang")


def missing_host_linker(host: Host, host_triple: str) -> Value | None:
    """Return the linker that the configuration names for build scripts and procedural macros, if it is not installed."""
    linker = host.cargo_config.linker(host_triple)
    return linker if linker and not host.which(linker.text) else None


def links_scripts(host: Host, target: Target, backend: Backend, host_triple: str) -> bool:
    """Return whether the linker configured for this machine links the build scripts of a build for `target`.

    For the native triple gcc's replaces it, and cargo-zigbuild sets target-applies-to-host = false: cargo leaves out
    [target.<triple>] then, but still reads [target.'cfg(...)'] (seen with cargo 1.95 and cargo-zigbuild 0.24).
    """
    if target.triple != host_triple or not backend.local:
        return backend.local
    linker = host.cargo_config.linker(host_triple)
    return backend.name == "zig" and linker is not None and "cfg(" in linker.key


def stand_in(host: Host, target: Target, backend: Backend, host_triple: str) -> str | None:
    """Return the linker for build scripts in place of a missing one, None if the configured one is meant or cannot be replaced.

    A name is a preference; a path is a particular program, which may set what the build needs.
    """
    linker = missing_host_linker(host, host_triple)
    replaceable = linker and "/" not in linker.text and target.triple != host_triple and backend.local
    if not replaceable:
        return None
    return host.which(*OWN_COMPILERS) or (
        "cc" if backend.name == "zig" else None
    )  # zig's own, on the PATH of the build


def requirements(
    host: Host, chosen: Mapping[Target, Backend], host_triple: str, has_scripts: Callable[[], bool]
) -> Iterator[Requirement]:
    """Return what the configuration requires. `has_scripts` tells whether anything is linked for this machine."""
    local = {target: backend for target, backend in chosen.items() if backend.local}
    linker = missing_host_linker(host, host_triple)
    concerned = {
        target: backend for target, backend in local.items() if links_scripts(host, target, backend, host_triple)
    }
    if linker and concerned and has_scripts():
        others = {stand_in(host, target, backend, host_triple) for target, backend in concerned.items()}
        yield _host_linker(linker, host_triple, sorted(other for other in others if other), replaced=None not in others)
    for target, backend in local.items():
        if backend.name == "gcc":
            yield from (
                _fast_linker(name, target, origin)
                for name, origin in user_flags.fast_linkers(host, target.triple).items()
            )
    if local:
        yield from map(_wrapper, host.cargo_config.wrappers)


def _host_linker(linker: Value, host_triple: str, others: list[str], *, replaced: bool) -> Requirement:
    variable = cargo_variable(host_triple, "LINKER")
    override = Fix(text=f"set {variable}=cc (this machine's compiler)")
    if replaced:  # the message reads "cannot ..."
        why = f"link build scripts with it, as {linker.where} says ({Path(others[0]).name} does instead)"
    else:
        why = f"build scripts and procedural macros are linked with it: {linker.where}"
    return Requirement(
        what=linker.text, why=why, met=lambda host: host.which(linker.text) is not None, required=not replaced,
        fixes=(override, install(linker.text)) if not replaced else (install(linker.text),),
    )  # fmt: skip


def _fast_linker(name: str, target: Target, origin: Value) -> Requirement:
    programs = (name,) if "/" in name else FAST_LINKERS.get(name, (f"ld.{name}",))
    return Requirement(
        what=name, why=f"{target.name} is linked with it: {origin.where}",
        met=lambda host: host.which(*programs) is not None, fixes=(install(name),),
    )  # fmt: skip


def _wrapper(wrapper: Value) -> Requirement:
    variable = "RUSTC_WORKSPACE_WRAPPER" if "WORKSPACE" in wrapper.where.upper() else "RUSTC_WRAPPER"
    return Requirement(
        what=wrapper.text, why=f"rustc is started through it: {wrapper.where}", met=lambda host: host.which(wrapper.text) is not None,
        fixes=(Fix(text=f"set {variable}= (empty) to build without it"), install(wrapper.text)),
    )  # fmt: skip


def install(program: str) -> Fix:
    """Return the fix that installs a linker or a wrapper: Debian's package of this name, or a sentence."""
    package = PACKAGES.get(program)
    return apt_fix(package) if package else Fix(text=f"install {program}")
