"""The last lines of each command: what it has made, and a command that is useful next and exists."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import machines
import pytest
from machines import AMD64, ARM64, MUSL, Machine, Recorder

from buildlib.assembly.spec import ImageResult
from buildlib.binaries.build import BuildResult
from buildlib.binaries.reproduce import Comparison
from buildlib.binaries.verify import Verdict
from buildlib.cli import command_list
from buildlib.core.errors import CompileFailed, Refused, TestsFailed
from buildlib.core.plan import Status, Step
from buildlib.core.request import Request
from buildlib.core.requirements import Fix, Requirement
from buildlib.machine.workspace import Component
from buildlib.testing.benches import BenchResult
from buildlib.testing.tests import TestResult
from buildlib.usage import next_command

APP = Component(name="app", package="pack", version="1.0.0")
EMULATED = {"tools": ("qemu-aarch64-static",), "files": ("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1",)}
DONE, UNCHANGED, FAILED, PLANNED = Status.DONE, Status.UNCHANGED, Status.FAILED, Status.PLANNED


@pytest.fixture(autouse=True)
def no_docker(monkeypatch):
    monkeypatch.setattr("buildlib.machine.docker_daemon.has_buildx", lambda env: False)


@pytest.fixture
def docker(monkeypatch):
    monkeypatch.setattr("buildlib.machine.docker_daemon.has_buildx", lambda env: True)


@pytest.fixture
def context(tmp_path, monkeypatch):
    """A context of a workspace with the binary `app`; its directory is the current one."""
    monkeypatch.chdir(tmp_path)

    def context(*components, host=None, dry=False, request=None, **flags):
        made = machines.context(host or Machine(), Recorder(dry=dry), root=tmp_path, **flags)
        workspace = machines.workspace(*(components or (APP,)), root=tmp_path)
        return replace(made, workspace=workspace, request=request or Request())

    return context


@pytest.fixture
def said(capsys):
    """Call a function of `next_command` and return the lines that it prints; the command it names exists, with its options."""

    def said(after, *values, **options):
        after(*values, **options)
        out, err = capsys.readouterr()
        assert out == ""
        lines = [line.removeprefix("  ") for line in err.splitlines()]
        for line in lines:
            if line.startswith("next: buildlib "):
                command, *words = shlex.split(line.removeprefix("next: buildlib "))
                known = {word for option in command_list.describe(command).options for word in option.words}
                assert {word for word in words if word.startswith("-")} <= known
        return lines

    return said


def built(*names, target=ARM64, status=DONE, kind="bin", **more):
    entries = tuple({"binary": name, "size": 3 * 2**20, "kind": kind, "arch": target.name} for name in names)
    return BuildResult(target=target, status=status, entries=entries, **more)


# --- build ------------------------------------------------------------------------------------------------------------


def test_a_build_says_what_is_in_dist_and_how_it_has_changed(context, said):
    first = built("app", "tool", unchanged=frozenset({"tool"}), previous_sizes={"app": 2 * 2**20, "tool": 3 * 2**20})
    new = built("app", target=AMD64)
    assert said(next_command.after_build, context(host=Machine(**EMULATED)), [first, new]) == [
        "dist: 3 files, 9.0 MiB (+1.0 MiB), 1 unchanged", "next: buildlib test --arch arm64,amd64",
    ]  # fmt: skip


def test_a_build_of_what_was_there_says_so(context, said):
    kept = built("app", status=UNCHANGED, unchanged=frozenset({"app"}), previous_sizes={"app": 3 * 2**20})
    assert said(next_command.after_build, context(), [kept]) == [
        "dist: 1 file, 3.0 MiB, all unchanged", "next: buildlib verify",
    ]  # fmt: skip


def test_after_a_failure_there_is_only_its_help(context, said):
    failed = BuildResult(target=AMD64, status=FAILED, error=CompileFailed("amd64: no"))
    tested = TestResult(target=ARM64, error=TestsFailed("arm64: 1 failed"))
    image = ImageResult(component="app", status=FAILED, error=Refused("no"))
    refused = Verdict(path=Path("x"), target=ARM64, facts=None, refusals=("not an ELF file",))
    assert said(next_command.after_build, context(), [built("app"), failed]) == []
    assert said(next_command.after_test, context(), [tested]) == []
    assert said(next_command.after_smoke, context(), [tested]) == []
    assert said(next_command.after_bench, context(), [BenchResult(target=ARM64, error=tested.error)]) == []
    assert said(next_command.after_image, context(), [image], [ARM64], "push") == []
    assert said(next_command.after_verify, context(), [refused], is_dist=True) == []


@pytest.mark.parametrize(
    ("target", "host", "words"),
    [
        (AMD64, Machine(), "test --arch amd64"),
        (ARM64, Machine(), "verify"),  # which starts nothing
        (ARM64, Machine(**EMULATED), "test --arch arm64"),
        (MUSL, Machine(), "image --arch arm64-musl --output images"),  # a static binary needs no Docker
    ],
)
def test_without_docker_it_is_what_this_machine_can_do(context, said, target, host, words):
    assert (
        said(next_command.after_build, context(host=host), [built("app", target=target)])[-1]
        == f"next: buildlib {words}"
    )


@pytest.mark.parametrize(
    ("engine", "words"),
    [("auto", "image --arch arm64 --push"), ("none", "image --arch arm64 --push"), ("docker", "verify")],
)
def test_without_docker_images_are_pushed_where_there_is_a_registry(context, said, engine, words):
    plain = context(registry="ghcr.io/acme", engine=engine)
    assert said(next_command.after_build, plain, [built("app")])[-1] == f"next: buildlib {words}"
    with_images = context(registry="ghcr.io/acme", images={"web": {"dockerfile": "Dockerfile", "context": "."}})
    assert said(next_command.after_build, with_images, [built("app")])[-1] == "next: buildlib verify"


def test_with_docker_binaries_become_images(context, said, docker):
    result = [built("app"), built("app", target=AMD64)]
    assert said(next_command.after_build, context(), result)[-1] == (
        "next: buildlib image --arch arm64,amd64 --output images"
    )
    pushing = context(registry="ghcr.io/acme")
    assert said(next_command.after_build, pushing, result)[-1] == "next: buildlib image --arch arm64,amd64 --push"
    two = [built("app"), built("app", target=MUSL)]  # for one platform
    assert said(next_command.after_build, context(), two)[-1] == "next: buildlib verify"
    library = built("libx.so", kind="cdylib")
    assert said(next_command.after_build, context(request=Request(library=True)), [library])[-1] == (
        "next: buildlib verify"
    )


def test_the_next_command_is_about_the_same(context, said, docker):
    request = Request(
        packages=("pack",), components=("app", "a b"), all_features=True, workspace=True, profile="dist", offline=True, frozen=True
    )  # fmt: skip
    assert said(next_command.after_build, context(request=request, features=["x", "y"]), [built("app")])[-1] == (
        "next: buildlib image --arch arm64 --workspace --all-features --offline --frozen --package pack --component 'app,a b'"
        " --features x,y --profile dist --output images"
    )


def test_verify_reads_the_directory_that_was_built(context, said, tmp_path):
    elsewhere = context(dist=str(tmp_path / "my dist"))
    assert said(next_command.after_build, elsewhere, [built("app")]) == [
        "my dist: 1 file, 3.0 MiB", "next: buildlib verify 'my dist'",
    ]  # fmt: skip


def test_json_has_no_lines_for_users(context, said):
    made = context()
    made.console.as_json = True
    assert said(next_command.after_build, made, [built("app")]) == []


def test_after_a_dry_run_it_is_the_same_command(context, said, monkeypatch):
    words = ["--dry-run", "image", "--dry", "-p", "a b", "--registry", "https://u:hunter2@h/x"]
    monkeypatch.setattr(sys, "argv", ["buildlib", *words])
    (line,) = said(next_command.after_build, context(dry=True), [BuildResult(target=ARM64, status=PLANNED)])
    assert line == "next: buildlib image -p 'a b' --registry 'https://***@h/x'"


def test_what_is_the_same_elsewhere_is_counted(context, said):
    same = Comparison(target=ARM64, name="app", sha256="00")
    assert said(next_command.after_reproduce, context(), [same, same]) == [
        "2 files, all identical", "next: buildlib verify",
    ]  # fmt: skip
    assert said(next_command.after_reproduce, context(), [same, replace(same, difference=".text")]) == []


# --- tests ------------------------------------------------------------------------------------------------------------


def test_tests_say_where_their_reports_are(context, said):
    results = [TestResult(target=ARM64), TestResult(target=AMD64)]
    assert said(next_command.after_test, context(), results) == [
        "reports: target/buildlib/reports/{test-arm64,test-amd64}.json and .xml", "next: buildlib build --arch arm64,amd64",
    ]  # fmt: skip
    smoke = [replace(results[0], session="smoke")]
    assert said(next_command.after_smoke, context(), smoke) == [
        "reports: target/buildlib/reports/smoke-arm64.json and .xml", "next: buildlib report",
    ]  # fmt: skip


def test_a_library_has_nothing_to_build_after_its_tests(context, said):
    library = context()
    library = replace(library, workspace=replace(library.workspace, components=()))
    assert said(next_command.after_test, library, [TestResult(target=ARM64)])[-1] == "next: buildlib report"


def test_counted_benchmarks_are_the_baseline_of_the_next(context, said):
    counted = BenchResult(target=ARM64, counted={"sum": 1.0})
    assert said(next_command.after_bench, context(), [BenchResult(target=AMD64), counted]) == [
        "reports: target/buildlib/reports/{bench-amd64,bench-arm64}.json",
        "next: buildlib bench --arch arm64 --baseline target/buildlib/reports/bench-arm64.json",
    ]
    assert said(next_command.after_bench, context(), [BenchResult(target=AMD64)])[-1] == "next: buildlib report"


# --- images and verify ------------------------------------------------------------------------------------------------


def image(status=DONE, name="app", **more):
    return ImageResult(component=name, status=status, where=f"ghcr.io/acme/{name}", tags=("1.0.0", "latest"), **more)


@pytest.mark.parametrize(
    ("output", "target", "lines"),
    [
        ("push", ARM64, ["next: buildlib verify ghcr.io/acme/app:1.0.0"]),
        ("load", AMD64, ["next: docker run --rm ghcr.io/acme/app"]),
        ("load", ARM64, ["next: buildlib report"]),  # Docker may lack an emulator
        ("save", ARM64, ["next: buildlib report"]),
        ("", ARM64, ["next: buildlib image --arch arm64 --component app --output images"]),
    ],
)
def test_after_an_image(context, said, docker, output, target, lines):
    assert said(next_command.after_image, context(), [image()], [target], output) == lines


def test_what_has_a_registry_is_pushed_after_its_check(context, said, docker):
    made = context(registry="ghcr.io/acme")
    expected = ["2 images, 1 unchanged", "next: buildlib image --arch arm64 --component app,web --push"]
    for output in ("", "save"):
        assert said(next_command.after_image, made, [image(), image(UNCHANGED, "web")], [ARM64], output) == expected
    kept = [image(UNCHANGED), image(UNCHANGED, "web")]
    assert said(next_command.after_image, made, kept, [ARM64], "push") == [
        "2 images, all unchanged", "next: buildlib verify ghcr.io/acme/app:1.0.0 ghcr.io/acme/web:1.0.0",
    ]  # fmt: skip


def test_verify_counts_and_continues_only_after_dist(context, said):
    good = Verdict(path=Path("dist/amd64/app"), target=AMD64, facts=None, refusals=())
    assert said(next_command.after_verify, context(), [good], is_dist=False) == ["1 passed"]
    assert said(next_command.after_verify, context(), [good, good], is_dist=True) == [
        "2 passed", "next: buildlib test --arch amd64",
    ]  # fmt: skip
    foreign = replace(good, target=ARM64)
    assert said(next_command.after_verify, context(), [foreign], is_dist=True) == ["1 passed", "next: buildlib report"]


# --- doctor, plan, builder --------------------------------------------------------------------------------------------


def absent(*steps, required=True, root=False):
    fixes = (Fix(text="by hand"), Fix(text="x", steps=steps, root=root))
    return Requirement(what="zig", why="w", met=lambda host: False, fixes=fixes, required=required)


PIP = Step(title="zig", argv=("pip", "install", "ziglang"))


@pytest.mark.parametrize(
    ("requirement", "host", "lines"),
    [
        (absent(PIP), Machine(tools=("pip",)), ["next: buildlib setup --arch arm64"]),
        (absent(PIP), Machine(), []),  # no pip, so that setup would fail
        (absent(), Machine(tools=("pip",)), []),
        (absent(PIP, root=True), Machine(tools=("pip",), root=False), []),
        (absent(PIP, root=True), Machine(tools=("pip", "sudo"), root=False), ["next: buildlib setup --arch arm64"]),
        (absent(required=False), Machine(), ["next: buildlib build --arch arm64"]),
    ],
)  # fmt: skip
def test_after_doctor_comes_what_installs_or_builds(context, said, requirement, host, lines):
    assert said(next_command.after_doctor, context(host=host), [requirement], [ARM64], named=True) == lines


def test_setup_asks_for_the_arches_that_doctor_asked_for(context, said):
    made = context(host=Machine(tools=("pip",)))
    assert said(next_command.after_doctor, made, [absent(PIP)], [ARM64], named=False) == ["next: buildlib setup"]


def test_after_setup_builds_have_what_they_require(context, said):
    assert said(next_command.after_setup, context(), [ARM64, AMD64]) == [
        "builds for arm64, amd64 have what they require", "next: buildlib build --arch arm64,amd64",
    ]  # fmt: skip


def test_the_plan_is_built_with_its_options(context, said):
    made = context(backend="gcc", glibc="2.31")
    assert said(next_command.show, made.console, next_command.planned(made, [ARM64])) == [
        "next: buildlib build --arch arm64 --backend gcc --glibc 2.31"
    ]


def test_a_builder_without_anything_to_make_images_of_leads_nowhere(context):
    made = context(images={"web": {"dockerfile": "Dockerfile", "context": "."}})
    empty = replace(made.workspace, components=())
    assert next_command.with_builder(made) == ["image"]
    assert next_command.with_builder(replace(made, workspace=empty)) == ["image"]
    assert next_command.with_builder(replace(context(), workspace=empty)) == []
