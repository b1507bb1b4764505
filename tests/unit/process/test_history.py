import json
import os
import sys

import pytest

from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.settings import Retry
from buildlib.display.progress import Run
from buildlib.process import history as module
from buildlib.process.console import Console
from buildlib.process.history import NO_HISTORY, History, read
from buildlib.process.runner import Runner


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "target" / "buildlib" / "journal.jsonl", "build --arch arm64")


def lines(history):
    """What the file says, without what all lines have."""
    return [
        {key: value for key, value in line.items() if key not in history.run} for line in read(history.path.read_text())
    ]


def test_the_history_is_one_json_object_per_line(history):
    history("step", title="arm64 · compile", seconds=1.0)
    history("size", arch="arm64", name="app", value=3)
    with history.path.open("a") as stream:
        stream.write('{"run": "cut o\n3\n{"kind": "step"}\n')
    first, second = read(history.path.read_text())
    assert first == {**history.run, "kind": "step", "title": "arm64 · compile", "seconds": 1.0}
    assert (second["kind"], second["command"], second["run"]) == ("size", "build --arch arm64", first["run"])
    NO_HISTORY("step")
    assert json.loads(history.path.read_text().splitlines()[0])["command"] == "build --arch arm64"


@pytest.mark.parametrize("place", ["file/x/journal", "folder"])
def test_a_history_that_cannot_be_written_changes_nothing(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    History(tmp_path / place)("step")
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_errors_are_recorded_with_their_help_and_without_secrets(history, capsys):
    console = Console({})
    console.error(BuildError("before", "no history yet"))
    console.history = history
    console.error(BuildError("push: https://user:hunter2@r.test/v2/ refused", "log in"))
    assert lines(history) == [
        {"kind": "error", "message": "push: https://***@r.test/v2/ refused", "help": "log in", "code": 1}
    ]


@pytest.mark.processes
def test_a_compilation_is_recorded_with_its_crates_and_a_failed_try_with_its_help(history):
    artifact = {"reason": "compiler-artifact", "target": {"name": "a", "kind": ["lib"], "crate_types": ["lib"]}, "executable": None,
                "profile": {"test": False}, "manifest_path": "/x/Cargo.toml", "filenames": ["/x/liba.rlib"]}  # fmt: skip
    messages = [
        artifact | {"package_id": "x#a@1.0.0", "fresh": False},
        artifact | {"package_id": "x#b@1.0.0", "fresh": True},
    ]
    code = ["import sys", *(f"print({json.dumps(message)!r})" for message in messages), "sys.exit(sys.argv[1])"]
    runner = Runner(Console({}), os.environ, Retry(attempts=1, delay=0, max_delay=0, total=0), history=history)
    argv = (sys.executable, "-c", "\n".join(code), "error: linking with `cc` failed: No space left on device")
    assert not runner(Step(title="arm64 · compile", argv=argv, stdout="json"))
    step, crates, failure = lines(history)
    assert (step["kind"], step["code"]) == ("step", 1)
    assert crates == {
        "kind": "crates",
        "title": "arm64 · compile",
        "compiled": 1,
        "fresh": 1,
        "slowest": [["a", "1.0.0", 0.0, 0.0]],
    }
    assert failure | {"help": bool(failure["help"])} == {
        "kind": "failure", "title": "arm64 · compile", "help": True, "class": "resource", "attempt": 1, "wait": None,
        "cause": "error: linking with `cc` failed: No space left on device",
    }  # fmt: skip


# --- earlier runs -----------------------------------------------------------------------------------------------


def step(**facts):
    entry = {
        "run": "r",
        "command": "c",
        "kind": "step",
        "key": "k1",
        "code": 0,
        "total": 8,
        "worked": 7,
        "seconds": 1.5,
    }
    return json.dumps(entry | facts)


def test_earlier_runs_of_a_step_are_found(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text("\n".join((
        step(seconds=9.0), step(key="other", title="k1"), step(code=101), step(total="x"), step(total=None), "{", '"k1"', "[]",
        json.dumps({"key": "k1"}), step().replace('"total": 8, ', ""), step(worked=2, seconds=3),
    )))  # fmt: skip
    runs = [Run(total=8, worked=7, seconds=9.0), Run(total=8, worked=2, seconds=3.0)]
    assert History(path).earlier("k1") == runs
    assert (History(path).earlier(""), NO_HISTORY.earlier("k1"), History(tmp_path / "absent").earlier("k1")) == (
        [],
        [],
        [],
    )
    assert History(tmp_path).earlier("k1") == []  # a directory


def test_only_the_end_of_a_long_history_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "RECENT", 1000)
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(f"{step(seconds=number)}\n" for number in range(100)))
    assert [run.seconds for run in History(path).earlier("k1")] == [float(number) for number in range(91, 100)]


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "1e300"])
def test_what_is_no_time_is_not_used(tmp_path, seconds):
    path = tmp_path / "journal.jsonl"
    path.write_text(step().replace("1.5", seconds))
    assert History(path).earlier("k1") == []
