"""Prepare the toolset of every target: choose its backend, list its requirements, provide its standard library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from buildlib.compiler_cache import store
from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Outcome, Step
from buildlib.core.requirements import Fix, Requirement, describe, missing
from buildlib.core.targets import Target
from buildlib.crates.locked import known, locked
from buildlib.emulation import apt_cache, qemu
from buildlib.failures.classify import classify
from buildlib.machine.glibc import linked_version
from buildlib.machine.host import Host
from buildlib.process.commit import commit
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.rust import configured_programs, notes, starts, std
from buildlib.rust.backends.base import Backend
from buildlib.rust.backends.choice import choose
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.cargo import Toolset
from buildlib.rust.environment import uses
from buildlib.rust.std import Compiler, StdSource

if TYPE_CHECKING:
    from buildlib.crates.graph import Script


def backends(context: Context, targets: Iterable[Target]) -> dict[Target, Backend]:
    """Return the backend of each target."""
    chosen = {target: choose(context.host, context.config, target, linked_version) for target in targets}
    return {target: _with_headers(context, backend) for target, backend in chosen.items()}


def _with_headers(context: Context, backend: Backend) -> Backend:
    """Add gcc's own headers to a gcc backend where libclang is the wheel, which has none."""
    if not isinstance(backend, Gcc) or not backend.gcc or not context.host.libclang:
        return backend
    argv = (backend.gcc, "-print-file-name=include")
    outcome = context.run(Step(title="gcc's headers", argv=argv, stdout="keep", quiet=True))
    return replace(backend, headers=outcome.stdout.strip())


def with_libraries(context: Context, targets: Iterable[Target]) -> Context:
    """Return the context whose machine has the system libraries of the settings. Errors as of `sysroot.install.provide`."""
    if not context.config.libraries:
        return context
    from buildlib.sysroot import install  # late: few workspaces have any

    return install.provide(context, targets)


def requirements(context: Context, chosen: Mapping[Target, Backend], *, tests: bool = False) -> tuple[Requirement, ...]:
    """Return everything that a build for these targets needs of this machine; `tests` for one that compiles their tests, too.

    Raises:
        NetworkError: cargo cannot download what the crate graph needs.
    """
    host = context.host
    local = {target: backend for target, backend in chosen.items() if backend.local}

    @cache
    def scripts_of(target: Target) -> tuple[Script, ...]:
        from buildlib.crates import graph  # late, as the tables: most builds need neither

        return graph.scripts(context, target, tests=tests)

    may_need = _may_need_tools(context)
    scripts = {target: scripts_of(target) if may_need else () for target in local}

    def links_for_host() -> bool:
        return any(map(scripts_of, local))

    needed = [
        *starts.requirements(context, chosen.values()),
        *store.requirements(context.config.cache),
        *build_requirements(host, chosen, scripts, links_for_host),
    ]
    if any(scripts.values()):
        from buildlib.rust import libraries

        for target, backend in local.items():
            needed += libraries.requirements(context, target, backend, scripts[target])
    return tuple({requirement.what: requirement for requirement in needed}.values())


def build_requirements(
    host: Host,
    chosen: Mapping[Target, Backend],
    scripts: Mapping[Target, tuple[Script, ...]],
    links_for_host: Callable[[], bool],
) -> list[Requirement]:
    """Return what can be said without starting anything.

    Args:
        host: This machine.
        chosen: The backend of each target.
        scripts: The build scripts that a table may know, for each target.
        links_for_host: Tells whether the build links any program for this machine.
    """
    needed = [_compiler(host)] if host.rustup_error and not (host.toolchains or host.pin) else []
    needed += [std.requirement(target) for target, backend in chosen.items() if backend.local]
    needed += [requirement for target, backend in chosen.items() for requirement in backend.requirements(target)]
    needed += configured_programs.requirements(host, chosen, host.triple, links_for_host)
    if any(scripts.values()):
        from buildlib.crates import host_tools

        needed += host_tools.requirements(
            (use for target, found in scripts.items() for use in host_tools.uses(found, target.triple, host)),
            host.script_env,
        )
    return needed + [requirement for target in chosen for requirement in qemu.requirements(target)]


