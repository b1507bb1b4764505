"""Command lines of `cargo test` for a target: what compiles the tests, what shows where they run, what runs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from buildlib.compiler_cache.scripts import CompilerCache
from buildlib.core.plan import Action, Step, Write, words
from buildlib.core.request import NO_REQUEST, Request
from buildlib.core.settings import Config
from buildlib.core.targets import Target, cargo_variable
from buildlib.machine.host import Host
from buildlib.machine.selection import cargo_test_flags
from buildlib.machine.workspace import Workspace
from buildlib.rust.cargo import JSON, STALE, Invocation, Toolset, invocation
from buildlib.rust.std import Compiler, rustc_wrapper
from buildlib.testing import runners
from buildlib.testing.runners import Runner, host_runner, record_of, runner_folder, target_runner


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPlan:
    """One target's tests."""

    __test__ = False  # not a test class of pytest's

    toolset: Toolset
    emulator: tuple[str, ...]  # words before a binary
    cpu: str  # that QEMU shows, "" for its own choice
    folder: Path  # of the scripts
    scripts: tuple[Action, ...]
    compile: Step | None  # None: doc tests alone are compiled when they run
    probe: Step  # a program that prints on what it runs
    run: Step
    record: Path | None  # in which the test runner notes each binary; None where the user's own runner starts them
    doc_tests: Step | None = None  # where `run` leaves them out
    runner: Runner | None = None  # None where the user's own runner starts the tests
    probe_program: Path = Path()  # what `probe` has compiled
    compiles_only: bool = False  # nothing is run
    cache: CompilerCache | None = None

    @property
    def target(self) -> Target:
        """The target whose tests these are."""
        return self.toolset.target


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOptions:
    """What every target's tests share."""

    __test__ = False

    timeout: float  # seconds in which at least one test must finish
    # Its `rest` are words for cargo, and behind their own `--` for the test binaries.
    request: Request = NO_REQUEST
    cpu: str = ""  # that QEMU shows, "" for its own choice


def test_plan(
    host: Host, config: Config, workspace: Workspace, toolset: Toolset, emulator: tuple[str, ...], options: TestOptions
) -> TestPlan:
    """`cargo test` with `toolset`, each binary started through the test runner and `emulator`.

    A runner that the user has configured stays. MissingRequirements where no path is fit for a runner.
    """
    line = invocation(host, config, workspace, options.request, toolset)
    target = toolset.target
    scripts: list[Action] = list(line.scripts)
    env = {**line.env, **({"QEMU_CPU": options.cpu} if options.cpu else {})}
    if toolset.compiler and (
        text := rustc_wrapper(host, _rustdoc(toolset.compiler), target)
    ):  # rustdoc compiles doc tests
        scripts.append(Write(path=line.tools / "rustdoc", text=text, mode=0o755))
        env["RUSTDOC"] = str(line.tools / "rustdoc")
    runner = None
    if toolset.compiler and not runners.is_configured(host, target.triple):
        folder = runner_folder(
            line.tools, host.cache / "test_runner" / line.target_dir.parent.name / line.target_dir.name
        )
        programs = line.target_dir / target.triple
        runner = target_runner(host, target, folder, emulator, timeout=options.timeout, programs=programs)
        scripts += runner.files(host)
        env[cargo_variable(target.triple, "RUNNER")] = str(runner.path)
        # cargo compiles unit tests of proc macros for the host, and starts them through the host's runner.
        triple = toolset.compiler.toolchain.host
        if triple != target.triple and not runners.is_configured(host, triple):
            for_host = host_runner(runner, config.test.timeout)
            scripts += for_host.files(host)
            env[cargo_variable(triple, "RUNNER")] = str(for_host.path)
    probe = line.tools / "probe"
    scripts += [Write(path=probe / "Cargo.toml", text=PROBE), Write(path=probe / "main.rs", text=PROBE_SOURCE)]
    compile_step, probe_step, run = _steps(replace(line, env=env), workspace, target, probe, options.request)
    return TestPlan(
        toolset=toolset, emulator=emulator, cpu=options.cpu, folder=line.tools, scripts=tuple(scripts), compile=compile_step,
        probe=probe_step, run=run, runner=runner, record=record_of(runner.folder) if runner else None,
        probe_program=line.target_dir / target.triple / "debug" / PROBE_NAME,
        compiles_only=NO_RUN in _split(options.request.rest)[0], cache=line.cache,
    )  # fmt: skip


