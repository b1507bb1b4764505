"""Tests and benches of a workspace on other architectures: every outcome is reported, with the machine on which it ran."""

import json
import os
import platform
import shutil
import sys
from xml.etree import ElementTree

import pytest
from testbed import HERE, assert_error, buildlib, path_without, run

from buildlib.core.targets import native
from buildlib.machine.host import cache_folder

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("qemu")]
EMULATED = ("arm64", "armv7", "riscv64")
MACHINES = {"arm64": "aarch64", "armv7": "armv7l", "riscv64": "riscv64"}
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere"}
# Two tests at a time, and a short timeout: one test hangs.
SHORT = {"RUST_TEST_THREADS": "2", "BUILDLIB_TEST_TIMEOUT": "0.5"}


@pytest.fixture(scope="module")
def run_tests(tmp_path_factory):
    """Runs tests of a small workspace whose tests have every outcome.

    Returns the result of the command, its JSON report and its JUnit document.
    """
    root = tmp_path_factory.mktemp("outcomes") / "work space"
    shutil.copytree(HERE / "workspaces" / "outcomes", root)
    reports = root / "target" / "buildlib" / "reports"

    def run_tests(name, *, arch="arm64", env=None, cargo=("--lib",)):
        words = (*cargo, *(("--", name) if name else ()))
        merged = {"EXPECT_EMULATION": "1", **NO_DOCKER, **(env or {})}
        done = buildlib("test", "--arch", arch, "--", *words, cwd=root, env=merged)
        report = json.loads((reports / f"test-{arch}.json").read_text())
        document = ElementTree.parse(reports / f"test-{arch}.xml").getroot()
        return done, report, document

    return run_tests


def results(report):
    """The result of each test by its name."""
    return {case["name"]: case["result"] for suite in report["suites"] for case in suite["cases"]}


def test_passed_tests_are_reported_with_their_machine(run_tests):
    done, report, document = run_tests("good", cargo=())
    assert done.code == 0, done
    assert report["ran_on"] == {"machine": "aarch64", "arch": "aarch64", "endian": "little", "bits": 64}
    assert results(report) == {
        "good::adds": "passed", "good::knows_whether_it_is_emulated": "passed", "good::is_ignored": "ignored",
    }  # fmt: skip
    assert [(suite.get("tests"), suite.get("failures")) for suite in document] == [("3", "0")]
    assert report["emulator"].startswith("qemu-aarch64-static ")


@pytest.mark.parametrize("arch", EMULATED)
def test_doc_tests_run_on_the_target(run_tests, arch):
    done, report, _ = run_tests("add", arch=arch, cargo=("--doc",))
    assert (done.code, report["ran_on"]["machine"]) == (0, MACHINES[arch]), done
    assert list(results(report).values()) == ["passed"]


def test_this_machine_s_own_architecture_needs_no_emulator(run_tests):
    arch = native(platform.machine()).name
    done, report, _ = run_tests("good", arch=arch, env={"EXPECT_EMULATION": None})
    assert (done.code, report["emulator"], report["ran_on"]["machine"]) == (0, "", platform.machine()), done


@pytest.mark.parametrize(
    ("name", "result", "reason"),
    [
        ("bad::connection_reset", "failed", None),
        ("bad::hangs", "timed out", "no test finished within the timeout"),
        ("bad::crashes", "crashed", "SIGSEGV"),
    ],
    ids=["failed", "timed out", "crashed"],
)
def test_failures_of_every_kind_are_distinguished(run_tests, name, result, reason):
    done, report, document = run_tests(name, env=SHORT)
    assert_error(done, 7, f"arm64: outcomes::{name} {result}", "")
    assert report["code"] == 7
    assert results(report) == {name: result}
    line = f"✗ arm64 · outcomes · {name}: {result}"
    assert f"{line} ({reason})\n" in done.out if reason else f"{line}\n" in done.out, done
    (failure,) = document.iter("failure")
    assert failure.get("type") == result
    assert reason is None or failure.get("message") == reason


def test_nextest_gives_the_same_results(run_tests, nextest):
    """nextest starts a process per test. Failures of every kind are distinguished, and doc tests run as well."""
    done, report, document = run_tests("", cargo=(), env={**nextest, "BUILDLIB_TEST_TIMEOUT": "0.5"})
    assert done.code == 7 and "nextest run" in done.err, done
    assert report["ran_on"]["machine"] == "aarch64"
    assert {name: result for name, result in results(report).items() if "::" in name} == {
        "good::adds": "passed", "good::knows_whether_it_is_emulated": "passed", "bad::connection_reset": "failed",
        "bad::hangs": "timed out", "bad::crashes": "crashed",
    }  # fmt: skip
    assert [result for name, result in results(report).items() if "(line" in name] == ["passed"]
    assert sorted(failure.get("type") for failure in document.iter("failure")) == ["crashed", "failed", "timed out"]
    done, report, _ = run_tests("good", cargo=("--lib",), env=nextest)
    assert (done.code, len(results(report))) == (0, 2), done


# Starts the real QEMU for buildlib's questions, and crashes like a defective QEMU for a test: always, or only the first time.
CRASHING_QEMU = """#!/bin/sh
case "$*" in *--version*|*--list*|*probe*) exec {real} "$@";; esac
[ -e {folder}/crashed ] && exec {real} "$@"
[ "$ONCE" ] && touch {folder}/crashed
echo "QEMU internal SIGSEGV {{code=MAPERR, addr=0x20}}" >&2
kill -SEGV $$
"""


