"""A user namespace with a binfmt_misc of its own, in which the kernel starts programs of another machine.

Linux 6.7 and later: binfmt_misc can be mounted in a user namespace, and what is registered there is for its processes alone.
child_processes.py loads this module; it imports nothing of buildlib.
"""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would cost milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

MACHINE_HANDLERS = "/proc/sys/fs/binfmt_misc"
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # <linux/sched.h>


def enter(children: Mapping[str, Any]) -> None:
    """Move this process to a user namespace in which the kernel starts programs of the target. OSError where that is not possible.

    User and groups stay the same. Root keeps all users and groups; another user has one of each, and files of others belong to
    nobody. Nothing outside of the namespace changes, and it ends with its last process.
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> None:
        if getattr(libc, name)(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")

    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with _same_ids_mapped():
            call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    else:
        call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
        _map_own_ids((0, user), (0, group))  # the files of binfmt_misc belong to the namespace's root
    where = f"{children['folder']}/binfmt_misc"
    call("mount", b"binfmt_misc", os.fsencode(where), b"binfmt_misc", 0, None)
    for handler in children["handlers"]:
        with contextlib.suppress(OSError):  # its interpreter may be out of reach
            _register(where, handler)
    magic, mask = _escaped(children["magic"]), _escaped(children["mask"])
    _register(where, f":buildlib:M:0:{magic}:{mask}:{children['folder']}/interpreter:PF")
    if user != 0:
        call("unshare", CLONE_NEWUSER)
        _map_own_ids((user, 0), (group, 0))


def _map_own_ids(user: tuple[int, int], group: tuple[int, int]) -> None:
    """Map one user and one group, each given as (inside, outside): all that the kernel grants without privileges."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user[0]} {user[1]} 1"),
        ("gid_map", f"{group[0]} {group[1]} 1"),
    ):
        _write(f"/proc/self/{name}", text)


@contextlib.contextmanager
def _same_ids_mapped() -> Iterator[None]:
    """Map all users and groups to themselves in the namespace that the body enters: a child that stays outside has the right to."""
    maps = {name: _identity(f"/proc/self/{name}") for name in ("uid_map", "gid_map")}
    entered_read, entered_write = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.close(entered_write)
            if os.read(entered_read, 1):
                for name, text in maps.items():
                    _write(f"/proc/{parent}/{name}", text)
                os._exit(0)
        os._exit(1)
    os.close(entered_read)
    try:
        yield
        os.write(entered_write, b".")
    finally:
        os.close(entered_write)
        _, status = os.waitpid(child, 0)
    if status:
        raise OSError("the kernel does not map users and groups")


def _identity(path: str) -> str:
    """The map of this process's own namespace, as one onto itself: its first and third columns."""
    with open(path, encoding="ascii") as stream:
        ranges = [line.split() for line in stream]
    return "".join(f"{first} {first} {count}\n" for first, _, count in ranges)


def machine_handlers() -> list[str]:
    """The enabled handlers of the machine, in the form in which binfmt_misc registers them.

    A private binfmt_misc hides them from the tests that run in it, unless they are registered there again.
    """
    handlers = []
    with contextlib.suppress(OSError):  # not mounted
        for name in sorted(os.listdir(MACHINE_HANDLERS)):
            if name not in ("register", "status"):
                with open(f"{MACHINE_HANDLERS}/{name}", encoding="utf-8", errors="replace") as stream:
                    handlers += _registration(name, stream.read())
    return handlers


def _registration(name: str, text: str) -> list[str]:
    fields = dict(line.partition(" ")[::2] for line in text.replace("flags:", "flags").splitlines())
    if "enabled" not in fields:
        return []
    if "extension" in fields:
        matched = f"E::{fields['extension'].removeprefix('.')}:"
    else:
        matched = f"M:{fields['offset']}:{_escaped(fields['magic'])}:{_escaped(fields.get('mask', ''))}"
    return [f":{name}:{matched}:{fields['interpreter']}:{fields.get('flags', '').strip()}"]


def _register(where: str, handler: str) -> None:
    _write(f"{where}/register", handler)


def _escaped(digits: str) -> str:
    """Bytes, given as hexadecimal digits, in binfmt_misc's notation."""
    return "".join(f"\\x{byte:02x}" for byte in bytes.fromhex(digits))


def _write(path: str, text: str) -> None:
    """Write a file of the kernel, in one call."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, os.fsencode(text))
    finally:
        os.close(descriptor)
