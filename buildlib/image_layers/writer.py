"""Write a layer as BuildKit does: the tar file of Go's archive/tar in its PAX format, in the order of containerd's walk.

Byte for byte: two images with the same layers have the same configuration, which is what identifies an image in Docker. Python's
tarfile differs in fields that nobody reads (devices, padding, names of PAX headers). Sources: Go 1.26, archive/tar/writer.go
(`writePAXHeader`, `templateV7Plus`) and common.go (`allowedFormats`); containerd, pkg/archive/tar.go (`ChangeWriter`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from buildlib.image_layers.tar import Attributes

BLOCK = 512
END = bytes(2 * BLOCK)
NAME_SIZE, CHECKSUM = 100, slice(148, 156)
MAX_ID, MAX_SIZE = 0o7777777, 0o77777777777  # what the octal digits of a header can say


@dataclass(frozen=True, slots=True)
class NewEntry:
    """A file of a new layer, or a directory, whose content is None. The path has no slash in front."""

    path: str
    attributes: Attributes
    content: bytes | None = None


def layer(entries: Iterable[NewEntry]) -> bytes:
    """The layer with these entries, whatever their order."""
    parts = []
    for entry in sorted(entries, key=lambda entry: entry.path.split("/")):
        content = entry.content or b""
        parts += [_header(entry), content, bytes(-len(content) % BLOCK)]
    return b"".join((*parts, END))


def _header(entry: NewEntry) -> bytes:
    attributes, size = entry.attributes, len(entry.content or b"")
    name = entry.path if entry.content is not None else f"{entry.path}/"
    records = {
        "gid": str(attributes.group) if attributes.group > MAX_ID else "",
        "path": name if len(name.encode()) > NAME_SIZE or not name.isascii() else "",
        "size": str(size) if size > MAX_SIZE else "",
        "uid": str(attributes.user) if attributes.user > MAX_ID else "",
    }
    kind = b"5" if entry.content is None else b"0"
    header = _block(name, kind, attributes, size, devices=True)
    special = b"".join(_record(key, value) for key, value in sorted(records.items()) if value)
    if not special:
        return header
    folder, slash, base = name.rpartition("/")
    extended = _block(
        f"{folder}{slash}PaxHeaders.0/{base}".rstrip("/"), b"x", Attributes(mode=0), len(special), devices=False
    )
    return extended + special + bytes(-len(special) % BLOCK) + header


def _record(key: str, value: str) -> bytes:
    """A PAX record, which begins with its own length."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest


def _block(name: str, kind: bytes, attributes: Attributes, size: int, *, devices: bool) -> bytes:
    ascii_name = "".join(char for char in name if char.isascii()).encode()
    block = bytearray(BLOCK)
    if len(ascii_name) > NAME_SIZE:  # "some buggy readers" take a file whose cut name ends with a slash for a directory
        ascii_name = ascii_name[:NAME_SIZE].rstrip(b"/")
    block[: len(ascii_name)] = ascii_name
    fields = (
        (100, 8, attributes.mode), (108, 8, attributes.user), (116, 8, attributes.group), (124, 12, size),
        (136, 12, attributes.modified), *(((329, 8, 0), (337, 8, 0)) if devices else ()),
    )  # fmt: skip
    for start, width, number in fields:
        block[start : start + width] = _octal(number, width)
    block[156:157], block[257:265] = kind, b"ustar\x0000"
    block[CHECKSUM] = b" " * 8
    block[CHECKSUM] = _octal(sum(block), 7) + b" "
    return bytes(block)


def _octal(number: int, width: int) -> bytes:
    """A number in octal digits and a zero byte; 0 for one that does not fit, which a PAX record states."""
    text = f"{number:o}" if number >= 0 else "0"
    return (text if len(text) < width else "0").rjust(width - 1, "0").encode() + b"\0"
