"""Archives in the formats of GNU and BSD, written byte by byte; nothing in them is trusted."""

import tracemalloc
from pathlib import Path

import pytest
from elf_files import archive, arm_attributes, arm_object, header, member
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.elf import digest
from buildlib.elf.archive import is_archive, read
from buildlib.elf.facts import Facts, Objects, Unreadable
from buildlib.elf.object_file import Object

ARM64 = Object(machine=183, bits=64, little=True, flags=0, kind="ET_REL", arm=0)
BITCODE = b"BC\xc0\xde" + bytes(40)


@pytest.fixture
def file(tmp_path):
    def file(*members):
        (tmp_path / "libx.a").write_bytes(archive(*members))
        return tmp_path / "libx.a"

    return file


def names(path):
    return [(group.name, group.count) for group in read(path).objects]


def test_the_facts_are_those_of_the_objects(file):
    path = file(
        member("/", bytes(12)),
        member("a.o/", header(183)),
        member("b.o/", header(183) + b"x"),
        member("c.o/", header(183)),
    )
    assert read(path) == Facts(
        machine=183, bits=64, little=True, flags=0, kind="ET_REL", loader="", glibc="", needed=(), rpath="", arm=0,
        size=path.stat().st_size, sha256=digest(path), objects=(Objects(ARM64, "a.o", 3),),
    )  # fmt: skip
    assert is_archive(path)


def test_objects_are_grouped_by_what_they_are_compiled_for(file):
    arm = arm_object(arm_attributes({6: 10, 23: 3, 28: 1}))
    path = file(
        member("open.o/", arm_object(b"")), member("a.o/", arm), member("b.o/", arm), member("x.o/", header(62)),
        member("bit.o/", BITCODE), member("bit2.o/", BITCODE), member("bit3.o/", BITCODE),
    )  # fmt: skip
    facts = read(path)
    assert [(group.name, group.count, group.object.kind, group.object.arm) for group in facts.objects] == [
        ("a.o", 2, "ET_REL", 10), ("open.o", 1, "ET_REL", 0), ("x.o", 1, "ET_REL", 0),
        ("bit.o", 3, "LLVM bitcode (linker-plugin-lto)", 0),
    ]  # fmt: skip
    assert (facts.machine, facts.flags, facts.arm) == (40, 0x5000400, 10)


@pytest.mark.parametrize(
    ("members", "name"),
    [
        (
            [member("//", b"a_name_of_many_letters.o/\nother_long_name.o/\n"), member("/0", header(183))],
            "a_name_of_many_letters.o",
        ),
        (
            [member("//", b"a_name_of_many_letters.o/\nother_long_name.o/\n"), member("/26", header(183))],
            "other_long_name.o",
        ),
        ([member("//", b"dir/x.o/\n"), member("/0", header(183))], "dir/x.o"),
        ([member("/SYM64/", bytes(20)), member("a.o/", header(183))], "a.o"),
        ([member("__.SYMDEF", bytes(20)), member("a.o", header(183))], "a.o"),
        ([member("#1/20", b"a_long_name.o".ljust(20, b"\0") + header(183))], "a_long_name.o"),
        ([member("#1/12", b"__.SYMDEF".ljust(12, b"\0") + bytes(9)), member("a.o", header(183))], "a.o"),
        ([member("/home/x.o", header(183))], "/home/x.o"),
        ([member("a\nb.o/", header(183))], "a?b.o"),
        ([member(b"\xff.o/", header(183))], "\ufffd.o"),
        ([member("README/", b"text"), member("empty/", b""), member("a.o/", header(183))], "a.o"),
    ],
)
def test_names_and_special_members(file, members, name):
    assert names(file(*members)) == [(name, 1)]


