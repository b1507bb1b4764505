"""Builds for several targets at once: what starts when, with invented builds that start no process."""

import os
import signal
import threading
from dataclasses import replace

import machines
import pytest
from machines import AMD64, ARM64, MUSL, WITH_ZIG, settings, toolset

from buildlib.binaries import parallel
from buildlib.core.errors import BuildError, Interrupted
from buildlib.core.plan import Outcome, Step
from buildlib.core.request import NO_REQUEST, Request
from buildlib.core.stopping import Stop
from buildlib.core.targets import TARGETS
from buildlib.machine.cargo_config import CargoConfig
from buildlib.machine.selection import select
from buildlib.machine.workspace import Component
from buildlib.process.console import Console
from buildlib.process.runner import Runner
from buildlib.rust import cargo
from buildlib.rust.backends.cross import Cross

WORKSPACE = machines.workspace(Component(name="app", package="pack", version="1.0.0"))
ARMV7 = TARGETS["armv7"]
TIMEOUT = 20.0  # seconds; nothing waits that long unless a test fails
UNITS = [
    {"platform": None, "mode": "build"},
    {"platform": None, "mode": "run-custom-build"},
    {"platform": "t", "mode": "build"},
]
GRAPH = '{"units": [' + ",".join(str(unit).replace("'", '"').replace("None", "null") for unit in UNITS) + "]}"


class Quiet(Runner):
    """A runner that answers the question for the crate graph."""

    graph = GRAPH

    def __call__(self, action):
        assert isinstance(action, Step) and "--unit-graph" in action.argv
        return Outcome(step=action, code=0 if self.graph else 101, seconds=0, stdout=self.graph)


@pytest.fixture
def host(machine, rustup):
    return machine(toolchains=(rustup,), **WITH_ZIG)


@pytest.fixture
def context(host):
    console = Console({})
    run = Quiet(console, {}, settings().retry)
    return machines.context(host, run)


@pytest.fixture
def builds(host, rustup):
    def builds(*targets, request=NO_REQUEST):
        return [
            cargo.build(host, settings(), WORKSPACE, request, select(WORKSPACE, request), toolset(host, rustup, target))
            for target in targets
        ]

    return builds


def message_of(build):
    (step,) = (step for step in build.job.steps if isinstance(step, Step))
    return step.message


def messages(build, folder):
    """What cargo says when it has finished the two units for this machine."""
    target_dir = str(build.folder.parents[1])
    return [
        {"reason": "compiler-artifact", "filenames": [f"{target_dir}/{folder}/deps/libsyn.rlib"]},
        {"reason": "build-script-executed", "out_dir": f"{target_dir}/{folder}/build/syn/out"},
    ]


def test_the_others_start_when_the_first_has_finished_what_is_compiled_for_this_machine(context, builds, monkeypatch):
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 8)
    started, ended = [], threading.Event()

    def build_one(part, build):
        started.append(build.target.name)
        if build.target == ARM64:
            for message in messages(build, "aarch64-unknown-linux-gnu/release"):
                message_of(build)(message)  # units of the target do not count
            assert started == ["arm64"]
            for message in messages(build, "release"):
                message_of(build)(message)
            assert ended.wait(TIMEOUT), "the others wait for the end"
        elif len(started) == 3:
            ended.set()
        return part.run.jobserver.variables["CARGO_BUILD_JOBS"], build.target.name

    assert parallel.build_all(context, builds(ARM64, ARMV7, MUSL), build_one) == [
        ("8", "arm64"), ("8", "armv7"), ("8", "arm64-musl"),
    ]  # fmt: skip
    assert started[0] == "arm64"


@pytest.mark.parametrize("graph", ["", "no JSON", "{}", "[]"])
def test_without_a_crate_graph_they_start_when_the_first_has_ended(context, builds, graph):
    context.run.graph = graph
    log = []

    def build_one(part, build):
        log.append(("begin", build.target.name))
        for message in messages(build, "release"):
            message_of(build)(message)
        log.append(("end", build.target.name))
        return build.target.name

    assert parallel.build_all(context, builds(ARM64, ARMV7), build_one) == ["arm64", "armv7"]
    assert log == [("begin", "arm64"), ("end", "arm64"), ("begin", "armv7"), ("end", "armv7")]


def test_targets_that_share_nothing_wait_for_nothing(context, builds, monkeypatch):
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 2)
    both = threading.Barrier(2)

    def build_one(part, build):
        both.wait(TIMEOUT)
        assert message_of(build) is None  # nobody waits for its units
        return build.target.name

    assert parallel.build_all(context, builds(AMD64, ARM64), build_one) == ["amd64", "arm64"]


