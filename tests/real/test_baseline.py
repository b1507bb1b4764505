"""Programs that start on the machine that compiled them, and not on the oldest CPU or with the largest pages of their arch."""

import json
import re

import pytest
from testbed import assert_error, buildlib, run

from buildlib.emulation.baseline import Baseline

MANIFEST = '[package]\nname = "app"\nversion = "1.0.0"\nedition = "2021"\n'
# The sum is vectorized, the addresses and the atomic addition are computed, as the CPU allows for which rustc compiles.
VECTORS = """
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

static TOTAL: AtomicU32 = AtomicU32::new(0);

fn main() {
    let values: Vec<u32> = (0..64).map(black_box).collect();
    let sum: u32 = black_box(&values).iter().map(|x| x * x + 1).sum();
    TOTAL.fetch_add(black_box(sum), Ordering::SeqCst);
    println!("app 1.0.0 {}", values[black_box(sum as usize) % 64]);
}
"""
# What jemalloc does if it was compiled for smaller pages; AT_PAGESZ is 6.
SMALL_PAGES = """
extern "C" {
    fn getauxval(kind: usize) -> usize;
}

fn main() {
    let size = unsafe { getauxval(6) };
    assert!(size == 4096, "unsupported page size {size}");
    println!("app 1.0.0");
}
"""

ALLOCATES = """
fn main() {
    let blocks: Vec<Vec<u8>> = (0..32).map(|i| vec![i; 50_000]).collect();
    println!("app 1.0.0 {}", blocks.len());
}
"""


@pytest.fixture
def project(tmp_path, qemu):
    """A function that builds a program with rustflags for one arch; it returns the result and what the manifest says."""

    def project(source, arch, *rustflags, settings=""):
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / ".cargo").mkdir(exist_ok=True)
        (tmp_path / "Cargo.toml").write_text(MANIFEST)
        (tmp_path / "src" / "main.rs").write_text(source)
        (tmp_path / ".cargo" / "config.toml").write_text(
            f"[target.'cfg(all())']\nrustflags = {json.dumps(rustflags)}\n"
        )
        (tmp_path / "buildlib.toml").write_text(settings)
        result = buildlib("build", "--arch", arch, cwd=tmp_path)
        manifest = tmp_path / "dist" / "manifest.json"
        entries = json.loads(manifest.read_text())["binaries"] if manifest.exists() else []
        return result, [(entry["started"], entry.get("cpu"), entry.get("pages")) for entry in entries]

    return project


@pytest.mark.parametrize(
    ("arch", "rustflag", "instruction", "cpu", "newer"),
    [
        ("amd64", "-Ctarget-cpu=x86-64-v3", r"v\w+ .*", "qemu64,-sse3,-cx16,-lahf-lm", "max"),
        ("arm64", "-Ctarget-feature=+lse", r".*", "cortex-a53", "max"),
        ("armv7", "-Ctarget-feature=+neon", r"v\w+[. ].*", "cortex-a9,neon=off", "max"),
        ("riscv64", "-Ctarget-feature=+zba,+zbb", r".*", "sifive-u54", "rv64"),
    ],
)
def test_a_program_for_a_newer_cpu_is_refused_and_the_setting_allows_it(
    project, arch, rustflag, instruction, cpu, newer
):
    refused, entries = project(VECTORS, arch, rustflag)
    assert_error(
        refused, 6, re.compile(
            rf"{arch}: the gate refused\n  app: illegal instruction on {re.escape(cpu)}, the oldest CPU of {arch}: {instruction}; "
            r"compile it without target-cpu and -march, or name the CPU that users need in the setting `cpu`"
        ), "dist/ is unchanged",
    )  # fmt: skip
    assert entries == []
    pages = "64 KiB" if arch == "arm64" else None
    accepted, entries = project(VECTORS, arch, rustflag, settings=f'[cpu]\n{arch} = "{newer}"\n')
    assert (accepted.code, [entry[:2] for entry in entries]) == (0, [("--version", newer)]), accepted
    accepted, entries = project(VECTORS, arch)
    assert accepted.code == 0 and entries in ([("--version", cpu, pages)], [("--version", cpu, "not checked")]), (
        accepted
    )


def test_a_program_for_small_pages_is_refused_where_qemu_shows_large_ones(project):
    version = run("qemu-aarch64-static", "--version").out
    shows_pages = int(re.search(r"version (\d+)", version)[1]) < 9  # the option has no effect since
    refused, entries = project(SMALL_PAGES, "arm64")
    if shows_pages:
        assert refused.code == 6 and "unsupported page size 65536" in refused.err and entries == [], refused
        assert "with pages of 64 KiB, which kernels of the arch have; see the setting `page_size`" in refused.err
    else:
        assert refused.code == 0 and entries == [("--version", "cortex-a53", "not checked")], refused
    accepted, entries = project(SMALL_PAGES, "arm64", settings="page_size = 4096\n")
    assert (accepted.code, entries) == (0, [("--version", "cortex-a53", "4 KiB")]), accepted


def test_a_program_that_allocates_starts_with_large_pages_each_time(project, tmp_path):
    accepted, _ = project(ALLOCATES, "arm64-musl")
    assert accepted.code == 0, accepted
    flags = Baseline(cpu="cortex-a53", page_size=65536).page_flags
    program = tmp_path / "dist" / "arm64-musl" / "app"
    codes = [run("qemu-aarch64-static", *flags, program).code for _ in range(100)]
    assert codes == [0] * 100


def test_segments_that_are_aligned_for_small_pages_are_refused(project):
    refused, entries = project(VECTORS, "arm64", "-Clink-arg=-Wl,-z,max-page-size=4096")
    assert (refused.code, entries) == (6, []), refused
    assert "  app: alignment of segments: 4096, expected 65536 or more\n" in refused.err


def test_what_was_not_started_is_started_later(project, tmp_path):
    assert project(VECTORS, "amd64")[0].code == 0
    file = tmp_path / "dist" / "manifest.json"
    before = file.read_text()
    manifest = json.loads(before)
    manifest["binaries"][0]["started"] = ""
    del manifest["binaries"][0]["cpu"]
    file.write_text(json.dumps(manifest))  # as on a machine that cannot start it
    result, _ = project(VECTORS, "amd64")
    assert (result.code, json.loads(file.read_text())) == (0, json.loads(before)), result
