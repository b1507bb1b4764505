"""The checks of one image, in containers of Docker's SDK."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from buildlib.core.cases import FAILED, IGNORED, PASSED, Case, Suite
from buildlib.core.plan import last_line
from buildlib.emulation.qemu import is_same_family
from buildlib.smoke.containers import reason, sdk_errors
from buildlib.smoke.service import service
from buildlib.smoke.trial import POLL, SmokeFailure, Trial, exited, logs

STARTED = 5.0  # seconds that a program without ports and health check is watched
SKIPPED = "the image has no uname"
# What Docker's and Podman's runtimes say when a program to start is not on PATH.
NO_PROGRAM = re.compile(r"executable file .*not found")
# What the kernel says of a program of another architecture. runc exits with 1 or 255 then, as any program could.
NOT_EXECUTED = "exec format error"
# Docker's code for a container that did not start, and a shell's for a program that it cannot execute or find.
NOT_STARTED = (125, 126, 127)


def suite(trial: Trial) -> Suite:
    """The results of all checks of the image."""
    began = time.monotonic()
    cases = tuple(checks(trial))
    return Suite(name=trial.expectation.name, cases=cases, seconds=round(time.monotonic() - began, 3))


def checks(trial: Trial) -> Iterator[Case]:
    """Every check of the image, as a case. An answer of the daemon that a check does not expect is a failed case."""
    expected = trial.expectation
    steps: dict[str, Callable[[Trial], str]] = {"platform": _platform}
    if expected.strict:
        steps["user"] = _user
    steps["machine"] = _machine
    if expected.version:
        steps["version"] = _version
    # Without any of these nothing says when it has started, and a signal may come before its handler.
    known = expected.health or expected.texts(trial.target) or _has_health_check(trial)
    if expected.ports or (known and not expected.strict):
        steps["service"] = service
    elif not expected.strict:
        steps["started"] = _started
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
    if user.partition(":")[0] in ("", "0", "root") and not trial.expectation.root_allowed:
        raise SmokeFailure(f"runs as {user or 'root'}, expected another user")
    return user


def _machine(trial: Trial) -> str:
    """The output of uname(1), if the image contains it."""
    try:
        machine = trial.output("-m", entrypoint="uname")
    except sdk_errors() as error:
        if NO_PROGRAM.search(reason(error)):
            return SKIPPED
        raise
    if not is_same_family(machine, trial.target):
        raise SmokeFailure(f"ran on {machine}, expected {trial.target.name}")
    return machine


def _version(trial: Trial) -> str:
    output, expected = trial.output("--version"), trial.expectation.version
    if expected not in output:
        raise SmokeFailure(f"--version printed {output!r}, expected {expected}")
    return output


def _has_health_check(trial: Trial) -> bool:
    """Whether the image has a HEALTHCHECK other than NONE."""
    with suppress(*sdk_errors()):
        test = ((trial.attributes()["Config"] or {}).get("Healthcheck") or {}).get("Test")
        return bool(test) and test != ["NONE"]
    return False


def _started(trial: Trial) -> str:
    """The image's own command starts: it is still running after some seconds, or has ended without a sign that it did not start."""
    with trial.started(environment=dict(trial.expectation.env)) as container:
        deadline = time.monotonic() + STARTED
        while True:
            container.reload()
            state = container.attrs["State"]
            if not state["Running"]:
                break
            if time.monotonic() > deadline:
                return f"still running after {STARTED:.0f} s"
            trial.daemon.check()
            time.sleep(POLL)
        code, output = state["ExitCode"], logs(container)
    text = exited(code, output)
    if code in NOT_STARTED or code >= 128 or (code and NOT_EXECUTED in last_line(output).lower()):
        raise SmokeFailure(text)
    return text
