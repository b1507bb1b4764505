"""std from source: for exactly this rustc, once, whatever happens meanwhile."""

import os
import signal
import subprocess
import time

import pytest
from bed import BUILDLIB, buildlib, run

ARCH = "riscv64-musl"


@pytest.fixture
def offline(distribution_rust, tmp_path):
    """The distribution's Rust, a cache that is empty, and no way to rustup's server."""
    return distribution_rust | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "RUSTUP_DIST_SERVER": "http://127.0.0.1:9"}


@pytest.mark.slow
def test_killed_half_way_then_two_at_once_build_it_once(workspace, qemu, offline, tmp_path):
    project, other = workspace("hello", "one"), workspace("hello", "two")
    killed = subprocess.Popen(
        [BUILDLIB, "build", "--arch", ARCH], cwd=project, env={**os.environ, **offline}, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    scratch = "cache/buildlib/sysroots/*/build-*/target/*/release/deps/*.rlib"
    deadline = time.monotonic() + 180
    while not list(tmp_path.glob(scratch)) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(tmp_path.glob("cache/buildlib/sysroots/*/lib/rustlib/riscv64gc-unknown-linux-musl"))
    argv = [BUILDLIB, "build", "--arch", ARCH]
    both = [
        subprocess.Popen(argv, cwd=folder, env={**os.environ, **offline}, stderr=subprocess.PIPE, text=True)
        for folder in (project, other)
    ]
    told = [process.communicate(timeout=900)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("Compiling core" in text for text in told) == 1, told
    assert sum("another build is at it, waiting" in text for text in told) == 1, told
    for folder in (project, other):
        said = run("qemu-riscv64-static", folder / "dist" / ARCH / "hello")
        assert said.out == "riscv64 64 little squares=14 caught=true root=1.414\n", said
    assert not list(tmp_path.glob("cache/buildlib/sysroots/*/build-*"))
    # lto = "fat" and panic = "abort" ask more of a std than a plain profile does.
    small = workspace("settings")
    built = buildlib("build", "--arch", ARCH, "--profile", "small", cwd=small, env=offline)
    assert built.code == 0, built
    assert "panic=abort" in run("qemu-riscv64-static", small / "dist" / ARCH / "settings").out


def test_out_of_reach_is_one_error_with_cures(workspace, offline, tmp_path):
    """A rustc without sources, and rustup's server out of reach."""
    project = workspace("hello")
    bare = tmp_path / "bare"
    (bare / "bin").mkdir(parents=True)
    (bare / "lib" / "rustlib").mkdir(parents=True)
    rustc = bare / "bin" / "rustc"
    rustc.write_text(f'#!/bin/sh\nexec /usr/bin/rustc --sysroot "{bare}" "$@"\n')
    rustc.chmod(0o755)
    said = buildlib("build", "--arch", "s390x", cwd=project, env=offline | {"RUSTC": str(rustc)})
    assert said.code == 4 and "Rust standard library for s390x" in said.err, said
    assert "rustup target add s390x-unknown-linux-gnu" in said.err and "Compiling" not in said.err, said
