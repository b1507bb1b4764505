"""Command lines of cargo, cargo-zigbuild and cross."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.compiler_cache import containers
from buildlib.compiler_cache.scripts import CompilerCache
from buildlib.compiler_cache.store import compiler_cache
from buildlib.core.plan import Action, Job, ShareHostUnits, Step, Trims
from buildlib.core.request import Request
from buildlib.core.settings import Config
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.machine.selection import Selection
from buildlib.machine.workspace import Workspace
from buildlib.rust.backends.base import Backend
from buildlib.rust.environment import EVERYTHING, environment, fingerprint, own_suffix
from buildlib.rust.std import Compiler
from buildlib.rust.trim import trims

JSON = ("--message-format", "json-render-diagnostics")
# Variables that an outer cargo sets for the programs that it runs. If buildlib is one of them, the cargo that it starts
# would take them for the user's settings.
STALE = ("CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_*", "CARGO_BUILD_TARGET")
# Profiles whose directory has another name (the Cargo Book, "Custom profiles").
PROFILE_DIRECTORIES = {"dev": "debug", "test": "debug", "bench": "release"}

FIRST = {"zig": "the first link with zig compiles a C library"}  # half a minute on two cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolset:
    """The backend and compiler for one target. `compiler` is None where the backend has its own, in a container."""

    target: Target
    backend: Backend
    compiler: Compiler | None
    epoch: int = 0  # the time that compilers and build scripts take for now, in seconds since 1970
    uses: frozenset[str] = EVERYTHING  # what builds use of this machine: see environment.uses


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What all cargo command lines for one target have in common."""

    program: tuple[str, ...]  # before `build` or `test`
    triple: str  # the value of --target
    flags: tuple[str, ...]
    env: dict[str, str]
    scripts: tuple[Action, ...]  # compiler wrappers and the like, which `env` refers to
    target_dir: Path
    tools: Path  # the directory of the scripts
    cwd: Path  # the user's own: cargo looks for its configuration there and above
    first: str = ""  # why its first link may take long
    cache: CompilerCache | None = None

    def step(self, title: str, argv: tuple[str, ...]) -> Step:
        """Return the step that runs `argv`, a command line that compiles.

        It is retried, because a download may break. A retry keeps what is downloaded and compiled already.
        """
        return Step(title=title, argv=argv, env=self.env, unset=STALE, cwd=self.cwd, stdout="json", attempts=10,
                    counts="crate", first=self.first)  # fmt: skip


def invocation(host: Host, config: Config, workspace: Workspace, request: Request, toolset: Toolset) -> Invocation:
    """Return the shared part of the command lines that compile `workspace` with `toolset`."""
    target, backend, compiler = toolset.target, toolset.backend, toolset.compiler
    rustc = compiler.toolchain.key if compiler else "image"  # the rustc in cross's image
    # musl targets, which have no minimum glibc, share the directory of the gnu ones, and its compiled build scripts.
    libc = backend.minimum_glibc or config.glibc or "2.31"
    used = fingerprint(host, backend, toolset.uses, host.sysroots.get(target.name), trim=config.trim_paths)
    family = workspace.target_dir / "buildlib" / f"{backend.name}-{libc}-{rustc}-{used}"
    # For this machine's own triple cargo-zigbuild sets target-applies-to-host, with which cargo names the units for this machine
    # otherwise, and the linker that gcc gets is that of build scripts too: nothing of them could be shared.
    if backend.local and compiler and target.triple == compiler.toolchain.host:
        family = family.with_name(f"{family.name}-native")
    target_dir = family / f"{target.name}{own_suffix(backend)}"
    tools = target_dir / "tools"
    names: Trims = ()
    if compiler and config.trim_paths:
        names = trims(host, workspace.root, target_dir, compiler.toolchain)
    cache = compiler_cache(
        host, config.cache, workspace.root, tools, names, container=not compiler and config.trim_paths
    )
    env, scripts = environment(host, target, backend, compiler, tools, names, cache)
    if cache:
        env |= cache.environment
        scripts += cache.actions
    if names:
        # Compilers of C write the shell's name for the directory into debug information, which may lead through a link.
        env["PWD"] = str(host.cwd)
        if "SOURCE_DATE_EPOCH" not in host.env:
            env["SOURCE_DATE_EPOCH"] = str(toolset.epoch)
    flags = (
        *request.feature_flags(config.features),
        *request.lock_flags(has_lock=workspace.lock.is_file()),
        *request.run_flags(),
        "--target-dir", str(target_dir),
    )  # fmt: skip
    if cache and cache.engine:
        argv = (*backend.program(host, None), "build", "--target", target.triple, *flags)
        cache = replace(cache, probe=containers.probe(argv, env, scripts, host.cwd))
    actions: tuple[Action, ...] = (*scripts, ShareHostUnits(into=target_dir)) if backend.local else scripts
    return Invocation(
        program=backend.program(host, compiler.toolchain if compiler else None), triple=backend.triple(target), flags=flags,
        env=env, scripts=actions, target_dir=target_dir, tools=tools, cwd=host.cwd, first=FIRST.get(backend.name, ""),
        cache=cache,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The compilation of `selection` for one target: the job, and the directory that its binaries are written to."""

    toolset: Toolset
    job: Job
    folder: Path
    selection: Selection
    cache: CompilerCache | None = None

    @property
    def target(self) -> Target:
        """The target of the binaries."""
        return self.toolset.target

    @property
    def family(self) -> Path:
        """The directory of the target directories that share what is compiled for this machine."""
        return self.folder.parents[2]

    @property
    def backend(self) -> Backend:
        """The backend that compiles and links."""
        return self.toolset.backend

    @property
    def compiler(self) -> Compiler | None:
        """The compiler, None where the backend has its own."""
        return self.toolset.compiler


def build(
    host: Host, config: Config, workspace: Workspace, request: Request, selection: Selection, toolset: Toolset
) -> Build:
    """Return the job that compiles `selection`, and where it puts the binaries."""
    shared = invocation(host, config, workspace, request, toolset)
    name = toolset.target.name
    compiled = selection.without_shared_libraries() if toolset.target.is_musl else selection
    argv = (
        *shared.program, "build", "--target", shared.triple, "--profile", config.profile, *compiled.flags,
        *compiled.target_flags, *shared.flags, *JSON, *request.rest,
    )  # fmt: skip
    step = shared.step(f"{name} · compile", argv)
    folder = shared.target_dir / toolset.target.triple / PROFILE_DIRECTORIES.get(config.profile, config.profile)
    job = Job(name=name, steps=(*shared.scripts, step))
    return Build(toolset=toolset, job=job, folder=folder, selection=selection, cache=shared.cache)
