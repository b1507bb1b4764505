"""How buildx and BuildKit get to the registries while images are made: through a gateway that retries each request, where they
can reach one."""

from __future__ import annotations

import importlib
import json
import platform
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from buildlib import builder
from buildlib.context import Context
from buildlib.failures import Failure
from buildlib.plan import Step


@dataclass(frozen=True, slots=True)
class Uplink:
    """`name` says what an image is called in a command line, given the name that a person knows."""

    name: Callable[[str], str] = str
    direct: bool = True


DIRECT = Uplink()


def foresee() -> None:
    """Imports in the background what `opened` will want: 0.1 s, while docker is asked for the builder."""
    threading.Thread(target=importlib.import_module, args=("buildlib.gateway",), daemon=True).start()


@contextmanager
def opened(context: Context, *, attested: bool = False) -> Iterator[Uplink]:
    """The way to the registries, for as long as this is open. Attestations name what they speak of, so these images are pushed
    under their own names, straight; and so is all where BuildKit does not run on this machine's network, or retries are off."""
    if attested or context.run.dry or context.config.retry.attempts == 1 or not _reachable(context):
        yield DIRECT
        return
    from buildlib import gateway as gateways  # requests and http.server, which nothing else needs
    from buildlib.registry import Client

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
                    mirrors=builder.mirrors(context.config), login=login(context))  # fmt: skip
    real = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker")
    with tempfile.TemporaryDirectory() as folder, gateways.opened(client, context.config.builder["name"]) as gateway:
        run.env, run.spoken = {**env, **gateways.private(Path(folder), real, gateway)}, gateway.spoken
        try:
            yield Uplink(gateway.name, direct=False)
        finally:
            run.env, run.spoken = env, str
            if again:
                context.console.note(
                    f"network: {len(again)} requests were tried again, after {sum(again):.1f} s of waits in all"
                )


def _reachable(context: Context) -> bool:
    """Whether BuildKit can reach this process on the loopback: it has this machine's network, and the daemon runs here. One in a
    virtual machine, on another host or in a rootless namespace has a loopback of its own, and says another name or `rootless`."""
    if context.config.builder["network"] != "host" or context.config.builder["nodes"]:
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


def login(context: Context) -> Callable[[str], tuple[str, str] | None]:
    """Who `docker login` said that we are: (user, password) for a host, ("", token) for an identity token. Credential helpers are
    asked once for each."""
    import warnings
    from functools import cache

    from docker import auth
    from docker.errors import DockerException

    from buildlib.registry import HUB, HUB_HOST

    folder = context.run.env.get("DOCKER_CONFIG")
    path = str(Path(folder) / "config.json") if folder else None

    @cache
    def known(host: str) -> tuple[str, str] | None:
        registry = HUB if host == HUB_HOST else host
        try:
            with warnings.catch_warnings(action="ignore"):  # of a helper that is not there: the error says it too
                found = auth.load_config(path, credstore_env=dict(context.run.env)).resolve_authconfig(registry)
        except DockerException as error:
            context.console.warn(f"no credentials for {host}: {error}")
            return None
        told = {name.lower(): value for name, value in (found or {}).items()}
        if told.get("identitytoken"):
            return "", told["identitytoken"]
        return (told["username"], told.get("password") or "") if told.get("username") else None

    return known
