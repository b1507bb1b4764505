"""The command `smoke`: every image of every platform started as a container, and asked what it promises.

Containers run through Docker's SDK, as strictly as an image allows: a root file system that cannot be written, no capabilities, no
new privileges. All that a run has started carries its label and is taken away at its end, whatever ends it.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from buildlib.core.errors import MissingRequirements, TestsFailed
from buildlib.core.plan import last_line
from buildlib.core.targets import Target
from buildlib.emulation.qemu import is_native, is_same_family, rust_arch
from buildlib.failures.classify import classify
from buildlib.failures.log import ESCAPES
from buildlib.images import spec
from buildlib.images.dockerfile import Stage
from buildlib.machine import docker_daemon
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.testing import tests
from buildlib.testing.libtest import FAILED, IGNORED, PASSED, Case, Suite
from buildlib.testing.tests import TestResult

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

LABEL = "io.github.buildlib.smoke"
HEALTHY = 120.0  # seconds in which a service has to be healthy, or to answer where it has no health check; QEMU is slow
STOP = 15  # seconds from SIGTERM to the end
STRICT = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
SIDE_BY_SIDE = 4  # containers wait most of the time


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeOptions:
    """Which images: of which targets and components, under which tag ("" is each component's version)."""

    targets: tuple[Target, ...]
    components: tuple[str, ...] = ()
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One image on its platform. `image` is its ID in the daemon."""

    client: DockerClient
    label: str
    target: Target
    component: Component
    stage: Stage
    image: str

    def run(self, *words: str, entrypoint: str | None = None, **more: Any) -> Container:
        """A container that has begun."""
        return self.client.containers.run(
            self.image, list(words), entrypoint=entrypoint, platform=self.target.oci, detach=True, labels={LABEL: self.label},
            **STRICT, **more,
        )  # fmt: skip

    def said(self, *words: str, entrypoint: str | None = None) -> str:
        """What one that ends by itself says. Fault with its last line when it does not end well."""
        container = self.run(*words, entrypoint=entrypoint)
        code = container.wait(timeout=HEALTHY)["StatusCode"]
        told = _logs(container)
        if code:
            raise SmokeFailure(f"exit code {code}: {last_line(told)}")
        return told


class SmokeFailure(Exception):
    """What an image does not keep."""


def smoke(context: Context, asked: SmokeOptions) -> list[TestResult]:
    """The checks of every image, a suite a component; one that fails does not keep the others from theirs."""
    registry = spec.registry(context)
    spec.check_options(asked.targets, (asked.tag,) if asked.tag else ())
    components = context.workspace.pick(asked.components)
    parts = {component.name: spec.stage_of(context, component) for component in components}
    with _daemon(context) as (client, label):
        found = []
        for target in asked.targets:
            with context.console.fold(f"{target.name} · smoke"):
                found.append(_target(context, client, label, target, components, parts, registry, asked.tag))
        return found


@contextmanager
def _daemon(context: Context) -> Iterator[tuple[DockerClient, str]]:
    """The daemon, and the label of this run; what carries it is gone afterwards. Lacking where no daemon answers."""
    from docker.errors import DockerException

    try:
        client = docker_daemon.client(context.run.env, timeout=int(2 * HEALTHY))
        client.ping()
    except DockerException as error:
        raise MissingRequirements(
            f"no Docker daemon answers: {docker_daemon.reason(error)}",
            "start Docker; binaries are tested without it: `buildlib test`",
        ) from None
    label = secrets.token_hex(8)
    try:
        yield client, label
    finally:
        for container in client.containers.list(all=True, filters={"label": f"{LABEL}={label}"}):
            with suppress(DockerException):
                container.remove(force=True, v=True)
        client.close()


def _target(
    context: Context, client: DockerClient, label: str, target: Target, components: tuple[Component, ...], parts: dict[str, Stage],
    registry: str, tag: str,
) -> TestResult:  # fmt: skip
    began = time.monotonic()

    def one(component: Component) -> Suite:
        reference = f"{registry}/{component.name}:{tag or component.version}"
        with _pulled(client, reference, target) as found:
            if isinstance(found, Case):
                return Suite(name=component.name, cases=(found,))
            trial = Trial(
                client=client, label=label, target=target, component=component, stage=parts[component.name], image=found
            )
            start = time.monotonic()
            return Suite(name=component.name, cases=tuple(_checks(trial)), seconds=round(time.monotonic() - start, 3))

    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        suites = tuple(pool.map(one, components))
    machine = next((case.detail for suite in suites for case in suite.cases if case.name == "machine"), "")
    made = TestResult(
        session="smoke", target=target, emulator="" if is_native(context.host, target) else "binfmt", suites=suites,
        ran_on={"machine": machine} if machine else {}, seconds=time.monotonic() - began,
    )  # fmt: skip
    if bad := [
        f"{suite.name}: {case.name}: {case.detail}" for suite in suites for case in suite.cases if case.result == FAILED
    ]:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        made = replace(made, error=TestsFailed(f"{target.name}: {'; '.join(bad[:3])}{more}"))
        context.console.error(made.error)
    tests.write_reports(context, made)
    return made


@contextmanager
def _pulled(client: DockerClient, reference: str, target: Target) -> Iterator[str | Case]:
    """The ID of the image for the platform, pulled; or the case that it is not. What was not here before is gone afterwards, and the
    name stands for what it stood for: a daemon has one platform under a name, and pulling another moves it."""
    from docker.errors import DockerException, ImageNotFound

    before = {found.id for found in client.images.list(all=True)}
    repository, _, tag = reference.rpartition(":")
    old = None
    with suppress(ImageNotFound):
        old = client.images.get(reference).id
    try:
        found = client.images.pull(repository, tag=tag, platform=target.oci)
    except DockerException as error:
        yield Case(name="pull", result=FAILED, detail=classify(str(error)).cause or str(error))
        return
    try:
        yield found.id
    finally:
        with suppress(DockerException):
            if old is None:
                client.images.remove(reference)
            else:
                client.api.tag(old, repository, tag)
        if found.id not in before:
            with suppress(DockerException):
                client.images.remove(found.id, force=True)


# --- what is asked --------------------------------------------------------------------------------------------------


def _checks(trial: Trial) -> Iterator[Case]:
    """Each promise, as a case."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    checks: dict[str, Callable[[Trial], str]] = {
        "platform": _platform,
        "user": _user,
        "machine": _machine,
        "version": _version,
    }
    if trial.stage.runtime.ports:
        checks["service"] = _service
    for name, check in checks.items():
        try:
            told = check(trial)
        except (SmokeFailure, DockerException, RequestException) as error:
            yield Case(name=name, result=FAILED, detail=str(error))
        else:
            yield Case(name=name, result=PASSED if told is not SKIPPED else IGNORED, detail=told)


