"""Layers on top of each other: whiteouts and links."""

import io
import tarfile
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.image_layers import file_system
from buildlib.image_layers.compression import Allowance, LayerError
from buildlib.image_layers.file_system import FileSystem, Layer

TYPES = {"->": tarfile.SYMTYPE, "=>": tarfile.LNKTYPE}


def layer(*lines, parents=True):
    """A layer from "usr/bin/" (a directory), "a content" (a file), "a! content" (an executable), "a -> b", "a => b" (a hard link).

    As BuildKit does, it has an entry for each directory above an entry, if `parents` is true.
    """
    out, made = io.BytesIO(), set()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for line in lines:
            name, _, rest = line.partition(" ")
            folders = name.strip("/").split("/")[:-1]
            for depth in range(1, len(folders) + 1) if parents else ():
                folder = "/".join(folders[:depth])
                if folder not in made and not line.startswith("."):
                    made.add(folder)
                    entry = tarfile.TarInfo(folder)
                    entry.type = tarfile.DIRTYPE
                    archive.addfile(entry)
            entry = tarfile.TarInfo(name.rstrip("/!"))
            entry.mode = 0o755 if name.endswith("!") else 0o644
            if rest[:2] in TYPES:
                entry.type, entry.linkname = TYPES[rest[:2]], rest[3:]
            elif name.endswith("/"):
                entry.type = tarfile.DIRTYPE
                made.add(name.rstrip("/"))
            elif rest == "fifo":
                entry.type = tarfile.FIFOTYPE
            entry.size = len(rest) if entry.type == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(rest.encode()))
    return out.getvalue()


class Image:
    """An image whose layers are files."""

    def __init__(self, *layers):
        self.layers = [Layer(f"sha256:{number:064}", self._opener(data)) for number, data in enumerate(layers)]

    def _opener(self, data):
        def opened():
            file = tempfile.TemporaryFile()  # noqa: SIM115  the reader closes it
            file.write(data)
            file.seek(0)
            return file

        return opened

    def __call__(self, path):
        """Path and content of a file, or path and kind of anything else; None if there is nothing."""

        files = FileSystem(self.layers)
        found = files.find(path)
        if found is None or found[1].file is None:
            return found and (found[0], found[1].kind)
        content = bytearray()
        for offset, piece in files.read(found[1]):
            content[offset : offset + len(piece)] = piece
        return found[0], content.decode()


def test_the_topmost_layer_counts():
    image = Image(layer("a/b one", "a/c one"), layer("a/b two"))
    assert (image("/a/b"), image("/a/c"), image("/a"), image("/x")) == (
        ("/a/b", "two"),
        ("/a/c", "one"),
        ("/a", "directory"),
        None,
    )


def test_the_last_of_several_entries_counts():
    assert Image(layer("a one", "a two"))("/a") == ("/a", "two")
    assert Image(layer("a one", "a -> b", "b two"))("/a") == ("/b", "two")
    assert Image(layer("a/ ", "a/b one", "a two"))("/a/b") is None


# --- whiteouts -----------------------------------------------------------------------------------------------------------------


def test_a_removed_file_is_gone():
    image = Image(layer("usr/bin/app one", "usr/bin/b one"), layer("usr/bin/.wh.app "))
    assert (image("/usr/bin/app"), image("/usr/bin/b"), image("/usr/bin/.wh.app")) == (
        None,
        ("/usr/bin/b", "one"),
        None,
    )


def test_a_removed_directory_is_gone_with_its_content():
    image = Image(layer("a/b/c one", "a/d one"), layer("a/.wh.b "))
    assert (image("/a/b/c"), image("/a/b"), image("/a/d")) == (None, None, ("/a/d", "one"))


def test_a_file_that_was_removed_and_added_again_is_there():
    assert Image(layer("a/b one"), layer("a/.wh.b "), layer("a/b three"))("/a/b") == ("/a/b", "three")
    assert Image(layer("a/b/c one"), layer("a/.wh.b "), layer("a/b/d three"))("/a/b/c") is None


