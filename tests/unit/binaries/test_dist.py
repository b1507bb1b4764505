import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import ARM64, Recorder, context, sysroot

from buildlib import __version__
from buildlib.binaries import dist, publishing
from buildlib.binaries.start import NOT_STARTED, Started
from buildlib.core.errors import BuildError, Refused
from buildlib.elf.facts import Facts, digest
from buildlib.images.binary_image import gated_binaries
from buildlib.machine.workspace import Component

DIST = Path("/w/dist")
FACTS = {
    "machine": 183, "bits": 64, "little": True, "flags": 0, "kind": "ET_DYN", "loader": "/lib/ld-linux-aarch64.so.1",
    "glibc": "2.28", "needed": ["libc.so.6"], "rpath": "", "arm": 0,
}  # fmt: skip


def entry(arch, binary, sha256="aa", minimum_glibc="2.31", **changes):
    return {
        "arch": arch, "binary": binary, "path": f"{arch}/{binary}", "target": "t", "backend": "zig", "floor": minimum_glibc,
        "toolchain": "rustc 1.95.0 (rustup)", "profile": "release", "size": 1, "sha256": sha256, "facts": FACTS,
        "started": "--version", "cpu": "cortex-a53", "pages": "64 KiB", "seconds": 1.5,
    } | changes  # fmt: skip


def manifest(*binaries):
    return json.dumps({"schema": 1, "buildlib": "0.1.0", "binaries": binaries})


def test_new_entries_replace_those_of_the_same_binary_and_keep_the_others():
    old = [entry("arm64", "a"), entry("armv7", "a")]
    new = [entry("arm64", "a", "bb"), entry("arm64", "b", "cc")]
    act = publishing.update(DIST, Path("/w/Cargo.toml"), old, new, {"arm64/b": Path("/t/b")})
    assert act.as_old_as == Path("/w/Cargo.toml")
    assert act.copies == ((Path("/t/b"), DIST / "arm64/b"),)
    written, sums = act.writes
    assert (written.path, sums.path) == (DIST / "manifest.json", DIST / "SHA256SUMS")
    assert json.loads(written.text) == {"schema": 1, "buildlib": __version__, "binaries": [*new, old[1]]}
    assert sums.text == "bb  arm64/a\ncc  arm64/b\naa  armv7/a\n"
    assert dist.entries(written.text) == [*new, old[1]]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "1", '"binaries"', '{"schema": 99, "binaries": []}', '{"binaries": []}', '{"schema": 1}',
        '{"schema": 1, "binaries": null}', '{"schema": 1, "binaries": {"a": {}}}', '{"schema": 1, "binaries": "abc"}',
        "[" * 100_000, '{"schema": 1, "binaries": [' + '{"facts": ' * 100_000,
    ],
    ids=lambda text: text[:32],
)  # fmt: skip
def test_a_text_that_is_not_a_manifest_counts_as_empty(text):
    assert dist.entries(text) == []


@pytest.mark.parametrize(
    "broken",
    [
        None, 1, [], {}, {"path": "arm64/a"},
        {key: value for key, value in entry("arm64", "a").items() if key != "facts"},
        entry("arm64", "a", size="1"), entry("arm64", "a", facts=[]), entry("arm64", "a", facts=FACTS | {"needed": [1]}),
        entry("arm64", "a", minimum_glibc="x"), entry("arm64", "a", minimum_glibc="9" * 5000),
        entry("arm64", "a", path="arm64/b"), entry("..", "a"), entry("arm64", ".."), entry(".", "a"), entry("", "a"),
        entry("arm64", ""), entry("", ""), entry("arm64/..", "a"), entry("/etc", "passwd"), entry("arm64", "../../a"),
        entry("arm64", "a\nb"), entry("arm64", "a\0"),
    ],
    ids=repr,
)  # fmt: skip
def test_an_entry_that_is_not_valid_is_left_out(broken):
    good = entry("arm64", "good")
    assert dist.entries(manifest(broken, good)) == [good]


def test_an_entry_with_half_a_surrogate_pair_is_not_a_manifest():
    assert dist.entries(manifest(entry("arm64", "a")).replace('"t"', '"\\ud800"')) == []


