"""The users of an image: what number a name stands for in its /etc/passwd and /etc/group."""

from __future__ import annotations

from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import FileSystem

MAX_TEXT = 4 << 20  # bytes of such a file that are read


def owner_of(system: FileSystem, user: str) -> tuple[int, int]:
    """The numbers of a user and a group, given as `USER` of a Dockerfile takes them; "" is root.

    As in BuildKit a user that is a number has the group of this number. LayerError if a name stands for none.
    """
    name, _, group = user.partition(":")
    found = _numbers(system, "/etc/passwd", name or "0")
    if group:
        return found[0], _numbers(system, "/etc/group", group)[0]
    return found


def _numbers(system: FileSystem, path: str, name: str) -> tuple[int, int]:
    """The number of a user or group, and that of the user's group."""
    if name.isdecimal():
        return int(name), int(name)
    found, text = system.find(path), bytearray()
    for _, piece in system.read(found[1]) if found and found[1].file else ():
        text += piece
        if len(text) > MAX_TEXT:
            raise LayerError(f"{path} has more than {MAX_TEXT} bytes")
    for line in text.decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 3 and fields[2].isdecimal():
            return int(fields[2]), int(fields[3]) if fields[3].isdecimal() else 0
    raise LayerError(f"the base image's user {name!r} is not in its {path}")
