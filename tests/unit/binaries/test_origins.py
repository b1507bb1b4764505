"""What is named as the origin of a difference between two builds."""

import os

import pytest

from buildlib.binaries.origins import OWN, Side, origins

HASH = "0123456789abcdef"
# Beside the target's directory cargo has one for what runs on this machine: macros, and what build scripts use.
BUILD = {
    "target/release/build/maker-0123456789abcdef/output": "cargo:rustc-cfg=a\n",
    "target/release/build/maker-0123456789abcdef/out/x": "",
    f"target/T/release/build/dep-{HASH}/output": "cargo:rustc-link-search=ROOT/target/T/release/build/dep/out\n",
    f"target/T/release/build/dep-{HASH}/out/made.rs": "1",
    f"target/T/release/build/dep-{HASH}/out/made.o": "object",
    f"target/T/release/build/dep-{HASH}/out/config.log": "from ROOT",
    f"target/T/release/build/dep-{HASH}/out/Makefile": "in ROOT",
    f"target/T/release/deps/libdep-{HASH}.rlib": "dep",
    f"target/T/release/deps/libapp-{HASH}.rlib": "app",
    f"target/T/release/deps/app-{HASH}.d": "ROOT/app\n",
    "dist/app": "a program",
}
DEP = f"target/T/release/build/dep-{HASH}"
APP = f"target/T/release/deps/app-{HASH}.d"
BUILT = {f"{DEP}/output": "cargo::rustc-env=BUILT=5\n", APP: "# env-dep:BUILT=5\n", "dist/app": "built 5"}


def built(root, files, home):
    for number, (name, text) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ROOT", str(root)).replace("HOME", home))
        os.utime(path, (number, number))
    return Side(program=root / "dist/app", folder=root / "target/T/release", paths=(str(root), f"{root}/target", home))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, (OWN,)),
        ({f"target/T/release/deps/libapp-{HASH}.rlib": "x"}, ("the crate app",)),
        (
            {f"target/T/release/deps/libapp-{HASH}.rlib": "x", f"target/T/release/deps/libdep-{HASH}.rlib": "x"},
            ("the crate dep",),
        ),
        ({"target/T/release/deps/libdep-fedcba9876543210.rlib": "dep"}, ("the crate dep",)),
        ({f"{DEP}/output": "cargo:rustc-cfg=x\n"}, ("the build script of dep prints something else: 'cargo:rustc-cfg=x'",)),
        ({f"{DEP}/output": f"a\ncargo:b=\n{BUILD[f'{DEP}/output']}"},
         ("the build script of dep prints something else: 'cargo:b='",)),
        ({f"{DEP}/output": f"CC = /x\ncargo::warning=slow\ncargo:rerun-if-changed=/x\n{BUILD[f'{DEP}/output']}"}, (OWN,)),
        (BUILT, ("the build script of dep prints another value of BUILT",)),
        ({f"{DEP}/out/made.o": "x"}, ("the build script of dep writes made.o",)),
        ({f"{DEP}/out/made.o": "x", f"{DEP}/out/made.rs": "x"}, ("the build script of dep writes made.rs",)),
        ({f"{DEP}/out/config.log": "on Monday"}, (OWN,)),
        ({f"{DEP}/out/CMakeFiles/x": "on Monday", f"{DEP}/out/b/CMakeCache.txt": "#"}, (OWN,)),
        ({f"target/T/release/build/app-{HASH}/out/new": "x", f"{DEP}/out/made.rs": "x"},
         ("the build script of app writes new", "the build script of dep writes made.rs")),
        ({"target/release/build/maker-0123456789abcdef/output": "cargo:rustc-env=NOW=5\n"},
         ("the build script of maker prints another value of NOW",)),
    ],
)  # fmt: skip
def test_the_origin_of_a_difference(tmp_path, changed, named):
    here = built(tmp_path / "here", {**BUILD, "target/T/release/deps/libold-fedcba9876543210.rlib": "earlier"}, "/h")
    there = built(tmp_path / "somewhere" / "there", {**BUILD, **changed}, "/other")
    assert origins(here, there) == named


@pytest.mark.parametrize(
    ("files", "named"),
    [
        # A variable counts if its value is in both programs: OUT_DIR is read by whoever includes a generated file.
        ({APP: "# env-dep:CARGO_MANIFEST_DIR=ROOT\n# env-dep:OUT_DIR=ROOT/out\n", "dist/app": "ROOT/data"},
         ('the crate app reads env!("CARGO_MANIFEST_DIR")',)),
        ({APP: "# env-dep:PLACE=HOME\n# env-dep:SAME=1\n# env-dep:UNSET\n", "dist/app": "HOME 1"},
         ('the crate app reads env!("PLACE")',)),
        # A file with a path in it matters where the program has one as well.
        ({"dist/app": "compiled in ROOT/x"}, ("the build script of dep writes Makefile",)),
        ({f"{DEP}/out/Makefile": "", f"{DEP}/output": "cargo:rustc-env=A=ROOT\n", "dist/app": "ROOT/x"},
         ("the build script of dep prints another value of A",)),
        ({"dist/app": "nothing"}, (OWN,)),
    ],
)  # fmt: skip
def test_a_path_in_the_program(tmp_path, files, named):
    sides = (
        built(tmp_path / "here", {**BUILD, **files}, "/h"),
        built(tmp_path / "somewhere" / "there", {**BUILD, **files}, "/other"),
    )
    assert origins(*sides) == named


def test_a_variable_that_only_one_environment_has(tmp_path):
    here = built(tmp_path / "a", {**BUILD, APP: "# env-dep:USER\n", "dist/app": ""}, "/h")
    there = built(tmp_path / "b", {**BUILD, APP: "# env-dep:USER=nobody\n", "dist/app": "by nobody"}, "/h")
    assert origins(here, there) == ('the crate app reads env!("USER")',)
