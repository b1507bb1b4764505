import contextlib
import io
import json
import os
import re
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from machines import is_running

from buildlib.core.errors import BuildError, Interrupted, MissingRequirements, Refused, UsageError
from buildlib.core.plan import Artifact, AtomicUpdate, CopyFiles, Install, Job, Link, Step, Write
from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure
from buildlib.process import children
from buildlib.process import runner as runner_module
from buildlib.process.console import Console
from buildlib.process.history import History
from buildlib.process.runner import DryRunner, Runner, step_environment

pytestmark = pytest.mark.processes
RETRY = Retry(attempts=4, delay=1.0, max_delay=30.0, total=600.0)
DEADLINE = 60.0  # seconds for an event on a busy machine


@pytest.fixture
def waits():
    return []


@pytest.fixture
def runner(waits):
    return Runner(Console({"CI": "1"}), os.environ, RETRY, sleep=waits.append)


def python(*lines, **more):
    return Step(title="t", argv=(sys.executable, "-c", "\n".join(lines)), **more)


def failing(message, **more):
    return python(f"import sys; sys.exit({message!r})", **more)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def test_output_and_code_are_returned(runner):
    outcome = runner(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", stdout="keep"))
    assert (outcome.code, outcome.stdout, outcome.output, bool(outcome)) == (3, "out\n", "err", False)


def test_the_code_of_a_signal_is_128_and_its_number(runner):
    assert runner(python("import os; os.kill(os.getpid(), 11)")).code == 139


def test_a_step_that_takes_too_long_is_ended(runner):
    outcome = runner(python("import time; time.sleep(600)", timeout=0.2))
    assert (outcome.code, bool(outcome)) == (124, False)


def test_a_missing_program_is_named(runner):
    with pytest.raises(MissingRequirements, match="no-such-program: no such program"):
        runner(Step(title="t", argv=("no-such-program",)))


@pytest.mark.parametrize(
    ("mode", "message", "help_text"),
    [
        (0o644, "Permission denied", "chmod +x; does its file system allow programs?"),
        (0o755, "Exec format error", "it is not a program for this machine"),
    ],
)
def test_a_file_that_the_kernel_does_not_execute_is_a_usage_error(runner, tmp_path, mode, message, help_text):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(mode)
    with pytest.raises(UsageError) as caught:
        runner(Step(title="t", argv=(str(program),)))
    assert (caught.value.message, caught.value.help) == (f"{program}: {message}", help_text)


def test_the_messages_of_cargo_are_read(runner, capsys):
    def artifact(name, kind, fresh, executable, *, test=False):
        message = {"reason": "compiler-artifact", "target": {"name": name, "kind": [kind]}, "fresh": fresh,
                   "profile": {"test": test}, "filenames": [], "manifest_path": "/w/p/Cargo.toml"}  # fmt: skip
        return f"print({json.dumps(json.dumps(message | {'executable': executable}))})"

    outcome = runner(
        python(
            artifact("dep", "lib", True, None),
            artifact("build-script-build", "custom-build", False, "/t/build"),
            artifact("app", "bin", False, "/t/app"),
            artifact("app", "bin", False, "/t/deps/app-1", test=True),
            artifact("it", "test", False, "/t/deps/it-1", test=True),
            artifact("b", "bench", False, "/t/deps/b-1", test=True),
            "print('not json')",
            "print('{not json either}')",
            stdout="json",
        )
    )
    manifest = Path("/w/p/Cargo.toml")
    tests = (
        Artifact(path=Path("/t/deps/app-1"), name="app", kind="bin", manifest=manifest, test=True),
        Artifact(path=Path("/t/deps/it-1"), name="it", kind="test", manifest=manifest, test=True),
        Artifact(path=Path("/t/deps/b-1"), name="b", kind="bench", manifest=manifest, test=True),
    )
    build_script = Artifact(path=Path("/t/build"), name="build-script-build", kind="custom-build", manifest=manifest)
    app = Artifact(path=Path("/t/app"), name="app", kind="bin", manifest=manifest)
    assert (outcome.artifacts, outcome.tests) == ((build_script, app, *tests), tests)
    shown = capsys.readouterr().err.splitlines()
    assert shown[-3:-1] == ["not json", "{not json either}"] and shown[-1].endswith(" · 5 crates compiled")


# --- progress -------------------------------------------------------------------------------------------------------


def test_the_bar_of_cargo_is_asked_for_where_it_is_read(runner):
    code = "import os; print(sorted(name for name in os.environ if name.startswith('CARGO_TERM_PROGRESS')))"
    names = "['CARGO_TERM_PROGRESS_WHEN', 'CARGO_TERM_PROGRESS_WIDTH']\n"
    assert runner(python(code, stdout="keep", counts="crate")).stdout == names
    # Tests may start a cargo of their own, and read what it prints.
    assert runner(python(code, stdout="keep", counts="test binary")).stdout == "[]\n"
    runner.console.quiet = True
    assert runner(python(code, stdout="keep", counts="crate")).stdout == "[]\n"


def test_the_history_of_a_command_line_tells_what_is_left(tmp_path):
    history = History(tmp_path / "journal.jsonl", "build")
    runner = Runner(Console({}), os.environ, RETRY, history=history)
    bar = "import sys; print('    Building [=> ] 3/7: a\\r', end='', file=sys.stderr)"
    step = python(bar, counts="crate")
    assert runner(step) and not runner(python("import sys; sys.exit(1)", counts="crate"))
    assert runner(python("pass"))
    lines = map(json.loads, (tmp_path / "journal.jsonl").read_text().splitlines())
    entries = [line for line in lines if line["kind"] == "step"]
    assert [(entry["code"], entry.get("total"), entry.get("worked")) for entry in entries] == [
        (0, 3, 0), (1, 0, 0), (0, None, None),
    ]  # fmt: skip
    progress, key = runner._progress(step, 5.0)
    assert (progress.started, progress.total, len(progress.earlier), key) == (5.0, 3, 1, entries[0]["key"])
    assert runner._progress(python("other", counts="crate"), 5.0)[0].earlier == []
    runner.console.quiet = True
    assert runner._progress(step, 5.0)[0].earlier == []


def test_a_step_that_fails_on_a_terminal_shows_its_command_line(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    runner = Runner(Console({"TERM": "xterm", "NO_COLOR": "1"}), os.environ, RETRY)
    assert runner(python("pass")) and not runner(python("import sys; sys.exit(3)"))
    shown = re.sub(r"\d+\.\ds|t · \d:\d\d|\r\x1b\[J", "", sys.stderr.getvalue()).splitlines()
    assert shown == ["✓ t · ", "✗ t · exit code 3 · ", f"  + {sys.executable} -c 'import sys; sys.exit(3)'"]


def test_a_question_is_shown_while_its_answer_takes_long(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    runner = Runner(Console({"TERM": "xterm", "NO_COLOR": "1"}), os.environ, RETRY)
    assert runner(python("import time; time.sleep(0.6)", quiet=True))
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr("buildlib.process.runner.SHORT", 0.0)
    assert runner(python("import time; time.sleep(1)", quiet=True))
    assert re.fullmatch(r"t · 0:0\d(\r\x1b\[Jt · 0:0\d)*\r\x1b\[J", sys.stderr.getvalue())


def test_a_step_that_asks_at_the_terminal_is_not_drawn_over(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    runner = Runner(Console({"TERM": "xterm", "NO_COLOR": "1"}), os.environ, RETRY)
    assert runner(python("import time; time.sleep(0.6)", terminal=True))
    assert "\r" not in sys.stderr.getvalue() and sys.stderr.getvalue().startswith("  + ")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_output_can_be_shown_and_kept(runner, capsys):
    outcome = runner(python("print('one'); print('two')", stdout="both"))
    assert outcome.stdout == "one\ntwo\n"
    assert [line for line in capsys.readouterr().err.splitlines() if line in ("one", "two")] == ["one", "two"]


# --- decoders -------------------------------------------------------------------------------------------------------


class Limit:
    """A decoder that stops the step when it has printed a line with STOP."""

    def __init__(self):
        self.seen = []

    def lines(self, line):
        self.seen.append(line)
        return (f"> {line}",)

    def end(self):
        return ()

    def overdue(self, now):
        assert abs(now - time.monotonic()) < DEADLINE
        return Refused("took too long: --password=hunter22 at 127.0.0.1:1/x", "help") if "STOP" in self.seen else None


def test_each_try_has_a_decoder_of_its_own(runner, tmp_path):
    step = python(
        f"import pathlib, sys; p = pathlib.Path({str(tmp_path / 'count')!r})",
        "n = len(p.read_text()) if p.exists() else 0; p.write_text('x' * (n + 1))",
        "print(f'try {n}', file=sys.stderr)",
        "n < 2 and sys.exit('error: Connection reset by peer')",
        attempts=10, decoder=Limit,
    )  # fmt: skip
    outcome = runner(step)
    reset = "error: Connection reset by peer"
    assert [decoder.seen for decoder in outcome.decoders] == [["try 0", reset], ["try 1", reset], ["try 2"]]
    assert (outcome.code, outcome.output) == (0, "> try 2")
    assert runner(python("pass")).decoders == ()


@pytest.mark.parametrize("before", [0, 1])
def test_the_error_of_a_decoder_ends_the_step_and_its_children_without_a_retry(runner, tmp_path, before, waits):
    """In the first try, and in a later one."""
    runner.translate = lambda text: text.replace("127.0.0.1:1/", "")
    child = tmp_path / "child"
    step = python(
        "import os, pathlib, subprocess, sys, time",
        f"p = pathlib.Path({str(tmp_path / 'count')!r}); n = len(p.read_text()) if p.exists() else 0; p.write_text('x' * (n + 1))",
        f"n < {before} and sys.exit('error: Connection reset by peer')",
        "child = subprocess.Popen(['sleep', '600'])",
        f"pathlib.Path({str(child)!r}).write_text(str(child.pid))",
        "print('STOP', file=sys.stderr, flush=True); time.sleep(600)",
        attempts=10, decoder=Limit, timeout=600,
    )  # fmt: skip
    with pytest.raises(Refused) as caught:
        runner(step)
    assert (caught.value.message, caught.value.help) == ("took too long: --password=*** at x", "help")
    assert (len(waits), len((tmp_path / "count").read_text())) == (before, before + 1)
    wait_until(lambda: not Path(f"/proc/{child.read_text()}").exists() or is_zombie(child.read_text()))


def is_zombie(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_step_with_a_decoder_has_a_timeout(runner):
    assert runner(python("import time; time.sleep(600)", timeout=0.2, decoder=Limit)).code == 124


# --- retries --------------------------------------------------------------------------------------------------------


def test_transient_failures_are_retried_and_others_are_not(runner, waits, tmp_path):
    def counting(times, message):
        count = tmp_path / str(hash(message))
        return python(
            f"import pathlib, sys; p = pathlib.Path({str(count)!r})",
            "n = len(p.read_text()) if p.exists() else 0; p.write_text('x' * (n + 1))",
            f"n < {times} and sys.exit({message!r})",
            attempts=10,
        ), count

    step, count = counting(2, "error: Connection reset by peer")
    assert runner(step) and len(count.read_text()) == 3 and len(waits) == 2
    step, count = counting(99, "error: Connection timed out")
    assert not runner(step) and len(count.read_text()) == RETRY.attempts
    step, count = counting(99, "error[E0308]: mismatched types")
    assert not runner(step) and len(count.read_text()) == 1
    assert all(0 <= wait <= RETRY.max_delay for wait in waits)


def test_an_expired_token_is_tried_once_more(runner, waits):
    assert not runner(failing("a: Pushed\nunauthorized: authentication required", attempts=10))
    assert waits == [0.0]


def test_the_wait_that_the_other_side_asks_for_is_kept(runner, waits):
    assert not runner(failing("toomanyrequests: retry-after: 20s", attempts=3))
    assert len(waits) == 2 and all(20 <= wait <= 21 for wait in waits)


def test_a_wait_beyond_the_budget_is_not_begun(waits):
    retry = Retry(attempts=9, delay=1.0, max_delay=8.0, total=10.0)
    runner = Runner(Console({}), os.environ, retry, sleep=waits.append)
    assert not runner(failing("toomanyrequests: retry-after: 3600s", attempts=9))
    assert waits == []


def test_all_waits_together_are_limited(waits):
    retry = Retry(attempts=99, delay=8.0, max_delay=8.0, total=10.0)
    runner = Runner(Console({}), os.environ, retry, sleep=waits.append)
    assert not runner(failing("connection refused", attempts=99))
    assert sum(waits) <= 10 and len(waits) < 99


def test_each_failed_try_is_recorded(tmp_path, waits):
    record = tmp_path / "failures.log"
    env = {**os.environ, "NPM_TOKEN": "s3cr3t-value"}
    runner = Runner(Console({}), env, RETRY, sleep=waits.append, record=record)
    assert not runner(failing("connection refused by https://u:pw@h s3cr3t-value", attempts=2))
    assert not runner(failing("error[E0308]: mismatched types"))
    assert runner(python("pass"))
    assert not runner(failing("no such thing", quiet=True))  # the answer to a question is no
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert "s3cr3t" not in record.read_text() and "u:pw" not in record.read_text()
    assert [(line["class"], line["attempt"], line["wait"]) for line in lines] == [
        ("transient-network", 1, waits[0]), ("transient-network", 2, None), ("compile", 1, None),
    ]  # fmt: skip
    assert set(lines[0]) == {"time", "step", "argv", "class", "cause", "attempt", "wait"}
    assert lines[0]["cause"] == "connection refused by https://***@h ***"


def test_the_working_directory_is_no_secret_in_the_record(tmp_path, waits, capsys):
    record = tmp_path / "failures.log"
    env = {**os.environ, "PWD": "/work/project", "OLDPWD": "/work", "DB_PASS": "s3cr3t-value"}
    runner = Runner(Console({}), env, RETRY, sleep=waits.append, record=record)
    assert not runner(failing("connection refused: /work/project/x s3cr3t-value", attempts=2))
    assert json.loads(record.read_text().splitlines()[0])["cause"] == "connection refused: /work/project/x ***"
    retrying = [line for line in capsys.readouterr().err.splitlines() if "retrying" in line]
    assert retrying[0].endswith(": connection refused: /work/project/x ***")


def test_the_record_has_no_control_characters(tmp_path, waits):
    record = tmp_path / "failures.log"
    runner = Runner(Console({}), os.environ, RETRY, sleep=waits.append, record=record)
    assert not runner(failing("connection refused: \x9b2J\u202e", attempts=2))
    assert not re.search("[\x7f-\x9f\u202e]", record.read_text())


def test_a_question_is_answered_without_colours(runner):
    """What it prints is read, and quoted in messages."""
    env = dict(runner.env, CARGO_TERM_COLOR="always")
    asking = Runner(Console({}), env, RETRY)
    code = "import os; print(os.environ.get('CARGO_TERM_COLOR'))"
    assert asking(python(code, quiet=True, stdout="keep")).stdout == "never\n"
    assert asking(python(code, stdout="keep")).stdout == "always\n"


# --- ending steps ---------------------------------------------------------------------------------------------------


@pytest.fixture
def _ctrl_c():
    """A test run in the background inherits SIGINT as ignored, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(condition, times=1):
    """Press Ctrl-C once the condition holds, and again at once."""

    def run():
        wait_until(condition)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # two signals at the same time are one

    threading.Thread(target=run).start()


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_ends_the_whole_group(runner, tmp_path):
    """Also the child's own child: cargo's rustc must not go on."""
    pid = tmp_path / "pid"
    child = "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"
    step = python(f"import subprocess, sys, time; {child}; open({str(pid)!r}, 'w').write(str(c.pid)); time.sleep(600)")
    press(lambda: pid.exists() and pid.read_text())
    with pytest.raises(KeyboardInterrupt):
        runner(step)
    wait_until(lambda: not is_running(int(pid.read_text())))


@pytest.mark.usefixtures("_ctrl_c")
def test_a_second_ctrl_c_ends_at_once_what_does_not_listen_to_the_first(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "PATIENCE", DEADLINE)
    deaf = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    pid = tmp_path / "pid"
    press(lambda: pid.exists() and pid.read_text(), times=2)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        runner(python(deaf, f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"))
    assert time.monotonic() - began < DEADLINE and not is_running(int(pid.read_text()))


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_while_a_step_starts_ends_it(runner, monkeypatch):
    started = []

    def start(*args):
        started.append(start_step(*args))
        os.kill(os.getpid(), signal.SIGINT)
        return started[0]

    start_step = runner_module.start
    monkeypatch.setattr(runner_module, "start", start)
    with pytest.raises(KeyboardInterrupt):
        runner(python("import time; time.sleep(600)"))
    assert started[0].returncode is not None


def test_a_stop_ends_the_steps_of_other_threads_and_nothing_starts_after_it(tmp_path):
    waiting, started = threading.Event(), tmp_path / "started"

    def sleep(seconds):
        waiting.set()
        return runner.stopped.wait(DEADLINE)

    history = History(tmp_path / "journal.jsonl", "build")
    runner = Runner(Console({"CI": "1"}), os.environ, RETRY, sleep=sleep, record=tmp_path / "log", history=history)
    with ThreadPoolExecutor(max_workers=2) as pool:
        running = pool.submit(runner, python(f"import time; open({str(started)!r}, 'w'); time.sleep(600)"))
        retrying = pool.submit(runner, failing("Connection refused", attempts=3))
        assert waiting.wait(DEADLINE)
        wait_until(started.exists)
        runner.stopped.set()
        for future in (running, retrying):
            with pytest.raises(Interrupted):
                future.result()
    for action in (python("pass"), Write(path=tmp_path / "dist", text="")):
        with pytest.raises(Interrupted):
            runner(action)
    assert not (tmp_path / "dist").exists()
    # What was interrupted has not failed: there is nothing but the try that failed before.
    assert [json.loads(line)["cause"] for line in (tmp_path / "log").read_text().splitlines()] == ["Connection refused"]
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [entry["kind"] for entry in entries] == ["step", "failure"]
    assert runner.clean_up(python("print('removed')", stdout="keep")).stdout == "removed\n"


def test_who_waits_for_the_lock_of_another_command_ends_with_the_command(runner, tmp_path, capsys):
    with runner.locked(tmp_path, "first"), ThreadPoolExecutor(max_workers=1) as pool:
        stack = contextlib.ExitStack()
        waiting = pool.submit(stack.enter_context, runner.locked(tmp_path, "waiting for dist"))
        shown = []
        wait_until(lambda: shown.append(capsys.readouterr().err) or "waiting for dist" in "".join(shown))
        runner.stopped.set()
        with pytest.raises(Interrupted):
            waiting.result()


def test_unset_takes_names_and_prefixes():
    step = Step(title="t", argv=("x",), env={"NEW": "1"}, unset=("GONE", "CARGO_PROFILE_*"))
    base = {"GONE": "1", "CARGO_PROFILE_RELEASE_LTO": "off", "KEPT": "1"}
    assert step_environment(base, step) == {"KEPT": "1", "NEW": "1"}


# --- files and jobs -------------------------------------------------------------------------------------------------


def test_file_actions_are_executed(runner, tmp_path):
    (tmp_path / "new").write_text("new")
    update = AtomicUpdate(copies=((tmp_path / "new", tmp_path / "dist" / "app"),), writes=(), as_old_as=tmp_path)
    actions = (
        Write(path=tmp_path / "f", text="x"), Link(path=tmp_path / "l", to=tmp_path / "f"), update,
        Install(source=tmp_path / "dist", pattern="*", into=tmp_path / "lib"),
        CopyFiles(folder=tmp_path / "tree", files=((tmp_path / "new", "a/b", 0o755),), modified=7),
    )  # fmt: skip
    assert [bool(runner(action)) for action in actions] == [True] * 5
    assert (tmp_path / "tree" / "a" / "b").read_text() == "new"
    assert (tmp_path / "l").read_text() == "x" and (tmp_path / "lib" / "app").read_text() == "new"
    missing = AtomicUpdate(copies=((tmp_path / "absent", tmp_path / "c"),), writes=(), as_old_as=tmp_path)
    with pytest.raises(BuildError, match="c: No such file"):
        runner(missing)


def test_a_full_disk_is_one_error(runner, tmp_path, monkeypatch):
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    (tmp_path / "full").symlink_to("/dev/full")
    monkeypatch.setattr("buildlib.process.files.temporary_name", lambda path: tmp_path / "full")
    with pytest.raises(BuildError) as caught:
        runner(Write(path=tmp_path / "x", text="x"))
    assert (caught.value.code, caught.value.message, caught.value.help) == (
        1, f"{tmp_path}/x: No space left on device", "free some space, or write elsewhere: --dist, --target-dir",
    )  # fmt: skip
    assert not (tmp_path / "x").exists()


def test_a_job_that_another_process_has_done_is_not_repeated(runner, tmp_path):
    (tmp_path / "done").mkdir()
    job = Job(name="j", steps=(Step(title="t", argv=("no-such-program",)),), lock=tmp_path, done=tmp_path / "done")
    assert runner.job(job)


def test_scratch_is_empty_before_a_job_and_removed_after_it(runner, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "left by a command that was killed").touch()
    look = python(f"import os, sys; sys.exit(sorted(os.listdir({str(scratch)!r})) != ['f'])")
    assert runner.job(Job(name="j", steps=(Write(path=scratch / "f", text=""), look), scratch=scratch))
    assert not scratch.exists()


def test_a_dry_run_shows_steps_and_changes_nothing(capsys, tmp_path):
    dry = DryRunner(Console({}), os.environ, RETRY)
    job = Job(name="j", steps=(Write(path=tmp_path / "f", text=""), Step(title="t", argv=("rm", "-rf", "a b"))))
    assert dry.job(job).ran is False
    assert capsys.readouterr().err == "  + rm -rf 'a b'\n"
    assert list(tmp_path.iterdir()) == []


def test_names_of_the_gateway_are_translated(runner, capsys):
    runner.translate = lambda text: text.replace("127.0.0.1:1/ghcr.io", "ghcr.io")
    outcome = runner(python("import sys; sys.exit('no 127.0.0.1:1/ghcr.io/a')"))
    assert outcome.output == "no ghcr.io/a" and "no ghcr.io/a\n" in capsys.readouterr().err


def test_secrets_that_no_name_tells_are_hidden_from_the_record(tmp_path):
    runner = Runner(Console({}), {}, Retry(), record=tmp_path / "record")
    runner.hidden["web/a"] = "variable-content"
    runner.failed("build variable-content", ("x",), Failure("unknown", "said variable-content"), 1, None)
    entry = json.loads((tmp_path / "record").read_text())
    assert (entry["step"], entry["cause"]) == ("build ***", "said ***")
