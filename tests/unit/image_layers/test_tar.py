"""Entries of tar files of all kinds, as Go's archive/tar reads them."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.image_layers import compression
from buildlib.image_layers.compression import Allowance, Decompressed, LayerError
from buildlib.image_layers.tar import Reader


def entries(data, contents=True):
    """(name, kind, link, executable, content) of each entry."""
    reader, found = Reader(Decompressed(io.BytesIO(data), Allowance())), []
    for entry in reader:
        content = bytearray(entry.size if entry.kind == "file" and contents else 0)
        for offset, piece in reader.content(entry) if entry.kind == "file" and contents else ():
            content[offset : offset + len(piece)] = piece
        found.append((entry.name, entry.kind, entry.link, entry.executable, bytes(content)))
    return found


def tar(*members, fmt=tarfile.PAX_FORMAT):
    """A tar file of (name, content or type, more fields)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for name, content, *fields in members:
            entry = tarfile.TarInfo(name)
            for field, value in dict(*fields).items():
                setattr(entry, field, value)
            if isinstance(content, bytes) and entry.type == tarfile.REGTYPE:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                archive.addfile(entry)
    return out.getvalue()


def header(name=b"a", size=b"0", flag=b"0", magic=b"ustar\x0000", link=b"", mode=b"644", prefix=b"", more=()):
    """One header with a right checksum. `more` has further fields: (offset, value)."""
    block = bytearray(512)
    fields = ((0, name), (100, mode), (124, size), (156, flag), (157, link), (257, magic), (345, prefix), *more)
    for offset, value in fields:
        block[offset : offset + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def pax(**records):
    """A PAX header with records, for the entry that follows."""
    data = b""
    for key, value in records.items():
        record = b" %s=%s\n" % (
            key.replace("__", ".").encode(),
            value if isinstance(value, bytes) else str(value).encode(),
        )
        size = len(record) + 1
        while len(record) + len(str(size)) != size:
            size += 1
        data += str(size).encode() + record
    return header(b"x", b"%o" % len(data), b"x") + padded(data)


def gnu(flag, text):
    return header(b"././@LongLink", b"%o" % (len(text) + 1), flag, b"ustar  \0") + padded(text + b"\0")


def failure(data):
    with pytest.raises(LayerError) as caught:
        entries(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_formats_of_tar(fmt):
    long = "/".join(["d" * 60] * 2 + ["f" * 60])
    data = tar(
        ("a/", b"", {"type": tarfile.DIRTYPE, "mode": 0o755}), ("a/f", b"content", {"mode": 0o100}),
        (long, b"x" * 600, {"mode": 0o644}), ("s", b"", {"type": tarfile.SYMTYPE, "linkname": "a/f", "mode": 0o777}),
        ("h", b"", {"type": tarfile.LNKTYPE, "linkname": "a/f"}), ("p", b"", {"type": tarfile.FIFOTYPE}),
        ("c", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}), ("b", b"", {"type": tarfile.BLKTYPE}),
        fmt=fmt,
    )  # fmt: skip
    assert entries(data) == [
        ("a/", "directory", "", True, b""), ("a/f", "file", "", True, b"content"),
        (long, "file", "", False, b"x" * 600), ("s", "symlink", "a/f", True, b""), ("h", "hard link", "a/f", False, b""),
        ("p", "other", "", False, b""), ("c", "other", "", False, b""), ("b", "other", "", False, b""),
    ]  # fmt: skip
    assert [entry[0] for entry in entries(data, contents=False)] == [entry[0] for entry in entries(data)]


def test_the_oldest_format_has_no_directories():
    data = header(b"d/", b"5", b"\0", b"") + header(b"f", b"3", b"\0", b"") + padded(b"abc")
    assert entries(data) == [("d/", "directory", "", False, b""), ("f", "file", "", False, b"abc")]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (header(b"name", prefix=b"prefix"), "prefix/name"),
        (header(b"name", prefix=b"p" * 155), f"{'p' * 155}/name"),
        (header(b"name", prefix=b"p" * 155, more=((508, b"tar\0"),)), f"{'p' * 131}/name"),  # star
        (header(b"name", magic=b"ustar  \0", prefix=b"0" * 11), "name"),  # GNU: a time is there
        (header(b"name", magic=b"ustar  \0", prefix=b"prefix"), "prefix/name"),  # of Go before 1.8
        (header(b"name", magic=b""), "name"),
        (pax(path="other") + header(b"name", prefix=b"prefix"), "other"),
        (pax(path="") + header(b"name"), "name"),
        (pax(path="first") + pax(mtime="1") + header(b"name"), "name"),  # the last header counts
        (gnu(b"L", b"long") + pax(path="other") + header(b"name"), "long"),
        (pax(path="other") + gnu(b"L", b"long") + header(b"name"), "long"),
        (gnu(b"L", b"") + header(b"name"), "name"),
        (header(b"\xff\xc3\xa4"), "\udcffä"),
        (pax(path="other") + header(b"g", flag=b"g") + header(b"name"), "name"),
    ],
)
def test_one_of_several_names_counts(data, name):
    assert entries(data)[-1][0] == name


