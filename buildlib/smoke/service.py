"""The check of a service: healthy, reachable, heard of in its log, and stopped."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from signal import SIGTERM, Signals
from typing import TYPE_CHECKING, Any

from buildlib.core.plan import last_line
from buildlib.smoke.containers import HEALTHY
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.trial import DETAIL, SmokeFailure, Trial, exited, logs, wait_until

if TYPE_CHECKING:
    from docker.models.containers import Container

LOGGED = 10.0  # seconds that a service which already answers may take to log what is expected
OPEN = 1.0  # seconds that a connection stays open without data, if the service has accepted it
STOP = 15  # seconds from the stop signal to the end
SECOND = 1_000_000_000  # nanoseconds, Docker's unit of time


def service(trial: Trial) -> str:
    """The service becomes healthy, answers on its ports, logs what the settings expect, and ends when it is stopped."""
    expected = trial.expectation
    ports = {f"{port}/tcp": ("127.0.0.1", None) for port in expected.ports}
    began = time.monotonic()
    with trial.started(ports=ports, environment=dict(expected.env), **_health_check(expected)) as container:
        wait_until(trial, "not healthy", partial(_is_healthy, trial, container), partial(_health_output, container))
        for name in ports:
            wait_until(trial, f"no answer on {name}", partial(_answers, trial, container, name))
        healthy = time.monotonic() - began
        if expected.strict and not logs(container):
            raise SmokeFailure("the log is empty after the start")
        for text in expected.texts(trial.target):
            _wait_for_text(trial, container, text)
        if not container.attrs["State"]["Running"]:  # nothing but its log is expected
            return f"logged what is expected, and {exited(0, logs(container))}"
        return f"healthy after {healthy:.1f} s, {_stop(trial, container)}"


def _health_check(expected: Expectation) -> dict[str, Any]:
    """The option of a container that replaces the image's health check, if the settings have one."""
    if not expected.health:
        return {}
    test = ["CMD", *expected.health]
    return {"healthcheck": {"test": test, "interval": SECOND, "timeout": 30 * SECOND, "retries": 3}}


def _is_healthy(trial: Trial, container: Container) -> bool:
    """Whether the container's health check passes, if there is one. SmokeFailure if the program has exited."""
    expected, state = trial.expectation, _running(trial, container)
    has_own = _health(state) and not expected.strict
    return _health(state) == "healthy" or not (expected.health or expected.own_health or has_own)


def _health(state: Mapping[str, Any]) -> str:
    """What the health check says: starting, healthy or unhealthy; "" without one, for which Podman has "" and some Docker `none`."""
    status = str((state.get("Health") or {}).get("Status") or "")
    return "" if status == "none" else status


def _running(trial: Trial, container: Container) -> Mapping[str, Any]:
    """The state of the container now. SmokeFailure if it does not run; only a program without a service may exit with 0."""
    container.reload()
    state: Mapping[str, Any] = container.attrs["State"]
    expected = trial.expectation
    is_service = expected.strict or expected.ports or expected.health or _health(state)
    if not state["Running"] and (state["ExitCode"] or is_service):
        raise SmokeFailure(exited(state["ExitCode"], logs(container)))
    return state


def _health_output(container: Container) -> str:
    """The last line that the health check printed, "" without one."""
    log = (container.attrs["State"].get("Health") or {}).get("Log") or [{}]
    return last_line(str(log[-1].get("Output") or ""))[:DETAIL]


def _answers(trial: Trial, container: Container, port: str) -> bool:
    _running(trial, container)
    (published, *_) = container.ports[port]
    return _accepts(published["HostIp"], int(published["HostPort"]))


def _accepts(host: str, port: int) -> bool:
    """Whether a connection stays open, or data comes through it.

    Docker's proxy accepts connections from the start, and closes them while nothing in the container listens.
    """
    with suppress(OSError), socket.create_connection((host, port), timeout=OPEN) as connection:
        try:
            return bool(connection.recv(1))
        except TimeoutError:
            return True
    return False


def _wait_for_text(trial: Trial, container: Container, text: str) -> None:
    """Wait until the log contains the text, and no longer than the program runs."""
    expected = trial.expectation
    problem = f"the log does not contain {text!r}"

    def is_logged() -> bool:
        state = _running(trial, container)
        if text in logs(container):
            return True
        if not state["Running"]:
            raise SmokeFailure(f"{problem}, and the program has exited")
        return False

    answers = expected.ports or expected.health or expected.own_health
    wait_until(trial, problem, is_logged, seconds=LOGGED if answers else HEALTHY)


def _stop(trial: Trial, container: Container) -> str:
    """Stop the container. Returns how long that took; SmokeFailure for an exit code that says it did not end by itself."""
    name, number = _stop_signal(trial)
    began = time.monotonic()
    container.stop(timeout=STOP)
    code, seconds = container.wait(timeout=HEALTHY)["StatusCode"], time.monotonic() - began
    # A program without a handler ends by the signal, and a JVM says that its own ended it.
    if code and (trial.expectation.strict or code != 128 + number):
        killed = f": {name} did not end it, so it was killed" if code == 137 and seconds >= STOP else ""
        raise SmokeFailure(f"exited with code {code}, {seconds:.1f} s after {name}{killed}")
    return f"exited {seconds:.1f} s after {name}"


def _stop_signal(trial: Trial) -> tuple[str, int]:
    """The name and the number of the signal that stops the image's containers: its STOPSIGNAL, as a name or a number."""
    text = str((trial.attributes().get("Config") or {}).get("StopSignal") or "SIGTERM").upper()
    base, _, offset = text.partition("+")  # systemd's is SIGRTMIN+3
    try:
        if base.isdecimal():
            number = Signals(int(base))
            return number.name, number
        name = f"SIG{base.removeprefix('SIG')}"
        return f"{name}+{offset}" if offset else name, Signals[name] + int(offset or 0)
    except (KeyError, ValueError):
        return text, int(SIGTERM)
