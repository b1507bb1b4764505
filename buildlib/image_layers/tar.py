"""The entries of a layer, which is a tar file of any kind: v7, ustar, PAX, GNU or star.

Container engines read layers with Go's archive/tar, so the semantics are those of its reader.go (1.26): which of several names
counts, which entries have data, that global PAX records do not apply to what follows. Python's tarfile differs in these, takes the
first damaged header for the end, and reads headers of any size and depth. What Go refuses is a LayerError, with one exception:
fields that no rule of the gate is about (times, owners) are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from buildlib.image_layers.compression import BUFFER, Decompressed, LayerError
from buildlib.image_layers.sparse import BLOCK, Map, number, read_map, record_map

MAX_SPECIAL = 1 << 20  # bytes of PAX records or a GNU long name; Go's limit
END = bytes(BLOCK)
FILE, DIRECTORY, SYMLINK, HARD_LINK, OTHER = "file", "directory", "symlink", "hard link", "other"
# Other types, such as GNU tar's oldest sparse files (S), are what engines refuse ("unhandled tar header type").
KINDS = {"0": FILE, "\0": FILE, "1": HARD_LINK, "2": SYMLINK, "3": OTHER, "4": OTHER, "5": DIRECTORY, "6": OTHER}
WITHOUT_DATA = "123456"  # links, devices, directories and FIFOs, whatever their header says of a size
SPECIAL = "xgLK"
LONG_NAME, LONG_LINK = "\0L", "\0K"  # no PAX record has such a name


class Attributes(NamedTuple):
    """What a header says of a file or directory besides its name. `modified` is in seconds since 1970."""

    mode: int = 0o755
    user: int = 0
    group: int = 0
    modified: int = 0


@dataclass(slots=True)
class Entry:
    """One entry of a layer. `name` and `link` are as in the archive, with bytes that are not UTF-8 as surrogates."""

    name: str
    kind: str
    link: str  # the target of a link
    executable: bool  # by anybody
    size: int  # bytes of a file, with its holes
    parts: Map | None = None  # where its data belongs, None for a file without holes
    attributes: Attributes | None = None  # of a directory


class Reader:
    """Reads the entries of one layer in order."""

    def __init__(self, data: Decompressed) -> None:
        self._data = data
        self._left = 0  # bytes of the current entry's data that are not read yet
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        """The entries. LayerError where the archive is damaged."""
        records: dict[str, str] = {}  # what the headers in front of an entry say, under the names of PAX
        while block := self._next_block():
            flag, size = chr(block[156]), _numeric(block[124:136])
            if flag not in SPECIAL:
                yield self._entry(block, flag, size, records)
                records = {}
                continue
            self._begin(size, most=MAX_SPECIAL)
            special = self._data.read(size)
            self._left -= len(special)
            if self._left:
                raise LayerError("it ends in the middle of a header")
            gnu = {name: records[name] for name in (LONG_NAME, LONG_LINK) if name in records}
            if flag == "g":
                records = {}  # what precedes it does not apply to what follows
            elif flag == "x":
                records = _records(special) | gnu
            else:
                records[LONG_NAME if flag == "L" else LONG_LINK] = _string(special)

    def content(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """The data of the current entry in pieces, each with its offset in the file; what is between them are holes."""
        for start, length in ((0, entry.size),) if entry.parts is None else entry.parts:
            offset, end = start, start + length
            while offset < end:
                piece = self._data.read(min(BUFFER, end - offset))
                if not piece:
                    raise LayerError("it ends in the middle of a file")
                self._left -= len(piece)  # before the reader of the pieces may stop
                yield offset, piece
                offset += len(piece)

    def _next_block(self) -> bytes:
        """The next header, after the rest of the current entry. b"" at the end."""
        if self._data.skip(self._left) < self._left:
            raise LayerError("it ends in the middle of a file")
        self._data.skip(self._padding)
        self._left = self._padding = 0
        block = self._data.read(BLOCK)
        if block == END:
            block = self._data.read(BLOCK)
            if block and block != END:
                raise LayerError("a block of zeros in the middle")
            return b""
        if block and len(block) < BLOCK:
            raise LayerError("it ends in the middle of a header")
        if block and not _checksum_fits(block):
            raise LayerError("a header with a wrong checksum, or not a tar file")
        return block

    def _begin(self, size: int, most: int = 1 << 62) -> None:
        """Note that `size` bytes of data follow."""
        if not 0 <= size <= most:
            raise LayerError(f"a header with the size {size}")
        self._left, self._padding = size, -size % BLOCK

    def _entry(self, block: bytes, flag: str, size: int, records: Mapping[str, str]) -> Entry:
        name = records.get(LONG_NAME) or records.get("path") or _name(block)
        link = records.get(LONG_LINK) or records.get("linkpath") or _string(block[157:257])
        if flag == "\0" and name.endswith("/"):
            flag = "5"  # of archives older than the type
        size = 0 if flag in WITHOUT_DATA else number(records["size"]) if records.get("size") else size
        self._begin(size)
        if flag not in KINDS:
            raise LayerError(f"{name}: an entry of the unknown type {flag!r}")
        entry = Entry(name, KINDS[flag], link, bool(_numeric(block[100:108]) & 0o111), size)
        if entry.kind == DIRECTORY:
            entry.attributes = _attributes(block, records)
        if sparse := read_map(records, self._data, size) if records else None:
            if flag in WITHOUT_DATA:
                raise LayerError("a sparse file that is not a file")
            entry.parts, entry.size, used = sparse
            entry.name = records.get("GNU.sparse.name") or entry.name
            self._left -= used
        return entry


def _checksum_fits(block: bytes) -> bool:
    """Whether the checksum is that of the header, in which the checksum itself counts as spaces."""
    rest = block[:148] + block[156:]
    unsigned, stated = sum(rest) + 8 * ord(" "), _octal(block[148:156])
    # Sun's tar added signed bytes.
    return stated == unsigned or stated == unsigned - 256 * sum(byte > 127 for byte in rest)


def _name(block: bytes) -> str:
    """The name in a header, with the prefix of the formats that have one."""
    name, magic = _string(block[:100]), block[257:263]
    prefix = ""
    if magic == b"ustar\0":
        prefix = _string(block[345:476] if block[508:512] == b"tar\0" else block[345:500])
    elif block[257:265] == b"ustar  \0" and not (_is_number(block[345:357]) and _is_number(block[357:369])):
        prefix = _string(block[345:500])  # as Go before 1.8 wrote it, where GNU tar has times
        prefix = prefix if prefix.isascii() else ""
    return f"{prefix}/{name}" if prefix else name


def _is_number(data: bytes) -> bool:
    """Whether a field is empty or a number."""
    try:
        return data[0] == 0 or _numeric(data) is not None
    except LayerError:
        return False


def _attributes(block: bytes, records: Mapping[str, str]) -> Attributes:
    """Permissions, owners and time of an entry, each 0 where it cannot be read."""

    def read(name: str, field: bytes) -> int:
        try:
            return int(float(records[name])) if records.get(name) else _numeric(field)
        except (LayerError, ValueError, OverflowError):
            return 0

    return Attributes(
        read("", block[100:108]) & 0o7777, read("uid", block[108:116]), read("gid", block[116:124]),
        read("mtime", block[136:148]),
    )  # fmt: skip


def _numeric(data: bytes) -> int:
    """A number in octal, or in base 256 if the first bit is set; that is a two's complement."""
    if not data[0] & 0x80:
        return _octal(data)
    value = int.from_bytes(data, "big")
    bits = 8 * len(data)
    value = value - (1 << bits) if data[0] & 0x40 else value & ~(1 << (bits - 1))
    if not -(1 << 63) <= value < 1 << 63:
        raise LayerError("a header with a number of more than 64 bits")
    return value


