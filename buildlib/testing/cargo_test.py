"""Command lines of `cargo test` for a target: what compiles the tests, what shows where they run, what runs them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Action, Link, Step, Write
from buildlib.core.settings import Config
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.machine.workspace import Workspace
from buildlib.rust.cargo import JSON, STALE, Invocation, Toolset, invocation
from buildlib.rust.std import Compiler, rustc_wrapper


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPlan:
    """One target's tests."""

    __test__ = False  # not a test class of pytest's

    toolset: Toolset
    emulator: tuple[str, ...]  # words before a binary
    folder: Path  # of the scripts
    scripts: tuple[Action, ...]
    compile: Step | None  # None: doc tests alone are compiled when they run
    probe: Step  # a program that prints on what it runs
    run: Step
    record: Path | None  # in which the test runner notes each binary; None where the user's own runner starts them
    doc_tests: Step | None = None  # where `run` leaves them out

    @property
    def target(self) -> Target:
        """The target whose tests these are."""
        return self.toolset.target


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOptions:
    """What every target's tests share."""

    __test__ = False

    timeout: float  # seconds in which at least one test must finish
    rest: tuple[str, ...] = ()  # words for cargo, and behind their own `--` for the test binaries


def test_plan(
    host: Host, config: Config, workspace: Workspace, toolset: Toolset, emulator: tuple[str, ...], options: TestOptions
) -> TestPlan:
    """`cargo test` with `toolset`, each binary started through the test runner and `emulator`.

    A runner that the user has configured stays. MissingRequirements where no path is fit for a runner.
    """
    line = invocation(host, config, workspace, toolset)
    target = toolset.target
    scripts: list[Action] = list(line.scripts)
    env = dict(line.env)
    if toolset.compiler and (text := rustc_wrapper(_rustdoc(toolset.compiler), target)):  # rustdoc compiles doc tests
        scripts.append(Write(path=line.tools / "rustdoc", text=text, mode=0o755))
        env["RUSTDOC"] = str(line.tools / "rustdoc")
    record = None
    variable = f"CARGO_TARGET_{target.env.upper()}_RUNNER"
    if toolset.compiler and variable not in host.env and target.triple not in host.runners:
        folder = _runner_folder(line.tools, host.cache / "test_runner" / line.target_dir.name / target.name)
        record = folder / "record.jsonl"
        scripts += _runner_files(host, target, folder, emulator, options.timeout)
        env[variable] = str(folder / "runner")
    probe = line.tools / "probe"
    scripts += [Write(path=probe / "Cargo.toml", text=PROBE), Write(path=probe / "main.rs", text=PROBE_SOURCE)]
    compile_step, probe_step, run = _steps(replace(line, env=env), workspace, target, probe, options.rest)
    return TestPlan(
        toolset=toolset, emulator=emulator, folder=line.tools, scripts=tuple(scripts), record=record, compile=compile_step,
        probe=probe_step, run=run,
    )  # fmt: skip


def _steps(
    line: Invocation, workspace: Workspace, target: Target, probe: Path, rest: tuple[str, ...]
) -> tuple[Step | None, Step, Step]:
    """Compile, probe and run; the first is None for doc tests alone."""
    for_cargo, for_binaries = _split(rest)
    argv = (*line.program, "test", "--target", line.triple, *_packages(for_cargo), *line.flags, *for_cargo)
    compile_step = line.step(workspace, f"{target.name} · compile tests", (*argv, "--no-run", *JSON))
    probe_argv = (
        *line.program, "run", "--quiet", "--manifest-path", str(probe / "Cargo.toml"), "--target", line.triple,
        "--target-dir", str(line.target_dir),
    )  # fmt: skip
    probe_step = replace(
        compile_step, title=f"{target.name} · probe", argv=probe_argv, stdout="keep", quiet=True, attempts=1
    )
    run = Step(title=f"{target.name} · test", argv=(*argv, "--no-fail-fast", *for_binaries), stdout="both", env=line.env,
               unset=STALE, cwd=workspace.root)  # fmt: skip
    return None if "--doc" in for_cargo else compile_step, probe_step, run


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What compiles one target's benchmarks."""

    target: Target
    scripts: tuple[Action, ...]
    compile: Step


def bench_plan(host: Host, config: Config, workspace: Workspace, toolset: Toolset) -> BenchPlan:
    """The benchmarks of the workspace, compiled and not run.

    By `cargo test --profile bench`: cargo-zigbuild has no `bench`, and this compiles the same.
    """
    line = invocation(host, config, workspace, toolset)
    argv = (*line.program, "test", "--benches", "--profile", "bench", "--target", line.triple, "--workspace", *line.flags,
            "--no-run", *JSON)  # fmt: skip
    step = line.step(workspace, f"{toolset.target.name} · compile benches", argv)
    return BenchPlan(target=toolset.target, scripts=line.scripts, compile=step)


def _rustdoc(compiler: Compiler) -> Compiler:
    rustdoc = compiler.toolchain.rustc.with_name("rustdoc")
    return replace(compiler, toolchain=replace(compiler.toolchain, rustc=rustdoc))


def _runner_files(
    host: Host, target: Target, folder: Path, emulator: tuple[str, ...], timeout: float
) -> tuple[Action, ...]:
    spec = {
        "emulator": emulator,
        "emulated_arch": target.name if emulator else "",
        "timeout": timeout,
        "record": str(folder / "record.jsonl"),
    }
    # Python itself and not a shell, which drops variables whose names it does not allow: cargo sets CARGO_BIN_EXE_cli-command.
    # The link is for interpreters whose path cannot stand behind `#!`: with a space, or too long.
    program = RUNNER.format(runner=str(TEST_RUNNER), spec=str(folder / "spec.json"))
    return (
        Write(path=folder / "spec.json", text=json.dumps(spec)),
        Link(path=folder / "python", to=host.python),
        Write(path=folder / "runner", text=f"#!{folder / 'python'} -IS\n{program}", mode=0o755),
    )


RUNNER = """\
import sys

sys.argv[0:1] = [{runner!r}, {spec!r}]
with open(sys.argv[0], "rb") as stream:
    exec(compile(stream.read(), sys.argv[0], "exec"))
"""
TEST_RUNNER = Path(__file__).with_name("test_runner.py")


def _runner_folder(*folders: Path) -> Path:
    """The first directory whose path may stand in a runner and behind `#!`.

    cargo splits a runner's words at spaces; Linux reads 255 bytes behind `#!` (execve(2)).
    """
    for folder in folders:
        if not any(map(str.isspace, str(folder))) and len(bytes(folder)) < 240:
            return folder
    raise MissingRequirements(
        f"{folders[-1]}: path too long or with a space, so that cargo cannot start tests through it",
        "set XDG_CACHE_HOME to a short path without spaces",
    )


def _split(rest: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words for cargo, and those for the test binaries with the `--` before them."""
    at = rest.index("--") if "--" in rest else len(rest)
    return rest[:at], rest[at:]


PACKAGES = ("--package", "--workspace", "--all", "--exclude", "--manifest-path")


def _packages(words: tuple[str, ...]) -> tuple[str, ...]:
    """The whole workspace, unless the words name packages."""
    named = any(word.partition("=")[0] in PACKAGES or word.startswith("-p") for word in words)
    return () if named else ("--workspace",)


# A program that prints what it was compiled for, and what uname(2) returns, which QEMU answers for its guest. Linux's struct has
# six names of 65 bytes; the fifth is the machine's.
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
