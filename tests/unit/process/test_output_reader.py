import io
import json

import pytest

from buildlib.core.plan import Step
from buildlib.display.progress import Progress
from buildlib.process import output_reader
from buildlib.process.console import Console
from buildlib.process.output_reader import OutputReader


def reader_of(step, console=None, translate=str):
    """A reader of a step that has just started."""
    return OutputReader(step, console or Console({}), translate, Progress(title="t", started=0.0, counts=step.counts))


def artifact(**changes):
    message = {
        "reason": "compiler-artifact", "target": {"name": "app", "kind": ["bin"]}, "fresh": False, "profile": {"test": False},
        "manifest_path": "/w/p/Cargo.toml", "executable": "/t/app", "filenames": ["/t/app"],
    } | changes  # fmt: skip
    return json.dumps(message)


def paths(reader):
    return [str(artifact.path) for artifact in reader.artifacts]


def read(*lines, stdout="json", **more):
    """A reader that has read these lines of stdout."""
    reader = reader_of(Step(title="t", argv=("x",), stdout=stdout, **more))
    reader.read_stdout(io.BytesIO("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")))
    return reader


def without(key):
    return json.dumps({name: value for name, value in json.loads(artifact()).items() if name != key})


@pytest.mark.parametrize(
    "line",
    [
        "{", "{}", "{not json}", '{"a": 1', '{"level": "info", "msg": "from a build script"}', '{"reason": "compiler-artifact"}',
        *map(without, ("target", "fresh", "profile", "manifest_path")), artifact(target="app"), artifact(profile=None),
        artifact(manifest_path=None), artifact(executable=3), '{"a":' * 100_000,
    ],
    ids=lambda line: line[:60],
)  # fmt: skip
def test_a_line_that_is_not_a_message_of_cargo_is_shown(capsys, line):
    reader = read(line, artifact())
    assert reader.tail[0] == line and len(reader.tail) == 1
    assert capsys.readouterr().err == f"{line}\n"
    assert (paths(reader), reader.compiled, reader.fresh) == (["/t/app"], 1, 0)


def test_messages_are_read_and_not_shown(capsys):
    reader = read(artifact(), artifact(executable=None, fresh=True), '{"reason": "build-finished", "success": true}')
    assert (paths(reader), reader.compiled, reader.fresh, list(reader.tail)) == (["/t/app"], 1, 1, [])
    assert capsys.readouterr().err == ""


def test_a_message_without_an_executable_is_a_library():
    assert read(without("executable")).artifacts == []


@pytest.mark.parametrize(
    ("crate_types", "found"),
    [
        (["cdylib", "rlib", "staticlib"], [("/t/libk.so", "cdylib"), ("/t/libk.a", "staticlib")]),
        (["proc-macro"], []),
        (["dylib"], []),
    ],
)
def test_libraries_for_other_languages_are_artifacts(crate_types, found):
    # The kind of an example is "example", also where it is a library.
    target, files = (
        {"name": "k", "kind": ["example"], "crate_types": crate_types},
        ["/t/libk.so", "/t/libk.rlib", "/t/libk.a"],
    )
    reader = read(artifact(executable=None, target=target, filenames=files))
    assert [(str(one.path), one.kind) for one in reader.artifacts] == found


@pytest.mark.parametrize(
    ("stdout", "kept", "shown"), [("show", [], ["{}"]), ("keep", ["{}\n"], []), ("both", ["{}\n"], ["{}"])]
)
def test_other_steps_have_no_messages(stdout, kept, shown):
    reader = read("{}", stdout=stdout)
    assert (reader.stdout, list(reader.tail)) == (kept, shown)


@pytest.mark.parametrize(
    ("messages", "summary"),
    [((), "nothing to compile"), ((artifact(),), "1 crate compiled"), ((artifact(),) * 2, "2 crates compiled"),
     ((artifact(fresh=True),), "nothing to compile")],
)  # fmt: skip
def test_the_summary_counts_crates(messages, summary):
    assert read(*messages).summary() == summary
    assert read(*messages, stdout="show").summary() == ""


def test_invalid_utf_8_does_not_end_the_reading():
    assert list(read("a\udcffb", "c", stdout="show").tail) == ["a\ufffdb", "c"]


def test_a_step_ends_when_nobody_reads_what_is_shown(monkeypatch):
    """The pipe is closed, which ends the step with SIGPIPE."""

    def broken(*_):
        raise BrokenPipeError

    monkeypatch.setattr(Console, "output", broken)
    pipe = io.BytesIO(b"a\nb\n")
    reader = reader_of(Step(title="t", argv=("x",)))
    reader.read_stderr(pipe)
    assert pipe.closed


def test_lines_are_translated_before_they_are_shown_and_read(capsys):
    reader = reader_of(Step(title="t", argv=("x",)), translate=lambda line: line.replace("127.0.0.1:1/", ""))
    reader.read_stderr(io.BytesIO(b"pushing 127.0.0.1:1/ghcr.io/a\n"))
    assert list(reader.tail) == ["pushing ghcr.io/a"]
    assert capsys.readouterr().err == "pushing ghcr.io/a\n"