def _compiler(host: Host) -> Requirement:
    """Require a compiler where rustup has none for this directory; a pinned one it installs by itself."""
    named = host.cargo_config.rustc
    remedy = "rustup default stable, or rustup toolchain install with the name of the toolchain"
    if named:
        remedy = f"correct {named.where}" if named.key else f"unset {named.source}"
    return Requirement(
        what="a Rust compiler", why=host.rustup_error, met=lambda host: bool(host.toolchains),
        fixes=(Fix(text=remedy),),
    )  # fmt: skip


def _may_need_tools(context: Context) -> bool:
    """Whether cargo has to be asked what runs during the build: not if the lock file names no crate that a table knows."""
    lock = read_text(context.workspace.lock)
    return bool(context.host.toolchains) and not (lock and known(context.host.script_env).isdisjoint(locked(lock)))


def toolsets(context: Context, chosen: Mapping[Target, Backend]) -> tuple[Context, tuple[Toolset, ...]]:
    """Return the toolset of each target, with its std installed, and the context after the installation.

    Prints once what of the workspace's configuration is not used for the targets.

    Raises:
        MissingRequirements: names all targets whose std no source could provide.
    """
    for note in notes.notes(context, chosen):
        context.console.note(note)
    for warning in notes.warnings(context.host, chosen):
        context.console.warn(warning)
    local = tuple(target for target, backend in chosen.items() if backend.local)
    context, compilers = provide_std(context, local)
    used = uses(read_text(context.workspace.lock))
    epoch, _ = commit(context) if context.config.trim_paths and compilers else (0, "")
    return context, tuple(
        Toolset(target=target, backend=backend, compiler=compilers.get(target), epoch=epoch, uses=used)
        for target, backend in chosen.items()
    )


def require(requirements: Iterable[Requirement], context: Context) -> None:
    """Raise MissingRequirements that lists every requirement that is required and not met."""
    if absent := [requirement for requirement in missing(requirements, context.host) if requirement.required]:
        raise MissingRequirements(f"missing on this machine:\n{describe(absent)}")


def provide_std(
    context: Context, targets: tuple[Target, ...], *, compiling: bool = True
) -> tuple[Context, dict[Target, Compiler]]:
    """Return the compiler of every target, with std from the first source that succeeds, and the context afterwards.

    Args:
        context: The context of the command.
        targets: The targets to provide std for.
        compiling: False leaves out the source that compiles std, which takes a minute, and targets without another source.

    Raises:
        MissingRequirements: names all targets whose std no source could provide; only if `compiling`.
    """
    compilers: dict[Target, Compiler] = {}
    tried: set[str] = set()
    offline = False
    for target in targets:
        while not (compiler := std.installed(context.host, target)):
            source = next((source for source in std.sources(context.host, target) if source.job.name not in tried
                           and not (offline and source.network) and (compiling or not source.job.scratch)), None)  # fmt: skip
            if source is None:
                break
            tried.add(source.job.name)
            outcome = _try(context, source)
            if not outcome.ran:
                compiler = source.provides  # a dry run continues as if the source had succeeded
                break
            # A network that is down for one target is down for the next: its timeouts are waited for once.
            offline = offline or (source.network and not outcome and classify(outcome.output).transient)
            context = context.refreshed()
        if compiler:
            compilers[target] = compiler
    unavailable = tuple(target for target in targets if target not in compilers)
    if unavailable and compiling:
        raise std.unavailable(context.host, unavailable)
    return context, compilers


def _try(context: Context, source: StdSource) -> Outcome:
    with context.console.fold(source.job.name):
        outcome = context.run.job(source.job)
        if not outcome:
            cause = classify(outcome.output).cause or f"exit code {outcome.code}"
            context.console.note(f"{source.job.name} failed: {cause}")
        return outcome


def unpack_emulators(context: Context, targets: Iterable[Target]) -> None:
    """Unpack QEMU and the targets' C libraries into the cache, as far as they are missing and apt has them."""
    for target in targets:
        for selection in apt_cache.selections(context.host, target):
            answer = context.run(apt_cache.question(selection))
            names = apt_cache.file_names(answer.stdout) if answer else ()
            if not names or selection not in apt_cache.selections(context.host, target):
                continue  # no such package, or an earlier package contained the files
            with context.console.fold(f"{' '.join(selection.packages)} into {selection.into}"):
                outcome = context.run.job(apt_cache.unpack(context.host, selection, names))
                if not outcome and isinstance(outcome.step, Step):
                    context.console.note(f"{outcome.step.title} failed: {classify(outcome.output).cause}")
