import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from buildlib.core.settings import Retry
from buildlib.process.console import Console
from buildlib.core.errors import BuildError, Interrupted, MissingRequirements
from buildlib.process.files import append, locked, write_whole
from buildlib.core.plan import Install, Job, Link, Step, AtomicUpdate, Write
from buildlib.process.runner import DryRunner, Runner, step_environment

pytestmark = pytest.mark.processes
RETRY = Retry(attempts=4, delay=1.0, max_delay=30.0, total=600.0)


@pytest.fixture
def naps():
    return []


@pytest.fixture
def shell(naps):
    return Runner(Console({"CI": "1"}), os.environ, RETRY, sleep=naps.append)


def python(*lines, **more):
    return Step(title="t", argv=(sys.executable, "-c", "\n".join(lines)), **more)


def test_output_and_code_come_back(shell):
    outcome = shell(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", stdout="keep"))
    assert (outcome.code, outcome.stdout, outcome.output, bool(outcome)) == (3, "out\n", "err", False)


def test_a_signal_is_128_and_its_number(shell):
    assert shell(python("import os; os.kill(os.getpid(), 11)")).code == 139


def test_a_step_that_takes_too_long_is_ended(shell):
    began = time.monotonic()
    assert shell(python("import time; time.sleep(60)", timeout=0.2)).code == 124
    assert time.monotonic() - began < 5


def test_a_program_that_is_not_there_is_said(shell):
    with pytest.raises(MissingRequirements, match="no-such-program: no such program"):
        shell(Step(title="t", argv=("no-such-program",)))


def test_cargo_s_messages_are_read(shell):
    def artifact(name, kind, fresh, executable, *, test=False):
        message = {"reason": "compiler-artifact", "target": {"name": name, "kind": [kind]}, "fresh": fresh,
                   "profile": {"test": test}, "manifest_path": "/w/p/Cargo.toml"}  # fmt: skip
        return f"print({json.dumps(json.dumps(message | {'executable': executable}))})"

    outcome = shell(
        python(
            artifact("dep", "lib", True, None),
            artifact("build-script-build", "custom-build", False, "/t/build"),
            artifact("app", "bin", False, "/t/app"),
            artifact("app", "bin", False, "/t/deps/app-1", test=True),
            artifact("it", "test", False, "/t/deps/it-1", test=True),
            artifact("b", "bench", False, "/t/deps/b-1", test=True),
            "print('not json')",
            stdout="json",
        )
    )
    assert outcome.executables == (Path("/t/app"),)
    assert outcome.tests == (Path("/t/deps/app-1"), Path("/t/deps/it-1"), Path("/t/deps/b-1"))
    assert outcome.benches == ((Path("/t/deps/b-1"), Path("/w/p")),)


def test_what_is_shown_can_be_kept_as_well(shell, capsys):
    outcome = shell(python("print('one'); print('two')", stdout="both"))
    assert outcome.stdout == "one\ntwo\n"
    assert [line for line in capsys.readouterr().err.splitlines() if line in ("one", "two")] == ["one", "two"]


def test_transient_failures_are_retried_and_others_are_not(shell, naps, tmp_path):
    def failing(times, words):
        count = tmp_path / str(hash(words))
        return python(
            f"import pathlib, sys; p = pathlib.Path({str(count)!r})",
            "n = len(p.read_text()) if p.exists() else 0; p.write_text('x' * (n + 1))",
            f"n < {times} and sys.exit({words!r})",
            attempts=10,
        ), count

    step, count = failing(2, "error: Connection reset by peer")
    assert shell(step) and len(count.read_text()) == 3 and len(naps) == 2
    step, count = failing(99, "error: Connection timed out")
    assert not shell(step) and len(count.read_text()) == RETRY.attempts
    step, count = failing(99, "error[E0308]: mismatched types")
    assert not shell(step) and len(count.read_text()) == 1
    assert all(0 <= nap <= RETRY.max_delay for nap in naps)


def failing(words, **more):
    return python(f"import sys; sys.exit({words!r})", **more)


def test_a_token_that_ran_out_is_asked_for_once_more(shell, naps):
    assert not shell(failing("a: Pushed\nunauthorized: authentication required", attempts=10))
    assert naps == [0.0]


def test_who_is_told_when_to_come_back_comes_then(shell, naps):
    assert not shell(failing("toomanyrequests: retry-after: 20s", attempts=3))
    assert len(naps) == 2 and all(20 <= nap <= 21 for nap in naps)


def test_a_wait_beyond_the_budget_is_not_begun(naps):
    shell = Runner(Console({}), os.environ, Retry(attempts=9, delay=1.0, max_delay=8.0, total=10.0), sleep=naps.append)
    assert not shell(failing("toomanyrequests: retry-after: 3600s", attempts=9))
    assert naps == []


def test_each_failed_try_is_in_the_record(tmp_path, naps):
    record = tmp_path / "failures.log"
    env = {**os.environ, "NPM_TOKEN": "s3cr3t-value"}
    shell = Runner(Console({}), env, RETRY, sleep=naps.append, record=record)
    assert not shell(failing("connection refused by https://u:pw@h s3cr3t-value", attempts=2))
    assert not shell(failing("error[E0308]: mismatched types"))
    assert shell(python("pass"))
    assert not shell(failing("no such thing", quiet=True))  # a question, and the answer is no
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert "s3cr3t" not in record.read_text() and "u:pw" not in record.read_text()
    assert [(line["class"], line["attempt"], line["wait"]) for line in lines] == [
        ("transient-network", 1, naps[0]), ("transient-network", 2, None), ("compile", 1, None),
    ]  # fmt: skip
    assert set(lines[0]) == {"time", "step", "argv", "class", "cause", "attempt", "wait"}
    assert lines[0]["cause"] == "connection refused by https://***@h ***"


def test_the_record_is_rotated(tmp_path):
    path = tmp_path / "log"
    for number in range(100):
        append(path, f"line {number}", 200)
    kept = [*(tmp_path / "log.1").read_text().splitlines(), *path.read_text().splitlines()]
    assert kept == [f"line {number}" for number in range(100)][-len(kept) :]
    assert path.stat().st_size <= 210 and len(list(tmp_path.iterdir())) == 2


def test_the_waits_together_are_bounded(naps):
    shell = Runner(Console({}), os.environ, Retry(attempts=99, delay=8.0, max_delay=8.0, total=10.0), sleep=naps.append)
    assert not shell(python("import sys; sys.exit('connection refused')", attempts=99))
    assert sum(naps[:-1]) < 10 and len(naps) < 99


def test_ctrl_c_ends_the_whole_group(shell, tmp_path):
    """The child's own child, too: cargo's rustc must not go on."""
    pid = tmp_path / "pid"
    code = f"import subprocess, sys, time; c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);\
 open({str(pid)!r}, 'w').write(str(c.pid)); time.sleep(60)"

    # A suite that runs in the background inherits SIGINT ignored, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def press():
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(KeyboardInterrupt):
        shell(python(code))
    child = int(pid.read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{child}/stat").read_text().split(")")[1].split()[0] == "Z":
            break  # ended; whoever is init here has not read it yet
        time.sleep(0.01)
    else:
        assert not Path(f"/proc/{child}/stat").exists()


def test_unset_takes_names_and_prefixes():
    step = Step(title="t", argv=("x",), env={"NEW": "1"}, unset=("GONE", "CARGO_PROFILE_*"))
    base = {"GONE": "1", "CARGO_PROFILE_RELEASE_LTO": "off", "KEPT": "1"}
    assert step_environment(base, step) == {"KEPT": "1", "NEW": "1"}


# --- files ------------------------------------------------------------------------------------------------


def test_an_equal_file_keeps_its_time(tmp_path):
    file = tmp_path / "deep" / "f"
    write_whole(file, b"one", 0o755)
    os.utime(file, (1, 1))
    write_whole(file, b"one", 0o755)
    assert file.stat().st_mtime == 1 and file.stat().st_mode & 0o777 == 0o755
    write_whole(file, b"two", 0o755)
    assert file.read_bytes() == b"two" and [p.name for p in file.parent.iterdir()] == ["f"]


def test_all_of_it_appears_or_none(shell, tmp_path):
    (tmp_path / "new").write_text("new")
    dist = tmp_path / "dist"
    writes = (Write(path=dist / "manifest.json", text="m"),)
    assert shell(
        AtomicUpdate(copies=((tmp_path / "new", dist / "arm64" / "app"),), writes=writes, as_old_as=tmp_path / "new")
    )
    assert {p.stat().st_mtime for p in dist.rglob("*") if p.is_file()} == {(tmp_path / "new").stat().st_mtime}
    assert (dist / "arm64" / "app").read_text() == "new"
    missing = AtomicUpdate(
        copies=((tmp_path / "new", dist / "b"), (tmp_path / "absent", dist / "c")), writes=writes, as_old_as=tmp_path
    )
    with pytest.raises(BuildError, match="No such file"):
        shell(missing)
    assert sorted(str(p.relative_to(dist)) for p in dist.rglob("*")) == ["arm64", "arm64/app", "manifest.json"]


def test_a_full_disk_leaves_what_was_there(shell):
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    with pytest.raises(BuildError) as caught:
        shell(Write(path=Path("/dev/full/x"), text="x"))
    assert caught.value.code == 1


def test_install_and_link(shell, tmp_path):
    source = tmp_path / "deps"
    source.mkdir()
    (source / "libstd-1.rlib").write_text("std")
    (source / "libstd-1.d").write_text("d")
    into = tmp_path / "root" / "lib"
    assert shell(Install(source=source, pattern="*.rlib", into=into, empty=("self-contained/crt1.o",)))
    assert sorted(str(p.relative_to(into)) for p in into.rglob("*")) == [
        "libstd-1.rlib",
        "self-contained",
        "self-contained/crt1.o",
    ]
    for to in (tmp_path, source):
        assert shell(Link(path=tmp_path / "root" / "link", to=to))
        assert (tmp_path / "root" / "link").readlink() == to


def test_a_job_that_somebody_else_did_is_not_done_again(shell, tmp_path):
    (tmp_path / "done").mkdir()
    job = Job(name="j", steps=(Step(title="t", argv=("no-such-program",)),), lock=tmp_path, done=tmp_path / "done")
    assert shell.job(job)


def test_scratch_is_empty_before_and_gone_after(shell, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / "left by one that was killed").touch()
    look = python(f"import os, sys; sys.exit(sorted(os.listdir({str(scratch)!r})) != ['f'])")
    assert shell.job(Job(name="j", steps=(Write(path=scratch / "f", text=""), look), scratch=scratch))
    assert not scratch.exists()


def test_one_process_holds_a_folder_and_the_next_says_that_it_waits(tmp_path):
    said, held = [], threading.Event()

    def second():
        with locked(tmp_path, lambda: (said.append("waiting"), held.set())):
            said.append("mine")

    with locked(tmp_path, lambda: said.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        assert held.wait(5)
        said.append("done")
    thread.join(5)
    assert said == ["waiting", "done", "mine"]


def test_a_dry_run_shows_and_does_nothing(capsys, tmp_path):
    dry = DryRunner(Console({}), os.environ, RETRY)
    job = Job(name="j", steps=(Write(path=tmp_path / "f", text=""), Step(title="t", argv=("rm", "-rf", "a b"))))
    assert dry.job(job).ran is False
    assert capsys.readouterr().err == "  + rm -rf 'a b'\n"
    assert list(tmp_path.iterdir()) == []


def test_what_other_threads_run_is_stopped_and_nothing_begins_after_it():
    slow = replace(RETRY, delay=60.0, max_delay=60.0)
    shell = Runner(Console({"CI": "1"}), os.environ, slow)
    with ThreadPoolExecutor(max_workers=2) as pool:
        began = time.monotonic()
        running = pool.submit(shell, python("import time; time.sleep(60)"))
        # Its second try would come after a wait of up to a minute.
        fails = "import sys; print('Connection refused', file=sys.stderr); sys.exit(1)"
        waiting = pool.submit(Runner.__call__, shell, python(fails, attempts=3))
        while not shell.running or not waiting.running():
            time.sleep(0.01)
        time.sleep(0.2)
        shell.stop()
        assert running.result().code in (130, 1)  # Python says 1 of a KeyboardInterrupt, a shell 130
        with pytest.raises(Interrupted):
            waiting.result()
    assert time.monotonic() - began < 10
    with pytest.raises(Interrupted):
        shell(python("pass"))
