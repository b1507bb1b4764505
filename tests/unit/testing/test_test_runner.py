"""The program that cargo starts test binaries with; small shell scripts stand for the binaries."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from machines import is_running

from buildlib.testing import test_runner
from buildlib.testing.child_processes import LAUNCHERS, PRIVATE
from buildlib.testing.test_runner import SET_BY_CARGO, classify_crash

DEADLINE = 120  # seconds; only a failing test needs them
NEVER = 1e9  # seconds without progress that no test reaches
GUEST_CRASH = "qemu: uncaught target signal 11 (Segmentation fault) - core dumped\n"
QEMU_CRASH = "QEMU internal SIGSEGV {code=MAPERR, addr=0x20}\n"


class Started:
    """A script that runs under the test runner, step by step: the test sets the runner's clock and feeds the script's stdin."""

    def __init__(self, process, clock):
        self.process, self.clock = process, clock

    def line(self):
        """The next line that the runner forwards, "" after the end."""
        return self.process.stdout.readline()

    def at(self, seconds):
        """Set the runner's clock."""
        ready = self.clock.with_suffix(".new")
        ready.write_text(str(seconds))
        ready.replace(self.clock)

    def next(self):
        """Let the script go on from its `read`; it may have been killed before."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def end(self):
        """Let time pass until the runner has ended."""
        for second in itertools.count(1):
            self.at(second)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout=0.05)


# The test runner with a clock that the file of the first argument sets.
CLOCK = """\
import runpy, subprocess, sys, time

clock = sys.argv[1]
del sys.argv[:2]
time.monotonic = lambda: float(open(clock).read())
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def command(tmp_path):
    """The words and the environment that run a script under the test runner."""

    def command(text, *args, emulator=(), timeout=NEVER, children=None, libraries="", **env):
        script = tmp_path / "demo-0123456789abcdef"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
        arch = "arm64" if emulator else ""
        spec = {"emulator": emulator, "emulated_arch": arch, "timeout": timeout, "record": str(tmp_path / "record"), "ran_on": "",
                "libraries": libraries, "children": children}  # fmt: skip
        (tmp_path / "spec").write_text(json.dumps(spec))
        inherited = {k: v for k, v in os.environ.items() if k not in (test_runner.INSIDE, test_runner.EMULATED)}
        return (test_runner.__file__, tmp_path / "spec", script, *args), inherited | {SET_BY_CARGO: "/w"} | env

    return command


@pytest.fixture
def recorded(tmp_path):
    """The lines of the record."""

    def recorded():
        path = tmp_path / "record"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    return recorded


@pytest.fixture
def finished(command, recorded):
    """Run a script to its end; returns the finished process and the record."""

    def finished(*words, **facts):
        argv, env = command(*words, **facts)
        argv = (sys.executable, "-I", "-S", *argv)
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=DEADLINE, check=False)
        return done, recorded()

    return finished


@pytest.fixture
def started(command, tmp_path):
    """Start a script whose runner has a clock of the test's."""

    @contextlib.contextmanager
    def started(*words, **facts):
        argv, env = command(*words, **facts)
        clock = tmp_path / "clock"
        clock.write_text("0")
        argv = (sys.executable, "-I", "-S", "-c", CLOCK, clock, *argv)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(argv, env=env, **pipes) as process:
            watchdog = threading.Timer(DEADLINE, process.kill)
            watchdog.start()
            try:
                yield Started(process, clock)
                process.wait()
            finally:
                watchdog.cancel()
                process.kill()

    return started


@pytest.mark.processes
def test_output_is_forwarded_and_recorded(finished):
    done, (run,) = finished('echo "running 1 test"; echo "test $1 ... ok"; echo no >&2; exit 3', "a b")
    assert (done.returncode, done.stdout, done.stderr) == (3, "running 1 test\ntest a b ... ok\n", "no\n")
    assert run == {
        "binary": run["binary"], "args": ["a b"], "threads": os.cpu_count(), "code": 3, "seconds": run["seconds"],
        "hung": False, "stdout": done.stdout, "stderr": "no\n", "crash": "", "crashes": [], "listed": [], "ran_on": "",
        "cwd": str(Path.cwd()),
    }  # fmt: skip


@pytest.mark.processes
@pytest.mark.parametrize("words", [(), ("--list",)])
def test_the_libraries_of_a_sysroot_are_found_after_cargo_s(finished, words):
    script = 'echo "$LD_LIBRARY_PATH"'
    done, _ = finished(script, *words, libraries="/s", LD_LIBRARY_PATH="/cargo")
    assert done.stdout == "/cargo:/s\n"
    assert finished(script, *words, libraries="/s", LD_LIBRARY_PATH="")[0].stdout == "/s\n"


