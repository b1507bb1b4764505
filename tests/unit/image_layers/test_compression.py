"""Layers are decompressed as far as they are allowed to, and refused otherwise."""

import bz2
import gzip
import io
import lzma
import random
import zlib

import pytest

from buildlib.image_layers import compression
from buildlib.image_layers.compression import Allowance, Decompressed, LayerError, zstd

DATA = random.Random(1).randbytes(100_000)
SKIPPABLE = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
COMPRESSED = {
    "none": DATA,
    "gzip": gzip.compress(DATA),
    "zstd": zstd.compress(DATA),
    "gzip members": gzip.compress(DATA[:9]) + gzip.compress(DATA[9:]),
    "zstd frames": zstd.compress(DATA[:9]) + zstd.compress(DATA[9:]),
    "zstd:chunked": zstd.compress(DATA) + SKIPPABLE,
    "zstd after a skippable frame": SKIPPABLE + zstd.compress(DATA),
}


def decompressed(data, allowance=None):
    return Decompressed(io.BytesIO(data), allowance or Allowance())


@pytest.mark.parametrize("data", COMPRESSED.values(), ids=COMPRESSED)
def test_a_layer_is_read_in_pieces(data):
    layer = decompressed(data)
    assert [layer.read(10), layer.skip(50), layer.read(0), layer.read(90_000)] == [DATA[:10], 50, b"", DATA[60:90_060]]
    assert [layer.read(10**9), layer.read(5), layer.skip(5)] == [DATA[90_060:], b"", 0]


@pytest.mark.parametrize(
    ("data", "name"), [(bz2.compress(DATA), "bzip2"), (lzma.compress(DATA), "xz"), (b"\x1f\x9dx", "compress")]
)
def test_other_compressions_are_refused_by_name(data, name):
    with pytest.raises(LayerError, match=f"^compressed with {name}, expected gzip, zstd or none$"):
        decompressed(data)


@pytest.mark.parametrize(
    "data",
    [
        COMPRESSED["gzip"][:-9],
        COMPRESSED["gzip"][:50_000],
        COMPRESSED["gzip"] + b"x",
        COMPRESSED["zstd"][:-9],
        COMPRESSED["zstd"][:3000],
        COMPRESSED["gzip"][:5000] + b"\xff" * 99 + COMPRESSED["gzip"][5099:],
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x09" + bytes(20),
        b"\x28\xb5\x2f\xfd" + b"\xff" * 20,
        COMPRESSED["gzip"][:-8] + bytes(8),
    ],
    ids=range(11),
)
def test_a_damaged_layer_is_an_error(data):
    with pytest.raises(LayerError) as caught:
        decompressed(data).read(10**9)
    assert str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_a_layer_without_end_is_refused(compress, monkeypatch):
    monkeypatch.setattr(compression, "FREE", 1 << 20)
    data = compress(bytes(50 << 20))
    allowance = Allowance()
    allowance.add(len(data))
    limit = (1 << 20) + 100 * len(data)
    with pytest.raises(LayerError, match=f"^decompresses to more than {limit} bytes, 100 times its size$"):
        decompressed(data, allowance).skip(1 << 60)
    assert allowance.left > -compression.BUFFER


def test_all_layers_of_an_image_share_what_is_allowed(monkeypatch):
    monkeypatch.setattr(compression, "FREE", 100_000)
    allowance = Allowance()
    assert decompressed(DATA, allowance).skip(60_000) == 60_000
    with pytest.raises(LayerError):
        decompressed(DATA, allowance).skip(60_000)


def test_the_memory_for_a_window_is_limited():
    """A frame that asks for a window of 1 GiB."""
    options = {zstd.CompressionParameter.window_log: 30, zstd.CompressionParameter.enable_long_distance_matching: 1}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(DATA) + compressor.flush()
    with pytest.raises(LayerError):
        decompressed(data).read(10)


def test_memory_does_not_grow_with_the_content():
    """One piece at a time, whatever the ratio."""
    layer, sizes = decompressed(zlib.compress(bytes(10), wbits=31)), []
    layer._source = type("Source", (), {"read": lambda _, size: sizes.append(size) or bytes(size)})()
    assert layer.skip(10 * compression.BUFFER + 1) == 10 * compression.BUFFER + 1
    assert max(sizes) == compression.BUFFER
