"""GNU make's jobserver: a pipe with a token for each job that may run beside the first one.

Cargo, rustc's code generation, make and ninja share the tokens of the jobserver that MAKEFLAGS or CARGO_MAKEFLAGS names (GNU make's
manual, "POSIX Jobserver Interaction"). A process that was started has one token already, which it need not ask for.
"""

from __future__ import annotations

import os
import re
import select
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from buildlib.core.stopping import PAUSE, Stop

VARIABLES = ("CARGO_MAKEFLAGS", "MAKEFLAGS", "MFLAGS")  # cargo reads the first that is set
# `fds` is the name up to make 4.1. make 4.4 may name a fifo, which has a path and no descriptors; the last of several counts.
DESCRIPTORS = re.compile(r"--jobserver-(?:auth|fds)=(\d+),(\d+)")
FIFO = re.compile(r"--jobserver-auth=fifo:(\S+)")


@dataclass(slots=True)
class Jobserver:
    """The two ends of the pipe, and what a child needs to use it. One token is this process's own, `spare` while nothing uses it."""

    read: int
    write: int
    descriptors: tuple[int, ...] = ()  # that children inherit
    variables: Mapping[str, str] = field(default_factory=dict)
    spare: bool = True
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def token(self, stopped: Stop) -> Iterator[None]:
        """Hold a token until the end of the block; it is what a child has from its start. Interrupted if `stopped` is set before."""
        taken = self._take(stopped)
        try:
            yield
        finally:
            if taken is None:
                self.spare = True
            else:
                with suppress(OSError):  # make, whose pipe it is, has gone
                    os.write(self.write, taken)

    def _take(self, stopped: Stop) -> bytes | None:
        """A token from the pipe, None for this process's own. Looks at both, because a child that was killed keeps its tokens."""
        poll = select.poll()
        poll.register(self.read, select.POLLIN)
        while True:
            stopped.check()
            with self.lock:
                if self.spare:
                    self.spare = False
                    return None
            if poll.poll(1000 * PAUSE):
                with suppress(BlockingIOError):
                    if token := os.read(self.read, 1):
                        return token
                    stopped.wait(PAUSE)  # the other end is closed


@contextmanager
def opened(env: Mapping[str, str], jobs: int) -> Iterator[Jobserver]:
    """The jobserver that this command was started with, or one of its own for so many jobs."""
    with ExitStack() as stack:
        yield _of_fifo(env, stack) or _of_pipe(env, stack) or _own(jobs, stack)


def _of_fifo(env: Mapping[str, str], stack: ExitStack) -> Jobserver | None:
    """That of a make, which children find by the same path. None without one, and if it cannot be used."""
    if not (fifo := FIFO.search(_flags(env))):
        return None
    try:
        handle = os.open(fifo[1], os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    stack.callback(os.close, handle)
    return Jobserver(handle, handle)


def _of_pipe(env: Mapping[str, str], stack: ExitStack) -> Jobserver | None:
    """That of a make, whose descriptors children inherit. None without one."""
    if not (numbers := inherited_descriptors(env)):
        return None
    return Jobserver(_reader(numbers[0], stack), numbers[1], numbers)


def _own(jobs: int, stack: ExitStack) -> Jobserver:
    """A new one."""
    read, write = os.pipe()
    for end in (read, write):
        stack.callback(os.close, end)
    os.write(write, b"|" * (jobs - 1))
    flags = f"-j --jobserver-fds={read},{write} --jobserver-auth={read},{write}"
    variables = {"CARGO_MAKEFLAGS": flags, "CARGO_BUILD_JOBS": str(jobs)}
    return Jobserver(_reader(read, stack), write, (read, write), variables)


def _reader(pipe: int, stack: ExitStack) -> int:
    """Open a pipe once more, so that reading does not block where another process was faster; that changes nothing for those.

    Without /proc, and for a pipe of another user (buildlib in a recipe with `su`), it may block until there is a token.
    """
    try:
        reader = os.open(f"/proc/self/fd/{pipe}", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        reader = os.dup(pipe)
    stack.callback(os.close, reader)
    return reader


def inherited_descriptors(env: Mapping[str, str]) -> tuple[int, ...]:
    """The descriptors of the jobserver that this process was started with, which children need; none for a fifo, or without one."""
    flags = _flags(env)
    match = [] if FIFO.search(flags) else DESCRIPTORS.findall(flags)
    numbers = tuple(map(int, match[-1])) if match else ()
    return numbers if numbers and all(map(_is_pipe, numbers)) else ()


def _flags(env: Mapping[str, str]) -> str:
    return next((env[name] for name in VARIABLES if name in env), "")


def _is_pipe(descriptor: int) -> bool:
    """Whether it is one that make has passed on. make names its descriptors also to commands that do not get them.

    Then the number may be that of a pipe which Python has opened; children do not inherit those.
    """
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode) and os.get_inheritable(descriptor)
    except OSError:
        return False