@pytest.mark.processes
def test_a_program_that_a_test_starts_and_a_listing_run_directly(finished):
    assert finished("exit 4", **{test_runner.INSIDE: "1"})[0].returncode == 4
    done, record = finished("echo a: test", "--list")
    assert (done.stdout, record) == ("a: test\n", [])


@pytest.mark.processes
def test_a_program_that_a_test_starts_with_a_cleared_environment_is_no_test_binary(command, recorded):
    """assert_cmd starts programs by cargo's runner, and a test may clear their environment."""
    argv, _ = command("exit 4")
    done = subprocess.run((sys.executable, "-I", "-S", *argv), env={}, timeout=DEADLINE, check=False)
    assert (done.returncode, recorded()) == (4, [])


@pytest.mark.processes
def test_a_program_that_a_test_starts_has_default_signals(command):
    """Python ignores SIGPIPE, and a program would inherit that."""
    argv, env = command("grep SigIgn /proc/self/status", **{test_runner.INSIDE: "1"})
    argv = (sys.executable, "-I", "-S", *argv)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert int(done.stdout.split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0


@pytest.mark.processes
def test_a_program_is_started_in_place_of_its_launcher(command, tmp_path):
    argv, env = command("echo the launcher", children={"way": LAUNCHERS}, **{test_runner.INSIDE: "1"})
    aside = tmp_path / ".emulated" / "demo-0123456789abcdef"
    aside.parent.mkdir()
    aside.write_text("#!/bin/sh\necho the program\n")
    aside.chmod(0o755)
    argv = (sys.executable, "-I", "-S", *argv)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=DEADLINE, check=True)
    assert done.stdout == "the program\n"


@pytest.mark.processes
def test_child_processes_get_the_libraries_of_the_emulator(finished, tmp_path):
    """`env -L` does not exist: this emulator is a script that takes both words."""
    program = tmp_path / "qemu"
    program.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    program.chmod(0o755)
    text = "echo ${QEMU_LD_PREFIX:-none}"
    for emulator, children, value in (
        ([str(program), "-L", "/libc"], {"way": "binfmt"}, "/libc\n"),
        (["env"], {"way": "binfmt"}, "none\n"),
        ([], None, "none\n"),
    ):
        assert finished(text, emulator=emulator, children=children)[0].stdout == value


@pytest.mark.processes
def test_a_way_that_no_longer_works_does_not_stop_the_tests(finished, tmp_path):
    """The directory of the private binfmt_misc is missing."""
    children = {"way": PRIVATE, "folder": str(tmp_path / "missing"), "handlers": [], "magic": "7f", "mask": "ff"}
    done, (run,) = finished("echo fine", emulator=["env"], children=children)
    assert (done.returncode, run["stdout"]) == (0, "fine\n")
    assert done.stderr.startswith("buildlib: programs that tests start may not run: ")


@pytest.mark.processes
@pytest.mark.parametrize(("emulator", "value"), [((), "none\n"), (("env",), "arm64\n")])
def test_a_variable_tells_tests_that_they_are_emulated(finished, emulator, value):
    assert finished(f"echo ${{{test_runner.EMULATED}:-none}}", emulator=emulator)[0].stdout == value


def is_gone(pid):
    """Wait until the process has ended; False after the deadline."""
    deadline = time.monotonic() + DEADLINE
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not is_running(pid)


LISTED = """case "$*" in *--list*) printf 'a: test\\nb: test\\n'; exit;; esac\n"""


@pytest.mark.processes
def test_a_binary_that_hangs_is_killed_with_its_children(started, recorded):
    text = 'echo "running 2 tests"; echo "test a ... ok"; sleep 600 & echo "child $!"; wait'
    with started(LISTED + text, timeout=10) as script:
        assert [script.line(), script.line()] == ["running 2 tests\n", "test a ... ok\n"]
        child = script.line().split()[1]
        assert script.end() == 124  # the child held the pipes, too
    (run,) = recorded()
    assert (run["hung"], run["listed"], run["crash"]) == (True, ["a", "b"], "program")
    assert is_gone(child)


@pytest.mark.processes
def test_a_binary_that_finishes_tests_does_not_hang(started, recorded):
    """Four tests, six seconds apart: together they take longer than the timeout."""
    text = 'echo "running 4 tests"; for n in 1 2 3 4; do read go; echo "test t$n ... ok"; done'
    with started(text, timeout=10) as script:
        assert script.line() == "running 4 tests\n"
        for number in range(1, 5):
            script.at(6 * number)
            script.next()
            assert script.line() == f"test t{number} ... ok\n"
    assert (script.process.returncode, recorded()[0]["hung"]) == (0, False)


