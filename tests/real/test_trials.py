"""Tests of a workspace on other architectures: what passes, what fails in every way, and where it all ran."""

import json
import os
import platform
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bed import HERE, buildlib, path_without, run

from buildlib.machine.host import cache_folder
from buildlib.core.targets import native

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("qemu")]
EMULATED = ("arm64", "armv7", "riscv64")
MACHINES = {"arm64": "aarch64", "armv7": "armv7l", "riscv64": "riscv64"}
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere"}


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """A small workspace whose tests end in every way; runs some of them."""
    root = Path(shutil.copytree(HERE / "workspaces" / "trials", tmp_path_factory.mktemp("trials") / "work space"))

    def trials(name, *, arch="arm64", env=None, cargo=("--lib",)):
        done = buildlib(
            "test",
            "--arch",
            arch,
            "--",
            *cargo,
            *(("--", name) if name else ()),
            cwd=root,
            env={"WANTED": "1", **NO_DOCKER, **(env or {})},
        )
        report = json.loads((root / "target" / "buildlib" / "reports" / f"test-{arch}.json").read_text())
        document = ElementTree.parse(root / "target" / "buildlib" / "reports" / f"test-{arch}.xml").getroot()
        return done, report, document

    return trials


def cases(report):
    return {case["name"]: case["result"] for suite in report["suites"] for case in suite["cases"]}


def test_what_passes_ran_there(trials):
    done, report, document = trials("good", cargo=())
    assert done.code == 0, done
    assert report["ran_on"] == {"machine": "aarch64", "arch": "aarch64", "endian": "little", "bits": 64}
    assert cases(report) == {
        "good::adds": "passed", "good::knows_that_it_is_emulated": "passed", "good::is_left_out": "ignored",
    }  # fmt: skip
    assert [(suite.get("tests"), suite.get("failures")) for suite in document] == [("3", "0")]
    assert report["emulator"].startswith("qemu-aarch64-static ")


@pytest.mark.parametrize("arch", EMULATED)
def test_doc_tests_run_there_too(trials, arch):
    done, report, _ = trials("add", arch=arch, cargo=("--doc",))
    assert (done.code, report["ran_on"]["machine"]) == (0, MACHINES[arch]), done
    assert list(cases(report).values()) == ["passed"]


def test_on_this_machine_no_emulator_is_asked(trials):
    arch = native(platform.machine()).name
    done, report, _ = trials("good", arch=arch, env={"WANTED": None})
    assert (done.code, report["emulator"], report["ran_on"]["machine"]) == (0, "", platform.machine()), done


PAIR = {"RUST_TEST_THREADS": "2", "BUILDLIB_TEST_TIMEOUT": "0.5"}


@pytest.mark.parametrize(
    ("name", "case", "result", "code"),
    [
        ("bad::connection_reset", "bad::connection_reset", "failed", 7),
        ("bad::hangs", "bad::hangs", "timed out", 7),
        ("bad::dies", "bad::dies", "crashed", 7),
    ],
)
def test_what_does_not_pass_is_told_apart(trials, name, case, result, code):
    done, report, document = trials(name, env=PAIR)
    assert done.code == report["code"] == code, done
    assert cases(report) == {case: result}
    assert f"✗ arm64 · trials · {case}: {result}" in done.out
    (failure,) = document.iter("failure")
    assert failure.get("type") == result
    assert failure.get("message") == {"timed out": "no test finished any more", "crashed": "SIGSEGV"}.get(
        result, failure.get("message")
    )
    assert "Traceback" not in done.err


def test_the_same_by_nextest(trials, nextest):
    """Each test is a process of its own; who fails, hangs and dies is told apart all the same, and doc tests are there."""
    done, report, document = trials("", cargo=(), env={**nextest, "BUILDLIB_TEST_TIMEOUT": "0.5"})
    assert done.code == 7 and "nextest run" in done.err, done
    assert report["ran_on"]["machine"] == "aarch64"
    assert {name: result for name, result in cases(report).items() if "::" in name} == {
        "good::adds": "passed", "good::knows_that_it_is_emulated": "passed", "bad::connection_reset": "failed",
        "bad::hangs": "timed out", "bad::dies": "crashed",
    }  # fmt: skip
    assert [result for name, result in cases(report).items() if "(line" in name] == ["passed"]
    assert sorted(failure.get("type") for failure in document.iter("failure")) == ["crashed", "failed", "timed out"]
    done, report, _ = trials("good", cargo=("--lib",), env=nextest)
    assert (done.code, len(cases(report))) == (0, 2), done


