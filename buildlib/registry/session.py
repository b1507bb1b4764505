"""How buildx and BuildKit get to the registries while images are made: through a gateway that retries each request, where they
can reach one."""

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

from buildlib.core.plan import Outcome, Step
from buildlib.failures.classify import Failure
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.process.files import locked

if TYPE_CHECKING:
    from buildlib.registry.gateway import Gateway


LINGERS = 600.0  # seconds; six killed clients kept BuildKit 0.25.1 busy for seven minutes


@dataclass(frozen=True, slots=True)
class Session:
    """The way to the registries: straight, or through the gateway."""

    gateway: Gateway | None = None

    @property
    def direct(self) -> bool:
        return self.gateway is None

    def name(self, reference: str) -> str:
        """What an image is called in a command line, given the name that a person knows."""
        return self.gateway.name(reference) if self.gateway else reference

    def read(self, context: Context, reference: str, question: Step) -> Outcome:
        """What a registry has under a reference, byte for byte, as the stdout of a question. The gateway asks for it itself:
        buildx takes 70 ms to be started, and a push asks seven times."""
        if self.gateway is None:
            return context.run(question)
        try:
            return Outcome(step=question, code=0, seconds=0.0, stdout=self.gateway.manifest(reference).decode())
        except (OSError, UnicodeDecodeError) as error:
            return Outcome(step=question, code=1, seconds=0.0, output=f"ERROR: {error}")  # as buildx has it


DIRECT = Session()


def prepare(context: Context, *, attested: bool = False) -> Callable[[], bool]:
    """Finds out in the background whether a gateway can be used: 0.2 s, while docker is asked for the builder. The answer waits
    for it.

    Attestations name what they speak of, so these images are pushed under their own names, straight; and so is all where BuildKit
    does not run on this machine's network, or retries are off.
    """
    if attested or context.run.dry or context.config.retry.attempts == 1:
        return lambda: False
    pool = ThreadPoolExecutor(max_workers=2)
    pool.submit(importlib.import_module, "buildlib.gateway")
    found = pool.submit(_reachable, context)
    pool.shutdown(wait=False)
    return found.result


@contextmanager
def open_session(context: Context, foreseen: Callable[[], bool]) -> Iterator[Session]:
    """The way to the registries, for as long as this is open; `foreseen` is what `foresee` gave. One run at a time at a builder:
    BuildKit merges what several clients load under the same digest, and then asks any of them for the password of any name it came
    by. A run that does not know the other one's gateway gets `unauthorized` for that (seen with 0.25.1)."""
    if context.run.dry:
        yield DIRECT
        return
    name = context.config.builder.name
    folder = context.host.cache / "builders" / name
    with locked(folder, lambda: context.console.note(f"builder {name}: waiting for another run")):
        if not foreseen():
            yield DIRECT
            return
        with _marked(folder) as killed, _gateway(context, "" if killed else name) as way:
            yield way


@contextmanager
def _marked(folder: Path) -> Iterator[bool]:
    """Whether a run at this builder was killed lately. What that one asked BuildKit for goes on there, by a gateway that is gone and
    with a client that nobody is any more, for a minute or more; who asks for the same name hangs on that. So it gets another port."""
    mark, killed = folder / "open", folder / "killed"
    lately = False
    with suppress(OSError):  # a full disk is said by whoever writes what is wanted
        if mark.exists():
            killed.touch()
        lately = killed.exists() and time.time() - killed.stat().st_mtime < LINGERS
        mark.touch()
    try:
        yield lately
    finally:
        with suppress(OSError):
            mark.unlink()


@contextmanager
def _gateway(context: Context, port_of: str) -> Iterator[Session]:
    from buildlib.registry import gateway as gateways
    from buildlib.registry.client import Client

    again: list[float] = []

    def tell(title: str, failure: Failure, attempt: int, wait: float | None) -> None:
        context.run.failed(title, (), failure, attempt, wait)
        if wait is not None:
            again.append(wait)
        if wait is not None and wait >= 1.0:
            limit = context.config.retry.attempts
            context.console.note(
                f"{title}: retrying {attempt + 1} of {limit} in {wait:.0f} s: {failure.cause.removeprefix(f'{title}: ')}"
            )

    run, env = context.run, context.run.env
    client = Client(run.budget, run.sleep, tell, bundle=env.get("SSL_CERT_FILE", ""),
                    mirrors=context.config.builder.hosts(), login=docker_daemon.login(env, context.console.warn))  # fmt: skip
    real = docker_daemon.config_folder(env)
    with tempfile.TemporaryDirectory() as folder, gateways.open_gateway(client, port_of) as gateway:
        run.env, run.translate = {**env, **gateways.docker_config(Path(folder), real, gateway)}, gateway.translate
        try:
            yield Session(gateway)
        finally:
            run.env, run.translate = env, str
            if again:
                context.console.note(
                    f"network: {len(again)} requests were tried again, after {sum(again):.1f} s of waits in all"
                )


def _reachable(context: Context) -> bool:
    """Whether BuildKit can reach this process on the loopback: it has this machine's network, and the daemon runs here. One in a
    virtual machine, on another host or in a rootless namespace has a loopback of its own, and says another name or `rootless`."""
    if context.config.builder.network != "host" or context.config.builder.nodes:
        return False
    argv = ("docker", "info", "--format", '{"name":{{json .Name}},"security":{{json .SecurityOptions}}}')
    asked = context.run(Step(title="docker info", argv=argv, stdout="keep", quiet=True, timeout=30.0))
    try:
        told = json.loads(asked.stdout) if asked else {}
    except ValueError:
        return False
    return told.get("name") == platform.node() and not any(
        "rootless" in option for option in told.get("security") or ()
    )
