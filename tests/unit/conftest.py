"""Unit tests start no process, except those marked `processes`: they assert the commands instead."""

import subprocess
from pathlib import Path

import hypothesis
import pytest
from machines import Machine

from buildlib.machine.rust_toolchains import Toolchain

# The time of one example depends on what else the machine does.
hypothesis.settings.register_profile("unit", deadline=None)
hypothesis.settings.load_profile("unit")


@pytest.fixture(autouse=True)
def no_processes(request, monkeypatch):
    if request.node.get_closest_marker("processes"):
        return

    def refuse(*args, **kwargs):
        raise AssertionError(f"a unit test started {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)


HOST_TRIPLE = "x86_64-unknown-linux-gnu"


@pytest.fixture
def machine():
    """The class of invented machines."""
    return Machine


@pytest.fixture
def rustup():
    """A toolchain as rustup installs it, with the host's std only."""
    return Toolchain(
        origin="rustup", rustc=Path("/r/toolchains/stable/bin/rustc"), cargo=Path("/r/toolchains/stable/bin/cargo"),
        release="1.95.0", commit="59807616e1fa", host=HOST_TRIPLE, sysroot=Path("/r/toolchains/stable"),
        stds=frozenset({HOST_TRIPLE}), managed_root=Path("/cache/sysroots/1.95.0-59807616e-std1"),
    )  # fmt: skip


@pytest.fixture
def system():
    """The distribution's Rust, with its sources."""
    return Toolchain(
        origin="system", rustc=Path("/usr/bin/rustc"), cargo=Path("/usr/bin/cargo"), release="1.96.0", commit="ac68faa20c58",
        host=HOST_TRIPLE, sysroot=Path("/usr"), stds=frozenset({HOST_TRIPLE}),
        managed_root=Path("/cache/sysroots/1.96.0-ac68faa20-std1"), sources=Path("/usr/lib/rustlib/src/rust/library"),
    )  # fmt: skip