@pytest.mark.parametrize("data", [b"\xff", b"[]", b"[" * 100_000, manifest({"path": "arm64/a"}).encode()])
def test_image_refuses_binaries_that_a_broken_manifest_does_not_list(machine, tmp_path, data):
    (tmp_path / "dist" / "arm64").mkdir(parents=True)
    (tmp_path / "dist" / "arm64" / "a").write_text("")
    (tmp_path / "dist" / "manifest.json").write_bytes(data)
    component = Component(name="a", package="a", version="1.0.0")
    with pytest.raises(Refused) as caught:
        gated_binaries(context(machine(), Recorder(), root=tmp_path), component, (ARM64,))
    assert caught.value.message.startswith(f"{tmp_path}/dist/arm64/a: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys((*entry("a", "b"), "kind"), JSON | st.sampled_from(["arm64", "a", "arm64/a", "cdylib"]))
)
ALMOST = st.builds(lambda changes: entry("arm64", "a") | changes, ENTRY)
MANIFEST = st.fixed_dictionaries({"schema": st.just(1) | JSON, "binaries": st.lists(ALMOST | ENTRY | JSON) | JSON})


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(MANIFEST | JSON)
def test_whatever_the_manifest_contains_its_entries_are_valid_and_inside_of_dist(data):
    for valid in dist.entries(json.dumps(data)):
        assert valid.keys() - {"kind"} == entry("a", "b").keys()
        path = DIST / valid["path"]
        assert path.parent.parent == DIST and ".." not in path.parts
        assert dist.entries(manifest(valid)) == [valid]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.binary(max_size=60))
def test_whatever_bytes_the_manifest_has_it_is_read(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("dist")
    (folder / "manifest.json").write_bytes(data)
    assert dist.read(folder) == []


LIBRARY = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="", glibc="2.28", needed=("libc.so.6",), rpath="", arm=0,
    size=7, sha256="aa", soname="liba.so.1",
)  # fmt: skip


def test_a_library_has_its_kind_and_soname_and_a_program_the_keys_it_always_had(compiled):
    _, build, _ = compiled()
    library = dist.entry(build, "liba.so", "release", LIBRARY, NOT_STARTED, 1.23, "cdylib")
    facts = FACTS | {"loader": "", "soname": "liba.so.1"}
    assert library == {
        "arch": build.target.name, "binary": "liba.so", "path": f"{build.target.name}/liba.so", "target": build.target.triple,
        "backend": "zig", "floor": "", "toolchain": "rustc 1.95.0 (rustup)", "profile": "release", "size": 7, "sha256": "aa",
        "facts": facts, "started": "", "seconds": 1.2, "kind": "cdylib",
    }  # fmt: skip
    program = dist.entry(
        build, "a", "release", replace(LIBRARY, soname=""), Started("--version", "cortex-a53", "64 KiB"), 1.23
    )
    assert program.keys() == entry("a", "b").keys() and program["facts"].keys() == FACTS.keys()
    assert dist.entries(manifest(library, program)) == [library, program]
    assert [dist.kind_of(each) for each in (library, program, entry("a", "b", kind="bin"))] == ["cdylib", "bin", "bin"]


@pytest.mark.parametrize("changes", [{"kind": "dylib"}, {"kind": None}, {"facts": FACTS | {"soname": 1}}])
def test_an_entry_of_an_unknown_kind_is_left_out(changes):
    assert dist.entries(manifest(entry("arm64", "a", **changes))) == []


@pytest.mark.parametrize("kind", ["bin", "example", "cdylib", "staticlib"])
def test_an_entry_of_another_kind_is_not_the_same_file(compiled, tmp_path, kind):
    _, build, _ = compiled()
    (same := tmp_path / "a").write_bytes(b"content")
    (other_name := tmp_path / "b").write_bytes(b"content")
    facts = replace(LIBRARY, size=7, sha256=digest(same))
    old = [dist.entry(build, "a", "release", facts, NOT_STARTED, 1.23, each) for each in dist.KINDS]
    assert dist.unchanged(old, build, same, kind) == old[dist.KINDS.index(kind)]
    assert dist.unchanged([each for each in old if dist.kind_of(each) != kind], build, same, kind) is None
    assert dist.unchanged(old, build, other_name, kind) is None
    for content in (b"CONTENT", b"more content"):
        same.write_bytes(content)
        assert dist.unchanged(old, build, same, kind) is None


