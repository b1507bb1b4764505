"""std built from source: once for each rustc and target, also after a kill and with concurrent builds."""

import os
import signal
import subprocess
import time

import pytest
from testbed import BUILDLIB, assert_error, buildlib, run

ARCH = "riscv64-musl"


@pytest.fixture
def offline(distribution_rust, tmp_path):
    """The distribution's Rust, an empty cache, and no connection to rustup's server."""
    return distribution_rust | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "RUSTUP_DIST_SERVER": "http://127.0.0.1:9"}


@pytest.mark.slow
def test_after_a_kill_two_concurrent_builds_compile_std_once(workspace, qemu, offline, tmp_path):
    project, other = workspace("hello", "one"), workspace("hello", "two")
    argv = [BUILDLIB, "build", "--arch", ARCH]
    killed = subprocess.Popen(
        argv, cwd=project, env={**os.environ, **offline}, stderr=subprocess.DEVNULL, start_new_session=True
    )
    compiled = "cache/buildlib/sysroots/*/build-*/target/*/release/deps/*.rlib"
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(compiled)) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not list(tmp_path.glob("cache/buildlib/sysroots/*/lib/rustlib/riscv64gc-unknown-linux-musl"))
    processes = [
        subprocess.Popen(argv, cwd=folder, env={**os.environ, **offline}, stderr=subprocess.PIPE, text=True)
        for folder in (project, other)
    ]
    logs = [process.communicate(timeout=900)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert sum("-Zbuild-std=" in log for log in logs) == 1, logs
    assert sum(": waiting for another command that builds it" in log for log in logs) == 1, logs
    for folder in (project, other):
        started = run("qemu-riscv64-static", folder / "dist" / ARCH / "hello")
        assert started.out == "riscv64 64 little squares=14 caught=true root=1.414\n", started
    assert not list(tmp_path.glob("cache/buildlib/sysroots/*/build-*"))
    # lto = "fat" and panic = "abort" require more of std than a default profile does.
    small = workspace("settings")
    built = buildlib("build", "--arch", ARCH, "--profile", "small", cwd=small, env=offline)
    assert built.code == 0, built
    assert "panic=abort" in run("qemu-riscv64-static", small / "dist" / ARCH / "settings").out


def test_without_any_source_of_std_the_error_names_the_fixes(workspace, offline, tmp_path):
    """A rustc without sources, and no connection to rustup's server."""
    project = workspace("hello")
    bare = tmp_path / "bare"
    (bare / "bin").mkdir(parents=True)
    (bare / "lib" / "rustlib").mkdir(parents=True)
    rustc = bare / "bin" / "rustc"
    rustc.write_text(f'#!/bin/sh\nexec /usr/bin/rustc --sysroot "{bare}" "$@"\n')
    rustc.chmod(0o755)
    failed = buildlib("build", "--arch", "s390x", cwd=project, env=offline | {"RUSTC": str(rustc)})
    message = """missing on this machine:
  Rust standard library for s390x (compile for s390x-unknown-linux-gnu): rustup target add s390x-unknown-linux-gnu or \
apt-get install rustc-web cargo-web rust-web-src"""
    assert_error(failed, 4, message, "")
    assert "  + " not in failed.err, failed
