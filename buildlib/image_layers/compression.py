"""Decompress layers, with a limit for all layers of an image together."""

from __future__ import annotations

import gzip
import sys
import zlib
from typing import BinaryIO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP = b"\x1f\x8b"  # RFC 1952, 2.3.1
ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
# Bytes 1 to 3 of a skippable zstd frame (RFC 8878, 3.1.2), with which layers in the format zstd:chunked may begin.
SKIPPABLE = b"\x2a\x4d\x18"
OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x1f\x9d": "compress"}
# Compressors that are used for layers reach a ratio of 3 on programs. A file of zeros has 1,032 with gzip, and no limit with zstd.
FREE, RATIO = 1 << 30, 100  # bytes that any layers may have, and bytes for each compressed byte
# The exponent of zstd's window, for which memory is reserved: 128 MiB, the default of the reference implementation.
WINDOW_LOG = 27
BUFFER = 1 << 18  # bytes


class LayerError(Exception):
    """A layer that cannot be read, in one line. Container engines refuse most of these too."""


class Allowance:
    """How many bytes the layers of one image may have when they are decompressed."""

    def __init__(self) -> None:
        self.left, self.total = FREE, FREE

    def add(self, compressed: int) -> None:
        """Allow more for a layer of this many compressed bytes."""
        self.left, self.total = self.left + RATIO * compressed, self.total + RATIO * compressed

    def take(self, size: int) -> None:
        """Count bytes. LayerError if there are more than allowed."""
        self.left -= size
        if self.left < 0:
            raise LayerError(f"decompresses to more than {self.total} bytes, {RATIO} times its size")


class Decompressed:
    """A layer's tar file, decompressed while it is read, once and in order."""

    def __init__(self, file: BinaryIO, allowance: Allowance) -> None:
        start = file.read(6)
        file.seek(0)
        self._source, self._allowance = _open(file, start), allowance

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer at the end. LayerError for what cannot be decompressed, or has no end."""
        parts: list[bytes] = []
        while size:
            try:
                part = self._source.read(min(size, BUFFER))
            except (zlib.error, EOFError, gzip.BadGzipFile, zstd.ZstdError) as error:
                raise LayerError(str(error) or "it ends in the middle") from None
            if not part:
                break
            self._allowance.take(len(part))
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def skip(self, size: int) -> int:
        """Read `size` bytes and forget them. Returns how many there were."""
        left = size
        while left and (part := self.read(min(left, BUFFER))):
            left -= len(part)
        return size - left


def _open(file: BinaryIO, start: bytes) -> BinaryIO | gzip.GzipFile | zstd.ZstdFile:
    if start.startswith(GZIP):
        return gzip.GzipFile(fileobj=file, mode="rb")
    if start.startswith(ZSTD) or start[1:4] == SKIPPABLE:
        return zstd.ZstdFile(file, options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})
    for magic, name in OTHERS.items():
        if start.startswith(magic):
            raise LayerError(f"compressed with {name}, expected gzip, zstd or none")
    return file