@pytest.mark.parametrize("lines", [("a/.wh.b ", "a/b/ ", "a/b/d two"), ("a/b/ ", "a/b/d two", "a/.wh.b ")])
def test_a_whiteout_hides_nothing_of_its_own_layer(lines):
    """In whatever order: the directory was replaced."""
    image = Image(layer("a/b/c one", "a/b/e/f one"), layer(*lines))
    assert (image("/a/b/c"), image("/a/b/d"), image("/a/b/e")) == (None, ("/a/b/d", "two"), None)


@pytest.mark.parametrize(
    "lines",
    [("a/ ", "a/.wh..wh..opq ", "a/b/c/foo two"), ("a/ ", "a/b/ ", "a/b/c/ ", "a/b/c/foo two", "a/.wh..wh..opq ")],
)
def test_an_opaque_directory_hides_what_is_below(lines):
    """The example of the specification (layer.md)."""
    image = Image(layer("a/b/c/bar one", "a/x one", "y one"), layer(*lines))
    assert [image(f"/a/{name}") for name in ("b/c/bar", "x", "b/c/foo", ".wh..wh..opq")] == [
        None,
        None,
        ("/a/b/c/foo", "two"),
        None,
    ]
    assert image("/y") == ("/y", "one")


def test_an_opaque_root():
    assert Image(layer("a one"), layer(".wh..wh..opq ", "b two"))("/a") is None


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh..."])
def test_a_whiteout_of_nothing_is_an_error(name):
    with pytest.raises(LayerError, match=r"layer sha256:000000000000 cannot be read: .*: a whiteout of nothing"):
        Image(layer(f"a/{name} "))("/a")


def test_a_directory_that_replaces_a_file_hides_nothing_else():
    assert Image(layer("a/b one"), layer("a two"), layer("a/c three"))("/a/b") is None
    assert Image(layer("a/b one"), layer("a/c three"))("/a/b") == ("/a/b", "one")


# --- links -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("real", "/usr/bin/real"), ("./real", "/usr/bin/real"), ("../lib/real", "/usr/lib/real"), ("/opt/real", "/opt/real"),
        ("../../opt/real", "/opt/real"), ("../../../../../../opt/real", "/opt/real"), ("/../../opt/real", "/opt/real"),
        ("../../etc/../opt//real", "/opt/real"), ("none", None), ("/opt", "/opt"), ("../..", "/"), ("real/", None), ("real/..", None),
    ],
)  # fmt: skip
def test_a_symbolic_link_stays_in_the_image(link, target):
    """As for a process in a container: the root is the image's, whatever the link says."""
    base = layer("usr/bin/real file", "usr/lib/real file", "opt/real file", "etc/x file")
    image = Image(base, layer(f"usr/bin/app -> {link}"))
    found = image("/usr/bin/app")
    assert (found and found[0]) == target


def test_links_between_directories_of_several_layers():
    """Merged /usr, of which the program's layer knows nothing."""
    base = layer("usr/bin/sh sh", "bin -> usr/bin", "sbin -> bin")
    image = Image(base, layer("usr/bin/app app"))
    assert (image("/bin/app"), image("/sbin/app"), image("/bin/sh")) == (
        ("/usr/bin/app", "app"), ("/usr/bin/app", "app"), ("/usr/bin/sh", "sh"),
    )  # fmt: skip


def test_an_entry_below_a_link_is_where_the_link_leads():
    """A layer without entries for directories, as bazel and ko write them."""
    image = Image(layer("usr/bin/sh sh", "bin -> usr/bin"), layer("bin/app app", parents=False))
    assert (image("/usr/bin/app"), image("/bin/app"), image("/bin/sh")) == (
        ("/usr/bin/app", "app"), ("/usr/bin/app", "app"), ("/usr/bin/sh", "sh"),
    )  # fmt: skip


