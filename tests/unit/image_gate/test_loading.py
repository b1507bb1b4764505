"""Where the loaders of glibc and musl look for libraries."""

import pytest
from gate_images import LOADERS, elf, lines, program, runtime

GLIBC = runtime("arm64")
MUSL = {"lib/ld-musl-aarch64.so.1": elf("arm64")}
LIB = elf("arm64")


def musl(*needed, **more):
    return elf("arm64", *needed, loader="/lib/ld-musl-aarch64.so.1", **more)


FOUND = {
    "a default directory": {"app": program("arm64", "libx.so"), "usr/lib64/libx.so": LIB},
    "Debian's directory": {"app": program("arm64", "libx.so"), "usr/lib/aarch64-linux-gnu/libx.so": LIB},
    "RUNPATH": {"app": program("arm64", "libx.so", runpath="/a:/opt/x"), "opt/x/libx.so": LIB},
    "ORIGIN": {"app": program("arm64", "libx.so", runpath="$ORIGIN/../lib/x"), "lib/x/libx.so": LIB},
    "ORIGIN behind a link": {
        "app": "opt/bin/app", "opt/bin/app": program("arm64", "libx.so", runpath="${ORIGIN}"), "opt/bin/libx.so": LIB,
    },
    "LIB": {"app": program("arm64", "libx.so", runpath="/opt/$LIB"), "opt/lib/aarch64-linux-gnu/libx.so": LIB},
    "RPATH of the program, for a library of a library": {
        "app": program("arm64", "liba.so", rpath="/opt"), "opt/liba.so": elf("arm64", "libb.so"), "opt/libb.so": LIB,
    },
    "a library that the program has loaded already": {
        "app": program("arm64", "liba.so", "libb.so", runpath="/opt"), "opt/liba.so": elf("arm64", "libb.so"), "opt/libb.so": LIB,
    },
    "a library under its soname": {
        "app": program("arm64", "/opt/liba.so", "libb.so"), "opt/liba.so": elf("arm64", soname="libb.so"),
    },
    "a path": {"app": program("arm64", "/opt/libx.so"), "opt/libx.so": LIB},
    "ld.so.conf": {"app": program("arm64", "libx.so"), "etc/ld.so.conf": b"include x\n/opt # x", "opt/libx.so": LIB},
    "ld.so.conf behind a link": {
        "app": program("arm64", "libx.so"), "etc/ld.so.conf": "/usr/share/ld.conf", "usr/share/ld.conf": b"/opt\n", "opt/libx.so": LIB,
    },
    "ld.so.cache": {
        "app": program("arm64", "libx.so"), "etc/ld.so.cache": b"ld.so-1.7.0\0libx.so\0/opt/libx.so\0", "opt/libx.so": LIB,
    },
    "a file for another architecture in front": {
        "app": program("arm64", "libx.so", runpath="/a64:/b"), "a64/libx.so": elf("bpf"), "b/libx.so": LIB,
    },
    "a linker script in front": {"app": program("arm64", "libx.so", runpath="/a:/b"), "a/libx.so": b"GROUP ( x )", "b/libx.so": LIB},
    "the directory of a loader elsewhere, as in Nix": {
        "app": elf("arm64", "libx.so", loader="/nix/lib/ld-linux-aarch64.so.1"),
        "nix/lib/ld-linux-aarch64.so.1": LIB, "nix/lib/libx.so": LIB,
    },
    "a directory that depends on the machine": {"app": program("arm64", "libx.so", runpath="/opt/$PLATFORM")},
    "a loader that is not known": {"app": elf("arm64", "libc.so", loader="/system/bin/linker64"), "system/bin/linker64": LIB},
    "a dynamic section that is broken": {"app": elf("arm64", "libx.so")[:200]},
    "libraries that need each other": {
        "app": program("arm64", "liba.so"), "lib/liba.so": elf("arm64", "libb.so"), "lib/libb.so": elf("arm64", "liba.so"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_a_library_is_found(name):
    assert lines("linux/arm64", GLIBC | FOUND[name]) == []


def test_the_variable_of_the_configuration():
    files = GLIBC | {"app": program("arm64", "libx.so"), "opt/libx.so": LIB}
    assert lines("linux/arm64", files, env=("LD_LIBRARY_PATH=/a:/opt",)) == []


def missing(name, path="/app"):
    return [
        f"linux/arm64: layer 1: {path}: needed library: {name} is not in the image, expected a library that the loader finds"
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"app": program("arm64", "libx.so"), "opt/libx.so": LIB},
        {"app": program("arm64", "libx.so", runpath="$ORIGIN/x"), "libx.so": LIB},
        {"app": program("arm64", "libx.so"), "lib/libx.so": "libx.so"},
        {"app": program("arm64", "libx.so"), "lib/libx.so/y": LIB},
    ],
    ids=["another directory", "another origin", "a loop of links", "a directory"],
)
def test_a_library_is_not_found(files):
    assert lines("linux/arm64", GLIBC | files) == missing("libx.so")


def test_runpath_is_not_for_libraries_of_libraries():
    files = {
        "app": program("arm64", "liba.so", runpath="/opt"),
        "opt/liba.so": elf("arm64", "libb.so"),
        "opt/libb.so": LIB,
    }
    assert lines("linux/arm64", GLIBC | files) == missing("libb.so", "/opt/liba.so")


def test_a_library_that_is_only_there_for_another_architecture():
    files = {"app": program("arm64", "libx.so"), "lib/libx.so": elf("amd64")}
    assert lines("linux/arm64", GLIBC | files, foreign=("/lib/libx.so",)) == [
        "linux/arm64: layer 1: /app: needed library: libx.so is for x86-64, expected AArch64"
    ]


def test_a_library_that_is_no_library():
    files = {"app": program("arm64", "libx.so"), "lib/libx.so": b"GROUP ( y )"}
    assert lines("linux/arm64", GLIBC | files) == [
        "linux/arm64: layer 1: /app: needed library: libx.so is not an ELF file, expected a shared library"
    ]


def test_musl():
    files = MUSL | {"app": musl("libx.so", "libc.so", "libpthread.so.0", "libc.musl-aarch64.so.1")}
    assert lines("linux/arm64", files) == missing("libx.so")
    assert lines("linux/arm64", files | {"usr/local/lib/libx.so": LIB}) == []
    assert lines("linux/arm64", files | {"lib64/libx.so": LIB}) == missing("libx.so")
    assert lines("linux/arm64", files | {"etc/ld-musl-aarch64.path": b"/opt\n/lib", "opt/libx.so": LIB}) == []
    assert lines("linux/arm64", files | {"etc/ld-musl-aarch64.path": b"/opt", "usr/lib/libx.so": LIB}) == missing(
        "libx.so"
    )


def test_musl_searches_runpath_for_libraries_of_libraries():
    files = {"app": musl("liba.so", runpath="/opt"), "opt/liba.so": elf("arm64", "libb.so"), "opt/libb.so": LIB}
    assert lines("linux/arm64", MUSL | files) == []


def test_a_program_of_glibc_with_gcompat():
    files = {"lib/libgcompat.so.0": LIB, LOADERS["arm64"].lstrip("/"): "libgcompat.so.0", "app": program("arm64")}
    assert lines("linux/arm64", files) == []


def test_the_loader_of_each_program_on_the_way_is_checked():
    files = {"app": b"#!/bin/sh\n", "bin/sh": program("arm64", "libx.so")}
    assert lines("linux/arm64", GLIBC | files) == missing("libx.so", "/bin/sh")