def test_with_one_job_there_is_one_cargo_at_a_time(context, builds):
    running, most = [], []

    def build_one(part, build):
        running.append(build)
        most.append(len(running))
        threading.Event().wait(0.01)
        running.remove(build)
        return build.target.name

    context = replace(context, request=Request(jobs="1"))
    assert parallel.build_all(context, builds(AMD64, ARM64, ARMV7), build_one) == ["amd64", "arm64", "armv7"]
    assert most == [1, 1, 1]


def test_the_output_of_each_is_printed_together_when_it_ends(context, builds, capsys, monkeypatch):
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 2)
    turns = {AMD64: threading.Event(), ARM64: threading.Event()}

    def build_one(part, build):
        other = ARM64 if build.target == AMD64 else AMD64
        with part.console.fold(build.target.name):
            for number in range(3):
                part.console.output(f"{build.target.name} {number}")
                turns[build.target].set()
                assert turns[other].wait(TIMEOUT)
        assert part.run.console is part.console
        return build.target.name

    parallel.build_all(context, builds(AMD64, ARM64), build_one)
    blocks = [[f"▸ {name}", *(f"{name} {number}" for number in range(3))] for name in ("amd64", "arm64")]
    assert capsys.readouterr().err.splitlines() in (blocks[0] + blocks[1], blocks[1] + blocks[0])


def test_what_an_arch_waits_for_is_said_at_once(context, builds, capsys, monkeypatch):
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 2)
    seen = []

    def build_one(part, build):
        with part.console.fold(build.target.name):
            if build.target == AMD64:
                part.console.output("compiling")
                part.console.note_at_once("amd64 · compile: retrying 3 of 10 in 20 s: no route")
                with part.console.waiting("amd64: waiting for another command that builds it", "cargo, process 7"):
                    seen.append(capsys.readouterr().err)
        return build.target.name

    parallel.build_all(context, builds(AMD64, ARM64), build_one)
    lines = [line for line in (seen[0] + capsys.readouterr().err).splitlines() if line != "▸ arm64"]
    assert lines == [
        "  amd64 · compile: retrying 3 of 10 in 20 s: no route",
        "  amd64: waiting for another command that builds it (cargo, process 7)",
        "▸ amd64",
        "compiling",
    ]
    quiet = replace(context, console=Console({}, quiet=True))
    parallel.build_all(quiet, builds(AMD64, ARM64), build_one)
    assert capsys.readouterr().err == "compiling\n"


