"""The Docker daemon that the command `docker` talks to, for the SDK, which (7.2) knows DOCKER_HOST and no contexts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient


def folder(env: Mapping[str, str]) -> Path:
    """Where `docker` keeps its configuration."""
    return Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/"), ".docker"))


def configuration(env: Mapping[str, str]) -> dict[str, Any]:
    """Its config.json; {} where that is not there, or is none."""
    return _read(folder(env) / "config.json")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the daemon's address in it where a context says that: DOCKER_CONTEXT, else the one that `docker context use` chose.
    DOCKER_HOST goes before both. ContextNotFound (a DockerException) for one that is not there."""
    name = "" if env.get("DOCKER_HOST") else env.get("DOCKER_CONTEXT") or configuration(env).get("currentContext", "")
    if name in ("", "default"):
        return dict(env)
    # The CLI's store: contexts/{meta,tls}/<SHA-256 of the name>.
    contexts, number = folder(env) / "contexts", hashlib.sha256(name.encode()).hexdigest()
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