@pytest.mark.parametrize("once", [True, False])
def test_a_crash_of_qemu_is_not_a_failed_test(run_tests, tmp_path, once):
    program = tmp_path / "qemu-aarch64-static"
    program.write_text(CRASHING_QEMU.format(real=shutil.which("qemu-aarch64-static"), folder=tmp_path))
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ONCE": "1" if once else ""}
    done, report, document = run_tests("good", env=env)
    assert done.code == (0 if once else 1), done
    (suite,) = report["suites"]
    cause = "QEMU internal SIGSEGV {code=MAPERR, addr=0x20}"
    assert (suite["mended"], suite["broken"]) == ((cause, "") if once else ("", cause))
    assert len(list(document.iter("error"))) == (0 if once else 1)
    text = "the emulator crashed once, the second run counts" if once else "the emulator crashed twice"
    assert f"! arm64 · outcomes: {text}: {cause}\n" in done.out, done


def test_a_runner_without_emulator_is_found(run_tests, tmp_path):
    """A configured runner starts the tests on this machine: the probe reports another machine than expected."""
    program = tmp_path / "runner"
    program.write_text('#!/bin/sh\necho \'{"machine": "x86_64", "arch": "aarch64", "endian": "little", "bits": 64}\'\n')
    program.chmod(0o755)
    done, report, _ = run_tests("good", env={"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER": str(program)})
    message = "arm64: the tests run on x86_64, which is this machine, expected arm64"
    assert_error(done, 1, message, "check CARGO_TARGET_*_RUNNER and .cargo/config.toml")
    assert report["code"] == 1


@pytest.mark.parametrize("arch", EMULATED)
def test_instruction_counts_are_the_same_in_every_run(tmp_path, arch):
    root = shutil.copytree(HERE / "workspaces" / "outcomes", tmp_path / "work space")
    report = root / "target" / "buildlib" / "reports" / f"bench-{arch}.json"
    counts = []
    for _ in range(3):
        done = buildlib("bench", "--arch", arch, cwd=root, env=NO_DOCKER)
        assert done.code == 0, done
        counts.append(json.loads(report.read_text())["instructions"])
    assert counts[0] == counts[1] == counts[2]
    assert sorted(counts[0]) == ["sum/plain", "sum/quick"]
    assert counts[0]["sum/plain"] > 1000  # at least one instruction for each number
    assert 9 < counts[0]["sum/plain"] / counts[0]["sum/quick"] < 10.1
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"instructions": {"sum/plain": counts[0]["sum/plain"] * 0.97}}))
    for limit, code in (("2", 1), ("4", 0)):
        done = buildlib("bench", "--arch", arch, "--baseline", baseline, "--limit", limit, cwd=root, env=NO_DOCKER)
        assert done.code == code, done
    assert arch in done.out and "times fewer" in done.out, done


def test_a_missing_qemu_is_unpacked_from_packages_without_root(run_tests, tmp_path):
    """On a machine without QEMU, apt downloads its packages, and they are unpacked into the cache."""
    (tmp_path / "buildlib").mkdir()
    (tmp_path / "buildlib" / "sysroots").symlink_to(cache_folder() / "sysroots")  # std is not what is tested here
    env = path_without(tmp_path / "path", lambda name: name.startswith("qemu-")) | {"XDG_CACHE_HOME": str(tmp_path)}
    done, report, _ = run_tests("good", arch="riscv64", env=env)
    assert (done.code, report["ran_on"]["machine"]) == (0, "riscv64"), done
    assert [path.name for path in tmp_path.glob("buildlib/qemu/riscv64/*")] == ["qemu-riscv64-static"]
    assert not list(tmp_path.glob("buildlib/debs/*/*"))


def test_nox_sessions(tmp_path):
    """A noxfile of two lines has a session per architecture. Arguments after `--` are for cargo."""
    root = shutil.copytree(HERE / "workspaces" / "outcomes", tmp_path / "work space")
    (root / "noxfile.py").write_text("from buildlib.sessions import sessions\nsessions()\n")
    env = {"EXPECT_EMULATION": "1", **NO_DOCKER}
    done = run(sys.executable, "-m", "nox", "-s", "test-arm64", "--", "--lib", "--", "good", cwd=root, env=env)
    assert done.code == 0, done
    report = json.loads((root / "target" / "buildlib" / "reports" / "test-arm64.json").read_text())
    assert report["ran_on"]["machine"] == "aarch64"
    assert sorted(results(report).values()) == ["ignored", "passed", "passed"], report


@pytest.mark.slow
@pytest.mark.extended
def test_this_workspace_with_nox(clone):
    """The whole workspace's tests as a user starts them: services are started, killed and started again.

    One architecture of three, because each compiles all crates again.
    """
    done = run(sys.executable, "-m", "nox", "-s", "test-arm64", cwd=clone, env=NO_DOCKER)
    assert done.code == 0, done
    report = json.loads((clone / "target" / "buildlib" / "reports" / "test-arm64.json").read_text())
    assert report["ran_on"]["machine"] == "aarch64"
    assert len(results(report)) >= 50 and set(results(report).values()) <= {"passed", "ignored"}, report
