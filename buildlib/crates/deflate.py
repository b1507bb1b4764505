"""zlib's format (RFC 1950, RFC 1951), with the same bytes on every machine.

What `zlib.compress` returns depends on the library that Python was linked with: zlib-ng, which some distributions have in its
place, finds other matches than zlib. This is for small texts: 100 KB take 0.1 s. Lists of crates get to a seventh of their size,
with zlib's best level to a ninth.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterator

MIN_MATCH, MAX_MATCH, WINDOW = 3, 258, 1 << 15
# The smallest length and the smallest distance of each code, and how many bits follow it (RFC 1951, 3.2.5).
LENGTH_BITS = (*[0] * 8, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4, *[5] * 4, 0)
LENGTHS = (*(MIN_MATCH + sum(1 << bits for bits in LENGTH_BITS[:code]) for code in range(28)), MAX_MATCH)
DISTANCE_BITS = (0, 0, *(bits for bits in range(14) for _ in range(2)))
DISTANCES = tuple(1 + sum(1 << bits for bits in DISTANCE_BITS[:code]) for code in range(30))
END = 256
# The fixed codes: from each symbol on the first code, and its bits (RFC 1951, 3.2.6).
FIXED = ((0, 0x30, 8), (144, 0x190, 9), (256, 0, 7), (280, 0xC0, 8))


def compress(data: bytes) -> bytes:
    """Return `data` as a zlib stream of one block with fixed codes."""
    stream, size = 0b011, 3  # the last block, with fixed codes
    parts = bytearray(b"\x78\x9c")
    for value, bits in _codes(data):
        stream |= value << size
        size += bits
        while size >= 8:
            parts.append(stream & 0xFF)
            stream, size = stream >> 8, size - 8
    parts += bytes([stream]) if size else b""
    return bytes(parts) + zlib.adler32(data).to_bytes(4, "big")


def _codes(data: bytes) -> Iterator[tuple[int, int]]:
    """The values to write, each with its bits, the lowest bit first."""
    place = 0
    for length, distance in _matches(data):
        if distance:
            code = bisect_right(LENGTHS, length) - 1
            yield _symbol(257 + code)
            yield length - LENGTHS[code], LENGTH_BITS[code]
            code = bisect_right(DISTANCES, distance) - 1
            yield _reversed(code, 5)
            yield distance - DISTANCES[code], DISTANCE_BITS[code]
        else:
            yield _symbol(data[place])
        place += length
    yield _symbol(END)


def _matches(data: bytes) -> Iterator[tuple[int, int]]:
    """Length and distance of what was there before, as far as there is something; (1, 0) for a byte of its own."""
    latest: dict[bytes, int] = {}
    place = 0
    while place < len(data):
        start = latest.get(data[place : place + MIN_MATCH], place)
        length, distance = 1, place - start
        if 0 < distance <= WINDOW:
            length = MIN_MATCH
            while (
                length < MAX_MATCH
                and data[start + length : start + length + 1] == data[place + length : place + length + 1] != b""
            ):
                length += 1
        else:
            distance = 0
        yield length, distance
        for index in range(place, place + length):
            latest[data[index : index + MIN_MATCH]] = index
        place += length


def _symbol(symbol: int) -> tuple[int, int]:
    first, code, bits = next(row for row in reversed(FIXED) if row[0] <= symbol)
    return _reversed(code + symbol - first, bits)


def _reversed(code: int, bits: int) -> tuple[int, int]:
    """A code as it is written, its highest bit first."""
    return int(f"{code:0{bits}b}"[::-1], 2), bits
