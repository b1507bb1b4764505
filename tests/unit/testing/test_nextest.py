"""cargo-nextest instead of `cargo test`: when it is used, its command lines, and its record."""

import json
from dataclasses import replace

import pytest
from machines import WITH_ZIG, Machine, settings, toolset, workspace

from buildlib.core.cases import CRASHED, FAILED, PASSED, TIMED_OUT, Case, Suite
from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.request import NO_REQUEST, Request
from buildlib.testing import cargo_test, libtest, nextest
from buildlib.testing.cargo_test import TestOptions

WORKSPACE = workspace()
WITH_NEXTEST = Machine(["cargo-nextest", "cc"], **WITH_ZIG)


@pytest.fixture
def planned(rustup):
    """The plan of `cargo test` for arm64 with these arguments."""

    def planned(*rest):
        options = TestOptions(timeout=1.0, request=Request(rest=rest))
        return cargo_test.test_plan(
            WITH_NEXTEST, settings(), WORKSPACE, toolset(WITH_NEXTEST, rustup), ("/q",), options
        )

    return planned


def runner(word):
    return settings(test={"runner": word, "timeout": 1.0})


@pytest.mark.parametrize(
    ("rest", "used"),
    [
        ((), True), (("-p", "arch", "crc"), True), (("--lib",), True), (("--", "--skip", "slow", "crc"), True), (("--doc",), False),
        (("--profile", "x"), False), (("--", "--nocapture"), False), (("--", "--test-threads=1"), False),
    ],
)  # fmt: skip
def test_it_is_used_if_it_knows_the_options(planned, rest, used):
    assert nextest.is_used(WITH_NEXTEST, settings(), planned(*rest), Request(rest=rest)) is used


def test_the_setting_selects_the_runner(planned):
    without = Machine(["cc"], **WITH_ZIG)
    assert not nextest.is_used(without, settings(), planned(), NO_REQUEST)
    with pytest.raises(MissingRequirements, match="cargo-nextest is not installed"):
        nextest.is_used(without, runner("nextest"), planned(), NO_REQUEST)
    assert nextest.is_used(WITH_NEXTEST, runner("nextest"), planned(), NO_REQUEST)
    assert not nextest.is_used(WITH_NEXTEST, runner("cargo"), planned(), NO_REQUEST)
    with pytest.raises(UsageError) as caught:
        runner("nexttest")
    assert caught.value.help == "did you mean 'nextest'?"


def test_it_is_not_used_without_a_record(planned):
    """The user's own runner writes none."""
    assert not nextest.is_used(WITH_NEXTEST, settings(), replace(planned(), record=None), NO_REQUEST)


def test_it_compiles_with_the_same_program(planned):
    before = planned("-p", "arch")
    plan = nextest.with_nextest(WITH_NEXTEST, before, Request(rest=("-p", "arch")))
    target = before.run.argv[before.run.argv.index("--target-dir") + 1]
    assert plan.run.argv == (
        "/usr/bin/cargo-nextest", "nextest", "run", "--no-tests=pass", "--target", "aarch64-unknown-linux-gnu", "--target-dir",
        target, "-p", "arch", "--no-fail-fast",
    )  # fmt: skip
    assert plan.doc_tests.argv == (
        "/v/bin/cargo-zigbuild", "test", "--doc", "--target", "aarch64-unknown-linux-gnu.2.31", "--target-dir", target, "-p", "arch",
        "--no-fail-fast",
    )  # fmt: skip
    write = plan.scripts[-1]
    assert (str(write.path), write.mode) == (plan.run.env["CARGO"], 0o755)
    assert "['/v/bin/cargo-zigbuild']" in write.text and before.run.env["CARGO"] in write.text
    compile(write.text, "cargo", "exec")
    assert plan.compile == before.compile and plan.probe == before.probe


def test_options_that_select_targets_exclude_doc_tests(planned):
    assert nextest.with_nextest(WITH_NEXTEST, planned("--lib"), Request(rest=("--lib",))).doc_tests is None


def ran(name, **facts):
    return {
        "binary": "/t/deps/demo-0123456789abcdef", "args": ["--exact", name, "--nocapture"], "threads": 2, "code": 0, "seconds": 0.5,
        "hung": False, "stdout": f"running 1 test\ntest {name} ... its output\nok\n", "stderr": "", "crash": "", "crashes": [],
        "listed": ["a", "b", "c", "d"], "ran_on": "", "cwd": "/w",
    } | facts  # fmt: skip


def test_all_runs_of_a_binary_are_one_suite():
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
        "why", "no test finished within the timeout", "SIGSEGV",
    ]  # fmt: skip