SKIPPED = "there is no such program in it"


def _platform(trial: Trial) -> str:
    told = trial.client.images.get(trial.image).attrs
    have = "/".join(part for part in (told["Os"], told["Architecture"], told.get("Variant")) if part)
    want = trial.target.oci
    if have not in (want, f"{want}/v8"):
        raise SmokeFailure(f"is {have}, wanted {want}")
    return have


def _user(trial: Trial) -> str:
    user = trial.client.images.get(trial.image).attrs["Config"].get("User", "")
    if user.partition(":")[0] in ("", "0", "root"):
        raise SmokeFailure(f"runs as {user or 'root'}")
    return user


def _machine(trial: Trial) -> str:
    """What uname(1) says; a static image has none."""
    if trial.target.is_musl:
        return SKIPPED
    machine = trial.said("-m", entrypoint="uname")
    if not is_same_family(machine, trial.target):
        raise SmokeFailure(f"ran on {machine}, wanted {trial.target.name}")
    return machine


def _version(trial: Trial) -> str:
    told = trial.said("--version")
    if trial.component.version not in told:
        raise SmokeFailure(f"--version says {told!r}, wanted {trial.component.version}")
    return told


def _service(trial: Trial) -> str:
    """It starts, is healthy, answers on its ports, says something, and ends with 0 when it is told to."""
    ports = {f"{port}/tcp": ("127.0.0.1", None) for port in trial.stage.runtime.ports}
    began = time.monotonic()
    container = trial.run(ports=ports)
    _wait(container, "not healthy", lambda: _healthy(trial, container))
    for name in ports:
        (place, *_) = container.ports[name]
        _wait(container, f"no answer on {name}", lambda place=place: _answers(place["HostIp"], int(place["HostPort"])))
    healthy = time.monotonic() - began
    told = _logs(container)
    if not told:
        raise SmokeFailure("has said nothing at its start")
    if missing := [text for text in _expected(trial) if text not in told]:
        raise SmokeFailure(f"has not said {missing[0]!r}")
    began = time.monotonic()
    container.stop(timeout=STOP)
    code, seconds = container.wait(timeout=HEALTHY)["StatusCode"], time.monotonic() - began
    if code:
        raise SmokeFailure(f"ended with {code} {seconds:.1f} s after SIGTERM")
    return f"healthy in {healthy:.1f} s, ended {seconds:.1f} s after SIGTERM"


def _expected(trial: Trial) -> list[str]:
    """What the settings want of its log, on every arch and on this one; {arch} is Rust's name for it."""
    says, arch = trial.stage.says, trial.target.name.removesuffix("-musl")
    return [text.replace("{arch}", rust_arch(trial.target)) for text in (*says.get("all", ()), *says.get(arch, ()))]


def _logs(container: Container) -> str:
    return ESCAPES.sub("", container.logs().decode("utf-8", "replace")).strip()


def _healthy(trial: Trial, container: Container) -> bool:
    container.reload()
    state = container.attrs["State"]
    if not state["Running"]:
        raise SmokeFailure(f"ended with {state['ExitCode']}: {last_line(_logs(container))}")
    return not trial.stage.runtime.health or state.get("Health", {}).get("Status") == "healthy"


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


def _wait(container: Container, what: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HEALTHY
    while not done():
        if time.monotonic() > deadline:
            raise SmokeFailure(f"{what} within {HEALTHY:.0f} s")
        time.sleep(0.2)
