"""Every JSON result has the type that `report.results` declares for it, the smallest and a full one."""

import json
import re
from pathlib import Path
from typing import get_args

import machines
import pytest
from json_results import COMMON, replies, typed
from machines import ARM64, WITH_ZIG, Recorder, context, settings, toolset

from buildlib.assembly.spec import ImageResult
from buildlib.binaries import dist, publishing
from buildlib.binaries.build import BuildResult
from buildlib.binaries.clean import Area, Entry
from buildlib.binaries.reproduce import Comparison
from buildlib.binaries.start import Started
from buildlib.binaries.verify import Verdict
from buildlib.builder.builder import configured
from buildlib.builder.builder_commands import BuilderState
from buildlib.builder.step_times import StepTime
from buildlib.ci.command import Pipeline
from buildlib.core.cases import Case, Suite
from buildlib.core.errors import BuildError, CompileFailed, Interrupted, TestsFailed, UsageError
from buildlib.core.image_settings import Image
from buildlib.core.plan import Status, Write
from buildlib.core.request import NO_REQUEST
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.settings import declared
from buildlib.core.targets import TARGETS
from buildlib.doctor.network import ConnectionStep, NetworkReport
from buildlib.elf import Facts
from buildlib.failures.classify import Failure
from buildlib.failures.rule import rules
from buildlib.images.bases import BaseState
from buildlib.lint.command import Linted
from buildlib.lint.finding import Finding
from buildlib.lint.formats import as_data
from buildlib.machine.selection import select
from buildlib.machine.workspace import Component
from buildlib.process.console import Console
from buildlib.report import (
    doctor_tables,
    image_tables,
    merge_tables,
    plan_table,
    reproduce_table,
    signing_table,
    tables,
    test_tables,
    texts,
)
from buildlib.report.plan_table import PlannedImages
from buildlib.report.reply import Class, reply
from buildlib.report.results import RESULTS
from buildlib.rust import cargo
from buildlib.shards.merge import Merged
from buildlib.signing.signer import Signed
from buildlib.testing.benches import BenchResult
from buildlib.testing.tests import TestResult

PAGE = (Path(__file__).parents[3] / "docs" / "json.md").read_text("utf-8")
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
FINDING = Finding(file="Dockerfile", rule="hardcoded-platform", severity="warning", message="m", help="h", line=1, column=1,
                  end_line=1, end_column=5)  # fmt: skip
REMOVED = Entry(
    area=Area(title="dist", folder=Path("/w/dist"), trusted=Path("/w")), parts=("arm64",), size=4096, changed=0.0
)
RESET = Failure(kind="transient-network", cause="connection reset", help="try again", wait=2.0)


@pytest.fixture
def plan(machine, rustup):
    """The planned build of one target."""
    host = machine(**WITH_ZIG)
    return cargo.build(host, settings(), WORKSPACE, NO_REQUEST, select(WORKSPACE, NO_REQUEST), toolset(host, rustup))


@pytest.fixture
def shown(capsys):
    """Call a function of `tables` and return the JSON that it prints, one value per document."""

    def shown(table, *values, **options):
        table(Console({}), *values, as_json=True, **options)
        return json.loads(capsys.readouterr().out)

    return shown


def lint(console, *findings, as_json):
    tables.lint(console, Linted(paths=(Path("Dockerfile"),), findings=findings), [], failed=bool(findings))


def setup(console, *values, as_json):
    doctor_tables.setup(console, *values)