def test_the_last_member_may_lack_its_padding(file):
    path = file(member("a.o/", header(183) + b"x"))
    path.write_bytes(path.read_bytes()[:-1])
    assert names(path) == [("a.o", 1)]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "no code in the archive, expected ELF object files"),
        ([member("README/", b"text"), member("/", bytes(8))], "no code in the archive, expected ELF object files"),
        ([member("a.o/", BITCODE)], "LLVM bitcode (linker-plugin-lto) in the archive, expected ELF object files"),
        ([member("a.o/", b"\xcf\xfa\xed\xfe")], "Mach-O in the archive, expected ELF object files"),
        ([member("a.o/", header(183), -60)], "broken archive ('-60       ' instead of a size)"),
        ([member("a.o/", header(183), "1_0")], "broken archive ('1_0       ' instead of a size)"),
        ([member("a.o/", header(183), "")], "broken archive ('          ' instead of a size)"),
        ([member("a.o/", header(183), 9999999999)], "broken archive (9999999999 bytes at 68 are not inside of 132)"),
        ([member("//", b"x", 9999999999)], "broken archive (9999999999 bytes at 68 are not inside of 70)"),
        ([member("a.o/", header(183), 3)], "broken archive (no header of a member at 72)"),
        ([member("/0", header(183))], "broken archive (no long name at 0)"),
        ([member("//", b"x.o/\n"), member("/9", header(183))], "broken archive (no long name at 9)"),
        ([member("#1/x", header(183))], "broken archive ('x' instead of a size)"),
        ([member("#1/999", header(183))], "broken archive (999 bytes at 0 are not inside of 64)"),
        ([member("a.o/", header(183)[:20])], "broken archive (a.o: 36 bytes at 16 are not inside of 20)"),
        ([member("a.o/", arm_object(bytes(1 << 17)))], "broken archive (a.o: .ARM.attributes of 131072 bytes)"),
        (
            [member("a.o/", header(183, flags=flags)) for flags in range(101)],
            "broken archive (objects of more than 100 kinds)",
        ),
        ([b"junk"], "broken archive (60 bytes at 8 are not inside of 12)"),
    ],
)
def test_what_cannot_be_checked_is_refused(file, members, message):
    path = file(*members)
    with pytest.raises(Unreadable) as caught:
        read(path)
    assert (caught.value.message, caught.value.code) == (f"{path}: {message}", 6)


def test_a_thin_archive_is_refused(file):
    """It has the paths of its objects, which may be anywhere."""
    path = file(member("/etc/passwd/", b""))
    path.write_bytes(path.read_bytes().replace(b"!<arch>", b"!<thin>"))
    with pytest.raises(Unreadable, match="a thin archive") as caught:
        read(path)
    assert is_archive(path) and caught.value.help == "create it without --thin"


def test_a_huge_archive_is_not_loaded(tmp_path):
    """The file is sparse: an Arm object of 9 GB, whose sections and names are as large."""
    content = bytearray(arm_object(b"A", count=0, first_size=0xFFFFFFFF))
    data = archive(member("//", b"", 4), b"a/\n\n", member("/0", bytes(content), 9 << 30))
    with (tmp_path / "libx.a").open("wb") as stream:
        stream.write(data)
        stream.truncate(10 << 30)
    tracemalloc.start()
    with pytest.raises(Unreadable):
        read(tmp_path / "libx.a")
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


MEMBER = st.builds(
    member,
    st.sampled_from(["a.o/", "/", "//", "/0", "/7", "#1/4", "#1/400", "/SYM64/", "a.o", ""]) | st.binary(max_size=16),
    st.sampled_from([header(183), arm_object(arm_attributes({6: 10})), BITCODE, b"long_name.o/\n", b""])
    | st.binary(max_size=80),
    st.none() | st.integers(-100, 300) | st.text("0123456789 -x", max_size=10),
)


def read_or_refuse(folder: Path, data: bytes):
    (folder / "x").write_bytes(data)
    try:
        facts = read(folder / "x")
    except Unreadable as error:
        assert error.code == 6 and "\n" not in error.message
    else:
        assert (
            facts.objects and facts.artifact == "staticlib" and all(group.name.isprintable() for group in facts.objects)
        )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.lists(MEMBER, max_size=4))
def test_any_members_are_read_or_refused(tmp_path_factory, members):
    read_or_refuse(tmp_path_factory.mktemp("fuzz"), archive(*members))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.data())
def test_a_changed_byte_is_read_or_refused(tmp_path_factory, data):
    whole = archive(
        member("/", bytes(6)), member("//", b"a_name_of_many_letters.o/\n"), member("/0", header(183)),
        member("b.o/", arm_object(arm_attributes({6: 10, 28: 1, 67: "2.09"}))),
    )  # fmt: skip
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_or_refuse(tmp_path_factory.mktemp("fuzz"), bytes(content[: data.draw(st.integers(8, len(content)))]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    read_or_refuse(tmp_path_factory.mktemp("fuzz"), b"!<arch>\n" + data)
