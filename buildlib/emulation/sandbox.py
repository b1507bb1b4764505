"""Start a program that is not trusted: `python3 sandbox.py SPEC PROGRAM ARGS...`, with its output and its exit code.

The program has no network, sees the files of the system and those that SPEC names read-only, writes to a /tmp of its own that is
removed afterwards, and is limited in time, memory, output and processes; what it has started ends with it. For that it runs in new
user, mount, network, IPC and PID namespaces (user_namespaces(7)). Where the kernel refuses them, Landlock (landlock(7)) forbids
writing and TCP, as far as the kernel has it, and a first line on stderr says so. A SPEC with an `image` lets it see the files of that
directory instead of the system's; only root can do that without namespaces. Imports nothing of buildlib.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import resource
import selectors
import signal
import struct
import sys
import time

TYPE_CHECKING = False  # type checkers take it for typing's, whose import costs milliseconds in every start
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# Lines on stderr begin with these.
NOTICE, STOPPED, NOT_EXECUTED = "buildlib: not isolated: ", "buildlib: stopped: ", "buildlib: cannot be executed: "
NOT_ENTERED = "buildlib: cannot enter the image: "
TIMED_OUT, EXCEEDED = 124, 125  # exit codes: that of timeout(1), and that of another limit
# <linux/sched.h>, <linux/mount.h>, <linux/prctl.h>
NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_RDONLY, MS_NOSUID, MS_NODEV = 0x1000, 0x4000, 0x40000, 0x1, 0x2, 0x4
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY, ATTR_NOSUID = 442, -100, 0x8000, 0x1, 0x2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 36, 38
INSIDE = 1000  # the user in the namespace: not root, so that the program has no capabilities in it
# What a program needs to say its version. Anything else may hold secrets, sockets of daemons, or other users' files: CI systems
# keep a workspace with its credentials in a directory of their own (/builds, /__w), and /etc has the keys of this machine.
SYSTEM = re.compile(r"bin|sbin|lib\w*|usr|opt|nix|gnu")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
ETC = ("alternatives", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "nsswitch.conf", "passwd",
       "ssl/certs", "ssl/openssl.cnf")  # fmt: skip
SHOWN = (*DEVICES, *(f"/etc/{name}" for name in ETC))
KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "TZ")

libc = ctypes.CDLL(None, use_errno=True)
PAGE = resource.getpagesize()  # bytes


def main(spec_text: str, *words: str) -> None:
    """Run the program and exit as it did: 128 + n for signal n, 124 after the time, 125 beyond another limit."""
    spec = json.loads(spec_text)
    outputs = os.pipe(), os.pipe()
    isolated = True
    try:
        _unshare()
        _build_root(spec["scratch"], spec["files"], spec.get("image", ""))
    except OSError as error:
        isolated = False
        os.write(2, f"{NOTICE}{error.strerror}\n".encode())
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        try:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            for number, (_, end) in enumerate(outputs, 1):
                os.dup2(end, number)
            os.closerange(3, 256)
            if isolated:
                _enter_root(spec["scratch"])
            _as_init(spec, words, isolated=isolated) if isolated else _execute(spec, words, isolated=isolated)
        finally:
            os._exit(127)
    for _, end in outputs:
        os.close(end)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        exceeded = _forward({outputs[0][0]: 1, outputs[1][0]: 2}, spec, child)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        _kill_descendants()
    if exceeded:
        os.write(2, f"{STOPPED}{exceeded}\n".encode())
        sys.exit(TIMED_OUT if exceeded.startswith("not finished") else EXCEEDED)
    sys.exit(code if code >= 0 else 128 - code)


# --- isolation ---------------------------------------------------------------------------------------------------------------


def _check(result: int) -> None:
    if result != 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))


def _unshare() -> None:
    """Enter the namespaces; this process's children are in the new PID namespace. OSError if the kernel refuses."""
    user, group = os.getuid(), os.getgid()
    _check(libc.unshare(NEWUSER | NEWNS | NEWIPC | NEWNET | NEWPID))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{INSIDE} {user} 1"), ("gid_map", f"{INSIDE} {group} 1")):
        with open(f"/proc/self/{name}", "wb", buffering=0) as file:
            file.write(text.encode())