STAND_IN = """#!/bin/sh
case "$*" in *--version*|*--list*|*probe*) exec {real} "$@";; esac
[ -e {folder}/crashed ] && exec {real} "$@"
[ "$ONCE" ] && touch {folder}/crashed
echo "QEMU internal SIGSEGV {{code=MAPERR, addr=0x20}}" >&2
kill -SEGV $$
"""


@pytest.mark.parametrize("once", [True, False])
def test_a_qemu_that_crashes_is_no_failed_test(trials, tmp_path, once):
    program = tmp_path / "qemu-aarch64-static"
    program.write_text(STAND_IN.format(real=shutil.which("qemu-aarch64-static"), folder=tmp_path))
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ONCE": "1" if once else ""}
    done, report, document = trials("good", env=env)
    assert done.code == (0 if once else 1), done
    (suite,) = report["suites"]
    word = "QEMU internal SIGSEGV {code=MAPERR, addr=0x20}"
    assert (suite["mended"], suite["broken"]) == ((word, "") if once else ("", word))
    assert len(list(document.iter("error"))) == (0 if once else 1)
    assert "the emulator crashed, " + ("once" if once else "twice") in done.out


def test_a_test_that_starts_as_it_should_but_on_this_machine_is_found(trials, tmp_path):
    """A runner of one's own that forgets the emulator: binfmt or not, the probe does not say what it should."""
    program = tmp_path / "runner"
    program.write_text('#!/bin/sh\necho \'{"machine": "x86_64", "arch": "aarch64", "endian": "little", "bits": 64}\'\n')
    program.chmod(0o755)
    done, report, _ = trials("good", env={"CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER": str(program)})
    assert done.code == report["code"] == 1, done
    assert "arm64: the tests run on x86_64, which is this machine, wanted arm64" in done.err


@pytest.mark.parametrize("arch", EMULATED)
def test_instructions_are_counted_and_are_the_same_each_time(tmp_path, arch):
    root = shutil.copytree(HERE / "workspaces" / "trials", tmp_path / "work space")
    report = root / "target" / "buildlib" / "reports" / f"bench-{arch}.json"
    counted = []
    for _ in range(3):
        done = buildlib("bench", "--arch", arch, cwd=root, env=NO_DOCKER)
        assert done.code == 0, done
        counted.append(json.loads(report.read_text())["instructions"])
    assert counted[0] == counted[1] == counted[2]
    assert sorted(counted[0]) == ["sum/plain", "sum/quick"]
    assert counted[0]["sum/plain"] > 1000  # at least one for each number, and all of them the same
    assert 9 < counted[0]["sum/plain"] / counted[0]["sum/quick"] < 10.1
    kept = tmp_path / "baseline.json"
    kept.write_text(json.dumps({"instructions": {"sum/plain": counted[0]["sum/plain"] * 0.97}}))
    for limit, code in (("2", 1), ("4", 0)):
        done = buildlib("bench", "--arch", arch, "--baseline", kept, "--limit", limit, cwd=root, env=NO_DOCKER)
        assert done.code == code, done
    assert f"{arch}" in done.out and "times fewer" in done.out


def test_what_is_not_installed_is_unpacked_without_root(trials, tmp_path):
    """On a machine without QEMU: from apt's packages, into the cache."""
    (tmp_path / "buildlib").mkdir()
    (tmp_path / "buildlib" / "sysroots").symlink_to(cache_folder() / "sysroots")  # a std of our own is not the question
    env = path_without(tmp_path / "path", lambda name: name.startswith("qemu-")) | {"XDG_CACHE_HOME": str(tmp_path)}
    done, report, _ = trials("good", arch="riscv64", env=env)
    assert (done.code, report["ran_on"]["machine"]) == (0, "riscv64"), done
    assert [path.name for path in tmp_path.glob("buildlib/qemu/riscv64/*")] == ["qemu-riscv64-static"]
    assert not list(tmp_path.glob("buildlib/debs/*/*"))


@pytest.mark.slow
def test_this_workspace_by_nox(clone):
    """As a person says it, on the whole workspace: services that are started, killed and started again. One arch of three, for each
    compiles everything anew."""
    done = run(sys.executable, "-m", "nox", "-s", "test-arm64", cwd=clone, env=NO_DOCKER)
    assert done.code == 0, done
    report = json.loads((clone / "target" / "buildlib" / "reports" / "test-arm64.json").read_text())
    assert report["ran_on"]["machine"] == "aarch64"
    assert len(cases(report)) >= 50 and set(cases(report).values()) <= {"passed", "ignored"}, report
