"""Wait for a step's process, and end it with all its children: at a timeout, at an error of its decoder, and at Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from buildlib.core.plan import Decoder, Step
from buildlib.core.stopping import Stop

PATIENCE = 5.0  # seconds that children get to exit after SIGINT, then after SIGTERM
TIMED_OUT = 124  # the exit code that timeout(1) uses
INTERVAL = 0.25  # seconds after which `tick` is called, and a decoder is asked again whether the step is overdue
PAUSE = 0.05  # seconds between two looks at what was asked to exit
PROC = Path("/proc")


def wait(
    process: subprocess.Popen[bytes], step: Step, stop: Stop, decoder: Decoder | None = None,
    tick: Callable[[], None] | None = None,
) -> int:  # fmt: skip
    """The exit code of the step: 128 + n if signal n has killed it, TIMED_OUT after its timeout. `tick` is called meanwhile.

    Raises Interrupted once the command has to end, and the error of the decoder: both when all of the step has ended.
    """
    end = None if step.timeout is None else time.monotonic() + step.timeout
    with contextlib.ExitStack() as stack:
        handle = _handle(process, stack)
        try:
            while True:
                stop.check()  # first of all: the step may have been started at that moment
                left = INTERVAL if end is None else min(INTERVAL, max(0.0, end - time.monotonic()))
                code = _exit_code(process, handle, left)
                if code is not None:
                    stop.check()  # whatever its code is: it may have been signalled too
                    return code if code >= 0 else 128 - code
                now = time.monotonic()
                if end is not None and now >= end:
                    _end(process, signal.SIGKILL, stop, step.terminal)
                    return TIMED_OUT
                if decoder and (error := decoder.overdue(now)):
                    raise error
                if tick:
                    tick()
        except BaseException:  # no child must outlive this process
            end_all(process, stop, step.terminal)
            raise


def _handle(process: subprocess.Popen[bytes], stack: contextlib.ExitStack) -> int | None:
    """A pidfd of the process until the stack ends, None where the kernel has none (macOS, Linux before 5.3)."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None
    stack.callback(os.close, handle)
    return handle


def _exit_code(process: subprocess.Popen[bytes], handle: int | None, seconds: float) -> int | None:
    """Python's exit code of the process, None if it still runs after so many seconds.

    With a timeout `Popen.wait` asks every 50 ms, and a step would end so much later; a pidfd becomes readable at once.
    """
    if handle is not None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(1000 * seconds)
        return process.poll()
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    return None


def end_all(process: subprocess.Popen[bytes], stop: Stop, terminal: bool = False) -> None:
    """Ask the step to exit, then force it; at once after a second signal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if _end(process, number, stop, terminal):
            break


def _end(process: subprocess.Popen[bytes], number: signal.Signals, stop: Stop, terminal: bool) -> bool:
    """Signal the step's process group. True if all of it has exited in time.

    A step at the terminal is in this process's own group, so only the step itself is signalled.
    """
    try:
        if terminal:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:  # sudo at the terminal, which gets Ctrl-C from there
        pass
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and (number is signal.SIGKILL or not stop.forced):
        if process.poll() is not None and (terminal or not _is_alive(process.pid)):
            return True
        time.sleep(PAUSE)
    return False


def _is_alive(group: int) -> bool:
    """Whether a process of the group runs. Zombies remain in a container whose first process does not wait for orphans."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    states = list(_states(group))
    return not states or any(state not in ("Z", "X") for state in states)  # a system without /proc shows none


def _states(group: int) -> Iterator[str]:
    """The states of the group's processes, as of proc(5)."""
    for path in PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if of == str(group):
                yield state
