"""The line that starts with cargo, cargo-zigbuild or cross."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.backends import Backend
from buildlib.config import Config
from buildlib.environment import digest, environment
from buildlib.errors import Lacking
from buildlib.host import Host
from buildlib.plan import Act, Job, Link, Step, Write, words
from buildlib.targets import Target
from buildlib.toolchain import Chosen, rustc_wrapper
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
    line = _line(host, config, workspace, target, backend, chosen)
    argv = (
        *line.program, "build", "--target", line.triple,
        "--profile", config.profile,
        *_selection(workspace, components),
        *line.flags, *JSON,
    )  # fmt: skip
    compile_step = Step(
        title=f"{target.name} · compile", argv=argv, env=line.env, unset=STALE, cwd=workspace.root, stdout="json",
        attempts=10,  # a download that broke; what is downloaded and compiled stays
    )  # fmt: skip
    profile = "debug" if config.profile in ("dev", "test") else config.profile
    profile = "release" if profile == "bench" else profile
    return Build(
        target=target,
        backend=backend,
        chosen=chosen,
        job=Job(name=target.name, steps=(*line.tools, compile_step)),
        folder=line.target_dir / target.triple / profile,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tests:
    """One target's tests: what compiles them, what says where they will run, what runs them. `record` is the file in which the
    harness notes each binary, None where somebody else's runner starts them."""

    target: Target
    backend: Backend
    emulator: tuple[str, ...]  # words before a binary
    folder: Path  # of the tools
    tools: tuple[Act, ...]
    compile: Step | None  # None: doc tests alone are compiled when they run
    probe: Step
    run: Step
    record: Path | None
    documented: Step | None = None  # doc tests, where `run` leaves them out