def test_global_headers_do_not_apply():
    records = pax(path="other", size=3).replace(b"x", b"g", 1)
    block = bytearray(records[:512])
    block[156:157] = b"g"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert entries(bytes(block) + records[512:] + header(b"name")) == [("name", "file", "", False, b"")]


def test_links():
    long = b"t" * 300
    assert entries(header(flag=b"2", link=b"to"))[0][2] == "to"
    assert entries(pax(linkpath="pax") + header(flag=b"1", link=b"to"))[0][2] == "pax"
    assert entries(gnu(b"K", long) + header(flag=b"2", link=b"to"))[0][2] == long.decode()


@pytest.mark.parametrize("flag", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_only_files_have_data(flag):
    assert [entry[0] for entry in entries(header(size=b"1000", flag=flag) + header(b"next"))] == ["a", "next"]


@pytest.mark.parametrize(
    ("size", "content"),
    [(b"3", b"abc"), (b"00000000003", b"abc"), (b" 3 \0", b"abc"), (b"", b""), (b"\x80" + bytes(10) + b"\x03", b"abc")],
)
def test_sizes_are_octal_or_binary(size, content):
    assert entries(header(size=size) + (padded(b"abc") if content else b""))[0][4] == content


def test_a_size_of_pax_replaces_the_other():
    assert entries(pax(size=3) + header(size=b"0") + padded(b"abc"))[0][4] == b"abc"


@pytest.mark.parametrize(
    "end", [b"", bytes(512), bytes(1024), bytes(2048), bytes(1024) + b"anything", pax(path="x")], ids=len
)
def test_ends(end):
    assert [entry[0] for entry in entries(header() + end)] == ["a"]


def test_padding_may_be_missing_at_the_end():
    assert entries(header(size=b"3") + b"abc")[0][4] == b"abc"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no tar at all", "it ends in the middle of a header"),
        (b"x" * 512, "a header with a number that is not one, or not a tar file"),
        (bytes(512) + header(), "a block of zeros in the middle"),
        (header()[:-1], "it ends in the middle of a header"),
        (header(size=b"1000") + b"abc", "it ends in the middle of a file"),
        (header(size=b"9"), "a header with a number that is not one, or not a tar file"),
        (header(size=b"+3"), "a header with a number that is not one, or not a tar file"),
        (header(size=b"\xff" * 12), "a header with the size -1"),
        (header(size=b"\x80" + b"\xff" * 11), "a header with a number of more than 64 bits"),
        (header(flag=b"7"), "a: an entry of the unknown type '7'"),
        (header(flag=b"S"), "a: an entry of the unknown type 'S'"),
        (header(flag=b"\n"), "a: an entry of the unknown type '\\n'"),
        (header(flag=b"x", size=b"4000001"), "a header with the size 1048577"),
        (header(flag=b"L", size=b"77777777777"), "a header with the size 8589934591"),
        (header(flag=b"x", size=b"1000") + b"abc", "it ends in the middle of a header"),
        (header(flag=b"x", size=b"3") + padded(b"abc"), "an invalid PAX header"),
        (header(flag=b"x", size=b"6") + padded(b"6 a=b\n"), None),
        (header(flag=b"x", size=b"6") + padded(b"9 a=b\n"), "an invalid PAX header"),
        (header(flag=b"x", size=b"6") + padded(b"5 a=b\n"), "an invalid PAX header"),
        (header(flag=b"x", size=b"6") + padded(b"0 a=b\n"), "an invalid PAX header"),
        (header(flag=b"x", size=b"6") + padded(b"6 abc\n"), "an invalid PAX header"),
        (header(flag=b"x", size=b"6") + padded(b"6 =bc\n"), "an invalid PAX header"),
        (pax(path=b"a\0b") + header(), "an invalid PAX header"),
        (pax(**{"a\0b": "c"}) + header(), "an invalid PAX header"),
        (pax(size="x") + header(), "'x', expected a number"),
        (pax(size="-1") + header(), "'-1', expected a number"),
        (pax(size="9" * 5000) + header(), f"'{'9' * 20}', expected a number"),
        (bytes(1) + header()[1:], "a header with a wrong checksum, or not a tar file"),
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_archive_is_an_error(data, reason):
    if reason is None:
        assert entries(data) == []
    else:
        assert failure(data) == reason


def test_a_checksum_of_signed_bytes_fits():
    block = bytearray(header("ä".encode()))
    rest = bytes(block[:148] + b" " * 8 + block[156:])
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in rest)
    assert entries(bytes(block))[0][0] == "ä"


def test_many_headers_in_front_of_an_entry_are_read_in_a_loop():
    """tarfile reads them recursively."""
    assert entries(pax(comment="x") * 5000 + header(b"name"))[0][0] == "name"


