"""A compressor whose result zlib reads, and which is the same on every machine."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.crates.deflate import MAX_MATCH, WINDOW, compress


@given(
    st.binary(max_size=2000)
    | st.text("ab\n", max_size=2000).map(str.encode)
    | st.lists(st.sampled_from([b"abc", b"cab", b"\0\xff"])).map(b"".join)
)
def test_zlib_reads_it(data):
    assert zlib.decompress(compress(data)) == data


def noise(size):
    return random.Random(7).randbytes(size)


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)),
        b"a" * (3 * MAX_MATCH + 1),
        *(noise(size) + b"here it is again" + noise(distance - 16) + b"here it is again"
          for size in (0, 5) for distance in (16, 17, 24576, 24577, WINDOW - 1, WINDOW, WINDOW + 1)),
        *(b"0" + noise(length) + b"1" + noise(length) + b"2" for length in range(3, 270)),
    ],
)  # fmt: skip
def test_every_length_and_the_limits_of_distances(data):
    assert zlib.decompress(compress(data)) == data


def test_the_bytes_are_these():
    """Another result for the same text would be another program from the same sources."""
    assert compress(b"") == bytes.fromhex("789c030000000001") == zlib.compress(b"")
    assert compress(b"serde serde_core serde").hex() == "789c2b4e2d4a49550093f1c9f94550260062390882"


def test_a_text_gets_smaller():
    text = "".join(f'{{"name":"crate-{n}","version":"1.{n}.0","source":"crates.io"}},' for n in range(300)).encode()
    assert len(compress(text)) < len(text) / 5