def test_a_directory_that_replaces_a_link():
    image = Image(layer("usr/bin/sh sh", "bin -> usr/bin"), layer("bin/app app"))
    assert (image("/usr/bin/app"), image("/bin/app"), image("/bin/sh")) == (None, ("/bin/app", "app"), None)


def test_names_that_lead_out_of_the_image_do_not():
    image = Image(layer("../../x one", "/y two", "a/../../z three", "./w four", parents=False))
    assert [image(f"/{name}") for name in "xyzw"] == [("/x", "one"), ("/y", "two"), ("/z", "three"), ("/w", "four")]


@pytest.mark.parametrize(
    "lines", [("a -> a",), ("a -> b", "b -> a"), ("a -> ./a/x",), tuple(f"{n} -> {n + 1}" for n in range(50))]
)
def test_a_loop_of_links_is_an_error(lines):
    start = lines[0].partition(" ")[0]
    with pytest.raises(LayerError, match=r"^a loop of symbolic links, or a chain of more than 40$"):
        Image(layer(*lines))(f"/{start}")
    with pytest.raises(LayerError, match=r": a loop of symbolic links, or a chain of more than 40$"):
        Image(layer(*lines, f"{start}/x file", parents=False))("/b")


def test_a_chain_of_40_links_is_followed():
    assert Image(layer(*(f"{n} -> {n + 1}" for n in range(40)), "40 end"))("/0") == ("/40", "end")


def test_a_link_that_engines_follow_differently_is_an_error():
    """Where an entry below it belongs, not when it is only followed."""
    base = layer("x -> usr/lib", "usr/lib/ ", "usr/b/ ", "b/ ", "l -> x/../b")
    assert Image(base)("/l") == ("/usr/b", "directory")
    with pytest.raises(LayerError, match=r"l/f: a link to x/../b, which engines follow differently$"):
        Image(base, layer("l/f file", parents=False))("/l")


def test_hard_links():
    base = layer("a/b! one", "c => a/b", "d => ./c", "s -> a/b", "e => s", "f => /a/b")
    image = Image(base, layer("a/b two"))
    assert [image(f"/{name}") for name in ("c", "d", "e", "f", "a/b")] == [
        ("/c", "one"), ("/d", "one"), ("/a/b", "two"), ("/f", "one"), ("/a/b", "two"),
    ]  # fmt: skip


def test_a_hard_link_to_a_file_of_a_layer_below():
    image = Image(layer("a one"), layer("b => a"), layer(".wh.a "))
    assert (image("/b"), image("/a")) == (("/b", "one"), None)
    assert Image(layer("a one", "x/ "), layer("x/y => ../../a"))("/x/y") == ("/x/y", "one")


@pytest.mark.parametrize(
    "lines", [("a => b",), ("a => a",), ("b/ ", "a => b"), ("a => .",), ("l -> l", "a => l/x"), ("f file", "a => f/x")]
)
def test_a_hard_link_to_nothing_is_an_error(lines):
    with pytest.raises(LayerError):
        Image(layer(*lines))("/a")


def test_all_names_of_a_file_are_executable_or_none():
    def executable(files):
        return [files.find(f"/{name}")[1].is_executable for name in "abcd"]

    assert executable(FileSystem(Image(layer("a! x", "b! => a", "c => b", "d/ ")).layers)) == [False] * 4
    assert executable(FileSystem(Image(layer("a x", "b => a", "c! => b", "d -> a")).layers)) == [True] * 4


# --- other files, errors, limits ---------------------------------------------------------------------------------------------


def test_other_kinds_of_files():
    assert Image(layer("a fifo", "b => a"))("/b") == ("/b", "other")


@pytest.mark.parametrize("path", ["/f/", "/f/.", "/f/..", "/f/x", "/d/none", "/none/..", ""])
def test_paths_that_lead_nowhere(path):
    expected = ("/", "directory") if path == "" else None
    assert Image(layer("f file", "d/ "))(path) == expected


def test_a_file_in_the_place_of_a_directory_is_an_error():
    with pytest.raises(LayerError, match=r"cannot be read: a/b: its directory is a file$"):
        Image(layer("a file", "a/b file", parents=False))("/a")


