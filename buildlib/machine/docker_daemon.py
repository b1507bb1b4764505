"""The Docker daemon that the command `docker` talks to, for the SDK, which (7.2) knows DOCKER_HOST and no contexts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient


def config_folder(env: Mapping[str, str]) -> Path:
    """Where `docker` keeps its configuration."""
    return Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/"), ".docker"))


def read_config(env: Mapping[str, str]) -> dict[str, Any]:
    """Its config.json; {} where that is not there, or is none."""
    return _read(config_folder(env) / "config.json")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the daemon's address in it where a context says that: DOCKER_CONTEXT, else the one that `docker context use` chose.
    DOCKER_HOST goes before both. ContextNotFound (a DockerException) for one that is not there."""
    name = "" if env.get("DOCKER_HOST") else env.get("DOCKER_CONTEXT") or read_config(env).get("currentContext", "")
    if name in ("", "default"):
        return dict(env)
    # The CLI's store: contexts/{meta,tls}/<SHA-256 of the name>.
    contexts, number = config_folder(env) / "contexts", hashlib.sha256(name.encode()).hexdigest()
    try:
        address = str(_read(contexts / "meta" / number / "meta.json")["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError):
        from docker.errors import ContextNotFound

        raise ContextNotFound(name) from None
    keys = contexts / "tls" / number / "docker"
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(keys)} if keys.is_dir() else {}
    return {**env, "DOCKER_HOST": address, **tls}


def client(env: Mapping[str, str], *, timeout: int) -> DockerClient:
    """The SDK's client of that daemon, which need not be there. DockerException where its address is none. `timeout` in seconds."""
    import docker

    return docker.from_env(timeout=timeout, environment=environment(env))


def reason(error: BaseException) -> str:
    """Why a daemon did not answer, in the system's words where it has any: the SDK wraps them in three exceptions."""
    told: list[object] = [error]
    for one in told:
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        if isinstance(one, BaseException):
            told += (*one.args, one.__cause__)
    return str(error)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


Login = Callable[[str], tuple[str, str] | None]


def login(env: Mapping[str, str], warn: Callable[[str], object]) -> Login:
    """The credentials that `docker login` has stored: (user, password) for a host, ("", token) for an identity token.

    Credential helpers are asked once for each host; `warn` gets a line for one that fails.
    """
    import warnings

    from docker import auth
    from docker.errors import DockerException

    folder = env.get("DOCKER_CONFIG")
    path = str(Path(folder) / "config.json") if folder else None

    @cache
    def known(host: str) -> tuple[str, str] | None:
        registry = "docker.io" if host == "registry-1.docker.io" else host
        try:
            with warnings.catch_warnings(action="ignore"):  # of a missing helper: the error says it too
                stored = auth.load_config(path, credstore_env=dict(env)).resolve_authconfig(registry)
        except DockerException as error:
            warn(f"no credentials for {host}: {error}")
            return None
        entry = {name.lower(): value for name, value in (stored or {}).items()}
        if entry.get("identitytoken"):
            return "", entry["identitytoken"]
        return (entry["username"], entry.get("password") or "") if entry.get("username") else None

    return known
