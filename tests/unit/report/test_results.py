"""Every JSON result has the type that `report.results` declares for it, the smallest and a full one."""

import json
from pathlib import Path

import machines
import msgspec
import pytest
from machines import ARM64, WITH_ZIG, Recorder, context, settings, toolset

from buildlib.assembly.spec import ImageResult
from buildlib.binaries import dist
from buildlib.binaries.build import BuildResult
from buildlib.binaries.reproduce import Comparison
from buildlib.binaries.start import Started
from buildlib.binaries.verify import Verdict
from buildlib.builder.builder import configured
from buildlib.builder.builder_commands import BuilderState
from buildlib.builder.step_times import StepTime
from buildlib.core.cases import Case, Suite
from buildlib.core.errors import CompileFailed, TestsFailed
from buildlib.core.image_settings import Image
from buildlib.core.plan import Status
from buildlib.core.request import NO_REQUEST
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.targets import TARGETS
from buildlib.doctor.network import ConnectionStep, NetworkReport
from buildlib.elf import Facts
from buildlib.failures.classify import Failure
from buildlib.images.bases import BaseState
from buildlib.lint.finding import Finding
from buildlib.lint.formats import as_data
from buildlib.machine.selection import select
from buildlib.machine.workspace import Component
from buildlib.process.console import Console
from buildlib.report import plan_table, reproduce_table, tables, test_tables
from buildlib.report.plan_table import PlannedImages
from buildlib.report.results import RESULTS
from buildlib.rust import cargo
from buildlib.testing.benches import BenchResult
from buildlib.testing.tests import TestResult

STARTED = Started("--version", "cortex-a53", "64 KiB")
FACTS = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="/lib/ld-linux-aarch64.so.1", glibc="2.30",
    needed=("libc.so.6",), rpath="", arm=0, size=1, sha256="00",
)  # fmt: skip
STEP_TIME = StepTime(
    title="RUN make", platform="linux/arm64", target="linux/arm64", stage="build", seconds=30.1234, emulated=True
)
IMAGE = Image(dockerfile="web/Dockerfile", context="web")
APP = Component(name="app", package="pack", version="1.0.0")
WORKSPACE = machines.workspace(APP)
RESET = Failure(kind="transient-network", cause="connection reset", help="try again", wait=2.0)


@pytest.fixture
def plan(machine, rustup):
    """The planned build of one target."""
    host = machine(**WITH_ZIG)
    return cargo.build(host, settings(), WORKSPACE, NO_REQUEST, select(WORKSPACE, NO_REQUEST), toolset(host, rustup))


@pytest.fixture
def shown(capsys):
    """Call a function of `tables` and return the JSON that it prints, one value per document."""

    def shown(table, *values):
        table(Console({}), *values, as_json=True)
        return json.loads(capsys.readouterr().out)

    return shown


