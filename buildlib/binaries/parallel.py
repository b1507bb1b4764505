"""Build for several targets at once, under one limit of jobs.

One cargo for each target, not one with several `--target`: cargo then turns on a feature for all targets as soon as a dependency of
one of them asks for it (`platform_activated` in its resolver/features.rs), so that the bytes for one arch would depend on which
others are built with it. It also gives one exit code and one output for all.

The cargos share the tokens of a jobserver. What is compiled for this machine is the same for all: one target's cargo compiles it, and
the others start as soon as it has, with a copy (`process.host_units`). On their own they would all compile it at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.stopping import PAUSE, Stop
from buildlib.core.targets import Target
from buildlib.core.workers import results, workers
from buildlib.machine import parallelism
from buildlib.process import jobserver
from buildlib.process.context import Context
from buildlib.rust.cargo import Build

Result = TypeVar("Result")


class HostUnits:
    """The units for this machine that the builds of a family share. One build at a time leads: it compiles them.

    The others begin when the messages of its cargo say that all are done. If it ends before, the next one leads.
    """

    def __init__(self, family: Sequence[Build]) -> None:
        self._leader: Target | None = family[0].target
        self._done = len(family) == 1  # nobody waits for them
        self._finished = 0
        self._expected: int | None = None
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, build: Build, stopped: Stop, ask: Callable[[], object]) -> Iterator[Build]:
        """Wait for the units, or for the lead, and return what is to be built then. Interrupted if `stopped` is set before.

        If it leads, `ask` is called, which has to find out how many units there are, and let `expect` know.
        """
        with self._changed:
            while not self._done and self._leader not in (None, build.target):
                self._changed.wait(PAUSE)
                stopped.check()
            leads = not self._done
            if leads:
                self._leader, self._finished, self._expected = build.target, 0, None
        try:
            if leads:
                ask()
                build = _with_messages(build, partial(self.read, str(build.folder.parent)))
            yield build
        finally:
            if leads:
                self._leave()

    def read(self, folder: str, message: Mapping[str, Any]) -> None:
        """Read a message of the leader's cargo, which may be about anything. What it puts into `folder` is not for this machine."""
        reason, paths = message.get("reason"), message.get("filenames") or [message.get("out_dir")]
        is_unit = reason in ("compiler-artifact", "build-script-executed") and isinstance(paths[0], str)
        with self._changed:
            self._finished += int(is_unit and not str(paths[0]).startswith(f"{folder}/"))
            self._compare(is_last=reason == "build-finished" and message.get("success") is True)

    def expect(self, leader: Target, number: int) -> None:
        """Set how many there are in all, if it still leads: another target may have others."""
        with self._changed:
            if leader == self._leader:
                self._expected = number
                self._compare()

    def _compare(self, *, is_last: bool = False) -> None:
        if is_last or (self._expected is not None and self._finished >= self._expected):
            self._done = True
            self._changed.notify_all()

    def _leave(self) -> None:
        with self._changed:
            self._leader = None
            self._changed.notify_all()


def build_all(context: Context, builds: Sequence[Build], build_one: Callable[[Context, Build], Result]) -> list[Result]:
    """Return what `build_one` returns for each of the builds, in their order. One that fails must not raise.

    Those in containers follow one by one: no jobserver reaches into a container.
    """
    together = [build for build in builds if build.compiler] if runs_together(context, builds) else []
    built = _together(context, together, build_one) if together else {}
    return [built[build.target] if build.target in built else build_one(context, build) for build in builds]


def runs_together(context: Context, builds: Sequence[Build]) -> bool:
    """Whether the local ones among the builds run at once.

    They do not where the words after `--` say how many jobs there are, which cargo would ignore under a jobserver, and with a build
    directory of the user's own, which cargo locks for one target at a time.
    """
    chooses_jobs = any(word.startswith(("-j", "--jobs")) for word in context.request.rest)
    local = sum(build.compiler is not None for build in builds)
    return local > 1 and not (context.run.dry or chooses_jobs or context.host.cargo_config.build_dir)


def limit(context: Context) -> int:
    """How many jobs may run at once, for all targets together."""
    return parallelism.jobs(context.request.jobs or context.host.cargo_config.jobs, parallelism.processors())


def families(builds: Iterable[Build]) -> list[list[Build]]:
    """The builds in groups of those that share what is compiled for this machine."""
    found: dict[object, list[Build]] = {}
    for build in builds:
        found.setdefault(build.family, []).append(build)
    return list(found.values())


def _together(
    context: Context, builds: Sequence[Build], build_one: Callable[[Context, Build], Result]
) -> dict[Target, Result]:
    with (
        jobserver.opened(context.host.env, limit(context)) as server,
        workers(context.run.stopped, 2 * len(builds)) as pool,  # they wait most of the time
    ):

        def build_in_turn(build: Build, units: HostUnits) -> Result:
            stopped, ask = context.run.stopped, partial(pool.submit, _expect, context, build.target, units)
            with (
                units.turn(build, stopped, ask) as counted,
                server.token(stopped),
                context.console.part() as console,
            ):
                return build_one(replace(context, console=console, run=context.run.part(console, server)), counted)

        futures: dict[Target, Future[Result]] = {}
        for family in families(map(without_jobs, builds)):
            units = HostUnits(family)
            futures |= {build.target: pool.submit(build_in_turn, build, units) for build in family}
        return dict(zip(futures, results(context.run.stopped.check, tuple(futures.values())), strict=True))


def without_jobs(build: Build) -> Build:
    """The build without a number of jobs of its own: cargo would warn that it follows the jobserver's."""

    def changed(step: Step) -> Step:
        if "--jobs" not in step.argv:
            return step
        at = step.argv.index("--jobs")
        return replace(step, argv=(*step.argv[:at], *step.argv[at + 2 :]))

    return _with_steps(build, changed)


def _with_messages(build: Build, read: Callable[[Mapping[str, Any]], None]) -> Build:
    """The build whose messages are read while it runs."""
    return _with_steps(build, lambda step: replace(step, message=read))


def _with_steps(build: Build, changed: Callable[[Step], Step]) -> Build:
    steps = tuple(changed(step) if isinstance(step, Step) else step for step in build.job.steps)
    return replace(build, job=replace(build.job, steps=steps))


def _expect(context: Context, leader: Target, units: HostUnits) -> None:
    """Ask cargo how many units there are for this machine. Without an answer the others wait for the end of the leader's build."""
    from buildlib.crates import graph  # late: one target alone needs it not

    try:
        answer = context.run(graph.question(context, leader, tests=False))
        if answer:
            units.expect(leader, graph.count_host_units(json.loads(answer.stdout)))
    except (BuildError, ValueError, LookupError, TypeError):
        return