@pytest.fixture
def results(plan, shown, capsys):
    """Examples of the result of each command."""
    entry = dist.entry(plan, "app", "release", FACTS, STARTED, 1.54)
    suite = Suite(name="demo", cases=(Case(name="a", result="ok"), Case(name="b", result="failed", detail="at b.rs")))
    tests = TestResult(
        target=ARM64, emulator="qemu-aarch64 7.2.22", ran_on={"machine": "aarch64", "bits": 64}, suites=(suite,), seconds=0.5,
        error=TestsFailed("arm64: 1 failed"),
    )  # fmt: skip
    update = publishing.update(Path("/w/dist"), Path("/w/Cargo.toml"), [], [entry], {})
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
            shown(image_tables.image, [
                ImageResult(component="app", status=Status.DONE, platforms=("linux/arm64",), tags=("1",), digest="sha256:00"),
                ImageResult(component="app", status=Status.FAILED, error=CompileFailed("no")),
                ImageResult(component="web", status=Status.DONE, steps=(STEP_TIME,)),
            ]),
        ],
        "merge": [
            shown(merge_tables.merge, Merged(entries=(entry,), tests=(tests,), images=(
                ImageResult(component="app", status=Status.DONE, platforms=("linux/arm64",), tags=("1",), digest="sha256:00",
                            where="r.test/app", images={"linux/arm64": "sha256:11"}),
            ))),
            shown(merge_tables.merge, Merged(entries=(), tests=(), images=())),
        ],
        "image-check-bases": [
            shown(image_tables.bases, [BaseState(component="web", base="alpine:3", recorded="sha256:0", current="sha256:1")]),
        ],
        "builder": [
            shown(image_tables.builder, BuilderState(configured=configured(settings()), exists=True, differences=("network: x",))),
        ],
        "verify": [
            shown(tables.verify, [
                Verdict(path=Path("/w/dist/arm64/app"), target=ARM64, facts=FACTS, refusals=(), started=STARTED),
                Verdict(path=Path("/w/x"), target=None, facts=None, refusals=("not an ELF file",)),
            ]),
        ],
        "sign": [
            shown(signing_table.show, [
                Signed(path="dist/SHA256SUMS", digest="sha256:00", added=False),
                Signed(path="r.test/a:1", digest="sha256:00", platform="linux/arm64", added=True),
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
            PlannedImages({"web": IMAGE}, {"web": (ARM64, TARGETS["riscv64"])}), times={"arm64": 1.5},
        )],
        "config": [shown(tables.config, settings(arches=["arm64"]))],
        "explain": [
            shown(tables.explain, "-", "error: failed to download\n  Could not resolve host: index"),
            shown(tables.explain, "-", ""),
        ],
        "doctor": [shown(doctor_tables.doctor, [requirement], [requirement]), shown(doctor_tables.doctor, [requirement], [])],
        "doctor-network": [
            shown(doctor_tables.network, NetworkReport(steps=(step,), skew=1.25, left=3, **network)),
            shown(doctor_tables.network, NetworkReport(steps=(), **network)),
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
                FINDING,
            ]))),
        ],
        "manifest": [json.loads(update.writes[0].text)],
        "lint-json": [shown(lint, FINDING), shown(lint)],
        "dockerfile": [shown(texts.dockerfile, [Write(path=Path("/w/Dockerfile.multiarch"), text="FROM x\n")], written=True)],
        "report": [shown(texts.page, Path("/w/index.html"))],
        "ci": [shown(texts.pipeline, Pipeline(text="on: push\n", secrets=("TOKEN",), notes=()))],
        "completion": [shown(texts.completion, "script\n"), shown(texts.completion, "", ("app",))],
        "builder.create": [shown(image_tables.changed_builder, "multiarch-builder", "recreated", dry=False)],
        "builder.remove": [shown(image_tables.changed_builder, "multiarch-builder", "removed", dry=True)],
        "clean": [
            shown(tables.clean, [REMOVED], {}, dry=False),
            shown(tables.clean, [REMOVED], {Path("/w/x"): "a symbolic link"}, dry=True),
        ],
        "setup": [shown(setup, [requirement], [requirement])],
        "failure": [dict(reply([UsageError("no", "yes")])), dict(reply([Interrupted("terminated")], 143))],
    }  # fmt: skip


def test_every_result_has_its_declared_type_and_no_other_keys(results):
    assert results.keys() == RESULTS.keys()
    for name, examples in results.items():
        for example in examples:
            # Keys that are not declared are missing in the first.
            assert (name, typed(name, example)) == (name, example)


def test_every_part_of_a_result_has_the_common_keys(results):
    """Each of "ok", "errors" and "exit_code" says the same."""
    without = {"lint", "manifest"}  # `lint --format json` is a list of findings alone
    for name in results.keys() - without:
        rows = [row for example in results[name] for row in replies(example)]
        assert [row["ok"] for row in rows] == [not row["errors"] for row in rows], name
        assert [row["ok"] for row in rows] == [row["exit_code"] == 0 for row in rows], name


def test_common_keys_are_no_settings():
    assert not set(COMMON) & declared().keys()


def test_every_class_of_an_error_is_declared():
    classes = (
        {kind.kind for kind in (BuildError, *BuildError.__subclasses__())} | {rule.kind for rule in rules()} | {"lint"}
    )
    page = PAGE.partition("## Classes of errors")[2]
    assert classes == set(get_args(Class)) == set(re.findall("`([a-z-]+)`", page)) - {"explain"}


def test_the_page_about_json_links_every_schema():
    assert set(re.findall(r"\(schemas/(.+?)\.json\)", PAGE)) == RESULTS.keys() - {"manifest"}


def test_a_report_file_has_the_type_of_the_command(results, machine):
    (data, _) = results["test"][0]
    report = {key: value for key, value in data.items() if key not in COMMON}
    write = context(machine(), Recorder()).report("test-arm64", report)
    assert (write.path.name, json.loads(write.text)) == ("test-arm64.json", report)


def test_secrets_in_a_log_are_not_shown(shown):
    log = "error: failed to fetch https://user:hunter2@example.com/index: Could not resolve host: example.com"
    assert "hunter2" not in json.dumps(shown(tables.explain, "-", log))


def test_what_emulation_cost_is_a_warning_with_its_help(capsys):
    image_tables.image(
        Console({}), [ImageResult(component="web", status=Status.DONE, steps=(STEP_TIME,))], as_json=False
    )
    assert capsys.readouterr().err.startswith(
        "warning: web: 30 of 30 s were emulated: RUN make; help: cross-compile in a stage "
    )