@pytest.fixture
def results(plan, shown, capsys):
    """Examples of the result of each command."""
    entry = dist.entry(plan, "app", "release", FACTS, STARTED, 1.54)
    suite = Suite(name="demo", cases=(Case(name="a", result="ok"), Case(name="b", result="failed", detail="at b.rs")))
    tests = TestResult(
        target=ARM64, emulator="qemu-aarch64 7.2.22", ran_on={"machine": "aarch64", "bits": 64}, suites=(suite,), seconds=0.5,
        error=TestsFailed("arm64: 1 failed"),
    )  # fmt: skip
    update = dist.publish(Path("/w/dist"), Path("/w/Cargo.toml"), [], [entry], {})
    step = ConnectionStep(where="this machine", host="ghcr.io", name="tcp", seconds=0.1, failure=RESET)
    network = {"env": {}, "network": "host"}
    requirement = Requirement(what="zig", why="w", met=lambda host: False, fixes=(Fix(text="pip install ziglang"),))
    return {
        "build": [
            shown(tables.build, [
                BuildResult(target=ARM64, status=Status.DONE, entries=(entry,)),
                BuildResult(target=ARM64, status=Status.FAILED, error=CompileFailed("arm64: no")),
            ]),
        ],
        "image": [
            shown(tables.image, [
                ImageResult(component="app", status=Status.DONE, platforms=("linux/arm64",), tags=("1",), digest="sha256:00"),
                ImageResult(component="app", status=Status.FAILED, error=CompileFailed("no")),
                ImageResult(component="web", status=Status.DONE, steps=(STEP_TIME,)),
            ]),
        ],
        "image-check-bases": [
            shown(tables.bases, [BaseState(component="web", base="alpine:3", recorded="sha256:0", current="sha256:1")]),
        ],
        "builder": [
            shown(tables.builder, BuilderState(configured=configured(settings()), exists=True, differences=("network: x",))),
        ],
        "verify": [
            shown(tables.verify, [
                Verdict(path=Path("/w/dist/arm64/app"), target=ARM64, facts=FACTS, refusals=(), started=STARTED),
                Verdict(path=Path("/w/x"), target=None, facts=None, refusals=("not an ELF file",)),
            ]),
        ],
        "reproduce": [
            shown(reproduce_table.reproduce, [
                Comparison(target=ARM64, name="app", sha256="00"),
                Comparison(target=ARM64, name="b", sha256="00", difference=".text, main", origins=("the crate b",)),
            ]),
        ],
        "plan": [shown(
            plan_table.plan, [plan], {"probe": "probe needs --features cli"},
            PlannedImages({"web": IMAGE}, {"web": (ARM64, TARGETS["riscv64"])}),
        )],
        "config": [shown(tables.config, settings(arches=["arm64"]))],
        "explain": [
            shown(tables.explain, "-", "error: failed to download\n  Could not resolve host: index"),
            shown(tables.explain, "-", ""),
        ],
        "doctor": [shown(tables.doctor, [requirement], [requirement]), shown(tables.doctor, [requirement], [])],
        "doctor-network": [
            shown(tables.network, NetworkReport(steps=(step,), skew=1.25, left=3, **network)),
            shown(tables.network, NetworkReport(steps=(), **network)),
        ],
        "test": [shown(test_tables.tests, [tests, TestResult(target=ARM64)])],
        "smoke": [shown(test_tables.tests, [TestResult(target=ARM64, session="smoke", suites=(suite,))])],
        "bench": [
            shown(test_tables.benches, [
                BenchResult(target=ARM64, emulator="qemu-aarch64 7.2.22", counted={"sum/plain": 12.5}, uncounted=("old",)),
                BenchResult(target=ARM64, error=CompileFailed("arm64: no")),
            ]),
        ],
        "lint": [
            json.loads(json.dumps(as_data([
                Finding(file="Dockerfile", rule="hardcoded-platform", severity="warning", message="m", help="h", line=1,
                        column=1, end_line=1, end_column=5),
            ]))),
        ],
        "manifest": [json.loads(update.writes[0].text)],
    }  # fmt: skip


def test_every_result_has_its_declared_type_and_no_other_keys(results):
    assert results.keys() == RESULTS.keys()
    for name, examples in results.items():
        for example in examples:
            # `convert` leaves out keys that are not declared.
            assert (name, msgspec.to_builtins(msgspec.convert(example, RESULTS[name]))) == (name, example)


def test_a_report_file_has_the_type_of_the_command(results, machine):
    (report, _) = results["test"][0]
    write = context(machine(), Recorder()).report("test-arm64", report)
    assert (write.path.name, json.loads(write.text)) == ("test-arm64.json", report)


def test_secrets_in_a_log_are_not_shown(shown):
    log = "error: failed to fetch https://user:hunter2@example.com/index: Could not resolve host: example.com"
    assert "hunter2" not in json.dumps(shown(tables.explain, "-", log))


def test_what_emulation_cost_is_a_warning_with_its_help(capsys):
    tables.image(Console({}), [ImageResult(component="web", status=Status.DONE, steps=(STEP_TIME,))], as_json=False)
    assert capsys.readouterr().err.startswith(
        "warning: web: 30 of 30 s were emulated: RUN make; help: cross-compile in a stage "
    )
