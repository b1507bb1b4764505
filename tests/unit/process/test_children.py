"""Waiting for a process: exactly as long as it runs, with and without a pidfd."""

import os
import subprocess
import sys
import time

import pytest

from buildlib.core.plan import Step
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
    assert wait(start("import time; time.sleep(0.3); raise SystemExit(3)"), STEP, tick=lambda: ticks.append(1)) == 3
    assert len(ticks) > 3
    assert wait(start("import os; os.kill(os.getpid(), 9)"), STEP) == 137
    assert wait(start("import time; time.sleep(600)"), Step(title="t", argv=("x",), timeout=0.1)) == TIMED_OUT


@pytest.mark.usefixtures("_kernel")
def test_what_a_tick_raises_ends_the_step():
    """Nobody reads what it prints any more, or Ctrl-C."""

    def broken():
        raise BrokenPipeError

    process = start("import time; time.sleep(600)")
    with pytest.raises(BrokenPipeError):
        wait(process, STEP, tick=broken)
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
        wait(process, STEP, tick=lambda: None)
        ended = time.monotonic()
        os.read(reader, 1)  # the end of the file, which came with the end of the process
        os.close(reader)
        late.append(time.monotonic() - ended)
    assert min(late) < 0.01


def test_no_handle_is_left_open():
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert wait(start("pass"), STEP, tick=lambda: None) == 0
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
