"""Waiting for a process: exactly as long as it runs, with and without a pidfd."""

import os
import subprocess
import sys
import time

import pytest

from buildlib.core.errors import Interrupted
from buildlib.core.plan import Step
from buildlib.core.stopping import Stop
from buildlib.process import children
from buildlib.process.children import TIMED_OUT, wait

pytestmark = pytest.mark.processes
STEP = Step(title="t", argv=("x",))


def start(code):
    return subprocess.Popen([sys.executable, "-S", "-c", code], process_group=0)


@pytest.fixture(params=["pidfd", "no pidfd"])
def _kernel(request, monkeypatch):
    if request.param == "no pidfd":

        def refused(pid):
            raise OSError(38, "Function not implemented")

        monkeypatch.setattr(os, "pidfd_open", refused)


@pytest.mark.usefixtures("_kernel")
def test_the_code_comes_with_ticks_and_without(monkeypatch):
    monkeypatch.setattr(children, "INTERVAL", 0.01)
    ticks = []
    assert (
        wait(start("import time; time.sleep(0.3); raise SystemExit(3)"), STEP, Stop(), tick=lambda: ticks.append(1))
        == 3
    )
    assert len(ticks) > 3
    assert wait(start("import os; os.kill(os.getpid(), 9)"), STEP, Stop()) == 137
    assert wait(start("import time; time.sleep(600)"), Step(title="t", argv=("x",), timeout=0.1), Stop()) == TIMED_OUT


@pytest.mark.usefixtures("_kernel")
def test_what_a_tick_raises_ends_the_step():
    """Nobody reads what it prints any more, or Ctrl-C."""

    def broken():
        raise BrokenPipeError

    process = start("import time; time.sleep(600)")
    with pytest.raises(BrokenPipeError):
        wait(process, STEP, Stop(), tick=broken)
    assert process.returncode is not None


def test_a_step_does_not_end_later_because_it_is_shown():
    """`Popen.wait` with a timeout looks every 50 ms."""
    late = []
    for _ in range(9):
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(0.2)"], stdout=writer, process_group=0
        )
        os.close(writer)
        wait(process, STEP, Stop(), tick=lambda: None)
        ended = time.monotonic()
        os.read(reader, 1)  # the end of the file, which came with the end of the process
        os.close(reader)
        late.append(time.monotonic() - ended)
    assert min(late) < 0.01


def test_no_handle_is_left_open():
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert wait(start("pass"), STEP, Stop(), tick=lambda: None) == 0
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.usefixtures("_kernel")
def test_a_stop_ends_the_step_also_if_it_came_before():
    stop = Stop()
    process = start("import time; time.sleep(600)")
    with pytest.raises(Interrupted):
        wait(process, STEP, stop, tick=stop.set)
    assert process.returncode is not None
    process = start("import time; time.sleep(600)")
    with pytest.raises(Interrupted):
        wait(process, STEP, stop)
    assert process.returncode is not None


def test_zombies_of_a_group_have_ended(tmp_path, monkeypatch):
    """This process is the parent of the orphans, and does not wait for them, as the first process of some containers."""
    process, other = start("import time; time.sleep(600)"), start("import time; time.sleep(600)")
    monkeypatch.setattr(children, "PROC", tmp_path)

    def show(**states):
        for name, state in states.items():
            (tmp_path / name[1:]).mkdir(exist_ok=True)
            (tmp_path / name[1:] / "stat").write_text(f"{name[1:]} (a) b) {state} 1 {process.pid} 1 0")

    try:
        assert children._is_alive(process.pid)  # nothing is shown, as on macOS
        show(p1="Z", p2="S")
        assert children._is_alive(process.pid)
        show(p2="X")
        assert not children._is_alive(process.pid)
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "stat").write_text(f"3 (c) R 1 {other.pid} 1 0")
        assert not children._is_alive(process.pid)
    finally:
        for one in (process, other):
            children.end_all(one, Stop())