@pytest.fixture
def _ctrl_c():
    """In the background a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("targets", [(ARM64, ARMV7, MUSL), (AMD64, ARM64, ARMV7)])
def test_ctrl_c_ends_what_runs_and_what_waits_without_a_result(context, builds, targets, monkeypatch, capsys):
    """Also while the work is begun, and twice; no arch has failed."""
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 8)
    began = []

    def build_one(part, build):
        began.append(build.target)
        os.kill(os.getpid(), signal.SIGINT)
        part.console.error(BuildError("not shown"))
        assert part.run.stopped.wait(TIMEOUT)
        part.run.stopped.check()

    with pytest.raises(KeyboardInterrupt):
        parallel.build_all(context, builds(*targets), build_one)
    assert context.run.stopped.is_set()
    assert began and set(began) <= set(targets[: 2 - (AMD64 not in targets)])
    assert capsys.readouterr().err == ""


def test_an_unexpected_error_ends_what_runs(context, builds, monkeypatch):
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 2)

    def build_one(part, build):
        if build.target == ARM64:
            raise KeyError("bug")
        assert part.run.stopped.wait(TIMEOUT)
        part.run.stopped.check()

    with pytest.raises(KeyError):
        parallel.build_all(context, builds(AMD64, ARM64), build_one)


def turn(units, build, stopped, asked):
    return units.turn(build, stopped, lambda: asked.append(build.target))


def test_what_waits_for_units_ends_with_the_command(builds):
    family, stopped, asked = builds(ARM64, ARMV7), Stop(), []
    units = parallel.HostUnits(family)
    stopped.set()
    with pytest.raises(Interrupted), turn(units, family[1], stopped, asked):
        raise AssertionError("the first one leads")
    assert asked == []


@pytest.mark.parametrize(
    "message", [{}, {"reason": "compiler-artifact"}, {"reason": "compiler-artifact", "filenames": []},
                {"reason": "build-script-executed", "out_dir": None}, {"reason": "build-finished", "filenames": ["/t/a"]},
                {"reason": "build-finished", "success": False}]
)  # fmt: skip
def test_other_messages_are_about_no_unit(builds, message):
    family, asked = builds(ARM64, ARMV7), []
    units, stopped = parallel.HostUnits(family), Stop()
    with turn(units, family[0], stopped, asked) as build:
        units.expect(ARM64, 1)
        message_of(build)(message)
        stopped.set()
        with pytest.raises(Interrupted), turn(units, family[1], stopped, asked):
            raise AssertionError("the first one still leads")
    assert asked == [ARM64]


def test_the_next_one_leads_if_the_first_ends_before_its_units_are_done(context, builds, monkeypatch):
    """Whatever ended it: the others would all compile them at the same time."""
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 8)
    log, begun = [], []
    late = threading.Event()

    def build_one(part, build):
        log.append(build.target.name)
        if build.target == ARM64:
            message_of(build)(messages(build, "release")[0])  # one of two
            return "failed"
        begun.append(build)
        if message_of(build):  # it leads
            late.wait(0.05)
            assert begun == [build]
            for message in messages(build, "release"):
                message_of(build)(message)
        if len(begun) == 3:
            late.set()
        assert late.wait(TIMEOUT), "the others wait for the end of the second one"
        return build.target.name

    targets = (ARM64, ARMV7, MUSL, TARGETS["386"])
    assert parallel.build_all(context, builds(*targets), build_one) == ["failed", "armv7", "arm64-musl", "386"]
    assert log[0] == "arm64" and len([build for build in begun if message_of(build)]) == 1


def test_the_units_of_a_former_leader_are_not_those_of_the_next(builds):
    """A dependency may be for one target alone."""
    family, asked, stopped = builds(ARM64, ARMV7, MUSL), [], Stop()
    units = parallel.HostUnits(family)
    with turn(units, family[0], stopped, asked):
        pass
    with turn(units, family[2], stopped, asked) as build:
        units.expect(ARM64, 0)  # an answer that comes late
        assert not units._done
        units.expect(MUSL, 2)
        for message in messages(build, "release"):
            message_of(build)(message)
        with turn(units, family[1], stopped, asked) as follower:
            assert follower is family[1]
    assert asked == [ARM64, MUSL]


def test_the_units_are_done_with_the_build_also_if_nobody_knows_how_many_there_are(builds):
    family, asked = builds(ARM64, ARMV7), []
    units = parallel.HostUnits(family)
    with turn(units, family[0], Stop(), asked) as build:
        message_of(build)({"reason": "build-finished", "success": True})
        with turn(units, family[1], Stop(), asked) as follower:
            assert follower is family[1]


def test_one_target_a_dry_run_and_containers_are_built_one_by_one(context, builds, host, machine, rustup):
    assert not parallel.runs_together(context, builds(ARM64))
    two = builds(ARM64, ARMV7)
    assert parallel.runs_together(context, two)
    assert not parallel.runs_together(replace(context, request=Request(rest=("-j2",))), two)
    own = machine(toolchains=(rustup,), cargo_config=CargoConfig(build_dir="/b"), **WITH_ZIG)
    assert not parallel.runs_together(replace(context, host=own), two)
    context.run.dry = True
    assert not parallel.runs_together(context, two)
    container = cargo.Toolset(target=ARMV7, backend=Cross(why="w", minimum_glibc=""), compiler=None)
    in_container = cargo.build(host, settings(), WORKSPACE, NO_REQUEST, select(WORKSPACE, NO_REQUEST), container)
    context.run.dry = False
    assert not parallel.runs_together(context, [two[0], in_container])


def test_the_limit_is_cargo_s_own(context, host, machine, rustup, monkeypatch):
    monkeypatch.setattr(parallel.parallelism, "processors", lambda: 8)
    assert parallel.limit(context) == 8
    configured = machine(toolchains=(rustup,), cargo_config=CargoConfig(jobs="-2"), **WITH_ZIG)
    context = replace(context, host=configured)
    assert parallel.limit(context) == 6
    assert parallel.limit(replace(context, request=Request(jobs="3"))) == 3


def test_no_cargo_gets_a_number_of_jobs_of_its_own(builds):
    (build,) = builds(ARM64, request=Request(jobs="3", verbose=1))
    (same,) = builds(ARM64, request=Request(verbose=1))
    assert parallel.without_jobs(build) == replace(same, selection=build.selection)
