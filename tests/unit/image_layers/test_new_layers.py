"""New layers on a base image: BuildKit's bytes, and BuildKit's rules for links, owners and times."""

import gzip
import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import FileSystem, Layer
from buildlib.image_layers.new_layers import Addition, NewLayers
from buildlib.image_layers.tar import Attributes
from buildlib.image_layers.unpack import unpack
from buildlib.image_layers.writer import NewEntry, layer

EPOCH = 1_700_000_000
ROOT = Attributes(modified=EPOCH)


def base(*entries):
    """A base image with one layer of (name, type, link, mode, uid, gid, mtime)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link, mode, uid, gid, mtime in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.uid, info.gid, info.mtime = kind, link, mode, uid, gid, mtime
            tar.addfile(info)
    return FileSystem([Layer(f"sha256:{0:064x}", lambda: io.BytesIO(out.getvalue()))])


def listed(data):
    """The entries of a layer as Python's tarfile reads them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [(e.name, oct(e.mode), e.uid, e.gid, e.mtime, e.isdir()) for e in tar]


def test_an_empty_layer_is_two_empty_blocks():
    digest = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"  # which every Docker image with one has
    assert hashlib.sha256(layer([])).hexdigest() == digest


def test_a_layer_has_the_bytes_of_buildkit():
    """Digests of layers that BuildKit 0.25.1 made of the same files."""
    owner = Attributes(0o755, 2_000_000_000, 3_000_000, 1_790_000_000)
    long = "x" * 60
    entries = [
        NewEntry("conf", owner), NewEntry(f"conf/{long}", owner._replace(modified=1_557_014_400)),
        NewEntry(f"conf/{long}/{long}", owner), NewEntry(f"conf/{long}/{long}/{long}", owner._replace(mode=0o644), b"l\n"),
        NewEntry("conf/ü.txt", owner._replace(mode=0o644, modified=1_577_836_800), b"u\n"),
    ]  # fmt: skip
    digest = "1891ac473eb16e2445cb6bf27c199857d8b83410ea015ea4d1e9602948019795"
    assert hashlib.sha256(layer(reversed(entries))).hexdigest() == digest
    tmp = hashlib.sha256(layer([NewEntry("tmp", Attributes(0o777, modified=1_790_000_000))])).hexdigest()
    assert tmp == "6016f419d3b3c6005efe9dbb9c14111756b95c586ea36e5b4e690adf7bca737f"


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=150).filter(
    lambda name: name not in (".", "..")
)


@given(
    st.dictionaries(names, st.one_of(st.none(), st.binary(max_size=1500)), max_size=5),
    st.integers(0, 2**31 - 1), st.integers(0, 0o7777), st.integers(0, 2**33 - 1),
)  # fmt: skip
def test_any_layer_is_read_back(entries, number, mode, modified):
    attributes = Attributes(mode, number, number, modified)
    data = layer(NewEntry(name, attributes, content) for name, content in entries.items())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {
            member.name: (
                None if member.isdir() else tar.extractfile(member).read(),
                Attributes(member.mode, member.uid, member.gid, member.mtime),
            )
            for member in tar
        }
    assert found == {name: (content, attributes) for name, content in entries.items()}


OLD = 1_000_000_000
DIRECTORY, LINK, FILE = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.REGTYPE
ODD = (
    ("usr", DIRECTORY, "", 0o755, 0, 0, OLD),
    ("usr/bin", DIRECTORY, "", 0o750, 3, 4, OLD),
    ("bin", LINK, "usr/bin", 0o777, 0, 0, OLD),
    ("data", DIRECTORY, "", 0o700, 5, 6, OLD),
    ("link", LINK, "/data", 0o777, 0, 0, OLD),
    ("file", FILE, "", 0o644, 0, 0, OLD),
    ("loop", LINK, "loop", 0o777, 0, 0, OLD),
)


