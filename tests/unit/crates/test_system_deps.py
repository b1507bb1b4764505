"""[package.metadata.system-deps], as the crate system-deps reads it."""

import pytest

from buildlib.core.targets import TARGETS
from buildlib.crates import system_deps

ARM64 = TARGETS["arm64"].triple


@pytest.mark.parametrize(
    ("table", "features", "expected"),
    [
        ({"testlib": "1.2"}, (), ["testlib"]),
        ({"gtk": {"name": "gtk4", "version": "4.0"}}, (), ["gtk4"]),
        ({"gobject": {"version": "1", "feature": "use_glib"}}, (), []),
        ({"gobject": {"version": "1", "feature": "use_glib"}}, ("use_glib",), ["gobject"]),
        ({"a": {"version": "1", "optional": True}}, (), []),
        ({"a": {"version": "1", "v2": {"version": "2", "optional": True}}}, ("v2",), []),
        ({"a": {"version": "1", "fallback-names": ["b"]}}, (), []),
        ({"gl": {"name": "gl-1.0", "v1_8": {"name": "x"}, "v1_18": {"name": "gl-egl-1.0"}}}, ("v1_8", "v1_18"), ["gl-egl-1.0"]),
        ({"cfg(unix)": {"a": "1"}, "cfg(windows)": {"b": "1"}, 'cfg(target_arch = "x86_64")': {"c": "1"}}, (), ["a"]),
    ],
)  # fmt: skip
def test_what_is_required(table, features, expected):
    assert list(system_deps.required(table, features, ARM64)) == expected


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ("[package.metadata.system-deps]\nb = '1'\na = {name = 'x', version = '2'}\n", ("b", "x")),
        ("[package]\n", ()),
        ("[package]\nmetadata = 1\n", ()),
        ("[", ()),
        (None, ()),
    ],
)
def test_the_manifest_of_a_build_script(tmp_path, manifest, expected):
    if manifest is not None:
        (tmp_path / "Cargo.toml").write_text(manifest)
    assert system_deps.declared(tmp_path / "build" / "main.rs", (), ARM64) == expected
