import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from machines import AMD64, ARM64, WITH_ZIG, Machine, Recorder, artifact, context

from buildlib.core import errors
from buildlib.core.cases import Case, Suite
from buildlib.core.errors import BuildError, CompileFailed, MissingRequirements, NetworkError
from buildlib.core.plan import Link, Outcome, Step
from buildlib.core.request import Request
from buildlib.core.targets import TARGETS
from buildlib.emulation import qemu
from buildlib.testing import runners, tests
from buildlib.testing.child_processes import BINFMT, BOTH, LAUNCHERS, NONE, PRIVATE

PROBED = {"machine": "aarch64", "arch": "aarch64", "endian": "little", "bits": 64}
QEMU = "/usr/bin/qemu-aarch64-static"
LIBC = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"
OUTPUT = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n"


class Tools(Recorder):
    """A runner whose cargo writes `runs` to the record."""

    def __init__(self, answers=(), runs=(), **more):
        usual = {"arm64 · probe": (0, json.dumps(PROBED)), "QEMU's version": (0, "qemu-aarch64 version 7.2.22\n"),
                 "how child processes start": (0, json.dumps({"way": BINFMT}))}  # fmt: skip
        super().__init__(usual | dict(answers), **more)
        self.runs, self.env = runs, {}

    def __call__(self, action):
        if isinstance(action, Link):
            return Outcome(step=action, code=0, seconds=0)
        if isinstance(action, Step) and action.title.endswith("· test") and self.runs:
            record = Path(action.env["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER"]).with_name("record.jsonl")
            record.write_text("".join(json.dumps(run) + "\n" for run in self.runs))
        return super().__call__(action)


@pytest.fixture
def arm64(tmp_path, rustup, monkeypatch):
    """Run `test` for arm64; returns the result and the runner."""
    monkeypatch.setattr("buildlib.process.context.probe", None)

    def arm64(answers=(), runs=(), *, files=(LIBC,), tools=("cc", "qemu-aarch64-static"), dry=False, rest=()):
        chain = replace(rustup, stds=rustup.stds | {ARM64.triple})
        host = Machine(tools=tools, files=files, toolchains=(chain,), **WITH_ZIG)
        run = Tools(answers, runs, dry=dry)
        (tmp_path / "Cargo.lock").write_text("version = 4\n")
        (result,) = tests.test(replace(context(host, run, root=tmp_path), request=Request(rest=rest)), (ARM64,))
        return result, run

    return arm64


def ran(**facts):
    return {
        "binary": "/t/deps/demo-0123456789abcdef", "args": [], "threads": 2, "code": 0, "seconds": 0.5, "hung": False,
        "stdout": OUTPUT.replace("FAILED", "ok"), "stderr": "", "crash": "", "crashes": [], "listed": ["a", "b"],
        "ran_on": "", "cwd": "/w",
    } | facts  # fmt: skip


def test_passed_tests_are_reported_with_where_they_ran(arm64, tmp_path):
    result, run = arm64(runs=[ran()])
    assert (result.error, result.ran_on, result.emulator) == (None, PROBED, "qemu-aarch64-static 7.2.22")
    assert [argv.split()[1] for argv in run.asked if "zigbuild" in argv] == ["run", "test", "test"]
    reports = tmp_path / "target" / "buildlib" / "reports"
    assert json.loads((reports / "test-arm64.json").read_text()) == {
        "session": "test", "arch": "arm64", "target": "aarch64-unknown-linux-gnu", "emulator": "qemu-aarch64-static 7.2.22",
        "ran_on": PROBED, "child_processes": "binfmt", "seconds": 0, "code": 0, "error": None,
        "suites": [
            {
                "name": "demo", "seconds": 0.5, "broken": "", "mended": "",
                "cases": [{"name": name, "result": "passed", "detail": ""} for name in "ab"],
            }
        ],
    }  # fmt: skip
    root = ElementTree.parse(reports / "test-arm64.xml").getroot()
    assert root.get("name") == "test-arm64"
    assert {prop.get("name"): prop.get("value") for prop in root.iter("property")} == {
        "arch": "arm64", "ran on": "aarch64", "emulator": "qemu-aarch64-static 7.2.22", "child processes": "binfmt",
    }  # fmt: skip


