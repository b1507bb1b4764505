"""The probe with tools that answer from a list: when cargo is asked for it, and when the program of the last time is started."""

import json
from dataclasses import replace

import pytest
from machines import ARM64, WITH_ZIG, Machine, Recorder, context

from buildlib.core.errors import BuildError
from buildlib.machine.cargo_config import CargoConfig, TargetTable, Value
from buildlib.testing import probe, tests

FACTS = {"machine": "aarch64", "arch": "aarch64", "endian": "little", "bits": 64}
QEMU = "/usr/bin/qemu-aarch64-static"
LIBC = "/usr/aarch64-linux-gnu"


class Cargo(Recorder):
    """Cargo makes the program, and the emulator prints `printed`, with the exit code `code`."""

    def __init__(self):
        super().__init__()
        self.env, self.printed, self.code, self.program = {}, json.dumps(FACTS), 0, None

    def __call__(self, action):
        starts = getattr(action, "title", "") == "arm64 · probe"
        if starts and "run" in action.argv:
            self.program.parent.mkdir(parents=True, exist_ok=True)
            self.program.write_bytes(b"program")
        self.answers |= {"arm64 · probe": (self.code if starts and action.argv[0] == QEMU else 0, self.printed)}
        return super().__call__(action)


@pytest.fixture
def project(tmp_path, rustup):
    """A context whose cargo has made the probe once; `project(**facts)` is the same on another machine."""
    chain = replace(rustup, stds=rustup.stds | {ARM64.triple})
    run = Cargo()
    (tmp_path / "Cargo.lock").write_text("version = 4\n")

    def project(**facts):
        files = (f"{LIBC}/lib/ld-linux-aarch64.so.1",)
        host = Machine(tools=("cc", "qemu-aarch64-static"), files=files, toolchains=(chain,), **WITH_ZIG, **facts)
        prepared, (plan,) = tests.plan(context(host, run, root=tmp_path), (ARM64,))
        run.program = plan.probe_program
        return prepared, plan

    assert probe.probe(*project()) == FACTS
    run.asked.clear()
    return project, run


def starts(run):
    return [
        "cargo" if " run " in argv else argv.split()[0]
        for argv in run.asked
        if "buildlib-probe" in argv or " run " in argv
    ]


def test_what_cargo_has_made_is_started_again_without_it(project):
    prepare, run = project
    assert probe.is_made(*prepare())
    assert probe.probe(*prepare()) == FACTS
    assert run.asked[-1] == f"{QEMU} -L {LIBC} {run.program}"
    assert starts(run) == [QEMU]


OTHER_FLAGS = CargoConfig(build_rustflags=(Value("-Copt-level=3", "/w/.cargo/config.toml"),))


@pytest.mark.parametrize(
    "facts",
    [
        {"env": {"RUSTFLAGS": "-Ctarget-cpu=native"}},
        {"cargo_config": OTHER_FLAGS},
        {"env": {"CARGO_PROFILE_DEV_LTO": "fat"}},
    ],
    ids=["rustflags", "configuration", "profile"],
)
def test_cargo_is_asked_where_something_has_changed(project, facts):
    prepare, run = project
    assert not probe.is_made(*prepare(**facts))
    assert probe.probe(*prepare(**facts)) == FACTS
    assert starts(run) == ["cargo"]


def test_cargo_is_asked_where_the_program_is_another_one(project):
    prepare, run = project
    run.program.write_bytes(b"other")
    assert probe.probe(*prepare()) == FACTS
    assert starts(run) == ["cargo"]


def test_cargo_is_asked_where_the_program_does_not_start(project):
    prepare, run = project
    run.code = 1
    assert probe.probe(*prepare()) == FACTS
    assert starts(run) == [QEMU, "cargo"]


def test_what_runs_on_another_machine_is_an_error_each_time(project):
    prepare, run = project
    run.printed = json.dumps(FACTS | {"machine": "x86_64"})
    with pytest.raises(BuildError, match="x86_64"):
        probe.probe(*prepare())
    assert starts(run) == [QEMU]


def test_cargo_is_asked_each_time_where_the_user_has_a_runner(project):
    prepare, run = project
    table = TargetTable(runner=Value("/usr/bin/mine", "/w/.cargo/config.toml"))
    facts = {"runners": frozenset({ARM64.triple}), "cargo_config": CargoConfig(targets={ARM64.triple: table})}
    for _ in range(2):
        assert probe.probe(*prepare(**facts)) == FACTS
    assert starts(run) == ["cargo", "cargo"]
