"""cargo-nextest in the place of `cargo test`: when, and with which words; and what its record says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from machines import ARM64, WITH_ZIG, Machine, settings

from buildlib.rust import cargo
from buildlib.testing import libtest, nextest
from buildlib.rust.backends import Backend
from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.testing.libtest import CRASHED, FAILED, PASSED, TIMED_OUT, Case, Suite
from buildlib.rust.std import Compiler
from buildlib.machine.workspace import Workspace

HERE = Workspace(root=Path("/w"), target_dir=Path("/w/target"), components=(), manifests=())
ZIG = Backend(name="zig", why="", minimum_glibc="2.31")
THERE = Machine(["cargo-nextest", "cc"], **WITH_ZIG)


@pytest.fixture
def lines(rustup):
    def lines(*rest, host=THERE):
        return cargo.tests(host, settings(), HERE, ARM64, ZIG, Compiler(toolchain=rustup), ("/q",), 1.0, rest)

    return lines


def runner(word):
    return settings(test={"runner": word, "timeout": 1.0})


@pytest.mark.parametrize(
    ("rest", "wanted"),
    [
        ((), True), (("-p", "arch", "crc"), True), (("--lib",), True), (("--", "--skip", "slow", "crc"), True), (("--doc",), False),
        (("--profile", "x"), False), (("--", "--nocapture"), False), (("--", "--test-threads=1"), False),
    ],
)  # fmt: skip
def test_it_is_asked_for_what_it_knows(lines, rest, wanted):
    assert nextest.is_wanted(THERE, settings(), lines(*rest), rest) is wanted


def test_where_it_is_not_there_cargo_does_it(lines):
    bare = Machine(["cc"], **WITH_ZIG)
    assert not nextest.is_wanted(bare, settings(), lines(), ())
    with pytest.raises(MissingRequirements, match="cargo-nextest is not installed"):
        nextest.is_wanted(bare, runner("nextest"), lines(), ())
    assert not nextest.is_wanted(THERE, runner("cargo"), lines(), ())
    with pytest.raises(UsageError) as caught:
        nextest.is_wanted(THERE, runner("nexttest"), lines(), ())
    assert caught.value.help == "did you mean 'nextest'?"


def test_with_a_runner_of_one_s_own_there_is_no_record_to_read(lines):
    assert not nextest.is_wanted(THERE, settings(), replace(lines(), record=None), ())


def test_it_compiles_through_the_same_program(lines):
    before = lines("-p", "arch")
    found = nextest.instead(THERE, before, ("-p", "arch"))
    target = before.run.argv[before.run.argv.index("--target-dir") + 1]
    assert found.run.argv == (
        "/usr/bin/cargo-nextest", "nextest", "run", "--no-tests=pass", "--target", "aarch64-unknown-linux-gnu", "--target-dir",
        target, "-p", "arch", "--no-fail-fast",
    )  # fmt: skip
    assert found.documented.argv == (
        "/v/bin/cargo-zigbuild", "test", "--doc", "--target", "aarch64-unknown-linux-gnu.2.31", "--target-dir", target, "-p", "arch",
        "--no-fail-fast",
    )  # fmt: skip
    write = found.tools[-1]
    assert (str(write.path), write.mode) == (found.run.env["CARGO"], 0o755)
    assert "['/v/bin/cargo-zigbuild']" in write.text and before.run.env["CARGO"] in write.text
    compile(write.text, "cargo", "exec")
    assert found.compile == before.compile and found.probe == before.probe


def test_who_chooses_targets_gets_no_doc_tests(lines):
    assert nextest.instead(THERE, lines("--lib"), ("--lib",)).documented is None


def ran(name, **facts):
    return {
        "binary": "/t/deps/demo-0123456789abcdef", "args": ["--exact", name, "--nocapture"], "threads": 2, "code": 0, "seconds": 0.5,
        "hung": False, "stdout": f"running 1 test\ntest {name} ... what it says\nok\n", "stderr": "", "crash": "", "crashes": [],
        "listed": ["a", "b", "c", "d"],
    } | facts  # fmt: skip


def test_the_runs_of_a_binary_are_one_suite():
    runs = [
        ran("a"), ran("b", code=101, stdout="why\n"), ran("c", code=-9, hung=True), ran("d", code=-11, crash="program"),
        ran("e", binary="/t/deps/other-0123456789abcdef"),
    ]  # fmt: skip
    demo, other = libtest.read("".join(json.dumps(run) + "\n" for run in runs), "")
    assert demo.seconds == 2.0 and other == Suite(name="other", cases=(Case(name="e", result=PASSED),), seconds=0.5)
    assert [(case.name, case.result) for case in demo.cases] == [
        ("a", PASSED), ("b", FAILED), ("c", TIMED_OUT), ("d", CRASHED),
    ]  # fmt: skip
    assert [case.detail.splitlines()[0] for case in demo.cases if case.detail] == [
        "why", "no test finished any more", "SIGSEGV",
    ]  # fmt: skip