def test_what_ran_on_the_host_says_so(arm64, tmp_path):
    arm64(runs=[ran(ran_on="host"), ran(binary="/t/deps/other-0123456789abcdef")])
    report = json.loads((tmp_path / "target" / "buildlib" / "reports" / "test-arm64.json").read_text())
    assert [(suite["name"], suite.get("ran_on")) for suite in report["suites"]] == [("demo", "host"), ("other", None)]


SPEC = "target/buildlib/*/arm64/tools/runner.json"


@pytest.mark.parametrize(
    ("found", "way", "restored"),
    [
        ({"way": PRIVATE, "handlers": [":a:"]}, PRIVATE, False), ({"way": LAUNCHERS}, LAUNCHERS, True),
        ({"way": BOTH}, BOTH, True), ({"way": NONE}, NONE, False), ("no JSON", "", False), ([], "", False),
    ],
)  # fmt: skip
def test_the_way_in_which_child_processes_start_is_found_and_used(arm64, tmp_path, found, way, restored):
    answer = found if isinstance(found, str) else json.dumps(found)
    result, run = arm64({"how child processes start": (0, answer)}, [ran()])
    assert (result.error, result.children) == (None, way)
    (spec,) = tmp_path.glob(SPEC)
    children = json.loads(spec.read_text())["children"]
    handlers = [":a:"] if way == PRIVATE else []
    assert {key: children[key] for key in ("way", "handlers")} == {"way": way, "handlers": handlers}
    program = f"{spec.parent}/python -IS {runners.CHILD_PROCESSES}"
    (probe,) = (asked for asked in run.asked if asked.startswith(f"{program} find {spec} "))
    assert probe.endswith("/aarch64-unknown-linux-gnu/debug/buildlib-probe")
    assert (f"{program} restore {spec}" in run.asked) == restored


def test_a_child_process_that_cannot_start_is_explained(arm64):
    failed = ran(stdout=OUTPUT + "\n---- b stdout ----\nExec format error (os error 8)\n", code=101)
    result, _ = arm64({"arm64 · test": (101, ""), "how child processes start": (0, '{"way": "none"}')}, [failed])
    assert result.error.message == "arm64: demo::b failed"
    assert result.error.help.startswith("a test started a program of arm64, and this kernel has no handler for it: ")


def test_tests_that_are_only_compiled_do_not_run(arm64):
    result, run = arm64(rest=("--no-run",))
    assert (result.error, result.planned, result.suites) == (None, False, ())
    assert [argv.split()[1] for argv in run.asked if "zigbuild" in argv] == ["run", "test"]


FOUR = {
    "a failed test": ({"stdout": OUTPUT, "code": 101}, errors.TestsFailed, "demo::b failed"),
    "a test that hangs": ({"stdout": "", "hung": True, "threads": 1, "code": -9}, errors.TestsFailed, "demo::a timed out"),
    "a program that crashes": ({"stdout": "running 2 tests\ntest a ... ok\n", "code": -11, "crash": "program"}, errors.TestsFailed,
                               "demo::b crashed"),
    "an emulator that crashes": ({"stdout": "", "code": -11, "crash": "emulator", "stderr": "QEMU internal SIGSEGV"}, BuildError,
                                 "the emulator crashed twice: demo: QEMU internal SIGSEGV"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUR)
def test_four_kinds_of_failure_have_different_errors(arm64, name):
    facts, kind, message = FOUR[name]
    result, _ = arm64({"arm64 · test": (101, "")}, [ran(**facts)])
    assert (type(result.error), result.error.message) == (kind, f"arm64: {message}")
    assert result.error.code == (7 if kind is errors.TestsFailed else 1)


def test_only_the_first_failures_are_listed():
    cases = tuple(Case(name=str(number), result="failed") for number in range(7))
    error = tests.test_error(ARM64, (Suite(name="x", cases=cases),), Outcome(step=None, code=101, seconds=0))
    assert error.message.endswith("x::4 failed and 2 more")


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"arm64 · compile tests": (101, "error[E0308]: mismatched types")}, CompileFailed),
        ({"arm64 · compile tests": (101, "error: failed to download\n  Could not resolve host: index")}, NetworkError),
        ({"arm64 · probe": (101, "error: linking with `cc` failed")}, CompileFailed),
        ({"arm64 · probe": (127, "no such emulator")}, BuildError),
        ({"arm64 · test": (101, "error: doc test does not compile")}, CompileFailed),
    ],
    ids=str,
)
def test_other_errors_are_not_failed_tests(arm64, answers, kind):
    result, _ = arm64(answers)
    assert type(result.error) is kind and result.error.code != 7