def test_what_is_kept_has_a_bounded_size(monkeypatch):
    """A step may print one line without an end, or many long ones."""
    monkeypatch.setattr(output_reader, "MAX_LINE", 100)
    monkeypatch.setattr(output_reader, "MAX_KEPT", 50)
    monkeypatch.setattr(output_reader, "TAIL_SIZE", 120)
    reader = read("a" * 250, stdout="show", quiet=True)
    assert list(reader.tail) == [f"{'a' * 25} … {'a' * 25}", "a" * 50]
    reader = read(*(f"{number} {'b' * 38}" for number in range(9)), stdout="show", quiet=True)
    assert list(reader.tail) == [f"{number} {'b' * 38}" for number in (6, 7, 8)]
    assert list(read("c" * 60, stdout="show", quiet=True).tail) == [f"{'c' * 25} … {'c' * 25}"]


def test_the_last_lines_are_kept():
    reader = read(*map(str, range(6000)), stdout="show", quiet=True)
    assert list(reader.tail) == list(map(str, range(1000, 6000))) and reader.tail.size == sum(map(len, reader.tail))


class Upper:
    """A decoder that drops some lines, and makes two of the others."""

    def lines(self, line):
        return () if line.startswith("-") else (line.upper(), f"{line}!")

    def end(self):
        return ("the end",)


def test_a_decoder_reads_stderr_in_place_of_the_user(capsys):
    reader = reader_of(Step(title="t", argv=("x",), decoder=Upper), translate=lambda line: line.replace("B", "*"))
    reader.read_stdout(io.BytesIO(b"out\n"))
    reader.read_stderr(io.BytesIO(b"ab\n-\nc"))
    shown = ["out", "A*", "ab!", "C", "c!", "the end"]
    assert (list(reader.tail), capsys.readouterr().err.splitlines()) == (shown, shown)
    assert isinstance(reader.decoder, Upper)


# --- what cargo prints of its progress ----------------------------------------------------------------------------------

CARGO = (
    b"    Updating crates.io index\n   Compiling dep v1.0.0\n    Building [====>   ] 1/3: dep\r"
    b"warning: unused variable: `x`\n\n    Building [====>   ] 2/3: app(bin)\r    Finished `release` profile\n   odd line\n"
)


@pytest.mark.parametrize(
    ("verbose", "shown"),
    [
        (False, ["warning: unused variable: `x`", "", "   odd line"]),
        (True, [
            "    Updating crates.io index", "   Compiling dep v1.0.0", "warning: unused variable: `x`", "",
            "    Finished `release` profile", "   odd line",
        ]),
    ],
)  # fmt: skip
def test_progress_of_cargo_is_shown_as_lines_only_if_the_user_asks_for_it(capsys, verbose, shown):
    console = Console({})
    console.verbose = verbose
    reader = reader_of(Step(title="t", argv=("x",), counts="crate"), console)
    reader.read_stderr(io.BytesIO(CARGO))
    assert capsys.readouterr().err.splitlines() == shown
    assert (reader.progress.done, reader.progress.total) == (2, 3)
    assert "   Compiling dep v1.0.0" in reader.tail and not any("Building" in line for line in reader.tail)


def test_a_bar_is_read_before_its_line_is_complete():
    """A build script may run for minutes before anything else is printed."""
    parts = [
        b"   Compiling a v1\n    Buil",
        b"ding [> ] 0/7: a\r",
        b"    Building [> ] 1/7: b\r",
        b"error: no\r\n",
        b"tail",
    ]

    class Pipe(io.BytesIO):
        def read1(self, size):
            assert size > 0
            totals.append(reader.progress.total)
            return parts.pop(0) if parts else b""

    totals = []
    reader = reader_of(Step(title="t", argv=("x",), counts="crate"))
    reader.read_stderr(Pipe())
    assert totals == [0, 0, 7, 7, 7, 7] and list(reader.tail) == ["   Compiling a v1", "error: no\r", "tail"]


def test_the_lines_of_other_tools_are_not_cargos(capsys):
    reader = reader_of(Step(title="t", argv=("x",), position=lambda line: line.partition("at ")[2]))
    reader.read_stderr(io.BytesIO(b"   Compiling x v1\nat 2/3\n"))
    assert capsys.readouterr().err == "   Compiling x v1\nat 2/3\n" and reader.progress.current == "2/3"


def test_a_wait_for_a_lock_is_one_line_that_names_its_holder(capsys):
    reader = reader_of(Step(title="arm64 \xb7 compile", argv=("x",), counts="crate"))
    reader.blocking = lambda: "cargo build, process 7"
    reader.read_stderr(io.BytesIO(b"    Blocking waiting for file lock on build directory\n"))
    waiting = "waiting for file lock on build directory"
    assert capsys.readouterr().err == f"  arm64 \xb7 compile: {waiting} (cargo build, process 7)\n"
    assert (reader.progress.waiting, reader.progress.holder) == (waiting, "cargo build, process 7")
    reader.read_stdout(io.BytesIO(f"{artifact()}\n".encode()))
    assert reader.progress.waiting == waiting  # no message of a JSON step


@pytest.mark.parametrize(
    ("done", "running", "summary"),
    [(0, {}, ""), (0, {"a": None}, "1 test binary"), (2, {"a": None}, "3 test binaries")],
)
def test_the_summary_counts_test_binaries(done, running, summary):
    reader = reader_of(Step(title="t", argv=("x",), stdout="both", counts="test binary"))
    reader.progress.done, reader.progress.running = done, running
    assert reader.summary() == summary