def test_links_are_followed_and_directories_keep_what_they_are():
    new = NewLayers(base(*ODD), EPOCH)
    program = Addition("/bin/app", Attributes(0o755, modified=EPOCH + 9), b"elf")
    assert listed(new.add([program])) == [
        ("usr", "0o755", 0, 0, OLD, True),  # nothing in it is new
        ("usr/bin", "0o750", 3, 4, EPOCH, True),
        ("usr/bin/app", "0o755", 0, 0, EPOCH, False),  # at most the time of the image
    ]
    owned = Attributes(0o755, 10, 11, EPOCH)
    assert listed(new.add([Addition("/data", owned)])) == []
    assert listed(new.add([Addition("/link/deep/volume", owned)])) == [
        ("data", "0o700", 5, 6, EPOCH, True), ("data/deep", "0o755", 10, 11, EPOCH, True),
        ("data/deep/volume", "0o755", 10, 11, EPOCH, True),
    ]  # fmt: skip
    # A later layer sees the earlier ones.
    assert listed(new.add([Addition("/data/deep/f", owned._replace(mode=0o600, modified=OLD), b"")])) == [
        ("data", "0o700", 5, 6, EPOCH, True), ("data/deep", "0o755", 10, 11, EPOCH, True),
        ("data/deep/f", "0o600", 10, 11, OLD, False),
    ]  # fmt: skip
    replaced = new.add([Addition("/file", owned, b"new")])
    assert listed(replaced) == [("file", "0o755", 10, 11, EPOCH, False)]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/usr/bin", b"", "/usr/bin is a directory in the base image"),
        ("/bin", b"", "/bin is a directory in the base image"),
        ("/file/app", b"", "/file/app: /file is a file in the base image"),
        ("/file/volume", None, "/file/volume: /file is a file in the base image"),
        ("/loop/app", b"", "a loop of symbolic links, or a chain of more than 40"),
    ],
)
def test_what_has_no_place_is_an_error(path, content, message):
    with pytest.raises(LayerError, match=message):
        NewLayers(base(*ODD), EPOCH).add([Addition(path, ROOT, content)])


def test_a_base_without_entries_for_directories_gets_the_usual_ones():
    new = NewLayers(base(("a/b/c", FILE, "", 0o644, 0, 0, OLD)), EPOCH)
    assert listed(new.add([Addition("/a/b/d", ROOT, b"")])) == [
        ("a", "0o755", 0, 0, EPOCH, True), ("a/b", "0o755", 0, 0, EPOCH, True), ("a/b/d", "0o755", 0, 0, EPOCH, False),
    ]  # fmt: skip


@pytest.mark.parametrize("field", ["uid", "gid", "mtime"])
def test_damaged_owners_and_times_of_a_base_image_count_as_0(field):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("d")
        info.type, info.pax_headers = tarfile.DIRTYPE, {field: "none"}
        tar.addfile(info)
    system = FileSystem([Layer(f"sha256:{0:064x}", lambda: io.BytesIO(out.getvalue()))])
    assert listed(NewLayers(system, EPOCH).add([Addition("/d/f", ROOT, b"")]))[0] == ("d", "0o644", 0, 0, EPOCH, True)


# --- on the disk --------------------------------------------------------------------------------------------------------


def opened(data):
    return Layer(f"sha256:{hashlib.sha256(data).hexdigest()}", lambda: io.BytesIO(data))


def test_an_image_is_unpacked_and_shares_the_files_of_its_base(tmp_path):
    lower = opened(gzip.compress(layer([
        NewEntry("etc", ROOT), NewEntry("etc/a", ROOT, b"a"), NewEntry("etc/b", ROOT._replace(mode=0o600), b"b"),
    ])))  # fmt: skip
    upper = opened(
        layer([NewEntry("etc/.wh.a", ROOT, b""), NewEntry("bin", ROOT), NewEntry("bin/p", ROOT, b"p" * 300_000)])
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    places = unpack(FileSystem([lower]), [lower], str(tmp_path / "one"), {})
    unpack(FileSystem([lower, upper]), [lower, upper], str(tmp_path / "two"), places)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"one/etc/a": b"a", "one/etc/b": b"b", "two/etc/b": b"b", "two/bin/p": b"p" * 300_000}
    assert (tmp_path / "one/etc/b").samefile(tmp_path / "two/etc/b")
    modes = [oct((tmp_path / name).stat().st_mode & 0o111) for name in ("two/etc/b", "two/bin/p")]
    assert modes == ["0o0", "0o111"]


def test_nothing_is_unpacked_outside_of_the_folder(tmp_path):
    """A link leads out of the image, and a later layer writes through it and through `..`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, link in (
            ("out", LINK, str(tmp_path)), ("up", LINK, "../../.."), ("../escaped", FILE, ""), ("/absolute", FILE, ""),
            ("up/high", FILE, ""), ("hard", tarfile.LNKTYPE, "../escaped"), ("device", tarfile.CHRTYPE, ""),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, link, 0o6755
            tar.addfile(info)
    one = opened(out.getvalue())
    two = opened(layer([NewEntry("out/through", ROOT, b"x")]))
    root = tmp_path / "a" / "root"
    root.mkdir(parents=True)
    unpack(FileSystem([one, two]), [one, two], str(root), {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert [path.name for path in root.parent.iterdir()] == ["root"]
    inside = {str(path.relative_to(root)) for path in root.rglob("*")}
    assert {"escaped", "absolute", "high", "hard"} <= inside and "device" not in inside
    assert (root / "escaped").stat().st_mode & 0o6000 == 0
