"""The runner: executes steps and file actions, holds locks, and retries transient failures."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

from buildlib.core.errors import BuildError, Interrupted
from buildlib.core.plan import Action, Decoder, Job, Outcome, Step
from buildlib.core.settings import Retry
from buildlib.core.stopping import Stop
from buildlib.display.escaping import json_text
from buildlib.display.progress import BAR_ENVIRONMENT, SHORT, Progress
from buildlib.failures.classify import Failure, classify
from buildlib.failures.redact import redact, redact_argv, secret_values
from buildlib.machine import lock_holders
from buildlib.process import file_actions
from buildlib.process.children import PATIENCE, wait
from buildlib.process.console import Console
from buildlib.process.files import append, disk_error, locked, remove_tree
from buildlib.process.history import NO_HISTORY, History
from buildlib.process.jobserver import Jobserver, inherited_descriptors
from buildlib.process.output_reader import OutputReader
from buildlib.process.retry import Budget, with_retries
from buildlib.process.start import start, step_environment

MAX_RECORD = 1_000_000  # bytes of the failure log, before it is renamed and a new one begins
SLOWEST = 12  # crates of a compilation whose times are recorded


class Runner:
    """Executes what a plan says.

    `env` is the environment that steps start from, `record` the file of failed tries, `history` what ran when. `sleep` waits
    between tries, by default until `stopped` is set. `translate` is applied to command lines and to each line of output before
    they are shown and read: while a gateway to the registries is open, it maps the gateway's names back to those that the user
    knows.
    """

    dry = False

    def __init__(
        self, console: Console, env: Mapping[str, str], retry: Retry, sleep: Callable[[float], object] | None = None,
        record: Path | None = None, history: History = NO_HISTORY,
    ) -> None:  # fmt: skip
        self.console = console
        self.env = env
        self.budget = Budget(retry)
        self.record = record
        self.history = history
        self.translate: Callable[[str], str] = str
        self.hidden: dict[str, str] = {}  # secrets by name, beside those that the environment's names tell
        self.stopped = Stop()
        self.sleep = sleep or self.stopped.wait
        self.jobserver: Jobserver | None = None  # of the steps, in place of the one that this command was started with

    def secrets(self) -> tuple[str, ...]:
        """What is removed from everything that is shown or recorded."""
        named = {f"{name}_TOKEN": value for name, value in self.hidden.items()}  # a name that says so
        return secret_values({**self.env, **named})

    def part(self, console: Console, jobserver: Jobserver) -> Runner:
        """A runner for one of several parts of the command that run at once: its output and its jobs are those of the part."""
        part = copy(self)
        part.console, part.jobserver = console, jobserver
        return part

    def clean_up(self, action: Action) -> Outcome:
        """Execute what removes something that the command has made: also when it has to end. BuildError as of a call."""
        runner = copy(self)
        runner.stopped = Stop()
        return runner(action)

    def __call__(self, action: Action) -> Outcome:
        """Execute one action. BuildError if the machine cannot do it (no such program, disk full), Interrupted after a stop."""
        self.stopped.check()
        try:
            if isinstance(action, Step):
                return self._run(replace(action, title=self.translate(action.title)))
            file_actions.execute(action)
        except OSError as error:
            raise disk_error(error) from None
        return Outcome(step=action, code=0, seconds=0.0)

    def locked(self, folder: Path, waiting: str) -> contextlib.AbstractContextManager[None]:
        """Create a directory and hold its lock. While another command holds it, `waiting` is shown.

        Errors as of `files.locked`, and Interrupted if the command has to end meanwhile.
        """
        return locked(folder, partial(self._waiting, waiting), self.console.warn)

    @contextlib.contextmanager
    def _waiting(self, text: str, holder: str) -> Iterator[Callable[[], object]]:
        def tick() -> None:
            self.stopped.check()
            show()

        with self.console.waiting(text, holder) as show:
            yield tick

    def job(self, job: Job) -> Outcome:
        """Execute the steps of `job` in order. Returns the outcome of the first that fails, or of the last."""
        with contextlib.ExitStack() as stack:
            if job.lock:
                stack.enter_context(self.locked(job.lock, f"{job.name}: waiting for another command that builds it"))
            outcome = Outcome(step=job.steps[-1], code=0, seconds=0.0)
            if job.done and job.done.exists():
                return outcome
            if job.scratch:
                remove_tree(job.scratch)  # left by a command that was killed
                stack.callback(remove_tree, job.scratch)
            for step in job.steps:
                outcome = self(step)
                if not outcome:
                    return outcome
            return outcome

    def failed(self, title: str, argv: tuple[str, ...], failure: Failure, attempt: int, wait: float | None) -> None:
        """Write a failed try to the record and the history. What cannot be written must not change the result."""
        values = self.secrets()
        facts = {"class": failure.kind, "cause": redact(failure.cause, values), "attempt": attempt, "wait": wait}
        self.history("failure", title=redact(title, values), help=failure.help, **facts)
        if not self.record:
            return
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"), "step": redact(title, values), "argv": redact_argv(argv, values),
            **facts,
        }  # fmt: skip
        with contextlib.suppress(OSError):
            append(self.record, json_text(entry), MAX_RECORD)

    # --- steps ----------------------------------------------------------------------------------------

    def _run(self, step: Step) -> Outcome:
        """Run the step, as often as it allows and its failures justify."""
        limit = min(step.attempts, self.budget.policy.attempts)
        decoders: list[Decoder] = []

        def failure_of(outcome: Outcome) -> Failure | None:
            return None if outcome else classify(outcome.output, outcome.code, Path(step.argv[0]).name)

        def on_failure(failure: Failure, attempt: int, wait: float | None) -> None:
            if step.quiet and not failure.transient:
                return  # the answer to a question is no
            self.failed(step.title, step.argv, failure, attempt, wait)
            if wait is not None:
                cause = redact(failure.cause, self.secrets())
                self.console.note_at_once(f"{step.title}: retrying {attempt + 1} of {limit} in {wait:.0f} s: {cause}")
            elif failure.transient and self.budget.down:
                self.console.warn("the network is down: most of the recent attempts failed")

        return with_retries(
            lambda: self._run_once(step, decoders), failure_of, self.budget, attempts=limit, delay=self.budget.policy.delay,
            sleep=self._pause, on_failure=on_failure,
        )  # fmt: skip

    def _pause(self, seconds: float) -> None:
        self.sleep(seconds)
        self.stopped.check()

    def _run_once(self, step: Step, decoders: list[Decoder]) -> Outcome:
        self.stopped.check()
        argv = tuple(map(self.translate, step.argv))
        if not step.quiet and (step.terminal or not self.console.compact):
            self.console.command(argv)
        started_at, start = time.time(), time.monotonic()
        progress, key = self._progress(step, start)
        reader = OutputReader(step, self.console, self.translate, progress)
        decoders += (reader.decoder,) if reader.decoder else ()
        # What asks the user something at the terminal must not be overwritten.
        shown = contextlib.nullcontext() if step.terminal else self.console.working(progress)
        with self.stopped.signals(), shown as tick:
            code = self._execute(step, reader, tick)
        seconds = time.monotonic() - start
        if not step.quiet:
            counted = {"key": key, "total": progress.done, "worked": progress.worked} if step.counts else {}
            self.history(
                "step", title=step.title, at=round(started_at, 3), seconds=round(seconds, 3), code=code, **counted
            )
            if step.stdout == "json":
                crates = reader.crates.slowest(SLOWEST)
                self.history("crates", title=step.title, compiled=reader.compiled, fresh=reader.fresh, slowest=crates)
            self.console.done(seconds, reader.summary(), title=step.title, code=code)
            if code and self.console.compact:
                self.console.command(argv)
        return Outcome(
            step=step, code=code, seconds=seconds, stdout="".join(reader.stdout), output="\n".join(reader.tail),
            artifacts=tuple(reader.artifacts), decoders=tuple(decoders),
        )  # fmt: skip

    def _execute(self, step: Step, reader: OutputReader, tick: Callable[[], None] | None) -> int:
        """Start the step's process, read what it prints, and return its exit code."""
        process = self._start(step)
        reader.blocking = partial(lock_holders.blocking, process.pid)
        threads = [_thread(reader.read_stdout, process.stdout), _thread(reader.read_stderr, process.stderr)]
        try:
            return wait(process, step, self.stopped, reader.decoder, tick)
        except Interrupted:
            raise
        except BuildError as error:  # of the decoder, which quotes the step's output
            message = redact(self.translate(error.message), self.secrets())
            raise type(error)(message, error.help, error.kind) from None
        finally:
            for thread in threads:
                # A server that the step has left behind (sccache does) may keep the pipe open for ever.
                thread.join(0 if self.stopped.forced else PATIENCE)

    def _progress(self, step: Step, start: float) -> tuple[Progress, str]:
        """The state of a step that starts now, with what is known of earlier runs of the same command line; and its key."""
        words = "\0".join((step.title, *step.argv))
        key = hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:16] if step.counts else ""
        earlier = [] if self.console.quiet or step.quiet else self.history.earlier(key)
        return Progress(
            title=step.title, started=start, counts=step.counts, total=step.total, first=step.first, earlier=earlier,
            delay=SHORT if step.quiet else 0.0,
        ), key  # fmt: skip

    def _start(self, step: Step) -> subprocess.Popen[bytes]:
        env = step_environment(self.env, step)
        if step.quiet:
            env["CARGO_TERM_COLOR"] = "never"  # its output is read, and quoted in messages
        elif self.console.colour:
            env.setdefault("CARGO_TERM_COLOR", "always")
        if step.counts == "crate" and not self.console.quiet:
            env |= BAR_ENVIRONMENT
        if self.jobserver:
            env |= self.jobserver.variables
        descriptors = self.jobserver.descriptors if self.jobserver else inherited_descriptors(self.env)
        return start(step, env, descriptors)


class DryRunner(Runner):
    """Shows steps instead of running them. Questions (`quiet` steps) are run, because they change nothing."""

    dry = True

    def __call__(self, action: Action) -> Outcome:
        """Show a step, skip a file action, run a question."""
        if isinstance(action, Step) and action.quiet:
            return super().__call__(action)
        if isinstance(action, Step):
            self.console.command(action.argv)
        return Outcome(step=action, code=0, seconds=0.0, ran=False)

    def locked(self, folder: Path, waiting: str) -> contextlib.AbstractContextManager[None]:
        """Hold no lock and create no directory, because nothing is written there."""
        return contextlib.nullcontext()

    def job(self, job: Job) -> Outcome:
        """Show the steps of `job`."""
        return [self(step) for step in job.steps][-1]


def _thread(read: Callable[[IO[bytes]], None], pipe: IO[bytes] | None) -> threading.Thread:
    assert pipe is not None, "both streams are pipes"
    thread = threading.Thread(target=read, args=(pipe,), daemon=True)
    thread.start()
    return thread
