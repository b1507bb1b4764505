"""Wait for a step's process, and end it with all its children: at a timeout, at an error of its decoder, and at Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable

from buildlib.core.plan import Decoder, Step

PATIENCE = 5.0  # seconds that children get to exit after SIGINT, then after SIGTERM
TIMED_OUT = 124  # the exit code that timeout(1) uses
INTERVAL = 0.25  # seconds after which `tick` is called and a decoder is asked again whether the step is overdue


def wait(
    process: subprocess.Popen[bytes], step: Step, decoder: Decoder | None = None, tick: Callable[[], None] | None = None
) -> int:
    """The exit code of the step: 128 + n if signal n has killed it, TIMED_OUT after its timeout. `tick` is called meanwhile.

    Raises the error of the decoder, once all of the step has ended.
    """
    end = None if step.timeout is None else time.monotonic() + step.timeout
    interval = INTERVAL if decoder or tick else None
    with contextlib.ExitStack() as stack:
        handle = _handle(process, stack)
        try:
            while True:
                left = None if end is None else max(0.0, end - time.monotonic())
                limits = [limit for limit in (left, interval) if limit is not None]
                code = _exit_code(process, handle, min(limits, default=None))
                if code is not None:
                    return code if code >= 0 else 128 - code
                now = time.monotonic()
                if end is not None and now >= end:
                    _end(process, signal.SIGKILL, step.terminal)
                    return TIMED_OUT
                if decoder and (error := decoder.overdue(now)):
                    raise error
                if tick:
                    tick()
        except BaseException:  # above all Ctrl-C: no child must outlive this process
            end_all(process, step.terminal)
            raise


def _handle(process: subprocess.Popen[bytes], stack: contextlib.ExitStack) -> int | None:
    """A pidfd of the process until the stack ends, None where the kernel has none (macOS, Linux before 5.3)."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        return None
    stack.callback(os.close, handle)
    return handle


def _exit_code(process: subprocess.Popen[bytes], handle: int | None, seconds: float | None) -> int | None:
    """Python's exit code of the process, None if it still runs after so many seconds.

    With a timeout `Popen.wait` asks every 50 ms, and a step would end so much later; a pidfd becomes readable at once.
    """
    if handle is not None and seconds is not None:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(1000 * seconds)
        return process.poll()
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    return None


def end_all(process: subprocess.Popen[bytes], terminal: bool = False) -> None:
    """Ask the step to exit, then force it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if _end(process, number, terminal):
            break


def _end(process: subprocess.Popen[bytes], number: signal.Signals, terminal: bool) -> bool:
    """Signal the step's process group. True if all of it has exited in time.

    A step at the terminal is in this process's own group, so only the step itself is signalled.
    """
    try:
        if terminal:
            process.send_signal(number)
        else:
            os.killpg(process.pid, number)
        process.wait(PATIENCE)
        deadline = time.monotonic() + (0 if terminal else PATIENCE)
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)  # raises when the group is empty
            time.sleep(0.05)
        return terminal
    except ProcessLookupError:
        return True
    except subprocess.TimeoutExpired:
        return False
