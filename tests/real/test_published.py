"""Published projects of other authors build without any configuration."""

import json

import pytest
from testbed import QUICK, buildlib, run

from buildlib.core.targets import TARGETS

ARCHES = ("arm64", "armv7", "riscv64", "arm64-musl")
HEXYL = ("hexyl", "0.16.0", "hexyl")  # pure Rust
RIPGREP = ("ripgrep", "15.2.0", "rg")  # jemalloc on musl
XH = ("xh", "0.26.3", "xh")  # C code and TLS; hundreds of crates


@pytest.mark.slow
def test_a_published_project(published_crate, qemu):
    assert_builds_unchanged(published_crate, *HEXYL, ("arm64", "arm64-musl"))


@pytest.mark.extended
@pytest.mark.parametrize(("crate", "version", "binary"), [RIPGREP, XH], ids=["ripgrep", "xh"])
def test_published_projects_for_all_architectures(published_crate, qemu, crate, version, binary):
    assert_builds_unchanged(published_crate, crate, version, binary, ARCHES)


def assert_builds_unchanged(published_crate, crate, version, binary, arches):
    """The project builds for these architectures, its binaries start, and no file of its sources changes."""
    source = published_crate(crate, version)
    before = snapshot(source)
    built = buildlib("build", "--arch", ",".join(arches), "--json", cwd=source, env=QUICK)
    assert built.code == 0, built
    assert [(result["arch"], result["status"]) for result in json.loads(built.out)] == [
        (arch, "done") for arch in arches
    ]
    assert snapshot(source) == before
    for arch in arches:
        target = TARGETS[arch]
        words = (f"qemu-{target.qemu}-static", *(() if target.is_musl else ("-L", f"/usr/{target.gnu}")))
        started = run(*words, source / "dist" / arch / binary, "--version")
        assert started.code == 0 and version in started.out, started
    headers = run("readelf", "--program-headers", source / "dist" / "arm64-musl" / binary).out
    assert "LOAD" in headers and "INTERP" not in headers, headers


def snapshot(folder):
    """Time and size of every file, except in the directories that a build may write: dist/ and target/."""
    files = (
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("dist", "target")
    )
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}