def _octal(data: bytes) -> int:
    text = data.strip(b" \0").partition(b"\0")[0]
    if text and not text.isdigit():
        raise LayerError("a header with a number that is not one, or not a tar file")
    try:
        return int(text or b"0", 8)
    except ValueError:
        raise LayerError("a header with a number that is not one, or not a tar file") from None


def _string(data: bytes) -> str:
    """The text up to the first zero byte."""
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _records(data: bytes) -> dict[str, str]:
    """PAX records, each as "<length> <key>=<value>" and a line feed. Those of sparse format 0.0 become the one of format 0.1."""
    records: dict[str, str] = {}
    sparse: list[tuple[str, str]] = []
    start = 0
    while start < len(data):
        length, space, _ = data[start : start + 20].partition(b" ")
        end = start + (int(length) if space and length.isdigit() else 0)
        record = data[start + len(length) + 1 : end]
        key, equals, value = record[:-1].partition(b"=")
        if not record.endswith(b"\n") or end > len(data) or not equals or not key:
            raise LayerError("an invalid PAX header")
        name, text = (part.decode("utf-8", "surrogateescape") for part in (key, value))
        if "\0" in (text if name in ("path", "linkpath", "uname", "gname") else name):
            raise LayerError("an invalid PAX header")
        if name in ("GNU.sparse.offset", "GNU.sparse.numbytes"):
            sparse.append((name, text))
        else:
            records[name] = text
        start = end
    if sparse:
        records["GNU.sparse.map"] = record_map(sparse)
    return records
