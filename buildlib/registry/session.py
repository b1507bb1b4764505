"""How buildx and BuildKit reach the registries while images are made.

Through a gateway that retries each request, if BuildKit can reach one; directly otherwise.
"""

from __future__ import annotations

import importlib
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildlib.core.errors import UsageError
from buildlib.core.plan import Outcome, Step
from buildlib.failures.classify import Failure
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.registry.digests import verify
from buildlib.registry.reference import parse

if TYPE_CHECKING:
    from buildlib.registry.client import Client, OnFailure
    from buildlib.registry.gateway import Gateway


# Seconds for which another port is used after a command was killed; six killed clients kept BuildKit 0.25.1 busy for seven minutes.
AFTER_KILL = 600.0


@dataclass(frozen=True, slots=True)
class Session:
    """The connection to the registries: direct, or through the gateway."""

    gateway: Gateway | None = None

    @property
    def direct(self) -> bool:
        """Whether there is no gateway."""
        return self.gateway is None

    def name(self, reference: str) -> str:
        """The name of an image in a command line, given the user's name for it."""
        return self.gateway.name(reference) if self.gateway else reference

    def read(self, context: Context, reference: str, question: Step) -> Outcome:
        """The manifest of an image as the stdout of an outcome, byte for byte as the registry has it.

        `question` is the command that reads it without a gateway. The gateway sends the request itself: buildx takes 70 ms to
        start, and a push asks seven times. Refused if the manifest is something else than its digest says.
        """
        if self.gateway is None:
            outcome = context.run(question)
            if outcome and outcome.ran and "@" in reference:
                verify(outcome.stdout.encode(), reference, reference.partition("@")[2])
            return outcome
        try:
            return Outcome(step=question, code=0, seconds=0.0, stdout=self.gateway.manifest(reference).decode())
        except (OSError, UnicodeDecodeError) as error:
            return Outcome(step=question, code=1, seconds=0.0, output=f"ERROR: {error}")  # in buildx's format


DIRECT = Session()


def prepare(context: Context) -> Callable[[], bool]:
    """Find out in the background whether a gateway can be used: it takes 0.2 s, while docker is asked about the builder.

    Returns a function that waits for the answer. It is no if BuildKit does not use this machine's network, and if retries are off.
    """
    if context.run.dry or context.config.retry.attempts == 1:
        return lambda: False
    pool = ThreadPoolExecutor(max_workers=2)
    pool.submit(importlib.import_module, "buildlib.registry.gateway")
    reachable = pool.submit(_reachable, context)
    pool.shutdown(wait=False)
    return reachable.result


@contextmanager
def open_session(context: Context, prepared: Callable[[], bool]) -> Iterator[Session]:
    """Open the connection to the registries; `prepared` is what `prepare` has returned.

    Only one command at a time uses a builder: BuildKit merges what several clients load under the same digest, and then asks any of
    them for the password of any name that it has seen. A command that does not know the other's gateway gets `unauthorized` for
    that (seen with BuildKit 0.25.1).
    """
    if context.run.dry:
        yield DIRECT
        return
    name = context.config.builder.name
    folder = context.host.cache / "builders" / name
    with context.run.locked(folder, f"builder {name}: waiting for another command"):
        if not prepared():
            yield DIRECT
            return
        with _killed_recently(folder) as killed, _open_gateway(context, "" if killed else name) as session:
            yield session


@contextmanager
def _killed_recently(folder: Path) -> Iterator[bool]:
    """Whether a command that used this builder was killed in the last ten minutes.

    BuildKit goes on with what that command requested, through a gateway that has gone and for a client that has gone, for a minute
    or more; a request for the same name then hangs. A gateway on another port has other names.
    """
    mark, killed = folder / "open", folder / "killed"
    recently = False
    with suppress(OSError):  # a full disk is reported by whatever writes the result
        if mark.exists():
            killed.touch()
        recently = killed.exists() and time.time() - killed.stat().st_mtime < AFTER_KILL
        mark.touch()
    try:
        yield recently
    finally:
        with suppress(OSError):
            mark.unlink()


def client_for(context: Context, on_failure: OnFailure | None = None) -> Client:
    """A client with the command's retries, mirrors and credentials.

    `on_failure` hears of each failed try; without it they are recorded.
    """
    from buildlib.registry.client import Client

    run = context.run
    return Client(
        run.budget, run.sleep, on_failure or (lambda title, failure, attempt, wait: run.failed(title, (), failure, attempt, wait)),
        bundle=run.env.get("SSL_CERT_FILE", ""), mirrors=context.config.builder.hosts(), own=_own(context.config.registry),
        login=docker_daemon.login(run.env, context.console.warn),
    )  # fmt: skip


def _own(registry: str) -> str:
    """The registry, and what precedes the names of the project's images in it, from the setting; "" for one that is not a name."""
    try:
        image = parse(f"{registry}/image")
    except UsageError:
        return ""
    return f"{image.registry}/{image.repository}".removesuffix("/image")


@contextmanager
def open_client(context: Context) -> Iterator[Client]:
    """A client that tells the user about long waits, and at the end how many requests were tried again."""
    waits: list[float] = []  # seconds

    def on_failure(title: str, failure: Failure, attempt: int, wait: float | None) -> None:
        context.run.failed(title, (), failure, attempt, wait)
        if wait is not None:
            waits.append(wait)
        if wait is not None and wait >= 1.0:
            limit = context.config.retry.attempts
            context.console.note(
                f"{title}: retrying {attempt + 1} of {limit} in {wait:.0f} s: {failure.cause.removeprefix(f'{title}: ')}"
            )

    client = client_for(context, on_failure)
    try:
        yield client
    finally:
        client.close()
        if waits:
            requests = f"{len(waits)} {'request was' if len(waits) == 1 else 'requests were'}"
            context.console.note(f"network: {requests} tried again, after waits of {sum(waits):.1f} s in all")


@contextmanager
def _open_gateway(context: Context, builder: str) -> Iterator[Session]:
    # Imported late: requests and http.server are needed for nothing else.
    from buildlib.registry import gateway as gateways

    run, env = context.run, context.run.env
    real = docker_daemon.config_folder(env)
    with (
        open_client(context) as client, tempfile.TemporaryDirectory() as folder,
        gateways.open_gateway(client, builder) as gateway,
    ):  # fmt: skip
        changed = gateways.docker_config(Path(folder), real, gateway, env.get("BUILDX_CONFIG", ""))
        run.env, run.translate = {**env, **changed}, gateway.translate
        try:
            yield Session(gateway)
        finally:
            run.env, run.translate = env, str


def _reachable(context: Context) -> bool:
    """Whether BuildKit can reach this process on the loopback: it uses this machine's network, and the daemon runs here.

    A daemon in a virtual machine, on another host or in a rootless namespace has a loopback of its own; it reports another name, or
    `rootless`. A daemon that does not answer in time counts as not reachable.
    """
    if context.config.builder.network != "host" or context.config.builder.nodes:
        return False
    argv = ("docker", "info", "--format", '{"name":{{json .Name}},"security":{{json .SecurityOptions}}}')
    outcome = context.run(Step(title="docker info", argv=argv, stdout="keep", quiet=True, timeout=30.0))
    if not outcome:
        return False
    try:
        info = json.loads(outcome.stdout)
    except ValueError:
        return False
    if not isinstance(info, dict):
        return False
    rootless = any("rootless" in option for option in info.get("security") or ())
    return info.get("name") == platform.node() and not rootless
