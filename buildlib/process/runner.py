"""The only hand: runs steps, writes files, holds locks, and retries what passes."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from buildlib.core.errors import Interrupted, MissingRequirements, UsageError
from buildlib.core.plan import Action, AtomicUpdate, Install, Job, Link, OciLayout, Outcome, Step, Write
from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure, classify
from buildlib.failures.redact import redact, secret_values
from buildlib.failures.redact import redact_argv as safe_argv
from buildlib.process.console import Console
from buildlib.process.files import append, disk_error, install, layout, link, locked, remove_tree, update, write_whole
from buildlib.process.history import NO_HISTORY, History
from buildlib.process.output_reader import OutputReader
from buildlib.process.retry import Budget, with_retries

LARGEST = 1_000_000  # bytes, then a new file is begun and the old one kept beside it
PATIENCE = 5.0  # seconds that children get to end by themselves after SIGINT, then after SIGTERM


class Runner:
    """Does what a plan says. `env` is the environment that steps start from, `record` the file that says what failed, `journal` what
    ran when; `sleep` is handed in for tests."""

    def __init__(
        self, console: Console, env: Mapping[str, str], retry: Retry, sleep: Callable[[float], object] | None = None,
        record: Path | None = None, history: History = NO_HISTORY,
    ):  # fmt: skip
        self.console = console
        self.env = env
        self.budget = Budget(retry)
        self.record = record
        self.history = history
        # How a line of a tool is shown and read: with the names that a person knows.
        self.translate: Callable[[str], str] = str
        self.stopped = threading.Event()
        self.sleep = sleep or self.stopped.wait
        self.running: set[subprocess.Popen[bytes]] = set()

    dry = False

    def stop(self) -> None:
        """Ends what other threads have running, and lets nothing more begin: a Ctrl-C reaches the main thread alone."""
        self.stopped.set()
        for process in tuple(self.running):
            _end_all(process)

    def __call__(self, act: Action) -> Outcome:
        """The outcome of one act. BuildError where the machine itself will not do it (no such program, disk full)."""
        try:
            match act:
                case Step():
                    return self._tried(replace(act, title=self.translate(act.title)))
                case Write():
                    write_whole(act.path, act.text.encode(), act.mode)
                case Link():
                    link(act)
                case Install():
                    install(act)
                case AtomicUpdate():
                    update(act)
                case OciLayout():
                    layout(act)
        except OSError as error:
            raise disk_error(error) from None
        return Outcome(step=act, code=0, seconds=0.0)

    def job(self, job: Job) -> Outcome:
        """Every step of `job` in order; the outcome of the first that fails, or of the last."""
        with contextlib.ExitStack() as stack:
            if job.lock:
                stack.enter_context(
                    locked(job.lock, lambda: self.console.note(f"{job.name}: another build is at it, waiting"))
                )
            outcome = Outcome(step=job.steps[-1], code=0, seconds=0.0)
            if job.done and job.done.exists():
                return outcome
            if job.scratch:
                remove_tree(job.scratch)  # of one that was killed
                stack.callback(remove_tree, job.scratch)
            for step in job.steps:
                outcome = self(step)
                if not outcome:
                    return outcome
            return outcome

    # --- commands -------------------------------------------------------------------------------------

    def _tried(self, step: Step) -> Outcome:
        """The step's outcome, after as many tries as it may have and its failures deserve."""
        limit = min(step.attempts, self.budget.policy.attempts)

        def failure_of(outcome: Outcome) -> Failure | None:
            return None if outcome else classify(outcome.output, outcome.code, Path(step.argv[0]).name)

        def tell(failure: Failure, attempt: int, wait: float | None) -> None:
            if step.quiet and not failure.transient:
                return  # a question, and the answer is no
            self.failed(step.title, step.argv, failure, attempt, wait)
            if wait is not None:
                self.console.note(
                    f"{step.title}: retrying {attempt + 1} of {limit} in {wait:.0f} s: {redact(failure.cause)}"
                )
            elif failure.transient and self.budget.down:
                self.console.warn("the network is down: for a while now, most of what was tried has failed")

        return with_retries(lambda: self._once(step), failure_of, self.budget, attempts=limit, delay=self.budget.policy.delay,
                     sleep=self._pause, tell=tell)  # fmt: skip

    def _pause(self, seconds: float) -> None:
        self.sleep(seconds)
        if self.stopped.is_set():
            raise Interrupted("interrupted")

    def failed(self, title: str, argv: tuple[str, ...], failure: Failure, attempt: int, wait: float | None) -> None:
        """A line in the record of what failed. A record that cannot be written does not make anything worse."""
        if not self.record:
            return
        values = secret_values(self.env)
        told = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"), "step": title, "argv": safe_argv(argv, values),
            "class": failure.kind, "cause": redact(failure.cause, values), "attempt": attempt, "wait": wait,
        }  # fmt: skip
        with contextlib.suppress(OSError):
            append(self.record, json.dumps(told, ensure_ascii=False), LARGEST)

    def _once(self, step: Step) -> Outcome:
        if self.stopped.is_set():
            raise Interrupted("interrupted")
        if not step.quiet:
            self.console.command(tuple(map(self.translate, step.argv)))
        at, began = time.time(), time.monotonic()
        told = OutputReader(step, self.console, self.translate)
        env = step_environment(self.env, step)
        if self.console.colour and not step.quiet:
            env.setdefault("CARGO_TERM_COLOR", "always")
        try:
            # A group of its own: a Ctrl-C is passed on by us, to all of the step's children at once. What reads from the
            # terminal has to stay in the terminal's own group, or the kernel stops it.
            process = subprocess.Popen(
                step.argv, env=env, cwd=step.cwd, stdin=None if step.terminal else subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=None if step.terminal else 0,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise MissingRequirements(f"{error.filename}: no such program", "run `buildlib doctor`") from None
        except PermissionError as error:
            raise UsageError(f"{error.filename}: {error.strerror}") from None
        readers = [
            threading.Thread(target=told.read_stdout, args=(process.stdout,), daemon=True),
            threading.Thread(target=told.read_stderr, args=(process.stderr,), daemon=True),
        ]
        for reader in readers:
            reader.start()
        self.running.add(process)
        with self.console.working(step.title) if not step.quiet else contextlib.nullcontext():
            try:
                code = _wait(process, step)
            finally:
                self.running.discard(process)
                for reader in readers:
                    # A server that the step left behind (sccache does) may hold the pipe for ever.
                    reader.join(PATIENCE)
        seconds = time.monotonic() - began
        if not step.quiet:
            self.history("step", title=step.title, at=round(at, 3), seconds=round(seconds, 3), code=code)
        if code == 0 and not step.quiet:
            self.console.done(seconds, told.summary())
        return Outcome(step=step, code=code, seconds=seconds, stdout="".join(told.stdout), output="\n".join(told.tail),
                       executables=tuple(told.executables), tests=tuple(told.tests), benches=tuple(told.benches))  # fmt: skip


class DryRunner(Runner):
    """Shows the steps instead of running them. Questions are asked all the same: they change nothing."""

    dry = True

    def __call__(self, act: Action) -> Outcome:
        if isinstance(act, Step) and act.quiet:
            return super().__call__(act)
        if isinstance(act, Step):
            self.console.command(act.argv)
        return Outcome(step=act, code=0, seconds=0.0, ran=False)

    def job(self, job: Job) -> Outcome:
        return [self(step) for step in job.steps][-1]


def step_environment(base: Mapping[str, str], step: Step) -> dict[str, str]:
    """`base` without what the step unsets, with what it sets."""
    exact = {name for name in step.unset if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in step.unset if name.endswith("*"))
    kept = {k: v for k, v in base.items() if k not in exact and not (prefixes and k.startswith(prefixes))}
    return kept | dict(step.env)


def _wait(process: subprocess.Popen[bytes], step: Step) -> int:
    try:
        code = process.wait(step.timeout)
        return code if code >= 0 else 128 - code
    except subprocess.TimeoutExpired:
        _end(process, signal.SIGKILL, step.terminal)
        return 124  # as timeout(1) has it
    except BaseException:  # Ctrl-C above all: no child outlives us
        _end_all(process, step.terminal)
        raise


def _end_all(process: subprocess.Popen[bytes], terminal: bool = False) -> None:
    """Asks the step to end, and then sees to it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if _end(process, number, terminal):
            break


def _end(process: subprocess.Popen[bytes], number: signal.Signals, terminal: bool) -> bool:
    """Signal the step's whole group; whether all of it ended in time. A terminal's step is in our own group."""
    try:
        (process.send_signal if terminal else functools.partial(os.killpg, process.pid))(number)
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