def test_a_fifo_in_the_place_of_the_manifest_is_one_error(tmp_path):
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(BuildError) as caught:
        dist.read(tmp_path)
    assert (caught.value.message, caught.value.help) == (f"{tmp_path}/manifest.json: not a regular file", "remove it")


def test_a_dangling_link_in_the_place_of_the_manifest_is_no_manifest(tmp_path):
    (tmp_path / "manifest.json").symlink_to("absent")
    assert dist.read(tmp_path) == []


def test_a_directory_without_a_manifest_has_no_entries(tmp_path):
    assert dist.read(tmp_path) == dist.read(tmp_path / "absent") == []


def test_a_file_in_the_place_of_dist_is_one_error(tmp_path):
    (tmp_path / "dist").write_text("")
    with pytest.raises(BuildError) as caught:
        dist.read(tmp_path / "dist")
    assert (caught.value.message, caught.value.help) == (
        f"{tmp_path}/dist: a file, expected a directory", "remove it, or choose another directory with --dist",
    )  # fmt: skip


LIBS = [
    {
        "name": name,
        "package": "libssl3",
        "version": "3.0-1",
        "path": f"arm64/a.libs/{name}",
        "size": size,
        "sha256": sha256,
    }
    for name, size, sha256 in (("libcrypto.so.3", 2, "bb"), ("libssl.so.3", 1, "aa"))
]


def test_an_entry_lists_the_system_libraries_that_its_file_loads():
    loads = {"facts": {**FACTS, "needed": ["libssl.so.3", "libc.so.6"]}}
    listed = dist.with_libraries(entry("arm64", "a", **loads), sysroot())
    assert listed == entry("arm64", "a", **loads, libraries=LIBS)
    assert dist.entries(manifest(listed)) == [listed]
    assert dist.with_libraries(listed, None) == dist.with_libraries(entry("arm64", "a", **loads), sysroot(libraries={}))
    assert dist.with_libraries(entry("arm64", "a"), sysroot()) == entry("arm64", "a")


def test_libraries_are_published_beside_their_program_and_removed_with_it():
    old = [entry("arm64", "a", libraries=LIBS), entry("arm64", "b")]
    update = publishing.update(DIST, Path("/w/Cargo.toml"), old, [entry("arm64", "a", "cc", libraries=LIBS[1:])], {})
    assert update.removes == (DIST / "arm64/a.libs/libcrypto.so.3", DIST / "SHA256SUMS.sigstore.json")
    assert update.writes[1].text == "cc  arm64/a\naa  arm64/a.libs/libssl.so.3\naa  arm64/b\n"


@pytest.mark.parametrize(
    "change",
    [{"path": "arm64/libssl.so.3"}, {"name": "../x", "path": "arm64/a.libs/../x"}, {"name": "a\nb", "path": "arm64/a.libs/a\nb"},
     {"size": "1"}, {"name": "", "path": "arm64/a.libs/"}],
)  # fmt: skip
def test_libraries_outside_of_their_directory_are_no_entry(change):
    assert dist.entries(manifest(entry("arm64", "a", libraries=[LIBS[0] | change]))) == []


def test_an_image_is_not_made_of_libraries_that_nobody_checked(machine, tmp_path):
    """They are checked as the program is: bytes that the manifest does not list, and a file that is missing."""
    folder = tmp_path / "dist" / "arm64"
    (folder / "a.libs").mkdir(parents=True)
    (folder / "a").write_bytes(b"program")
    (folder / "a.libs" / "libssl.so.3").write_bytes(b"library")
    listed = LIBS[1] | {"sha256": digest(folder / "a.libs" / "libssl.so.3")}
    program = entry("arm64", "a", digest(folder / "a"), libraries=[listed])
    (tmp_path / "dist" / "manifest.json").write_text(manifest(program))
    component = Component(name="a", package="a", version="1")
    where = context(machine(), Recorder(), root=tmp_path)
    assert gated_binaries(where, component, (ARM64,)) == {ARM64: program}
    (folder / "a.libs" / "libssl.so.3").write_bytes(b"another")
    with pytest.raises(Refused, match=r"libssl\.so\.3: not the file that passed the gate"):
        gated_binaries(where, component, (ARM64,))
    (folder / "a.libs" / "libssl.so.3").unlink()
    with pytest.raises(Refused, match=r"libssl\.so\.3: not in dist/"):
        gated_binaries(where, component, (ARM64,))
