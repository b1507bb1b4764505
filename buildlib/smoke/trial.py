"""One image on its platform, and what its containers print."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from buildlib.core.plan import last_line
from buildlib.core.targets import Target
from buildlib.failures.log import ESCAPES
from buildlib.smoke import containers
from buildlib.smoke.containers import HEALTHY, Daemon
from buildlib.smoke.expectation import Expectation

if TYPE_CHECKING:
    from docker.models.containers import Container

DETAIL = 1000  # characters of a line of output that are shown
POLL = 0.2  # seconds


class SmokeFailure(Exception):
    """A check that an image did not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One image on its platform. `image` is its ID in the daemon."""

    daemon: Daemon
    target: Target
    expectation: Expectation
    image: str

    def started(self, *words: str, entrypoint: str | None = None, **more: Any) -> AbstractContextManager[Container]:
        """A running container, as in `containers.started`."""
        strict = self.expectation.strict
        return containers.started(
            self.daemon, self.image, self.target, *words, entrypoint=entrypoint, strict=strict, **more
        )

    def output(self, *words: str, entrypoint: str | None = None) -> str:
        """The output of a container that exits by itself. SmokeFailure with its last line if it fails."""
        with self.started(*words, entrypoint=entrypoint) as container:
            code = container.wait(timeout=HEALTHY)["StatusCode"]
            output = logs(container)
        if code:
            raise SmokeFailure(exited(code, output))
        return output

    def attributes(self) -> Mapping[str, Any]:
        """What the daemon knows of the image: the answer of /images/{id}/json."""
        attributes: Mapping[str, Any] = self.daemon.client.images.get(self.image).attrs
        return attributes


def exited(code: int, output: str) -> str:
    """How a program ended, with the last line of its output."""
    line = last_line(output)[:DETAIL]
    return f"exited with code {code}: {line}" if line else f"exited with code {code} and no output"


def logs(container: Container) -> str:
    """What the container has printed until now, without colours."""
    return ESCAPES.sub("", container.logs().decode("utf-8", "replace")).strip()


def wait_until(
    trial: Trial,
    problem: str,
    is_done: Callable[[], bool],
    detail: Callable[[], str] = str,
    seconds: float | None = None,
) -> None:
    """Poll until `is_done`. SmokeFailure with the problem and the detail after these seconds, by default HEALTHY."""
    limit = HEALTHY if seconds is None else seconds
    deadline = time.monotonic() + limit
    while not is_done():
        trial.daemon.check()
        if time.monotonic() > deadline:
            more = detail()
            raise SmokeFailure(f"{problem} within {limit:.0f} s{f': {more}' if more else ''}")
        time.sleep(POLL)