def tests(host: Host, config: Config, workspace: Workspace, target: Target, backend: Backend, chosen: Chosen | None,
          emulator: tuple[str, ...], patience: float, rest: tuple[str, ...]) -> Tests:  # fmt: skip
    """`cargo test` for `target`, each binary started through the harness and `emulator`. `rest` is for cargo, and behind its
    own `--` for the binaries. A runner that the person has set stays."""
    line = _line(host, config, workspace, target, backend, chosen)
    tools, env = list(line.tools), dict(line.env)
    if chosen and (text := rustc_wrapper(_documenting(chosen), target)):  # doc tests are compiled by rustdoc
        tools.append(Write(path=line.scripts / "rustdoc", text=text, mode=0o755))
        env["RUSTDOC"] = str(line.scripts / "rustdoc")
    record = None
    name = f"CARGO_TARGET_{target.env.upper()}_RUNNER"
    if chosen and name not in host.env and target.triple not in host.runners:
        folder = _nameable(line.scripts, host.cache / "harness" / line.target_dir.name / target.name)
        record = folder / "record.jsonl"
        spec = {
            "words": emulator,
            "emulated": target.name if emulator else "",
            "patience": patience,
            "record": str(record),
        }
        tools += [
            Write(path=folder / "spec.json", text=json.dumps(spec)),
            Link(path=folder / "python", to=host.python),
            Write(path=folder / "runner", text=_runner(folder), mode=0o755),
        ]
        env[name] = str(folder / "runner")
    probe = line.scripts / "probe"
    tools += [Write(path=probe / "Cargo.toml", text=PROBE), Write(path=probe / "main.rs", text=PROBE_SOURCE)]
    here = {"env": env, "unset": STALE, "cwd": workspace.root}
    cargos, binaries = _divided(rest)
    argv = (*line.program, "test", "--target", line.triple, *_scope(cargos), *line.flags, *cargos)
    compiled = Step(
        title=f"{target.name} · compile tests", argv=(*argv, "--no-run", *JSON), stdout="json", attempts=10, **here
    )
    asked = (*line.program, "run", "--quiet", "--manifest-path", str(probe / "Cargo.toml"), "--target", line.triple,
             "--target-dir", str(line.target_dir))  # fmt: skip
    return Tests(
        target=target, backend=backend, emulator=emulator, folder=line.scripts, tools=tuple(tools), record=record,
        compile=None if "--doc" in cargos else compiled,
        probe=Step(title=f"{target.name} · probe", argv=asked, stdout="keep", quiet=True, **here),
        run=Step(title=f"{target.name} · test", argv=(*argv, "--no-fail-fast", *binaries), stdout="both", **here),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Benches:
    """What compiles one target's benches."""

    target: Target
    tools: tuple[Act, ...]
    compile: Step


def benches(host: Host, config: Config, workspace: Workspace, target: Target, backend: Backend,
            chosen: Chosen | None) -> Benches:  # fmt: skip
    """The benches of the workspace, compiled and not run. By `cargo test`, for cargo-zigbuild has no `bench`: with that profile it
    compiles the same."""
    line = _line(host, config, workspace, target, backend, chosen)
    argv = (*line.program, "test", "--benches", "--profile", "bench", "--target", line.triple, "--workspace", *line.flags,
            "--no-run", *JSON)  # fmt: skip
    step = Step(title=f"{target.name} · compile benches", argv=argv, env=line.env, unset=STALE, cwd=workspace.root, stdout="json",
                attempts=10)  # fmt: skip
    return Benches(target=target, tools=line.tools, compile=step)


def _documenting(chosen: Chosen) -> Chosen:
    rustdoc = chosen.toolchain.rustc.with_name("rustdoc")
    return replace(chosen, toolchain=replace(chosen.toolchain, rustc=rustdoc))


def _runner(folder: Path) -> str:
    """Python straight, for a shell drops variables that it could not name itself: cargo has CARGO_BIN_EXE_cli-command. The link
    is for interpreters whose own path a `#!` cannot have: with a space, or too long."""
    return f"#!{folder / 'python'} -IS\n{STARTED.format(harness=str(HARNESS), spec=str(folder / 'spec.json'))}"


STARTED = """\
import sys

sys.argv[0:1] = [{harness!r}, {spec!r}]
with open(sys.argv[0], "rb") as stream:
    exec(compile(stream.read(), sys.argv[0], "exec"))
"""
HARNESS = Path(__file__).with_name("harness.py")


def _nameable(*folders: Path) -> Path:
    """The first folder whose path may stand in a runner and behind `#!`: cargo divides a runner's words at spaces, Linux reads
    255 bytes (execve(2))."""
    found = next((path for path in folders if not any(map(str.isspace, str(path))) and len(bytes(path)) < 240), None)
    if found is None:
        raise Lacking(f"{folders[-1]}: no path for a runner", "set XDG_CACHE_HOME to a short one without spaces")
    return found


def _divided(rest: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words for cargo, and those for the test binaries with the `--` before them."""
    at = rest.index("--") if "--" in rest else len(rest)
    return rest[:at], rest[at:]


PACKAGES = ("--package", "--workspace", "--all", "--exclude", "--manifest-path")


def _scope(words: tuple[str, ...]) -> tuple[str, ...]:
    """All of the workspace, unless something else is asked for."""
    named = any(word.partition("=")[0] in PACKAGES or word.startswith("-p") for word in words)
    return () if named else ("--workspace",)


# A program that says on what it runs: what it was compiled for, and what uname(2) says, which QEMU answers for its guest. The
# struct of Linux has six names of 65 bytes; the fifth is the machine's.
PROBE = """\
[package]
name = "buildlib-probe"
version = "0.0.0"
edition = "2021"

[[bin]]
name = "buildlib-probe"
path = "main.rs"

[workspace]
"""
PROBE_SOURCE = """\
use std::ffi::c_int;

extern "C" {
    fn uname(names: *mut u8) -> c_int;
}

fn main() {
    let mut names = [0u8; 6 * 65];
    assert_eq!(unsafe { uname(names.as_mut_ptr()) }, 0);
    let machine: Vec<u8> = names[4 * 65..].iter().copied().take_while(|byte| *byte != 0).collect();
    println!(
        "{{\\"machine\\": \\"{}\\", \\"arch\\": \\"{}\\", \\"endian\\": \\"{}\\", \\"bits\\": {}}}",
        String::from_utf8_lossy(&machine),
        std::env::consts::ARCH,
        if cfg!(target_endian = "little") { "little" } else { "big" },
        usize::BITS
    );
}
"""


# --- what all lines share --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    program: tuple[str, ...]
    triple: str
    flags: tuple[str, ...]
    env: dict[str, str]
    tools: tuple[Write, ...]
    target_dir: Path
    scripts: Path  # the folder of the tools


def _line(
    host: Host, config: Config, workspace: Workspace, target: Target, backend: Backend, chosen: Chosen | None
) -> _Line:
    compiler = chosen.toolchain.key if chosen else "image"
    key = f"{backend.name}-{_libc(config, backend)}-{compiler}-{digest(host, backend)}"
    target_dir = workspace.target_dir / "buildlib" / key
    scripts = target_dir / "tools" / target.name
    env, tools = environment(host, target, backend, chosen, scripts)
    flags = (
        *(("--features", ",".join(config.features)) if config.features else ()),
        *(("--locked",) if workspace.lock.is_file() else ()),
        "--target-dir", str(target_dir),
    )  # fmt: skip
    return _Line(program=_program(host, backend, chosen), triple=_triple(target, backend), flags=flags, env=env, tools=tools,
                 target_dir=target_dir, scripts=scripts)  # fmt: skip


JSON = ("--message-format", "json-render-diagnostics")
# What an outer cargo leaves in the environment of its children; it would be taken for the user's own wish.
STALE = ("CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_*", "CARGO_BUILD_TARGET")


def _program(host: Host, backend: Backend, chosen: Chosen | None) -> tuple[str, ...]:
    match backend.name:
        case "zig":
            return (str(host.zigbuild),)
        case "cross":
            return (host.which("cross") or "cross",)
    return (str(chosen.toolchain.cargo) if chosen else "cargo",)


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
