"""Results as users see them."""

import json
from pathlib import Path

import machines
import pytest
from machines import ARM64, WITH_ZIG, settings, toolset

from buildlib.binaries import dist
from buildlib.binaries.build import BuildResult
from buildlib.binaries.start import Started
from buildlib.binaries.verify import Verdict
from buildlib.builder.builder import configured
from buildlib.builder.builder_commands import BuilderState
from buildlib.core.errors import CompileFailed
from buildlib.core.plan import Status
from buildlib.core.request import NO_REQUEST
from buildlib.core.targets import TARGETS
from buildlib.elf import Facts
from buildlib.machine.selection import select
from buildlib.machine.workspace import Component
from buildlib.process.console import Console
from buildlib.report import image_tables, tables
from buildlib.rust import cargo

STARTED = Started("--version", "cortex-a53", "64 KiB")
FACTS = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="/lib/ld-linux-aarch64.so.1", glibc="2.30",
    needed=("libc.so.6",), rpath="", arm=0, size=3 * 2**20, sha256="0123456789abcdef",
)  # fmt: skip
APP = Component(name="app", package="pack", version="1.0.0")


@pytest.fixture
def printed(capsys):
    """Call a function of `tables` and return the lines that it prints."""

    def printed(table, *values):
        table(Console({}), *values, as_json=False)
        return capsys.readouterr().out.splitlines()

    return printed


@pytest.fixture
def entry(machine, rustup):
    host = machine(**WITH_ZIG)
    workspace = machines.workspace(APP)
    build = cargo.build(host, settings(), workspace, NO_REQUEST, select(workspace, NO_REQUEST), toolset(host, rustup))
    return dist.entry(build, "app", "release", FACTS, STARTED, 1.5)


def test_a_build_has_a_row_per_binary_and_per_failed_target(printed, entry):
    results = [
        BuildResult(target=ARM64, status=Status.DONE, entries=(entry,)),
        BuildResult(target=TARGETS["s390x"], status=Status.FAILED, error=CompileFailed("s390x: no")),
    ]
    assert [line.split() for line in printed(tables.build, results)] == [
        ["arch", "binary", "size", "glibc", "backend", "sha256", "started", "status"],
        ["arm64", "app", "3.0", "MiB", "2.30", "zig", "0123456789ab", "--version", "done"],
        ["s390x", "failed"],
    ]


def test_a_build_as_json_has_all_facts_and_the_error(capsys, entry):
    results = [
        BuildResult(target=ARM64, status=Status.DONE, entries=(entry,)),
        BuildResult(target=TARGETS["s390x"], status=Status.FAILED, error=CompileFailed("s390x: no")),
    ]
    tables.build(Console({}), results, as_json=True)
    nothing = {
        "left_out": [], "unchanged": [], "previous_sizes": {}, "cache": {"compilations": 0, "hits": 0},
    }  # fmt: skip
    error = {"message": "s390x: no", "help": "", "class": "compile"}
    assert json.loads(capsys.readouterr().out) == [
        {"arch": "arm64", "status": "done", "code": 0, "error": None, "binaries": [entry], **nothing, "ok": True, "exit_code": 0,
         "errors": []},
        {"arch": "s390x", "status": "failed", "code": 101, "error": "s390x: no", "binaries": [], **nothing, "ok": False,
         "exit_code": 101, "errors": [error]},
    ]  # fmt: skip


def test_a_build_shows_how_sizes_have_changed_and_what_has_not(printed, entry):
    grown, shrunk, new = ({**entry, "binary": name} for name in ("grown", "shrunk", "new"))
    before = {"grown": entry["size"] - 12 * 2**10, "shrunk": entry["size"] + 96, "app": entry["size"]}
    result = BuildResult(
        target=ARM64, status=Status.DONE, entries=(entry, grown, shrunk, new), unchanged=frozenset({"app"}),
        previous_sizes=before,
    )  # fmt: skip
    rows = printed(tables.build, [result])[1:]
    assert [(row[7:13].strip(), row.partition("2.30")[0][13:].strip(), row.split()[-1]) for row in rows] == [
        ("app", "3.0 MiB", "unchanged"), ("grown", "3.0 MiB (+12.0 KiB)", "done"), ("shrunk", "3.0 MiB (-96 B)", "done"),
        ("new", "3.0 MiB", "done"),
    ]  # fmt: skip


def test_a_dry_build_has_no_table(printed):
    assert printed(tables.build, [BuildResult(target=ARM64, status=Status.PLANNED)]) == []


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0.0 KiB"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB"), (3 * 2**29, "1.5 GiB")]
)
def test_sizes_have_a_unit(count, text):
    assert tables.size(count) == text


def test_verify_prints_a_line_per_file_and_per_mismatch(printed):
    verdicts = [
        Verdict(path=Path("a"), target=ARM64, facts=FACTS, refusals=(), started=STARTED),
        Verdict(path=Path("[b]"), target=None, facts=None, refusals=("not an ELF file",)),
    ]
    assert printed(tables.verify, verdicts) == [
        "✓ a · arm64 · glibc 2.30 · started with --version", "✗ [b] · unknown", "    not an ELF file",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("exists", "differences", "lines"),
    [
        (True, (), ["builder multiarch-builder: matches the settings"]),
        (False, (), ["builder multiarch-builder: does not exist", "  help: buildlib builder.create"]),
        (
            True,
            ("network: default, expected host",),
            ["builder multiarch-builder: differs from the settings:", "  network: default, expected host",
             "  help: buildlib builder.create --force"],
        ),
    ],
)  # fmt: skip
def test_the_builder_is_compared_with_the_settings(printed, exists, differences, lines):
    state = BuilderState(configured=configured(settings()), exists=exists, differences=differences)
    assert printed(image_tables.builder, state) == lines


def test_explain_prints_whether_a_retry_helps(printed):
    lines = printed(tables.explain, "build.log", "error: failed to download\n  Could not resolve host: index")
    assert lines[0] == "build.log:2: transient-network: a retry helps"
    assert printed(tables.explain, "-", "frob: gave up") == [
        "standard input:1: unknown: no known failure; it is not retried",
        "  cause: frob: gave up",
    ]
    assert printed(tables.explain, "-", "") == ["standard input: no failure found"]
