"""The sandbox, with real programs of this machine that misbehave."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildlib.emulation import sandbox

pytestmark = pytest.mark.processes
PROGRAM = Path(sandbox.__file__)
# The same program on a kernel that refuses namespaces.
REFUSED = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("sandbox", sys.argv[1])
sandbox = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sandbox)
def refuse():
    raise PermissionError(1, "Operation not permitted")
sandbox._unshare = refuse
sandbox.main(*sys.argv[2:])
"""


def start(folder, *words, files=(), refused=False, **limits):
    """The words in the sandbox, as a process that has just been started."""
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    usual = {"seconds": 20, "memory": 1 << 30, "output": 1 << 16, "processes": 32}
    spec = json.dumps({"scratch": str(scratch), "files": list(map(str, files)), "libraries": []} | usual | limits)
    program = ("-c", REFUSED, str(PROGRAM)) if refused else (str(PROGRAM),)
    return subprocess.Popen(
        [sys.executable, "-IS", *program, spec, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "DB_PASSWORD": "hunter2"},
    )  # fmt: skip


def run(folder, *words, **options):
    """(exit code, stdout, stderr) of the words in the sandbox."""
    with start(folder, *words, **options) as process:
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


def shell(folder, script, **options):
    return run(folder, "/bin/sh", "-c", script, **options)


@pytest.fixture
def isolated(tmp_path):
    """A directory, on a machine whose kernel grants namespaces."""
    if sandbox.NOTICE in shell(tmp_path, "true")[2]:
        reason = "the kernel refuses user namespaces"
        (pytest.fail if "CI" in os.environ else pytest.skip)(reason)
    return tmp_path


@pytest.mark.parametrize("refused", [False, True])
def test_output_and_exit_code_are_the_program_s(tmp_path, refused):
    code, out, err = shell(tmp_path, "echo out; echo err >&2; exit 3", refused=refused)
    assert (code, out, err.splitlines()[-1]) == (3, "out\n", "err")
    assert shell(tmp_path, "kill -ABRT $$", refused=refused)[0] == 134


def test_a_kernel_that_refuses_namespaces_is_reported(tmp_path):
    assert shell(tmp_path, "true", refused=True) == (0, "", f"{sandbox.NOTICE}Operation not permitted\n")


def test_a_program_that_cannot_be_executed(tmp_path):
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    code, _, err = run(tmp_path, str(text), files=[text])
    assert (code, err.splitlines()[-1]) == (126, "buildlib: cannot be executed: Exec format error")


@pytest.mark.parametrize("refused", [False, True])
def test_only_the_program_gets_the_directories_of_libraries(tmp_path, refused):
    script = 'echo "$LD_LIBRARY_PATH"'
    assert shell(tmp_path, script, refused=refused)[1] == "\n"
    assert shell(tmp_path, script, refused=refused, libraries=["/a", "/b"])[1] == "/a:/b\n"


def test_only_its_own_files_are_visible_and_nothing_is_written(isolated):
    shown, hidden = isolated / "shown", isolated / "hidden"
    for file in (shown, hidden):
        file.write_text(file.name)
        file.chmod(0o666)
    code, out, _ = shell(
        isolated, f"cat {shown}; ls {isolated}; echo x > {shown}; echo x > /usr/x; echo y > y; cat y; ls /root; echo $DB_PASSWORD",
        files=[shown],
    )  # fmt: skip
    assert (code, out) == (0, "shownshown\ny\n\n")
    assert (shown.read_text(), hidden.read_text(), list((isolated / "scratch").iterdir())) == ("shown", "hidden", [])


def test_of_the_system_only_what_a_program_needs_is_visible(isolated):
    names = shell(isolated, "cd / && echo *; cat /etc/shadow /etc/machine-id")[1].split()
    assert [name for name in names if not re.fullmatch("bin|dev|etc|gnu|lib.*|nix|opt|proc|sbin|tmp|usr", name)] == []