@pytest.mark.parametrize("line", [f"{'n' * 256} x", f"{'a/' * 2100}b x", f"a -> {'b/' * 2100}"])
def test_names_that_no_file_system_allows_are_an_error(line):
    with pytest.raises(LayerError, match=r"a name that no file system allows$"):
        Image(layer(line, parents=False))("/a")


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("MAX_NODES", 50, "the layers have more than 50 entries"),
        ("MAX_TEXT", 50, "the layers have more than 50 characters in names"),
        ("MAX_STEPS", 30, "the layers have too many links and directories"),
    ],
)
def test_the_number_of_entries_is_limited(monkeypatch, limit, value, reason):
    monkeypatch.setattr(file_system, limit, value)
    with pytest.raises(LayerError, match=f"{reason}$"):
        Image(layer(*(f"d{n}/f{n} x" for n in range(40))))("/d1")


def test_one_entry_may_be_many_directories(monkeypatch):
    monkeypatch.setattr(file_system, "MAX_NODES", 50)
    with pytest.raises(LayerError, match="more than 50 entries"):
        Image(layer("/".join("a" * 100), parents=False))("/a")


def test_whiteouts_of_a_large_directory_take_no_quadratic_time(monkeypatch):
    monkeypatch.setattr(file_system, "MAX_STEPS", 100_000)
    with pytest.raises(LayerError, match="too many links and directories"):
        Image(layer("a/ ", *(f"a/{n} x" for n in range(2000)), *["a/.wh..wh..opq "] * 2000))("/a")


def test_a_file_that_is_too_large_is_not_read(monkeypatch):
    monkeypatch.setattr(file_system, "MAX_FILE", 10)
    with pytest.raises(
        LayerError, match=r"^layer sha256:000000000000 cannot be read: a: 11 bytes, expected at most 10$"
    ):
        Image(layer("a 12345678901"))("/a")


def test_an_image_without_layers_is_empty():
    assert (Image()("/a"), Image()("/")) == (None, ("/", "directory"))


# --- names and entries ----------------------------------------------------------------------------------------------------------


def test_the_directory_of_a_layer_without_entries_for_directories_may_be_a_link_below():
    image = Image(layer("usr/bin/sh sh", "bin -> usr/bin"), layer("bin/app app", parents=False))
    assert image("/bin/app") == ("/usr/bin/app", "app")


NAMES = st.sampled_from(["a", "b", "usr"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
LINES = st.one_of(
    PATHS.map("{} file".format), PATHS.map("{}/ ".format),
    st.tuples(PATHS, st.sampled_from(["", "/", "../", "../../"]), PATHS).map(lambda t: f"{t[0]} -> {t[1]}{t[2]}"),
    st.tuples(PATHS, NAMES).map(lambda t: f"{t[0]}/.wh.{t[1]} "), PATHS.map("{}/.wh..wh..opq ".format),
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(lambda lines, parents: layer(*lines, parents=parents), st.lists(LINES, max_size=4), st.booleans()),
        max_size=5,
    ),
    PATHS,
)
def test_entries_that_are_known_give_the_same_answer(layers, path):
    def answer(entries=()):
        try:
            found = FileSystem(image.layers, entries).find(f"/{path}")
        except LayerError as error:
            return str(error)
        return found and (found[0], found[1].kind)

    def entries(layer):
        with file_system.reader(layer, Allowance()) as read:
            return list(read)

    image = Image(*layers)
    assert answer([entries(layer) for layer in image.layers]) == answer()


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=3))
def test_any_layers_are_files_or_an_error(layers):
    try:
        Image(*layers)("/a/b")
    except LayerError as error:
        assert "\n" not in str(error)


def test_nothing_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image(layer("a/b x", "../c x", f"{tmp_path}/d x", "l -> /", f"l{tmp_path}/e x", parents=False))("/a/b")
    assert list(tmp_path.iterdir()) == []
