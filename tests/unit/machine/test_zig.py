"""The glibc versions that a zig has stubs of."""

from pathlib import Path

import pytest

from buildlib.machine import zig


def table(*versions, libraries=("m", "c")):
    names = b"".join(name.encode() + b"\0" for name in libraries)
    return (
        bytes((len(libraries), *names, len(versions), *(part for version in versions for part in version)))
        + b"\x05rest"
    )


@pytest.mark.parametrize(
    ("versions", "newest"),
    [([(2, 0, 0), (2, 44, 0), (2, 5, 1)], "2.44"), ([(2, 2, 6)], "2.2"), ([(3, 1, 0), (2, 99, 0)], "3.1")],
)
def test_the_newest_version_of_a_table(versions, newest):
    assert zig.newest_of(table(*versions)) == newest


@pytest.mark.parametrize("content", [None, b"", b"\x05abc", table(), b"\x00\x09\x02"])
def test_files_of_another_format_tell_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "lib/libc/glibc").mkdir(parents=True)
        (tmp_path / "lib/libc/glibc/abilists").write_bytes(content)
    assert zig.newest_glibc(tmp_path / "zig") == ""


def test_the_installed_zig_tells():
    ziglang = pytest.importorskip("ziglang")
    major, minor = zig.newest_glibc(Path(ziglang.__file__).parent / "zig").split(".")
    assert int(major) == 2 and int(minor) >= 42