def _steps(
    line: Invocation, workspace: Workspace, target: Target, probe: Path, request: Request
) -> tuple[Step | None, Step, Step]:
    """Compile, probe and run; the first is None for doc tests alone."""
    for_cargo, for_binaries = _split(request.rest)
    argv = (*line.program, "test", "--target", line.triple, *_selection(workspace, request, for_cargo),
            *words("--profile", filter(None, (request.profile,))), *line.flags, *for_cargo)  # fmt: skip
    compile_argv = (*(word for word in argv if word != NO_RUN), NO_RUN, *JSON)
    compile_step = line.step(f"{target.name} · compile tests", compile_argv)
    probe_argv = (
        *line.program, "run", "--quiet", "--manifest-path", str(probe / "Cargo.toml"), "--target", line.triple,
        "--target-dir", str(line.target_dir),
    )  # fmt: skip
    probe_step = replace(
        compile_step, title=f"{target.name} · probe", argv=probe_argv, stdout="keep", quiet=True, attempts=1, counts=""
    )
    run = Step(title=f"{target.name} · test", argv=(*argv, "--no-fail-fast", *for_binaries), stdout="both", env=line.env,
               unset=STALE, cwd=line.cwd, counts="test binary")  # fmt: skip
    return None if "--doc" in for_cargo else compile_step, probe_step, run


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What compiles one target's benchmarks."""

    target: Target
    scripts: tuple[Action, ...]
    compile: Step
    cache: CompilerCache | None = None


def bench_plan(host: Host, config: Config, workspace: Workspace, request: Request, toolset: Toolset) -> BenchPlan:
    """The benchmarks of the workspace, compiled and not run.

    By `cargo test --profile bench`: cargo-zigbuild has no `bench`, and this compiles the same.
    """
    line = invocation(host, config, workspace, request, toolset)
    argv = (*line.program, "test", "--benches", "--profile", request.profile or "bench", "--target", line.triple,
            *cargo_test_flags(workspace, request), *line.flags,
            "--no-run", *JSON)  # fmt: skip
    step = line.step(f"{toolset.target.name} · compile benches", argv)
    return BenchPlan(target=toolset.target, scripts=line.scripts, compile=step, cache=line.cache)


def _rustdoc(compiler: Compiler) -> Compiler:
    rustdoc = compiler.toolchain.rustc.with_name("rustdoc")
    return replace(compiler, toolchain=replace(compiler.toolchain, rustc=rustdoc))


def _split(rest: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words for cargo, and those for the test binaries with the `--` before them."""
    at = rest.index("--") if "--" in rest else len(rest)
    return rest[:at], rest[at:]


NO_RUN = "--no-run"
PACKAGES = ("--package", "--workspace", "--all", "--exclude", "--manifest-path")


def _selection(workspace: Workspace, request: Request, rest: tuple[str, ...]) -> tuple[str, ...]:
    """What the request selects, unless words for cargo name packages."""
    named = any(word.partition("=")[0] in PACKAGES or word.startswith("-p") for word in rest)
    return () if named else cargo_test_flags(workspace, request)


# A program that prints what it was compiled for, and what uname(2) returns, which QEMU answers for its guest. Linux's struct has
# six names of 65 bytes; the fifth is the machine's.
PROBE_NAME = "buildlib-probe"
PROBE = f"""\
[package]
name = "{PROBE_NAME}"
version = "0.0.0"
edition = "2021"

[[bin]]
name = "{PROBE_NAME}"
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
