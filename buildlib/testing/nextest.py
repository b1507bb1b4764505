"""The same tests by cargo-nextest, where it is installed: each test a process of its own, and doc tests by cargo, as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Write
from buildlib.core.settings import Config
from buildlib.machine.host import Host
from buildlib.testing.cargo_test import TestPlan

# Words for cargo that nextest does not know, or takes for something else.
CARGO_S = ("--doc", "--profile", "--quiet", "-q", "--message-format", "--no-run", "--jobs", "-j", "--timings")
# Words for the binaries that nextest does in their stead.
BINARIES = ("--skip", "--exact", "--ignored", "--include-ignored")
# Words that choose among targets; cargo runs no doc tests then.
CHOSEN = (
    "--lib",
    "--bin",
    "--bins",
    "--test",
    "--tests",
    "--example",
    "--examples",
    "--bench",
    "--benches",
    "--all-targets",
)

# nextest asks a cargo of its own; this one compiles as buildlib does. cargo-zigbuild is called for `test` alone, and without the
# word on colours that nextest puts before it.
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


def is_used(host: Host, config: Config, tests: TestPlan, rest: tuple[str, ...]) -> bool:
    """Whether nextest runs these tests. UsageError for a setting that is none, Lacking where it is asked for and not there. It can
    neither tell who crashed nor who hangs without the record of a runner of buildlib's, nor speak cargo's every word."""
    wanted = config.test.runner
    there = host.which("cargo-nextest") is not None
    if wanted == "nextest" and not there:
        raise MissingRequirements(
            "cargo-nextest is not installed", 'cargo install --locked cargo-nextest, or test.runner = "cargo"'
        )
    at = rest.index("--") if "--" in rest else len(rest)
    speaks = not any(word.partition("=")[0] in CARGO_S for word in rest[:at]) and all(
        not word.startswith("-") or word in BINARIES for word in rest[at + 1 :]
    )
    return wanted != "cargo" and there and speaks and tests.record is not None


def with_nextest(host: Host, tests: TestPlan, rest: tuple[str, ...]) -> TestPlan:
    """The tests with nextest in the place of `cargo test`, and a step more for doc tests, unless targets were chosen."""
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
    chosen = any(word.partition("=")[0] in CHOSEN for word in rest[: rest.index("--") if "--" in rest else None])
    doc_tests = replace(tests.run, title=f"{tests.target.name} · doc tests", argv=(*program, "test", "--doc", *words))
    return replace(
        tests,
        scripts=(*tests.scripts, Write(path=folder / "cargo", text=text, mode=0o755)),
        run=replace(tests.run, argv=argv, env={**tests.run.env, "CARGO": str(folder / "cargo")}),
        doc_tests=None if chosen else doc_tests,
    )


NO_LIBRARY = "no library targets found"


def has_no_library(output: str) -> bool:
    """Whether `cargo test --doc` only says that there is nothing to document."""
    return NO_LIBRARY in output
