"""The command `smoke`: start every image of every platform as a container, and check that it works.

Containers run through Docker's SDK, as strictly as an image allows: read-only root file system, no capabilities, no new privileges.
Every container of a command has its label and is removed at the end, whatever ends the command.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from buildlib.core.errors import MissingRequirements, TestsFailed
from buildlib.core.targets import Target
from buildlib.emulation.qemu import is_native
from buildlib.failures.classify import classify
from buildlib.images import spec
from buildlib.images.dockerfile import Stage
from buildlib.machine import docker_daemon
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.testing import tests
from buildlib.testing.libtest import FAILED, PASSED, Case, Suite
from buildlib.testing.smoke_checks import HEALTHY, LABEL, Trial, checks, reason, sdk_errors
from buildlib.testing.tests import TestResult

if TYPE_CHECKING:
    from docker import DockerClient

CONCURRENT = 4  # containers wait most of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeOptions:
    """Which images: of which targets, and under which tag ("" is each component's version)."""

    targets: tuple[Target, ...]
    tag: str = ""


def smoke(context: Context, options: SmokeOptions) -> list[TestResult]:
    """The checks of every image, one suite for each component; one that fails does not stop the others.

    MissingRequirements without a Docker daemon, UsageError for options or settings that are wrong.
    """
    registry = spec.registry(context)
    spec.check_options(options.targets, (options.tag,) if options.tag else ())
    components = context.selection.components
    stages = {component.name: spec.stage_of(context, component) for component in components}
    with _daemon(context) as (client, label):
        check = partial(_check_component, client, label, stages, registry, options.tag)
        return [_check_target(context, target, components, check) for target in options.targets]


@contextmanager
def _daemon(context: Context) -> Iterator[tuple[DockerClient, str]]:
    """The daemon, and the label of this command's containers, which are removed at the end."""
    errors = sdk_errors()
    try:
        client = docker_daemon.client(context.run.env, timeout=int(2 * HEALTHY))
        client.ping()
    except errors as error:
        raise MissingRequirements(
            f"no Docker daemon answers: {docker_daemon.reason(error)}",
            "start Docker; binaries are tested without it: `buildlib test`",
        ) from None
    label = f"{LABEL}={secrets.token_hex(8)}"
    try:
        yield client, label.partition("=")[2]
    finally:
        try:
            for container in client.containers.list(all=True, filters={"label": label}, ignore_removed=True):
                with suppress(*errors):
                    container.remove(force=True, v=True)
        except errors as error:
            context.console.warn(f"containers with the label {label} may remain: {reason(error)}")
        client.close()


def _check_target(
    context: Context, target: Target, components: tuple[Component, ...], check: Callable[[Target, Component], Suite]
) -> TestResult:
    with context.console.fold(f"{target.name} · smoke"):
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=CONCURRENT) as pool:
            suites = tuple(pool.map(partial(check, target), components))
        machines = (case.detail for suite in suites for case in suite.cases
                    if (case.name, case.result) == ("machine", PASSED))  # fmt: skip
        machine = next(machines, "")
        result = TestResult(
            session="smoke", target=target, emulator="" if is_native(context.host, target) else "binfmt", suites=suites,
            ran_on={"machine": machine} if machine else {}, seconds=time.monotonic() - began,
        )  # fmt: skip
        failed = [
            f"{suite.name}: {case.name}: {case.detail}"
            for suite in suites for case in suite.cases if case.result == FAILED
        ]  # fmt: skip
        if failed:
            more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
            error = TestsFailed(f"{target.name}: {'; '.join(failed[:3])}{more}")
            result = replace(result, error=error)
            context.console.error(error)
        tests.write_reports(context, result)
        return result


def _check_component(
    client: DockerClient, label: str, stages: Mapping[str, Stage], registry: str, tag: str, target: Target, component: Component
) -> Suite:  # fmt: skip
    repository = f"{registry}/{component.name.lower()}"  # as `image --push` names it
    with _pulled(client, repository, tag or component.version, target) as image:
        if isinstance(image, Case):
            return Suite(name=component.name, cases=(image,))
        trial = Trial(
            client=client, label=label, target=target, component=component, stage=stages[component.name], image=image
        )
        began = time.monotonic()
        return Suite(name=component.name, cases=tuple(checks(trial)), seconds=round(time.monotonic() - began, 3))


@contextmanager
def _pulled(client: DockerClient, repository: str, tag: str, target: Target) -> Iterator[str | Case]:
    """Pull the image for the platform and yield its ID, or a failed case.

    Afterwards an image that was not in the daemon before is removed, and the name means what it meant before: a daemon has one
    platform under a name, and pulling another one moves the name.
    """
    from docker.errors import ImageNotFound

    errors = sdk_errors()
    name = f"{repository}:{tag}"
    previous = None
    try:
        before = {image.id for image in client.images.list(all=True)}
        with suppress(ImageNotFound):
            previous = client.images.get(name).id
        pulled: str = client.images.pull(repository, tag=tag, platform=target.oci).id
    except errors as error:
        detail = reason(error)
        yield Case(name="pull", result=FAILED, detail=classify(detail).cause or detail)
        return
    try:
        yield pulled
    finally:
        with suppress(*errors):
            if previous is None:
                client.images.remove(name)
            else:
                client.api.tag(previous, repository, tag)
        if pulled not in before:
            with suppress(*errors):
                client.images.remove(pulled, force=True)
