"""Run the same tests by cargo-nextest if it is installed: each test in its own process, and doc tests still by cargo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Write
from buildlib.core.request import Request
from buildlib.core.settings import Config
from buildlib.machine.host import Host
from buildlib.testing.cargo_test import TestPlan

# Options of `cargo test` that nextest does not know, or that mean something else to it.
CARGO_ONLY = ("--doc", "--profile", "--quiet", "-q", "--message-format", "--no-run", "--jobs", "-j", "--timings")
# Options of test binaries that nextest implements itself.
BINARY_OPTIONS = ("--skip", "--exact", "--ignored", "--include-ignored")
# Options that select targets; with them cargo runs no doc tests.
TARGET_SELECTION = (
    "--lib", "--bin", "--bins", "--test", "--tests", "--example", "--examples", "--bench", "--benches", "--all-targets",
)  # fmt: skip

# nextest starts the program in $CARGO to compile; this script compiles as buildlib does. cargo-zigbuild is called only for `test`,
# and without the colour option that nextest puts before it.
CARGO = """\
#!{python} -IS
import os, sys

words = [word for word in sys.argv[1:] if not word.startswith("--color")]
program = [{cargo!r}]
if words[:1] == ["test"]:
    os.environ["CARGO"] = {cargo!r}
    program = {program!r}
    words = [{triple!r} if word == {target!r} else word for word in words]
os.execv(program[0], [*program, *words])
"""


def is_used(host: Host, config: Config, tests: TestPlan, request: Request) -> bool:
    """Whether nextest runs these tests. MissingRequirements if the setting requires it and it is not installed.

    nextest is not used without the test runner's record, which says what crashed and what hung, nor with options of cargo or of
    test binaries that it does not know.
    """
    installed = host.which("cargo-nextest") is not None
    if config.test.runner == "nextest" and not installed:
        raise MissingRequirements(
            "cargo-nextest is not installed", 'cargo install --locked cargo-nextest, or test.runner = "cargo"'
        )
    rest = request.rest
    at = rest.index("--") if "--" in rest else len(rest)
    understood = (
        not (request.profile or request.quiet or request.jobs)
        and not any(word.partition("=")[0] in CARGO_ONLY for word in rest[:at])
        and all(not word.startswith("-") or word in BINARY_OPTIONS for word in rest[at + 1 :])
    )
    return config.test.runner != "cargo" and installed and understood and tests.record is not None


def with_nextest(host: Host, tests: TestPlan, request: Request) -> TestPlan:
    """The plan with nextest instead of `cargo test`, and with one more step for doc tests unless options select targets."""
    at = tests.run.argv.index("test")
    program, words = tests.run.argv[:at], tests.run.argv[at + 1 :]
    triple = words[words.index("--target") + 1]
    target = tests.target.triple
    folder = tests.record.parent if tests.record else Path()
    text = CARGO.format(
        python=folder / "python", cargo=tests.run.env["CARGO"], program=list(program), triple=triple, target=target
    )
    argv = (str(host.which("cargo-nextest")), "nextest", "run", "--no-tests=pass",
            *(target if word == triple else word for word in words))  # fmt: skip
    rest = request.rest
    for_cargo = rest[: rest.index("--") if "--" in rest else None]
    selected = request.names_targets or any(word.partition("=")[0] in TARGET_SELECTION for word in for_cargo)
    doc_tests = replace(tests.run, title=f"{tests.target.name} · doc tests", argv=(*program, "test", "--doc", *words))
    return replace(
        tests,
        scripts=(*tests.scripts, Write(path=folder / "cargo", text=text, mode=0o755)),
        run=replace(tests.run, argv=argv, env={**tests.run.env, "CARGO": str(folder / "cargo")}),
        doc_tests=None if selected else doc_tests,
    )


NO_LIBRARY = "no library targets found"


def has_no_library(output: str) -> bool:
    """Whether `cargo test --doc` failed only because the workspace has no library."""
    return NO_LIBRARY in output
