"""Who holds a lock: with real locks, and with texts of /proc."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from buildlib.machine import lock_holders


def proc_with(tmp_path, locks, **commands):
    (tmp_path / "locks").write_text(locks)
    for name, command in commands.items():
        folder = tmp_path / name.removeprefix("p")
        folder.mkdir()
        (folder / "cmdline").write_bytes(command)
    return tmp_path


def locks_of(tmp_path, pid):
    """The line of a lock of `tmp_path`, and a handle."""
    status = tmp_path.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    return f"1: POSIX  ADVISORY  READ 1 {place} 0 EOF\n2: FLOCK  ADVISORY  WRITE {pid} {place} 0 EOF\n"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (b"/root/.cargo/bin/cargo\0build\0--release\0", "cargo build --release, process 7"),
        (
            b"/usr/bin/python3.13\0-I\0/venv/bin/buildlib\0build\0--arch\0arm64\0",
            "buildlib build --arch arm64, process 7",
        ),
        (b"python3\0", "python3, process 7"),
        (b"x\0--password=hunter22\0", "x '--password=***', process 7"),
        (b"x\0" + b"a" * 9000, f"x {'a' * 57}…, process 7"),
        (b"x\0\xff\n\0", "x '\ufffd\n', process 7"),
        (b"", ""),  # a zombie, or a thread of the kernel
    ],
)
def test_commands(tmp_path, command, shown):
    proc = proc_with(tmp_path, locks_of(tmp_path, 7), p7=command)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert lock_holders.of_directory(handle, proc) == shown
    finally:
        os.close(handle)


@pytest.mark.parametrize("text", ["", "nonsense\n1: FLOCK", "1: FLOCK  ADVISORY  WRITE 7 fe:00:1 0 EOF\n"])
def test_what_is_not_known_is_not_said(tmp_path, text):
    proc = proc_with(tmp_path, text, p7=b"cargo")
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        assert lock_holders.of_directory(handle, proc) == ""
        assert lock_holders.of_directory(handle, tmp_path / "absent") == ""
    finally:
        os.close(handle)
    assert lock_holders.blocking(1, proc, pause=lambda _: None) == ""


@pytest.mark.processes
def test_the_command_that_blocks_a_group_of_processes_is_found(tmp_path):
    wait = f"import fcntl, os; fcntl.flock(os.open({str(tmp_path)!r}, os.O_RDONLY), fcntl.LOCK_EX)"
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    waiter = subprocess.Popen([sys.executable, "-c", wait], process_group=0)
    try:
        deadline = time.monotonic() + 60
        while not (holder := lock_holders.blocking(waiter.pid)) and time.monotonic() < deadline:
            pass
    finally:
        os.close(handle)
        assert waiter.wait(60) == 0
    assert holder.endswith(f", process {os.getpid()}")
