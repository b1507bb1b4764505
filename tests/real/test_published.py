"""Published projects that nobody here wrote, without a word of configuration."""

import json

import pytest
from bed import QUICK, buildlib, run

from buildlib.core.targets import TARGETS

ARCHES = ("arm64", "armv7", "riscv64", "arm64-musl")


@pytest.mark.slow
@pytest.mark.parametrize(("crate", "version", "binary"), [("ripgrep", "15.2.0", "rg"), ("xh", "0.26.3", "xh")])
def test_a_published_project_as_it_is(published, qemu, crate, version, binary):
    source = published(crate, version)
    before = snapshot(source)
    built = buildlib("build", "--arch", ",".join(ARCHES), "--json", cwd=source, env=QUICK)
    assert built.code == 0, built
    assert [(r["arch"], r["status"]) for r in json.loads(built.out)] == [(arch, "done") for arch in ARCHES]
    assert snapshot(source) == before
    for arch in ARCHES:
        row = TARGETS[arch]
        words = (f"qemu-{row.qemu}-static", *(() if row.is_musl else ("-L", f"/usr/{row.gnu}")))
        said = run(*words, source / "dist" / arch / binary, "--version")
        assert said.code == 0 and version in said.out, said
    static = run("readelf", "--program-headers", source / "dist" / "arm64-musl" / binary).out
    assert "INTERP" not in static


def snapshot(folder):
    """Every file but what a build may write: dist/ and the target folder."""
    kept = (p for p in folder.rglob("*") if p.is_file() and p.relative_to(folder).parts[0] not in ("dist", "target"))
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.stat().st_size) for p in kept}
