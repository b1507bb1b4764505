"""Messages about the parts of the configuration that builds for the targets do not use, each shown once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from buildlib.core.targets import Target
from buildlib.core.versions import version
from buildlib.crates.locked import locked
from buildlib.emulation.qemu import is_native
from buildlib.machine import pkg_config
from buildlib.machine.host import Host
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.rust import user_flags
from buildlib.rust.backends.base import Backend


def notes(context: Context, chosen: Mapping[Target, Backend]) -> Iterator[str]:
    """Return what is left out for some of the targets: options among the rustflags, and directories of PKG_CONFIG_PATH."""
    host = context.host
    local = {target: backend for target, backend in chosen.items() if backend.local}
    yield from _grouped(
        local, lambda target: [f"{drop}: left out" for drop in user_flags.dropped(host, target, local[target])]
    )
    yield from _grouped(
        {target: backend for target, backend in local.items() if backend.name == "zig"},
        lambda target: [
            f"-fuse-ld={name} ({origin.where}) has no effect: zig links"
            for name, origin in user_flags.fast_linkers(host, target.triple).items()
        ],
    )
    for target in chosen:
        sysroot = host.sysroots.get(target.name)
        if sysroot and sysroot.glibc and version(sysroot.glibc) > version(target.glibc):
            package = sysroot.libraries[sysroot.newest].package
            yield f"{target.name}: programs will require glibc {sysroot.glibc}, as {sysroot.newest} ({package}) does"
    lock = read_text(context.workspace.lock)
    if "PKG_CONFIG_PATH" not in host.script_env or (lock and "pkg-config" not in locked(lock)):
        return
    for target, backend in local.items():
        if backend.compiles_c(host, target) and (folders := pkg_config.ignored(host, target)):
            yield (
                f"{target.name}: PKG_CONFIG_PATH ({folders}) is for this machine's libraries and not read; "
                f"PKG_CONFIG_PATH_{target.env} is, for those of {target.name}"
            )


def warnings(host: Host, chosen: Mapping[Target, Backend]) -> Iterator[str]:
    """Return what makes binaries that may not run elsewhere."""
    for target, backend in chosen.items():
        for option in user_flags.options(host.cargo_config.rustflags(target.triple)) if backend.local else ():
            if (option.name, option.value) == ("target-cpu", "native") and is_native(host, target):
                yield (
                    f"{target.name}: target-cpu=native ({option.origin.where}) compiles for the CPU of this machine: "
                    "on an older one the binaries crash"
                )


def _grouped(targets: Mapping[Target, Backend], texts: Callable[[Target], list[str]]) -> Iterator[str]:
    """Return each text once, after the names of the targets that it is about."""
    about: dict[str, list[str]] = {}
    for target in targets:
        for text in texts(target):
            about.setdefault(text, []).append(target.name)
    yield from (f"{', '.join(names)}: {text}" for text, names in about.items())
