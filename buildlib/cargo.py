"""The line that starts with cargo, cargo-zigbuild or cross."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from buildlib.backends import Backend
from buildlib.config import Config
from buildlib.environment import digest, environment
from buildlib.host import Host
from buildlib.plan import Job, Step, words
from buildlib.targets import Target
from buildlib.toolchain import Chosen
from buildlib.workspace import Component, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One target's compile: the job, and where its binaries will lie."""

    target: Target
    backend: Backend
    chosen: Chosen | None  # None: the compiler lives in cross's world
    job: Job
    folder: Path  # of the binaries


def build(host: Host, config: Config, workspace: Workspace, target: Target, backend: Backend,
          chosen: Chosen | None, components: tuple[Component, ...]) -> Build:  # fmt: skip
    """The job that compiles `components` for `target`."""
    compiler = chosen.toolchain.key if chosen else "image"
    key = f"{backend.name}-{_libc(config, backend)}-{compiler}-{digest(host, backend)}"
    target_dir = workspace.target_dir / "buildlib" / key
    env, tools = environment(host, target, backend, chosen, target_dir / "tools" / target.name)
    argv = (
        *_program(host, backend, chosen), "--target", _triple(target, backend),
        "--profile", config.profile,
        *_selection(workspace, components),
        *(("--features", ",".join(config.features)) if config.features else ()),
        *(("--locked",) if workspace.lock.is_file() else ()),
        "--target-dir", str(target_dir), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    compile_step = Step(
        title=f"{target.name} · compile", argv=argv, env=env, unset=STALE, cwd=workspace.root, stdout="json",
        attempts=10,  # a download that broke; what is downloaded and compiled stays
    )  # fmt: skip
    profile = "debug" if config.profile in ("dev", "test") else config.profile
    profile = "release" if profile == "bench" else profile
    return Build(
        target=target,
        backend=backend,
        chosen=chosen,
        job=Job(name=target.name, steps=(*tools, compile_step)),
        folder=target_dir / target.triple / profile,
    )


# What an outer cargo leaves in the environment of its children; it would be taken for the user's own wish.
STALE = ("CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_*", "CARGO_BUILD_TARGET")


def _program(host: Host, backend: Backend, chosen: Chosen | None) -> tuple[str, ...]:
    match backend.name:
        case "zig":
            return (str(host.zigbuild), "build")
        case "cross":
            return (host.which("cross") or "cross", "build")
    return (str(chosen.toolchain.cargo) if chosen else "cargo", "build")


def _triple(target: Target, backend: Backend) -> str:
    # cargo-zigbuild reads the suffix as the glibc to link against.
    return f"{target.triple}.{backend.floor}" if backend.name == "zig" and backend.floor else target.triple


def _selection(workspace: Workspace, components: tuple[Component, ...]) -> tuple[str, ...]:
    if components == workspace.components:
        return ("--workspace", "--bins")
    packages = dict.fromkeys(component.package for component in components)
    return (*words("--package", packages), *words("--bin", (component.name for component in components)))


def _libc(config: Config, backend: Backend) -> str:
    # The musl targets share the folder, and with it the compiled build scripts, of the gnu ones.
    return backend.floor or config.glibc or "2.31"
