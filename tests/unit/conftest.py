"""Unit tests start no process, except those marked `processes`: they assert the commands instead."""

import subprocess
import time
from pathlib import Path

import hypothesis
import pytest
from machines import Machine

from buildlib.machine import installation
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
def from_index(monkeypatch):
    """This buildlib as it is installed from an index, whatever it was installed from."""
    monkeypatch.setattr(installation, "source", installation.Source)


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


# --- running time -----------------------------------------------------------------------------------------------------------

SIZES = ((4_000, 32_000), (16_000, 128_000))  # characters
LIMIT = 24  # how many times as long the larger text may take: in linear time it is 8, in quadratic time 64
ROUNDS = 5


@pytest.fixture
def assert_linear():
    """Fail if the time of `function` grows clearly faster than the length of the text, which repeats `unit`.

    It measures CPU time and not the clock, takes the fastest of three runs, and is content with one good round of five: a busy
    machine cannot fail it.
    """

    def check(function, unit):
        for sizes in SIZES:
            small, large = ((unit * (size // len(unit) + 1))[:size] for size in sizes)
            ratios = []
            while not ratios or ratios[-1] > LIMIT:
                assert len(ratios) < ROUNDS, f"8 times the text takes {ratios} times as long"
                ratios.append(_fastest(function, large) / max(_fastest(function, small), 1e-6))

    return check


def _fastest(function, text):
    times = []
    for _ in range(3):
        began = time.process_time()
        function(text)
        times.append(time.process_time() - began)
    return min(times)