@pytest.mark.parametrize(
    ("facts", "where"),
    [
        ({"machine": "x86_64"}, "the tests run on x86_64, which is this machine"),
        ({"arch": "x86_64"}, "the tests are compiled for x86_64"),
        ({"machine": "riscv64"}, "the tests run on riscv64"),
    ],
)
def test_tests_that_would_run_on_another_machine_do_not_run(arm64, facts, where):
    result, run = arm64({"arm64 · probe": (0, json.dumps(PROBED | facts))}, [ran()])
    assert result.error.message.startswith(f"arm64: {where}, ")
    assert result.error.message == f"arm64: {qemu.probe_mismatch(PROBED | facts, Machine(), ARM64)}"
    assert not any("· test" in asked for asked in run.asked) and result.suites == ()


@pytest.mark.parametrize(
    ("kind", "machine", "error"),
    [
        ("test", 62, "arm64: stranger is for machine 62, expected 183"), ("test", 183, None),
        ("proc-macro", 62, None), ("proc-macro", 183, "amd64: stranger is for machine 183, expected 62"),
    ],
)  # fmt: skip
def test_a_test_binary_for_another_machine_is_an_error(arm64, tmp_path, monkeypatch, kind, machine, error):
    """Unit tests of a proc macro are for the host."""
    stranger = tmp_path / "stranger"
    stranger.write_bytes(b"\x7fELF\2\1\1" + bytes(11) + machine.to_bytes(2, "little"))

    def compile(self, action, original=Tools.__call__):
        outcome = original(self, action)
        compiles = isinstance(action, Step) and "compile" in action.title
        return replace(outcome, artifacts=(artifact(stranger, kind, test=True),)) if compiles else outcome

    monkeypatch.setattr(Tools, "__call__", compile)
    result = arm64(runs=[ran()])[0]
    assert (result.error and result.error.message) == error


def test_all_missing_requirements_are_reported_at_once(arm64):
    with pytest.raises(MissingRequirements) as caught:
        arm64(files=(), tools=("cc",))
    assert "QEMU for arm64" in caught.value.message and "C library of arm64" in caught.value.message


def test_a_dry_run_writes_no_report(arm64, tmp_path):
    result, _ = arm64(dry=True)
    assert result.planned and not (tmp_path / "target" / "buildlib" / "reports").exists()


MACHINES = {
    "amd64": "x86_64", "arm64": "aarch64", "armv7": "armv7l", "armv6": "armv7l", "386": "i686", "riscv64": "riscv64",
    "ppc64le": "ppc64le", "s390x": "s390x", "loong64": "loongarch64", "arm64-musl": "aarch64",
}  # fmt: skip
CONSTS = {
    "amd64": "x86_64", "arm64": "aarch64", "armv7": "arm", "armv6": "arm", "386": "x86", "riscv64": "riscv64",
    "ppc64le": "powerpc64", "s390x": "s390x", "loong64": "loongarch64", "arm64-musl": "aarch64",
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_the_probe_s_answers_for_each_target(name):
    facts = {"machine": MACHINES[name], "arch": CONSTS[name]}
    assert qemu.probe_mismatch(facts, Machine(), TARGETS[name]) == ""
    if name != "amd64":
        assert "this machine" in qemu.probe_mismatch(facts | {"machine": "x86_64"}, Machine(), TARGETS[name])


def test_native_tests_run_on_this_machine(tmp_path, rustup):
    host = Machine(tools=("cc",), toolchains=(rustup,), **WITH_ZIG)
    (tmp_path / "Cargo.lock").write_text("version = 4\n")
    run = Tools({"amd64 · probe": (0, json.dumps({"machine": "x86_64", "arch": "x86_64"}))})
    (result,) = tests.test(context(host, run, root=tmp_path), (AMD64,))
    assert (result.emulator, result.error) == ("", None)