def test_the_kernel_s_settings_are_not_writable(isolated):
    """To root they are, without any capability: what is there may name a program that runs outside."""
    _, out, err = shell(
        isolated, "for file in comm oom_score_adj; do echo 1 > /proc/self/$file; done; cat /proc/self/comm"
    )
    assert (out, err.count("Read-only file system")) == ("cat\n", 2)
    settings = "/proc/sys/kernel/hostname"
    assert "Read-only file system" in shell(isolated, f"cat {settings} > {settings}")[2]


def test_there_is_no_network(isolated):
    assert shell(isolated, "cat /proc/net/dev | grep -v -e Inter -e face -e lo:")[1] == ""


def test_without_namespaces_nothing_outside_is_written(tmp_path):
    target = tmp_path / "target"
    code, out, err = shell(tmp_path, f"echo x > {target}; echo y > y; cat y; echo $DB_PASSWORD", refused=True)
    if "Permission denied" not in err:
        pytest.skip("this kernel has no Landlock")
    assert (code, out, target.exists()) == (0, "y\n\n", False)


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", {}, "more than 65536 bytes of output"),
        ("while :; do :; done", {"seconds": 1}, "not finished after 1 seconds"),
        ("sleep 60 & wait", {"seconds": 1}, "not finished after 1 seconds"),
        ("exec >&- 2>&-; sleep 60", {"seconds": 1}, "not finished after 1 seconds"),
        ("for i in $(seq 60); do sleep 50 & done; wait", {"processes": 20}, "more than 20 processes"),
        ("for i in $(seq 60); do (setsid sleep 50 &) done; sleep 50", {"processes": 20}, "more than 20 processes"),
    ],
)
def test_limits(tmp_path, refused, script, limits, reason):
    code, out, err = shell(tmp_path, script, refused=refused, **limits)
    expected = 124 if "seconds" in reason else 125
    assert (code, err.splitlines()[-1], len(out) <= 65536) == (expected, f"buildlib: stopped: {reason}", True)


@pytest.mark.parametrize("refused", [False, True])
def test_memory_is_limited(tmp_path, refused):
    # awk doubles a text until it has no memory left.
    code, *_ = run(
        tmp_path, "/usr/bin/awk", 'BEGIN { x = "xxxxxxxxxxxxxxxx"; while (length(x) < 4e9) x = x x; print length(x) }',
        refused=refused, memory=64 << 20,
    )  # fmt: skip
    assert code not in (0, sandbox.TIMED_OUT, sandbox.EXCEEDED)


@pytest.mark.parametrize("refused", [False, True])
def test_shared_memory_is_limited(tmp_path, refused):
    script = f"import mmap, time; data = mmap.mmap(-1, {96 << 20})\nfor _ in range(96): data.write(bytes(1 << 20))\ntime.sleep(60)"
    code, _, err = run(
        tmp_path, os.path.realpath(sys.executable), "-ISc", script, files=[sys.base_prefix], refused=refused, memory=64 << 20,
    )  # fmt: skip
    assert (code, err.splitlines()[-1]) == (125, f"buildlib: stopped: more than {64 << 20} bytes of memory")


@pytest.mark.parametrize("refused", [False, True])
def test_what_it_has_started_ends_when_the_sandbox_is_terminated(tmp_path, refused):
    marker = f"{os.getpid()}.{refused:d}6"
    with start(tmp_path, "/bin/sh", "-c", f"setsid sleep {marker} & echo started; wait", refused=refused) as sandboxed:
        assert sandboxed.stdout.readline() == "started\n"
        sandboxed.terminate()
        assert sandboxed.wait(30) == 143
    assert not _is_running(marker)


@pytest.mark.parametrize("refused", [False, True])
def test_what_it_leaves_running_ends_with_it(tmp_path, refused):
    marker = f"{os.getpid()}.{refused:d}5"  # seconds, which nobody else sleeps
    code, out, _ = shell(tmp_path, f"setsid sleep {marker} & echo started", refused=refused)
    assert (code, out) == (0, "started\n")
    deadline = time.monotonic() + 5
    while _is_running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(marker)


def _is_running(word):
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if line.read_bytes().split(b"\0")[:2] == [b"sleep", word.encode()]:
                return True
        except OSError:
            continue
    return False