NOISE = 'while read go; do echo "noise"; done'


@pytest.mark.processes
def test_with_libtest_other_output_is_not_progress(started, recorded):
    with started(f'{LISTED}echo "running 1 test"; {NOISE}', timeout=10) as script:
        assert script.line() == "running 1 test\n"
        for number in range(1, 6):
            script.at(6 * number)
            script.next()
            if not script.line():
                break
        script.process.wait()
    assert (script.process.returncode, recorded()[0]["hung"]) == (124, True)


@pytest.mark.processes
def test_with_another_harness_any_output_is_progress(started, recorded):
    with started(NOISE, timeout=10) as script:
        for number in range(1, 6):
            script.at(6 * number)
            script.next()
            assert script.line() == "noise\n"
        script.process.stdin.close()
    assert (script.process.returncode, recorded()[0]["hung"]) == (0, False)


@pytest.mark.processes
def test_a_process_that_a_test_leaves_running_does_not_delay_the_end(started, recorded):
    with started("sleep 600 & echo $!; exit 3") as script:
        child = int(script.line())
        try:
            assert script.end() == 3 and is_running(child)
        finally:
            os.kill(child, signal.SIGKILL)
    assert [run["hung"] for run in recorded()] == [False]


@pytest.mark.processes
@pytest.mark.parametrize("line", [QEMU_CRASH.strip(), GUEST_CRASH.strip(), ""])
def test_a_binary_runs_once_more_after_a_crash_of_the_emulator(finished, line, tmp_path):
    once = tmp_path / "once"
    text = f'[ -e {once} ] && echo fine && exit 0; touch {once}; printf "%s" "{line}" >&2; kill -SEGV $$'
    done, (run,) = finished(text, emulator=("env",))
    assert (done.returncode, done.stdout, run["crash"]) == (0, "fine\n", "")
    crash = line or "ended by signal 11 with no output"
    assert (run["crashes"], done.stderr) == ([crash], f"{line}buildlib: {crash}; running it once more\n")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("line", "name", "crash", "crashes"),
    [
        (QEMU_CRASH, "SEGV", "emulator", 1), (GUEST_CRASH, "SEGV", "program", 0),
        (GUEST_CRASH.replace("11", "6"), "ABRT", "program", 0),
    ],
)  # fmt: skip
def test_the_same_crash_twice_is_attributed(finished, line, name, crash, crashes):
    done, (run,) = finished(f'echo "{line.strip()}" >&2; kill -{name} $$', emulator=("env",))
    assert done.returncode == -signal.Signals[f"SIG{name}"]
    assert (run["crash"], len(run["crashes"])) == (crash, crashes)


@pytest.mark.parametrize(
    ("code", "stderr", "emulated", "crash"),
    [
        (0, "", True, ""), (101, "uncaught", True, ""), (-11, "", False, "program"), (-11, "", True, "emulator"),
        (-9, "", True, "program"), (-11, GUEST_CRASH, True, "ambiguous"), (139, GUEST_CRASH, True, "ambiguous"),
        (-6, "qemu: uncaught target signal 6 (Aborted) - core dumped", True, "program"),
        (-6, "qemu-arm: ../accel/tcg/cpu-exec.c:928: cpu_loop_exec_tb: Assertion `icount' failed.", True, "emulator"),
        (-6, "**\nERROR:../accel/tcg/cpu-exec.c:1:f: assertion failed: (x)", True, "emulator"),
        (1, "qemu: unhandled CPU exception 0x10003 - aborting", True, "emulator"),
        (101, "thread 't' panicked: Assertion failed: qemu", True, ""), (-11, QEMU_CRASH, False, "program"),
    ],
)  # fmt: skip
def test_crashes_are_classified(code, stderr, emulated, crash):
    assert classify_crash(code, stderr, "arm64" if emulated else "") == crash


@pytest.mark.processes
def test_the_program_imports_no_slow_modules():
    """It runs before every test binary."""
    text = "import sys; exec(open(sys.argv[1]).read(), {'__name__': 'test_runner'}); print(*sys.modules)"
    argv = (sys.executable, "-I", "-S", "-c", text, test_runner.__file__)
    modules = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=True).stdout.split()
    slow = {"buildlib", "typing", "dataclasses", "inspect", "asyncio", "pathlib", "ctypes", "child_processes"}
    assert "subprocess" in modules and not slow & set(modules)
