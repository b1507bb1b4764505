"""Build for several targets at once, under one limit of jobs.

One cargo for each target, not one with several `--target`: cargo then turns on a feature for all targets as soon as a dependency of
one of them asks for it (`platform_activated` in its resolver/features.rs), so that the bytes for one arch would depend on which
others are built with it. It also gives one exit code and one output for all.

The cargos share the tokens of a jobserver. What is compiled for this machine is the same for all: the first target's cargo compiles
it, and the others start as soon as it has, with a copy (`process.host_units`). On their own they would all compile it at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from buildlib.core.errors import BuildError
from buildlib.core.plan import Step
from buildlib.core.stopping import PAUSE, Stop
from buildlib.core.targets import Target
from buildlib.core.workers import results, workers
from buildlib.machine import parallelism
from buildlib.process import jobserver
from buildlib.process.context import Context
from buildlib.process.jobserver import Jobserver
from buildlib.rust.cargo import Build

Result = TypeVar("Result")


class HostUnits:
    """Counts the units for this machine that one cargo has finished, by its messages. `done` is set after the last one.

    `folder` is where it puts what is not for this machine.
    """

    def __init__(self, folder: str) -> None:
        self.done = threading.Event()
        self._folder = f"{folder}/"
        self._finished = 0
        self._expected: int | None = None
        self._lock = threading.Lock()

    def message(self, message: Mapping[str, Any]) -> None:
        """Read one of cargo's messages, which may be about anything."""
        paths = message.get("filenames") or [message.get("out_dir")]
        if message.get("reason") in ("compiler-artifact", "build-script-executed") and isinstance(paths[0], str):
            with self._lock:
                self._finished += not paths[0].startswith(self._folder)
                self._compare()

    def expect(self, number: int) -> None:
        """Set how many there are in all."""
        with self._lock:
            self._expected = number
            self._compare()

    def _compare(self) -> None:
        if self._expected is not None and self._finished >= self._expected:
            self.done.set()

    def wait(self, stopped: Stop) -> None:
        """Return after the last one. Interrupted if `stopped` is set before."""
        while not self.done.wait(PAUSE):
            stopped.check()


def build_all(context: Context, builds: Sequence[Build], build_one: Callable[[Context, Build], Result]) -> list[Result]:
    """Return what `build_one` returns for each of the builds, in their order. One that fails must not raise.

    Those in containers follow one by one: no jobserver reaches into a container.
    """
    together = [build for build in builds if build.compiler] if runs_together(context, builds) else []
    results = _together(context, together, build_one) if together else {}
    return [results[build.target] if build.target in results else build_one(context, build) for build in builds]


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
        futures: dict[Target, Future[Result]] = {}
        for leader, *others in families(map(without_jobs, builds)):
            units = HostUnits(str(leader.folder.parent))
            futures[leader.target] = pool.submit(_lead, context, leader, build_one, server, units if others else None)
            if others:
                pool.submit(_expect, context, leader, units)
            for build in others:
                futures[build.target] = pool.submit(_follow, context, build, build_one, server, units)
        return dict(zip(futures, results(context.run.stopped, tuple(futures.values())), strict=True))


def without_jobs(build: Build) -> Build:
    """The build without a number of jobs of its own: cargo would warn that it follows the jobserver's."""

    def changed(step: Step) -> Step:
        if "--jobs" not in step.argv:
            return step
        at = step.argv.index("--jobs")
        return replace(step, argv=(*step.argv[:at], *step.argv[at + 2 :]))

    steps = tuple(changed(step) if isinstance(step, Step) else step for step in build.job.steps)
    return replace(build, job=replace(build.job, steps=steps))


def _lead(
    context: Context, build: Build, build_one: Callable[[Context, Build], Result], server: Jobserver,
    units: HostUnits | None,
) -> Result:  # fmt: skip
    if units is None:
        return _part(context, build, build_one, server)
    steps = tuple(replace(step, message=units.message) if isinstance(step, Step) else step for step in build.job.steps)
    try:
        return _part(context, replace(build, job=replace(build.job, steps=steps)), build_one, server)
    finally:
        units.done.set()


def _follow(
    context: Context, build: Build, build_one: Callable[[Context, Build], Result], server: Jobserver, units: HostUnits
) -> Result:
    units.wait(context.run.stopped)
    return _part(context, build, build_one, server)


def _part(context: Context, build: Build, build_one: Callable[[Context, Build], Result], server: Jobserver) -> Result:
    with server.token(context.run.stopped), context.console.part() as console:
        return build_one(replace(context, console=console, run=context.run.part(console, server)), build)


def _expect(context: Context, leader: Build, units: HostUnits) -> None:
    """Ask cargo how many units there are for this machine. Without an answer the others wait for the end of the first build."""
    from buildlib.crates import graph  # late: one target alone needs it not

    try:
        answer = context.run(graph.question(context, leader.target, tests=False))
        if answer:
            units.expect(graph.count_host_units(json.loads(answer.stdout)))
    except (BuildError, ValueError, LookupError, TypeError):
        return
