"""Containers of Docker's SDK and the images that they need, of which none remains at the end of a command."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from buildlib.core.errors import Interrupted, MissingRequirements
from buildlib.core.targets import Target
from buildlib.core.workers import results
from buildlib.machine import docker_daemon
from buildlib.process.context import Context

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

LABEL = "io.github.buildlib.smoke"
HEALTHY = 120.0  # seconds until a service is healthy, or answers if it has no health check; QEMU is slow
CONCURRENT = 8  # containers wait most of the time
# The program of an image is not trusted: what it prints is read at once, and the daemon keeps it on its disk.
LOG = {"type": "json-file", "config": {"max-size": "32m"}}
STRICT = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
# What Python raises for an answer that has not the expected shape.
UNEXPECTED = (LookupError, TypeError, ValueError, AttributeError)
NO_DAEMON_HELP = "start Docker; binaries are tested without it: `buildlib test`"

T = TypeVar("T")
R = TypeVar("R")


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
    return str(getattr(error, "explanation", None) or error)  # what the daemon says, without the address of the request


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A daemon, and the value of LABEL that all containers of this command have.

    `interrupted` says whether the whole command was, which a thread does not notice by itself.
    """

    client: DockerClient
    label: str
    interrupted: Callable[[], bool]
    stopped: threading.Event = field(default_factory=threading.Event)
    slots: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(CONCURRENT)
    )  # for all platforms together
    named: tuple[str, ...] = ()  # IDs of images that have names which are not this command's

    def check(self) -> None:
        """Interrupted once the command, or the work on this daemon, was stopped."""
        if self.stopped.is_set() or self.interrupted():
            raise Interrupted("interrupted")

    def remove_containers(self) -> None:
        """Remove every container of this command. An error of `sdk_errors` if they cannot be listed."""
        label = f"{LABEL}={self.label}"
        for container in self.client.containers.list(all=True, filters={"label": label}, ignore_removed=True):
            with suppress(*sdk_errors()):
                container.remove(force=True, v=True)

    def concurrently(self, check: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The results of `check` for all items, in their order.

        The first that raises, or Ctrl-C, ends the others: their containers are removed, so that nothing waits for them.
        """
        with ThreadPoolExecutor(max_workers=CONCURRENT) as pool:
            try:
                futures = [pool.submit(check, item) for item in items]
                return results(self.check, futures)
            except BaseException:
                self.stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)
                with suppress(*sdk_errors()):
                    self.remove_containers()
                raise


@contextmanager
def open_daemon(context: Context, help_text: str = NO_DAEMON_HELP) -> Iterator[Daemon]:
    """The daemon that `docker` uses; this command's containers are removed at the end.

    MissingRequirements with this help text if none answers.
    """
    errors = sdk_errors()
    try:
        client = docker_daemon.client(context.run.env, timeout=int(2 * HEALTHY))
        client.ping()
    except errors as error:
        raise MissingRequirements(f"no Docker daemon answers: {docker_daemon.reason(error)}", help_text) from None
    named: tuple[str, ...] = ()
    with suppress(*errors):
        named = tuple(str(image.id) for image in client.images.list() if image.tags)
    daemon = Daemon(client=client, label=secrets.token_hex(8), interrupted=context.run.stopped.is_set, named=named)
    try:
        yield daemon
    finally:
        try:
            daemon.remove_containers()
        except errors as error:
            context.console.warn(f"containers with the label {LABEL}={daemon.label} may remain: {reason(error)}")
        client.close()


@contextmanager
def started(
    daemon: Daemon, image: str, target: Target, *words: str, entrypoint: str | None = None, strict: bool = False, **more: Any
) -> Iterator[Container]:  # fmt: skip
    """A running container of an image, with its own command or with these words. It is removed afterwards."""
    daemon.check()
    restrictions: Mapping[str, Any] = STRICT if strict else {}
    container = daemon.client.containers.create(
        image, list(words), entrypoint=entrypoint, platform=target.oci, labels={LABEL: daemon.label}, log_config=LOG,
        **restrictions, **more,
    )  # fmt: skip
    try:
        container.start()
        yield container
    finally:
        with suppress(*sdk_errors()):
            container.remove(force=True, v=True)
