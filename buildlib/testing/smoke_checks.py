"""The checks of one image, in containers of Docker's SDK."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from buildlib.core.plan import last_line
from buildlib.core.targets import Target
from buildlib.emulation.qemu import is_same_family, rust_arch
from buildlib.failures.log import ESCAPES
from buildlib.images.dockerfile import Stage
from buildlib.machine.workspace import Component
from buildlib.testing.libtest import FAILED, IGNORED, PASSED, Case

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

LABEL = "io.github.buildlib.smoke"
HEALTHY = 120.0  # seconds until a service is healthy, or answers if it has no health check; QEMU is slow
OPEN = 1.0  # seconds that a connection stays open without data, if the service has accepted it
STOP = 15  # seconds from SIGTERM to the end
STRICT = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
SKIPPED = "a static image has no uname"
# What Python raises for an answer that has not the expected shape.
UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError)


class SmokeFailure(Exception):
    """A check that an image did not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One image on its platform. `image` is its ID in the daemon."""

    client: DockerClient
    label: str
    target: Target
    component: Component
    stage: Stage
    image: str

    def start(self, *words: str, entrypoint: str | None = None, **more: Any) -> Container:
        """Start a container and return it while it runs."""
        return self.client.containers.run(
            self.image, list(words), entrypoint=entrypoint, platform=self.target.oci, detach=True, labels={LABEL: self.label},
            **STRICT, **more,
        )  # fmt: skip

    def output(self, *words: str, entrypoint: str | None = None) -> str:
        """The output of a container that exits by itself. SmokeFailure with its last line if it fails."""
        container = self.start(*words, entrypoint=entrypoint)
        code = container.wait(timeout=HEALTHY)["StatusCode"]
        output = _logs(container)
        if code:
            raise SmokeFailure(_exited(code, output))
        return output

    def attributes(self) -> Mapping[str, Any]:
        """What the daemon knows of the image: the answer of /images/{id}/json."""
        attributes: Mapping[str, Any] = self.client.images.get(self.image).attrs
        return attributes


def sdk_errors() -> tuple[type[Exception], ...]:
    """What a call of the SDK can raise.

    Its own errors, those of requests below it, and those of an answer that is not what the SDK or a check expects: a missing key,
    null instead of a table, text that is not a number.
    """
    from docker.errors import DockerException, StreamParseError
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    return DockerException, StreamParseError, RequestException, HTTPError, *UNEXPECTED


def reason(error: Exception) -> str:
    """The message of an error of the SDK; an unexpected answer is described by Python's error."""
    if isinstance(error, UNEXPECTED):
        return f"unexpected answer of the Docker daemon: {type(error).__name__}: {error}"
    return str(error)


def checks(trial: Trial) -> Iterator[Case]:
    """Every check of the image, as a case. An answer of the daemon that a check does not expect is a failed case."""
    steps: dict[str, Callable[[Trial], str]] = {
        "platform": _platform,
        "user": _user,
        "machine": _machine,
        "version": _version,
    }
    if trial.stage.runtime.ports:
        steps["service"] = _service
    for name, check in steps.items():
        try:
            detail = check(trial)
        except SmokeFailure as error:
            yield Case(name=name, result=FAILED, detail=str(error))
        except sdk_errors() as error:
            yield Case(name=name, result=FAILED, detail=reason(error))
        else:
            yield Case(name=name, result=PASSED if detail is not SKIPPED else IGNORED, detail=detail)


def _platform(trial: Trial) -> str:
    attributes = trial.attributes()
    actual = "/".join(filter(None, (attributes["Os"], attributes["Architecture"], attributes.get("Variant"))))
    expected = trial.target.oci
    if actual not in (expected, f"{expected}/v8"):
        raise SmokeFailure(f"the image is {actual}, expected {expected}")
    return actual


def _user(trial: Trial) -> str:
    """The image's user, which is root only where the settings say so."""
    user = str(trial.attributes()["Config"].get("User") or "")
    if _is_root(user) and not _is_root(trial.stage.runtime.user):
        raise SmokeFailure(f"runs as {user or 'root'}, expected another user")
    return user


def _is_root(user: str) -> bool:
    return user.partition(":")[0] in ("", "0", "root")


def _machine(trial: Trial) -> str:
    """The output of uname(1); a static image does not contain it."""
    if trial.target.is_musl:
        return SKIPPED
    machine = trial.output("-m", entrypoint="uname")
    if not is_same_family(machine, trial.target):
        raise SmokeFailure(f"ran on {machine}, expected {trial.target.name}")
    return machine


def _version(trial: Trial) -> str:
    output = trial.output("--version")
    if trial.component.version not in output:
        raise SmokeFailure(f"--version printed {output!r}, expected {trial.component.version}")
    return output


def _service(trial: Trial) -> str:
    """The service becomes healthy, answers on its ports, logs what the settings expect, and exits with 0 on SIGTERM."""
    ports = {f"{port}/tcp": ("127.0.0.1", None) for port in trial.stage.runtime.ports}
    began = time.monotonic()
    container = trial.start(ports=ports)
    _wait("not healthy", lambda: _is_healthy(trial, container))
    for name in ports:
        (published, *_) = container.ports[name]
        _wait(f"no answer on {name}", partial(_answers, published["HostIp"], int(published["HostPort"])))
    healthy = time.monotonic() - began
    log = _logs(container)
    if not log:
        raise SmokeFailure("the log is empty after the start")
    if missing := [text for text in _expected_log(trial) if text not in log]:
        raise SmokeFailure(f"the log does not contain {missing[0]!r}")
    began = time.monotonic()
    container.stop(timeout=STOP)
    code, seconds = container.wait(timeout=HEALTHY)["StatusCode"], time.monotonic() - began
    if code:
        raise SmokeFailure(f"exited with code {code}, {seconds:.1f} s after SIGTERM")
    return f"healthy after {healthy:.1f} s, exited {seconds:.1f} s after SIGTERM"


def _expected_log(trial: Trial) -> list[str]:
    """What the settings expect in the log, on every arch and on this one; {arch} is Rust's name for the arch."""
    says, arch = trial.stage.says, trial.target.arch
    return [text.replace("{arch}", rust_arch(trial.target)) for text in (*says.get("all", ()), *says.get(arch, ()))]


def _exited(code: int, output: str) -> str:
    line = last_line(output)
    return f"exited with code {code}: {line}" if line else f"exited with code {code} and no output"


def _logs(container: Container) -> str:
    return ESCAPES.sub("", container.logs().decode("utf-8", "replace")).strip()


def _is_healthy(trial: Trial, container: Container) -> bool:
    container.reload()
    state = container.attrs["State"]
    if not state["Running"]:
        raise SmokeFailure(_exited(state["ExitCode"], _logs(container)))
    return not trial.stage.runtime.health or state.get("Health", {}).get("Status") == "healthy"


def _answers(host: str, port: int) -> bool:
    """Whether a connection stays open, or data comes through it.

    Docker's proxy accepts connections from the start, and closes them while nothing in the container listens.
    """
    with suppress(OSError), socket.create_connection((host, port), timeout=OPEN) as connection:
        try:
            return bool(connection.recv(1))
        except TimeoutError:
            return True
    return False


def _wait(problem: str, is_done: Callable[[], bool]) -> None:
    """Poll until `is_done`. SmokeFailure with the problem after HEALTHY seconds."""
    deadline = time.monotonic() + HEALTHY
    while not is_done():
        if time.monotonic() > deadline:
            raise SmokeFailure(f"{problem} within {HEALTHY:.0f} s")
        time.sleep(0.2)