# --- files with holes ------------------------------------------------------------------------------------------------------

HOLES = bytes(1000) + b"abc" + bytes(500) + b"defg" + bytes(2000)
SIZE, MAP, DATA = len(HOLES), (1000, 3, 1503, 4), b"abcdefg"


def sparse_1_0(numbers=MAP, size=SIZE, data=DATA, count=None):
    text = "".join(f"{number}\n" for number in (len(numbers) // 2 if count is None else count, *numbers)).encode()
    records = pax(GNU__sparse__major=1, GNU__sparse__minor=0, GNU__sparse__name="real", GNU__sparse__realsize=size)
    return records + header(b"fake", b"%o" % (len(padded(text)) + len(data))) + padded(text) + padded(data)


def sparse_0_1(numbers=MAP, size=SIZE, data=DATA, count=None, flag=b"0"):
    records = pax(
        GNU__sparse__major=0, GNU__sparse__minor=1,
        GNU__sparse__size=size, GNU__sparse__numblocks=len(numbers) // 2 if count is None else count,
        GNU__sparse__map=",".join(map(str, numbers)), GNU__sparse__name="real",
    )  # fmt: skip
    return records + header(b"fake", b"%o" % len(data), flag) + padded(data)


def sparse_0_0():
    """Its records have the same names again and again."""
    pairs = [("numblocks", 2), ("offset", 1000), ("numbytes", 3), ("offset", 1503), ("numbytes", 4), ("size", SIZE)]
    data = b""
    for key, value in pairs:
        record = f" GNU.sparse.{key}={value}\n"
        data += f"{len(record) + 2}{record}".encode()
    return header(b"x", b"%o" % len(data), b"x") + padded(data) + header(b"real", b"7") + padded(DATA)


@pytest.mark.parametrize("data", [sparse_1_0(), sparse_0_1(), sparse_0_0()], ids=["1.0", "0.1", "0.0"])
def test_a_file_with_holes(data):
    """GNU tar's and bsdtar's formats; the entry after it is found."""
    assert entries(data + header(b"next")) == [("real", "file", "", False, HOLES), ("next", "file", "", False, b"")]
    assert [entry[0] for entry in entries(data + header(b"next"), contents=False)] == ["real", "next"]


def test_a_file_of_nothing_but_a_hole():
    assert entries(sparse_0_1((), 700, b""))[0][4] == entries(sparse_1_0((), 700, b""))[0][4] == bytes(700)


@pytest.mark.parametrize("make", [sparse_1_0, sparse_0_1], ids=["1.0", "0.1"])
@pytest.mark.parametrize(
    "more",
    [
        {"numbers": (1503, 4, 1000, 3)}, {"numbers": (1000, 3, 1001, 4)}, {"numbers": (1000, 3, SIZE, 4)}, {"size": 1505},
        {"numbers": (1000, 3)}, {"data": DATA + b"x"}, {"data": b""}, {"count": 10**6}, {"count": "x"},
        {"numbers": (-1, 3, 1503, 4)}, {"numbers": (1000, 3, 1503, "y")}, {"size": "z"}, {"numbers": (1000, 3, 10**18, 4)},
    ],
    ids=str,
)  # fmt: skip
def test_a_map_that_does_not_fit_is_an_error(make, more):
    failure(make(**more) + bytes(1024))


def test_a_directory_has_no_map():
    assert failure(sparse_0_1((), 0, b"", flag=b"5")) == "a sparse file that is not a file"


def test_a_huge_file_of_holes_takes_no_memory():
    (entry,) = Reader(Decompressed(io.BytesIO(sparse_0_1((), 10**17, b"")), Allowance()))
    assert (entry.size, entry.parts) == (10**17, ())


# --- anything ----------------------------------------------------------------------------------------------------------------

VALID = [
    tar(("a/b", b"content"), ("s", b"", {"type": tarfile.SYMTYPE, "linkname": "a"}), ("x" * 300, b"y" * 700)),
    tar(("a/b", b"content"), ("x" * 300, b"y" * 700), fmt=tarfile.GNU_FORMAT),
    sparse_1_0(), sparse_0_1(), sparse_0_0(), header(b"n", prefix=b"p"),
]  # fmt: skip


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data) - 1))
        data[place] = draw(st.sampled_from([0, 32, 45, 48, 55, 57, 128, 255, *b"xgLKS01256=\n,"]))
        start = place // 512 * 512
        if draw(st.booleans()) and len(data) >= start + 512:  # a right checksum again
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


@given(st.one_of(mutated(), st.binary(max_size=1200), mutated().map(lambda data: data * 2)))
def test_any_bytes_are_entries_or_an_error(data):
    if data[:2] == compression.GZIP:
        return
    try:
        entries(data, contents=False)
    except LayerError as error:
        assert "\n" not in str(error)
