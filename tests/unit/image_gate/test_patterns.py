"""Patterns of paths, and paths that differ only in the architecture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.image_gate import alternatives
from buildlib.image_gate.patterns import Patterns


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/usr/lib/firmware/**", "/usr/lib/firmware/a/b", True),
        ("/usr/lib/firmware/**", "/usr/lib/firmware", True),
        ("/usr/lib/firmware/**", "/usr/lib/firmwares/a", False),
        ("/usr/lib/firmware/*", "/usr/lib/firmware/a/b", False),
        ("/a/**/b", "/a/b", True),
        ("/a/**/b", "/a/c/d/b", True),
        ("/a/**/**/b", "/a/b", True),
        ("/a/*/b", "/a/c/d/b", False),
        ("**/b", "/a/c/b", True),
        ("b", "/a/c/b", True),
        ("lib?.so", "/x/liba.so", True),
        ("lib?.so", "/x/lib/.so", False),
        ("/a/[bc]", "/a/b", True),
        ("/a/[!bc]", "/a/b", False),
        ("/a[!b]c", "/a/c", False),
        ("/[", "/[", True),
        ("/a.so", "/abso", False),
        ("/a**b", "/a/x/b", False),
        ("*.jar", "/a/b.jar!/x.so", True),
        ("/a/b.jar!/x/**", "/a/b.jar!/x/y.so", True),
        ("/a/b.jar!/x/**", "/a/b.jar!/z/y.so", False),
        ("*.jar!/*.jar", "/a.jar!/b.jar!/x.so", True),
        ("/a\n/*", "/a\n/b\n", True),
    ],
)
def test_patterns(pattern, path, expected):
    assert Patterns((pattern,)).match(path) is expected


def test_no_pattern_matches_nothing():
    assert not Patterns(()).match("/a")


def test_one_of_several_patterns_is_enough():
    assert Patterns(("/a", "/b")).match("/b")


@given(
    st.lists(st.text(alphabet="/*?[]!ab.", min_size=1, max_size=12), max_size=3), st.text(alphabet="/ab.!", max_size=20)
)
def test_any_pattern(patterns, path):
    assert Patterns(patterns).match(path) in (True, False)


@given(st.text(alphabet="ab/.", min_size=1, max_size=20))
def test_a_pattern_without_wildcards_is_the_path_itself(path):
    assert Patterns((f"/{path}",)).match(f"/{path}")


ALTERNATIVES = [
    ("/a.jar!/META-INF/native/libnetty_x86_64.so", "/a.jar!/META-INF/native/libnetty_aarch_64.so"),
    ("/a.jar!/com/sun/jna/linux-x86-64/libj.so", "/a.jar!/com/sun/jna/linux-aarch64/libj.so"),
    ("/a.jar!/librocksdbjni-linux64.so", "/a.jar!/librocksdbjni-linux-aarch64.so"),
    ("/a.jar!/librocksdbjni-linux64-musl.so", "/a.jar!/librocksdbjni-linux-aarch64.so"),
    ("/a.jar!/org/sqlite/native/Linux/x86_64/libs.so", "/a.jar!/org/sqlite/native/Linux-Musl/aarch64/libs.so"),
    ("/a.jar!/linux64/libx.so", "/a.jar!/other/arm64/libx.so"),
    ("/n/prebuilds/linux-x64/a.node", "/n/prebuilds/linux-arm64/a.armv8.node"),
    ("/n/@img/sharp-linux-x64/lib/a.node", "/n/@img/sharp-linuxmusl-arm64/lib/a.node"),
    ("/usr/lib/x86_64-linux-gnu/liba.so.1", "/usr/lib/arm-linux-gnueabihf/liba.so.1"),
    ("/p/x.cpython-312-x86_64-linux-gnu.so", "/p/x.cpython-312-aarch64-linux-gnu.so"),
    ("/b/lib/a-linux-x86_64.jar!/n/liba_x86_64.so", "/b/lib/a-linux-aarch_64.jar!/n/liba_aarch_64.so"),
]


@pytest.mark.parametrize(("foreign", "own"), ALTERNATIVES)
def test_alternatives(foreign, own):
    assert alternatives.is_one(foreign, alternatives.of([own]))


@pytest.mark.parametrize(
    ("foreign", "own"),
    [
        ("/usr/lib/liba.so", "/usr/lib/arm64/liba.so"),  # nothing says that it is for another architecture
        ("/app/x64/liba.so", "/app/arm64/libb.so"),
        ("/app/x64/liba.so", "/opt/arm64/liba.so"),  # another directory, and no archive
        ("/a.jar!/x64/liba.so", "/b.jar!/arm64/liba.so"),
        ("/usr/lib/python3/libarmada.so", "/usr/lib/python3/libarmada.so"),
    ],
)
def test_other_paths_are_no_alternatives(foreign, own):
    assert not alternatives.is_one(foreign, alternatives.of([own]))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a.jar!/freebsd-x86-64/l.so", True), ("/a.jar!/native/FreeBSD/x86_64/l.so", True), ("/a.jar!/jni/x86_64-SunOS/l.so", True),
        ("/a.jar!/Linux-Android/aarch64/l.so", True), ("/n/prebuilds/android-arm64/a.node", True), ("/opt/android/lib/l.so", False),
        ("/a.jar!/linux-x86-64/l.so", False), ("/opt/aix.so", False), ("/a.apk!/lib/x86_64/l.so", True),
    ],
)  # fmt: skip
def test_files_for_other_systems(path, expected):
    assert alternatives.is_for_other_system(path) is expected
