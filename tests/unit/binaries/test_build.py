"""The gate and dist/, on a real program of this machine."""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from machines import WITH_ZIG, Recorder, context

from buildlib.binaries import build as flow
from buildlib.rust import cargo
from buildlib.report import tables
from buildlib.binaries.elf import read
from buildlib.rust.backends import Backend
from buildlib.process.console import Console
from buildlib.core.errors import CompileFailed, NetworkError, NothingToDo
from buildlib.process.files import update
from buildlib.core.plan import Job, Outcome, Status, Step, AtomicUpdate
from buildlib.core.targets import TARGETS, find_target
from buildlib.rust.std import Compiler

PROGRAM = Path("/bin/ls").resolve()
HERE = find_target(platform.machine())
OTHER = TARGETS["s390x"]


class Hand(Recorder):
    """Records commands, and lets dist/ be written for real."""

    def __call__(self, act):
        if isinstance(act, AtomicUpdate):
            update(act)
            return Outcome(step=act, code=0, seconds=0)
        return super().__call__(act)


@pytest.fixture
def job(machine, rustup, tmp_path):
    """A context, and a compile for `target` whose one binary is a copy of that program."""
    (tmp_path / "Cargo.toml").write_text("")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "app").write_bytes(PROGRAM.read_bytes())

    def make(target=HERE, minimum_glibc="", answers=(), **facts):
        host = machine(machine=platform.machine(), toolchains=(rustup,), **WITH_ZIG, **facts)
        backend = Backend(name="zig", why="w", minimum_glibc=floor)
        step = Step(title="compile", argv=("cargo",))
        build = cargo.Build(target=target, backend=backend, compiler=Compiler(toolchain=rustup),
                            job=Job(name=target.name, steps=(step,)), folder=tmp_path / "out")  # fmt: skip
        compiled = Outcome(step=step, code=0, seconds=1.5, executables=(tmp_path / "out" / "app",))
        return context(host, Hand(answers), root=tmp_path), build, compiled

    return make


def accept(given):
    return flow._accept(*given)


def test_what_passes_gets_into_dist_with_its_facts(job, tmp_path):
    result = accept(job())
    assert result.status is Status.DONE
    (entry,) = json.loads((tmp_path / "dist" / "manifest.json").read_text())["binaries"]
    facts = read(PROGRAM)
    assert (entry["path"], entry["sha256"], entry["size"]) == (f"{HERE.name}/app", facts.sha256, facts.size)
    assert (entry["started"], entry["seconds"], entry["facts"]["glibc"]) == ("--version", 1.5, facts.glibc)
    assert (tmp_path / "dist" / HERE.name / "app").read_bytes() == PROGRAM.read_bytes()
    assert (tmp_path / "dist" / "SHA256SUMS").read_text() == f"{facts.sha256}  {HERE.name}/app\n"


def test_the_same_bytes_are_neither_started_nor_copied_again(job):
    accept(job())
    given = job()
    assert accept(given).status is Status.UNCHANGED
    assert given[0].run.asked == []


def test_a_stricter_floor_is_asked_again(job, tmp_path):
    accept(job())
    before = (tmp_path / "dist" / "manifest.json").read_bytes()
    with pytest.raises(flow.Refused, match=r"glibc: is .*, wanted 2\.1 or older"):
        accept(job(minimum_glibc="2.1"))
    assert (tmp_path / "dist" / "manifest.json").read_bytes() == before


def test_a_stranger_does_not_get_into_dist(job, tmp_path):
    with pytest.raises(flow.Refused) as caught:
        accept(job(OTHER))
    assert caught.value.code == 6
    assert "app: machine: is" in caught.value.message and "wanted 22 (s390x)" in caught.value.message
    assert not (tmp_path / "dist").exists()


def test_a_binary_that_crashes_is_refused_and_one_that_dislikes_the_flag_is_not(job):
    with pytest.raises(flow.Refused, match="start: is a crash"):
        accept(job(answers={"start app": (139, "Segmentation fault")}))
    assert accept(job(answers={"start app": (2, "usage: app")})).entries[0]["started"] == "--version (exit code 2)"