def _build_root(root: str, files: list[str], image: str) -> None:
    """Mount a new root at the empty directory `root`: the system's directories or an image's, and `files`, all read-only."""
    shown = DEVICES if image else SHOWN
    sources = {file: os.path.realpath(file) for file in (*filter(os.path.exists, shown), *files)}
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    if image:
        _bind(image, root)
    for place in (f"{root}/dev", f"{root}/tmp") if image else (root,):
        _mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=755")
    for entry in () if image else (entry for entry in os.scandir("/") if SYSTEM.fullmatch(entry.name)):
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), f"{root}/{entry.name}")
        elif entry.is_dir():
            os.mkdir(f"{root}/{entry.name}")
            _bind(entry.path, f"{root}/{entry.name}")
    for name in () if image else ("proc", "dev", "tmp"):
        os.mkdir(f"{root}/{name}")
    for file, source in sources.items():
        place = f"{root}{file}"
        if not os.path.exists(place):
            os.makedirs(place if os.path.isdir(source) else os.path.dirname(place), exist_ok=True)
            if not os.path.isdir(source):
                os.close(os.open(place, os.O_CREAT, 0o600))
            _bind(source, place)


def _bind(source: str, place: str) -> None:
    """Show `source` at `place`, read-only, with everything that is mounted below it."""
    _mount(source, place, None, MS_BIND | MS_REC)
    attributes = struct.pack("QQQQ", ATTR_RDONLY | ATTR_NOSUID, 0, 0, 0)
    _check(libc.syscall(MOUNT_SETATTR, AT_FDCWD, place.encode(), AT_RECURSIVE, attributes, len(attributes)))


