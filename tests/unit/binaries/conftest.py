"""A context, and a compilation whose one binary is a copy of a real program of this machine."""

import platform
from dataclasses import replace
from pathlib import Path

import pytest
from machines import WITH_ZIG, Recorder, artifact, context, workspace

from buildlib.core.plan import AtomicUpdate, Extend, Job, Outcome, Step
from buildlib.core.request import NO_REQUEST
from buildlib.core.targets import find_target
from buildlib.machine.selection import select
from buildlib.machine.workspace import Component
from buildlib.process.file_actions import execute
from buildlib.process.files import disk_error
from buildlib.rust import cargo
from buildlib.rust.backends.zig import Zig
from buildlib.rust.cargo import Toolset
from buildlib.rust.std import Compiler

PROGRAM = Path("/bin/ls").resolve()
NATIVE = find_target(platform.machine())


class WritingRecorder(Recorder):
    """Records commands, and writes dist/ as the real runner does."""

    def __call__(self, act):
        if isinstance(act, AtomicUpdate | Extend):
            try:
                execute(act)
            except OSError as error:
                raise disk_error(error) from None
            return Outcome(step=act, code=0, seconds=0)
        return super().__call__(act)


@pytest.fixture
def program():
    return PROGRAM


@pytest.fixture
def native():
    """The target of this machine."""
    return NATIVE


@pytest.fixture
def compiled(machine, rustup, tmp_path):
    """Return (context, build, outcome) as `build._accept` takes them; the binary is called app."""
    (tmp_path / "Cargo.toml").write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "app").write_bytes(PROGRAM.read_bytes())

    def compiled(
        target=NATIVE,
        minimum_glibc="",
        answers=(),
        selected=(),
        sbom=False,
        embed_sbom=False,
        provenance=False,
        **facts,
    ):
        app = Component(name="app", package="app", version="1.0.0")
        selection = replace(select(workspace(app), NO_REQUEST), **dict(selected))
        host = machine(machine=platform.machine(), toolchains=(rustup,), **WITH_ZIG, **facts)
        backend = Zig(why="w", minimum_glibc=minimum_glibc)
        toolset = Toolset(target=target, backend=backend, compiler=Compiler(toolchain=rustup))
        step = Step(title="compile", argv=("cargo",))
        build = cargo.Build(toolset=toolset, job=Job(name=target.name, steps=(step,)), folder=tmp_path / "out",
                            selection=selection)  # fmt: skip
        outcome = Outcome(step=step, code=0, seconds=1.5, artifacts=(artifact(tmp_path / "out" / "app"),))
        settings = {"sbom": sbom, "embed_sbom": embed_sbom, "provenance": provenance}
        return context(host, WritingRecorder(answers), root=tmp_path, **settings), build, outcome

    return compiled