def test_an_absent_library_is_a_warning_not_a_refusal(job, capsys):
    said = "app: error while loading shared libraries: libssl.so.3: cannot open shared object file"
    assert accept(job(answers={"start app": (127, said)})).entries[0]["started"] == ""
    assert "not started, a library is not here" in capsys.readouterr().err


def test_entries_whose_file_is_gone_do_not_stay(job, tmp_path):
    accept(job())
    (tmp_path / "dist" / HERE.name / "app").unlink()
    (tmp_path / "out" / "app").rename(tmp_path / "out" / "tool")
    at, build, compiled = job()
    accept((at, build, replace(compiled, executables=(tmp_path / "out" / "tool",))))
    paths = [entry["path"] for entry in json.loads((tmp_path / "dist" / "manifest.json").read_text())["binaries"]]
    assert paths == [f"{HERE.name}/tool"]


def test_no_binary_at_all_is_nothing_to_do(job):
    at, build, compiled = job()
    with pytest.raises(NothingToDo):
        accept((at, build, replace(compiled, executables=())))


@pytest.mark.parametrize(
    ("output", "kind", "code"),
    [
        ("error[E0308]: mismatched types", CompileFailed, 101),
        ("error: cannot update the lock file because --locked was passed", CompileFailed, 101),
        ("error: failed to download\n  Could not resolve host: index", NetworkError, 5),
        ("error: could not write: No space left on device (os error 28)", flow.BuildError, 1),
        ("error: unexpected argument '--x' found", flow.UsageError, 2),
    ],
)
def test_why_cargo_failed(job, output, kind, code):
    _, build, compiled = job()
    error = flow.compile_error(build.target, replace(compiled, code=code if code == 2 else 101, output=output))
    assert (type(error), error.code) == (kind, code)
    assert bool(error.help) is ("E0308" not in output)


# --- verify -----------------------------------------------------------------------------------------------


def test_verify_holds_dist_against_its_manifest(job, tmp_path):
    accept(job())
    at, *_ = job()
    (good,) = flow.verify(at, [tmp_path / "dist"])
    assert (good.refusals, good.target) == ((), HERE)
    binary = tmp_path / "dist" / HERE.name / "app"
    binary.write_bytes(binary.read_bytes() + b"\0")
    (changed,) = flow.verify(at, [tmp_path / "dist"])
    assert [refusal.split(":")[0] for refusal in changed.refusals] == ["sha256"]
    binary.unlink()
    (gone,) = flow.verify(at, [tmp_path / "dist"])
    assert gone.refusals == ("file: is missing, wanted by manifest.json",)


def test_verify_with_nothing_to_read(job, tmp_path):
    (tmp_path / "dist").mkdir()
    with pytest.raises(NothingToDo):
        flow.verify(job()[0], [tmp_path / "dist"])


# --- what a person and a program are told -----------------------------------------------------------------


def test_the_result_as_a_table_and_as_json(job, capsys):
    results = [accept(job()), flow.Result(target=OTHER, status=Status.FAILED, error=CompileFailed("s390x: no"))]
    tables.built(Console({}), results, as_json=False)
    head, row, failed = capsys.readouterr().out.splitlines()
    assert head.split() == ["arch", "binary", "size", "glibc", "backend", "sha256", "started"]
    assert row.split()[0] == HERE.name and row.split()[-1] == "done" and failed.split() == ["s390x", "failed"]
    tables.built(Console({}), results, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [(r["arch"], r["status"], r["code"], r["error"]) for r in told] == [
        (HERE.name, "done", 0, None),
        ("s390x", "failed", 101, "s390x: no"),
    ]


@pytest.mark.parametrize(("count", "shown"), [(0, "0.0 KiB"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB")])
def test_sizes(count, shown):
    assert tables.size(count) == shown
