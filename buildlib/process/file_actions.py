"""What a plan says about files, executed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from buildlib.core.plan import (
    AtomicUpdate,
    CopyFiles,
    Extend,
    FileAction,
    Install,
    Link,
    OciLayout,
    ShareHostUnits,
    Write,
)
from buildlib.process import host_units
from buildlib.process.files import copy_files, install, layout, link, named, rename, temporary_name, update, write_whole

PART = 1 << 20  # bytes that are copied at once


def execute(action: FileAction) -> None:
    """Execute one action. OSError if it cannot be done."""
    match action:
        case Write():
            write_whole(action.path, action.text.encode(), action.mode)
        case Link():
            link(action)
        case Install():
            install(action)
        case AtomicUpdate():
            update(action)
        case Extend():
            extend(action)
        case CopyFiles():
            copy_files(action)
        case ShareHostUnits():
            with suppress(OSError):  # cargo compiles what is missing, and reports a full disk
                host_units.share(action.into)
        case OciLayout():
            layout(action)


def extend(action: Extend) -> None:
    """Copy a file with other first bytes and with more at its end, and with the mode of the original."""
    mode = action.source.stat().st_mode & 0o777
    if _is_copy(action, mode):
        return
    temporary = temporary_name(action.path)
    try:
        with named(action.path), open(temporary, "wb") as stream:
            stream.writelines(_parts(action))
            os.fchmod(stream.fileno(), mode)
        rename(temporary, action.path)
    finally:
        temporary.unlink(missing_ok=True)


def _parts(action: Extend) -> Iterator[bytes]:
    """The content of the copy."""
    yield action.head
    with open(action.source, "rb") as stream:
        stream.seek(len(action.head))
        while part := stream.read(PART):
            yield part
    yield action.tail


def _is_copy(action: Extend, mode: int) -> bool:
    """Whether the copy exists already. A new one would cost more than to read both."""
    try:
        with open(action.path, "rb") as stream:
            is_equal = all(stream.read(len(part)) == part for part in _parts(action)) and not stream.read(1)
            return is_equal and os.fstat(stream.fileno()).st_mode & 0o777 == mode
    except FileNotFoundError:
        return False