def _mount(source: str | None, place: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = (None if word is None else word.encode() for word in (source, place, kind))
    _check(libc.mount(*words, ctypes.c_ulong(flags), None if data is None else data.encode()))


def _enter_root(root: str) -> None:
    """Make `root` the root of this process, which is the first of its PID namespace."""
    # Read-only: to root the kernel's settings in it are writable, without any capability. A container that hides parts of /proc
    # may not mount another.
    with contextlib.suppress(OSError):
        _mount("proc", f"{root}/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chroot(root)
    os.chdir("/tmp")


def _landlock(writable: str) -> None:
    """Forbid writing outside of `writable`, and TCP, as far as this kernel can."""
    version = libc.syscall(444, None, 0, 1)
    if version < 1:
        return
    write = 0b1_1111_1111_0010 & ~0b1100  # write, remove, make: <linux/landlock.h>, without execute and reading
    write |= (version > 1) << 13 | (version > 2) << 14
    rules = struct.pack("QQQ", write, 0b11 if version > 3 else 0, 0b11 if version > 5 else 0)
    size = 24 if version > 5 else 16 if version > 3 else 8
    ruleset = libc.syscall(444, rules, size, 0)
    for place, rights in ((writable, write), ("/dev/null", 1 << 1)):
        descriptor = os.open(place, os.O_PATH)
        libc.syscall(445, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0)
        os.close(descriptor)
    libc.syscall(446, ruleset, 0)
    os.close(ruleset)


# --- the program -------------------------------------------------------------------------------------------------------------


def _as_init(spec: Mapping[str, Any], words: tuple[str, ...], *, isolated: bool) -> None:
    """Start the program and wait for it. When this process, the first of its namespace, exits, the kernel ends all others."""
    program = os.fork()
    if program == 0:
        try:
            _execute(spec, words, isolated=isolated)
        finally:
            os._exit(127)
    while True:
        ended, status = os.wait()
        if ended == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _execute(spec: Mapping[str, Any], words: tuple[str, ...], *, isolated: bool) -> None:
    limits = {
        resource.RLIMIT_CPU: spec["seconds"],
        resource.RLIMIT_DATA: spec["memory"],  # not RLIMIT_AS: QEMU and others reserve more than they use
        resource.RLIMIT_FSIZE: spec["memory"] >> 5,
        resource.RLIMIT_CORE: 0,
    }
    if isolated:  # outside of a namespace the limit counts all processes of the user
        limits[resource.RLIMIT_NPROC] = spec["processes"]
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not isolated:
        os.chdir(spec["scratch"])
        _landlock(spec["scratch"])
    if "image" in spec:
        _enter_image(spec, isolated=isolated)
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    home = "/tmp" if isolated else spec["scratch"]
    env = {name: os.environ[name] for name in KEPT if name in os.environ} | {"HOME": home, "TMPDIR": home}
    env |= spec.get("env", {})
    if spec["libraries"]:  # for the program alone: this Python may not load them
        env["LD_LIBRARY_PATH"] = ":".join(spec["libraries"])
    try:
        os.execve(words[0], words, env)
    except OSError as error:
        os.write(2, f"{NOT_EXECUTED}{error.strerror}\n".encode())
        os._exit(126)


def _enter_image(spec: Mapping[str, Any], *, isolated: bool) -> None:
    """Make the image the root, unless namespaces have done that already."""
    try:
        if not isolated:
            os.chroot(spec["image"])
        os.chdir(spec["folder"])
    except OSError as error:
        os.write(2, f"{NOT_ENTERED}{error.strerror}\n".encode())
        os._exit(126)


def _forward(pipes: dict[int, int], spec: Mapping[str, Any], child: int) -> str:
    """Copy the program's output. The program is killed when it exceeds a limit; returns which one, "" for none."""
    left, deadline, exceeded = spec["output"], time.monotonic() + spec["seconds"], ""
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        # What it has left running may hold the pipes, and a program that closes them may go on.
        while not exceeded and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            for key, _ in selector.select(0.1 if selector.get_map() else 0.001):
                chunk = os.read(key.fd, 1 << 16)
                if not chunk:
                    selector.unregister(key.fd)
                os.write(pipes[key.fd], chunk[: max(left, 0)])
                left -= len(chunk)
            processes = _descendants(os.getpid())
            if left < 0:
                exceeded = f"more than {spec['output']} bytes of output"
            elif time.monotonic() > deadline:
                exceeded = f"not finished after {spec['seconds']} seconds"
            elif len(processes) > spec["processes"]:  # the kernel does not limit them for root
                exceeded = f"more than {spec['processes']} processes"
            elif sum(processes.values()) > spec["memory"]:  # RLIMIT_DATA does not count what is shared
                exceeded = f"more than {spec['memory']} bytes of memory"
    if exceeded:
        os.kill(child, signal.SIGKILL)
    else:
        _drain(pipes, left)
    return exceeded


def _drain(pipes: dict[int, int], left: int) -> None:
    """Copy what is in the pipes already."""
    for pipe, to in pipes.items():
        os.set_blocking(pipe, False)
        with contextlib.suppress(BlockingIOError):
            while left > 0 and (chunk := os.read(pipe, 1 << 16)):
                os.write(to, chunk[:left])
                left -= len(chunk)


def _kill_descendants() -> None:
    """Kill what the program has left running: without a PID namespace it has become a child of this process."""
    while processes := _descendants(os.getpid()):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _descendants(ancestor: int) -> dict[int, int]:
    """The processes that `ancestor` and its children have started, without those that have ended: bytes of memory by number."""
    children: dict[int, list[int]] = {}
    memory: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError):  # it may have ended meanwhile
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stream:
                state, parent, *fields = stream.read().rpartition(")")[2].split()
            children.setdefault(int(parent), []).append(int(name))
            if state not in "ZX":
                memory[int(name)] = int(fields[19]) * PAGE
    found = list(children.get(ancestor, ()))
    for process in found:
        found += children.get(process, ())
    return {process: memory[process] for process in found if process in memory}


if __name__ == "__main__":
    main(*sys.argv[1:])
