"""The gate for any image against the loader of this machine: what ld.so finds, the gate finds; what is taken away, it misses."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from gate_images import image, tar
from testbed import run, skip_or_fail

from buildlib.core.targets import native
from buildlib.image_gate.check import check

PLATFORM = native(os.uname().machine).oci
PROGRAMS = (
    "sh",
    "env",
    "tar",
    "git",
    "ssh",
    "curl",
    "perl",
    "openssl",
    "apt-get",
    "dpkg-deb",
    "gdb",
    "java",
    sys.executable,
)
FOUND = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)


def libraries(program):
    """What ld.so loads for a program: the loader and the libraries; [] for a static one."""
    listed = run("ldd", program)
    return FOUND.findall(listed.out) if listed.code == 0 else []


def layer_of(paths):
    """A layer of files of this machine, with the links that lead to them, also those of directories (/lib, /lib64)."""
    folders = (Path("/", name) for name in ("lib", "lib64", "bin", "sbin"))
    files = {folder.name: str(folder.readlink()) for folder in folders if folder.is_symlink()}
    for path in map(Path, paths):
        link = path.parent.resolve() / path.name
        while link.is_symlink():
            target = link.readlink()
            files[str(link).lstrip("/")] = str(target)
            link = (link.parent / target).parent.resolve() / target.name
        files[str(link).lstrip("/")] = link.read_bytes()
    return files


@pytest.mark.parametrize("name", PROGRAMS, ids=lambda name: Path(name).name)
def test_the_gate_finds_what_the_loader_of_this_machine_finds(name):
    program = shutil.which(name)
    needed = libraries(os.path.realpath(program)) if program else []
    if not needed:
        pytest.skip(f"{name} is not installed, or is not a dynamic program")
    start = os.path.realpath(program)
    conf = [
        str(path) for path in (Path("/etc/ld.so.conf"), *Path("/etc/ld.so.conf.d").glob("*.conf")) if path.is_file()
    ]
    layer = layer_of([start, *needed, *conf])
    assert check(image(PLATFORM, layer, entrypoint=(start,)), PLATFORM) == ()
    for library in needed:
        real = os.path.realpath(library).lstrip("/")
        left = {path: data for path, data in layer.items() if path != real}
        found = check(image(PLATFORM, left, entrypoint=(start,)), PLATFORM)
        assert {finding.rule for finding in found} in ({"needed library"}, {"loader"}), (library, found)
        assert all(Path(library).name in finding.actual for finding in found), (library, found)


def test_programs_of_another_architecture_are_refused():
    """Those of this machine in an image for another one."""
    other = "linux/arm64" if PLATFORM != "linux/arm64" else "linux/amd64"
    start = os.path.realpath(shutil.which("sh") or skip_or_fail("there is no shell"))
    layer = layer_of([start, *libraries(start)])
    found = check(image(other, tar(layer), entrypoint=(start,)), other)
    assert {finding.path for finding in found} == {
        f"/{path}" for path, data in layer.items() if isinstance(data, bytes)
    }
