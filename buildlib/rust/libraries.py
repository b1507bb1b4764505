"""Whether pkg-config knows the system libraries that crates link, for the target and for this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.requirements import Fix, Requirement, apt_fix
from buildlib.core.targets import Target
from buildlib.crates.graph import Script
from buildlib.crates.libraries import Library, needed
from buildlib.machine import pkg_config
from buildlib.machine.host import Host
from buildlib.machine.pkg_config import Search
from buildlib.process.context import Context
from buildlib.rust.backends.base import Backend


def requirements(
    context: Context, target: Target, backend: Backend, scripts: Iterable[Script]
) -> Iterator[Requirement]:
    """Return a requirement for each library that `scripts` need, for the target and for this machine.

    pkg-config is asked, with the variables that the build scripts will give it; a library that has a variable of its own is not a
    requirement.
    """
    host = context.host
    libraries = needed(scripts, target.triple, host)
    if libraries and not pkg_config.for_host(host):
        crates = sorted({crate for library in libraries for crate in library.crates})
        yield Requirement(
            what="pkg-config", why=f"{', '.join(crates[:4])} find{'s' if len(crates) == 1 else ''} libraries with it",
            met=lambda host: pkg_config.for_host(host) is not None, fixes=(apt_fix("pkg-config"),),
        )  # fmt: skip
    sysroot = host.sysroots.get(target.name)
    for on_host in (False, True):
        if sysroot and sysroot.is_planned and not on_host:
            continue
        own = on_host or (target.triple == host.triple and not sysroot)
        side = tuple(library for library in libraries if library.for_host is on_host)
        search = pkg_config.search_host(host) if own else _search(host, target, backend)
        for library, found in zip(side, _found(context, side, search), strict=True):
            by_program = own and library.config and host.which(library.config)
            yield _requirement(library, None if own else target, _is_required(host, target, backend, library, own=own),
                               found=found or bool(by_program))  # fmt: skip


def _search(host: Host, target: Target, backend: Backend) -> Search | None:
    """The pkg-config for a target that is not this machine, None where the build scripts have none."""
    allowed = "PKG_CONFIG" in host.script_env or pkg_config.is_set_up(host.script_env, target)
    allowed = allowed or target.name in host.sysroots or backend.compiles_c(host, target)
    return pkg_config.for_target(host, target) if allowed else None


def _found(context: Context, libraries: tuple[Library, ...], search: Search | None) -> list[bool]:
    """Whether pkg-config knows each library. All are one question, unless one of them is missing."""
    if not search or not libraries:
        return [False for _ in libraries]
    every = [pc for library in libraries for pc in library.pc]
    if not any("|" in pc for pc in every) and _exist(context, search, every):
        return [True for _ in libraries]
    return [
        all(any(_exist(context, search, [name]) for name in pc.split("|")) for pc in library.pc)
        for library in libraries
    ]


def _exist(context: Context, search: Search, names: list[str]) -> bool:
    added = {name: value for name, value in context.host.script_env.items() if name.startswith("PKG_CONFIG")}
    argv = (search.program, "--exists", *names)
    step = Step(
        title="pkg-config", argv=argv, env={**added, **search.variables}, stdout="keep", quiet=True, timeout=20.0
    )
    try:
        return bool(context.run(step))
    except BuildError:  # PKG_CONFIG names no program
        return False


def _is_required(host: Host, target: Target, backend: Backend, library: Library, *, own: bool) -> bool:
    """Whether a build without the library certainly fails. A linker may find it by its name: in its own directories, or with -L."""
    if not library.by_name:
        return True
    flags = [flag.text for flag in host.cargo_config.rustflags(target.triple)]
    return not own and backend.name == "zig" and not any("-L" in flag for flag in flags)


def _requirement(library: Library, target: Target | None, required: bool, *, found: bool) -> Requirement:
    """The requirement of a library, for this machine without a `target`."""
    crates = ", ".join(library.crates[:4])
    where = target.name if target else "this machine"
    return Requirement(
        what=f"{library.name} for {where}",
        why=f"{crates} link{'s' if len(library.crates) == 1 else ''} it"
        if required
        else f"link it for {crates}, unless the linker finds it by itself",  # messages read "cannot ..."
        met=lambda _: found,
        fixes=tuple(_fixes(library, target)),
        required=required,
    )


def _fixes(library: Library, target: Target | None) -> Iterator[Fix]:
    if target and library.apt and not target.is_musl:
        yield Fix(text=f'--library {library.apt} (in the settings: libraries = ["{library.apt}"])')
    if library.source:
        yield Fix(text=f"compile it from source ({library.source})")
    if library.variable:
        yield Fix(
            text=f"set {library.variable} to the directory of one for {target.name if target else 'this machine'}"
        )
    package = library.apt or f"the package that has {library.pc[0]}.pc"
    if target is None:
        yield apt_fix(library.apt) if library.apt else Fix(text=f"install {package}")
        return
    if target.is_musl:  # Debian's are for glibc
        package = f"a static {library.name}"
    else:
        package = f"{library.apt}:{target.debian}" if library.apt else f"{package} for {target.name}"
    yield Fix(text=f"set PKG_CONFIG_PATH_{target.env} to the directory of the .pc files of {package}")
