"""The Docker daemon that the command `docker` uses, for the Docker SDK, which (7.2) reads DOCKER_HOST but no contexts."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docker import DockerClient

NO_DAEMON = "the answer is not that of a Docker daemon"
SOCKET = "unix:///var/run/docker.sock"
# Where `docker` looks for plugins beside its configuration: docker/cli, cli-plugins/manager/manager_unix.go.
PLUGIN_FOLDERS = tuple(
    Path(folder, "docker") for folder in ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
)
REASON_WIDTH = 200  # characters of a reason; a proxy may answer with a whole page


def config_folder(env: Mapping[str, str]) -> Path:
    """The directory in which `docker` keeps its configuration, as an absolute path: links to its files lead there."""
    return Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/"), ".docker")).absolute()


def read_config(env: Mapping[str, str]) -> dict[str, Any]:
    """The content of config.json; {} if it does not exist or is not a JSON object."""
    return _read(config_folder(env) / "config.json")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with the address of the daemon in DOCKER_HOST, if a context names it.

    The context is DOCKER_CONTEXT, or the one that `docker context use` chose. DOCKER_HOST in `env` has precedence over both.
    ContextNotFound (a DockerException) for a context that does not exist.
    """
    context = "" if env.get("DOCKER_HOST") else env.get("DOCKER_CONTEXT") or read_config(env).get("currentContext")
    if not context or context == "default":
        return dict(env)
    # The directories of the CLI: contexts/{meta,tls}/<SHA-256 of the name>.
    number = hashlib.sha256(str(context).encode("utf-8", "surrogateescape")).hexdigest()
    contexts = config_folder(env) / "contexts"
    try:
        address = str(_read(contexts / "meta" / number / "meta.json")["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError):
        from docker.errors import ContextNotFound

        raise ContextNotFound(context) from None
    keys = contexts / "tls" / number / "docker"
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(keys)} if keys.is_dir() else {}
    return {**env, "DOCKER_HOST": address, **tls}


def has_buildx(env: Mapping[str, str]) -> bool:
    """Whether files say that `docker buildx` works: its plugin, and a socket of the daemon that this user may open.

    Nobody is asked. False for a daemon elsewhere, of which no file says whether it answers.
    """
    folders = (config_folder(env), *PLUGIN_FOLDERS)
    if not any(os.access(folder / "cli-plugins" / "docker-buildx", os.X_OK) for folder in folders):
        return False
    try:
        address = environment(env).get("DOCKER_HOST") or SOCKET
    except Exception:  # ContextNotFound; to import its module would take longer than all of this
        return False
    scheme, _, path = address.partition("://")
    return scheme == "unix" and os.access(path, os.R_OK | os.W_OK)


def client(env: Mapping[str, str], *, timeout: int) -> DockerClient:
    """An SDK client for the daemon, which need not run. DockerException for an invalid address. `timeout` in seconds."""
    import docker

    return docker.from_env(timeout=timeout, environment=environment(env))


def describe(env: Mapping[str, str], *, timeout: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The daemon's version with those of its parts, and `docker info`. `timeout` in seconds, for each answer.

    ConnectionError with a reason in one line if no daemon answers, or what answers is not one.
    """
    from docker.errors import DockerException

    try:
        with closing(client(env, timeout=timeout)) as connection:
            version, info = connection.version(), connection.info()
    # The SDK passes on what requests and urllib3 raise: timeouts (OSError), a port that is not a number and an answer that is not JSON
    # (ValueError), an answer of another type (the others).
    except (DockerException, OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise ConnectionError(reason(error)) from error
    if not isinstance(version, dict) or not isinstance(info, dict) or not isinstance(version.get("Version"), str):
        raise ConnectionError(NO_DAEMON)
    return version, info


def reason(error: BaseException) -> str:
    """Why a daemon did not answer, in one line, in the system's words if it has any: the SDK wraps them in three exceptions."""
    causes: list[object] = [error]
    for cause in causes:
        if isinstance(cause, json.JSONDecodeError):  # before OSError: that of requests is both
            return NO_DAEMON
        if isinstance(cause, TimeoutError):
            return cause.strerror or "timed out"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        if isinstance(cause, BaseException):
            causes += (*cause.args, cause.__cause__)
    return " ".join(str(error).split())[:REASON_WIDTH]


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


Login = Callable[[str], tuple[str, str] | None]


def login(env: Mapping[str, str], warn: Callable[[str], object]) -> Login:
    """A function that returns the credentials `docker login` has stored for a host.

    They are (user, password), or ("", token) for an identity token, or None. A credential helper is started once for each host;
    `warn` gets a line for one that fails.
    """
    import warnings

    from docker import auth
    from docker.errors import DockerException

    path = config_folder(env) / "config.json"

    @cache
    def credentials(host: str) -> tuple[str, str] | None:
        if env.get("DOCKER_CONFIG") and not path.exists():
            return None  # the SDK would read ~/.docker/config.json instead, which docker does not
        registry = "docker.io" if host == "registry-1.docker.io" else host
        try:
            with warnings.catch_warnings(action="ignore"):  # about a missing helper: the error says it too
                stored = auth.load_config(str(path), credstore_env=dict(env)).resolve_authconfig(registry)
        except DockerException as error:
            warn(f"no credentials for {host}: {error}")
            return None
        # Nothing of the content is shown: it may be a password.
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            warn(f"no credentials for {host}: config.json of docker has an entry that is not valid")
            return None
        entry = {name.lower(): value for name, value in (stored or {}).items()}
        if entry.get("identitytoken"):
            return "", entry["identitytoken"]
        return (entry["username"], entry.get("password") or "") if entry.get("username") else None

    return credentials
