"""The program that starts test binaries, with small shell scripts in their place."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildlib.testing import test_runner
from buildlib.testing.test_runner import judge

pytestmark = pytest.mark.processes
QEMU = "qemu: uncaught target signal 11 (Segmentation fault) - core dumped\n"
INTERNAL = "QEMU internal SIGSEGV {code=MAPERR, addr=0x20}\n"


@pytest.fixture
def start(tmp_path):
    """Starts a script through the harness; what became of it, and the record."""

    def start(text, *args, emulator=(), patience=10.0, **env):
        script = tmp_path / "demo-0123456789abcdef"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        record = tmp_path / "record"
        spec = {"words": emulator, "emulated": "arm64" if emulator else "", "patience": patience, "record": str(record)}
        (tmp_path / "spec").write_text(json.dumps(spec))
        argv = (sys.executable, "-I", "-S", test_runner.__file__, tmp_path / "spec", script, *args)
        base = {name: value for name, value in os.environ.items() if name not in (test_runner.INSIDE, test_runner.EMULATED)}
        done = subprocess.run(argv, env=base | env, capture_output=True, text=True, timeout=30, check=False)
        lines = record.read_text().splitlines() if record.exists() else []
        return done, [json.loads(line) for line in lines]

    return start


def test_what_is_said_is_handed_on_and_kept(start):
    done, (told,) = start('echo "running 1 test"; echo "test $1 ... ok"; echo no >&2; exit 3', "a b")
    assert (done.returncode, done.stdout, done.stderr) == (3, "running 1 test\ntest a b ... ok\n", "no\n")
    assert told == {
        "binary": told["binary"], "args": ["a b"], "threads": os.cpu_count(), "code": 3, "seconds": told["seconds"],
        "hung": False, "stdout": done.stdout, "stderr": "no\n", "crash": "", "crashes": [], "listed": [],
    }  # fmt: skip


def test_a_program_of_a_test_s_own_and_a_list_go_straight(start):
    assert start("exit 4", **{test_runner.INSIDE: "1"})[0].returncode == 4
    done, record = start("echo a: test", "--list")
    assert (done.stdout, record) == ("a: test\n", [])


@pytest.mark.parametrize(("emulator", "seen"), [((), "none\n"), (("env",), "arm64\n")])
def test_emulated_tests_can_know_it(start, emulator, seen):
    assert start(f"echo ${{{test_runner.EMULATED}:-none}}", emulator=emulator)[0].stdout == seen


HANGS = """case "$*" in *--list*) printf 'a: test\\nb: test\\n'; exit;; esac
echo "running 2 tests"; echo "test a ... ok"; sleep 60 & echo $! > "$0.child"; wait"""


def test_what_hangs_is_ended_with_its_children(start, tmp_path):
    began = time.monotonic()
    done, (told,) = start(HANGS, patience=0.5)
    assert time.monotonic() - began < 5
    assert (done.returncode, told["hung"], told["listed"], told["crash"]) == (124, True, ["a", "b"], "program")
    child = (tmp_path / "demo-0123456789abcdef.child").read_text().strip()
    assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]


def test_what_finishes_a_test_now_and_then_does_not_hang(start):
    text = 'echo "running 9 tests"; for n in 1 2 3 4; do sleep 0.3; echo "test t$n ... ok"; done'
    done, (told,) = start(text, patience=0.8)
    assert (done.returncode, told["hung"]) == (0, False)


def test_noise_is_no_progress_where_libtest_speaks(start):
    done, (told,) = start(
        '[ "$1" ] && exit; echo "running 1 test"; while :; do echo noise; sleep 0.05; done', patience=0.5
    )
    assert (done.returncode, told["hung"]) == (124, True)


def test_what_a_test_leaves_running_does_not_keep_the_run(start):
    began = time.monotonic()
    done, _ = start("sleep 20 & exit 0")
    assert done.returncode == 0 and time.monotonic() - began < 5


@pytest.mark.parametrize(("said", "tries"), [(INTERNAL, 2), (QEMU, 2), ("", 2)])
def test_an_emulator_that_crashed_gets_a_second_try(start, said, tries, tmp_path):
    once = tmp_path / "once"
    text = f'[ -e {once} ] && echo fine && exit 0; touch {once}; printf "%s" "{said.strip()}" >&2; kill -SEGV $$'
    done, (told,) = start(text, emulator=("env",))
    assert (done.returncode, done.stdout, told["crash"]) == (0, "fine\n", "")
    assert told["crashes"] == [said.strip() or "it ended without a word"]


@pytest.mark.parametrize(
    ("said", "signal", "crash", "crashes"),
    [(INTERNAL, "SEGV", "emulator", 1), (QEMU, "SEGV", "program", 0), (QEMU.replace("11", "6"), "ABRT", "program", 0)],
)
def test_who_crashes_twice_is_told(start, said, signal, crash, crashes):
    done, (told,) = start(f'echo "{said.strip()}" >&2; kill -{signal} $$', emulator=("env",))
    assert done.returncode == -getattr(__import__("signal"), f"SIG{signal}")
    assert (told["crash"], len(told["crashes"])) == (crash, crashes)


@pytest.mark.parametrize(
    ("code", "said", "emulated", "who"),
    [
        (0, "", True, ""), (101, "uncaught", True, ""), (-11, "", False, "program"), (-11, "", True, "emulator"),
        (-9, "", True, "program"), (-11, QEMU, True, "doubtful"), (139, QEMU, True, "doubtful"),
        (-6, "qemu: uncaught target signal 6 (Aborted) - core dumped", True, "program"),
        (-6, "qemu-arm: ../accel/tcg/cpu-exec.c:928: cpu_loop_exec_tb: Assertion `icount' failed.", True, "emulator"),
        (-6, "**\nERROR:../accel/tcg/cpu-exec.c:1:f: assertion failed: (x)", True, "emulator"),
        (1, "qemu: unhandled CPU exception 0x10003 - aborting", True, "emulator"),
        (101, "thread 't' panicked: Assertion failed: qemu", True, ""), (-11, INTERNAL, False, "program"),
    ],
)  # fmt: skip
def test_who_crashed(code, said, emulated, who):
    assert judge(code, said, "arm64" if emulated else "") == who
