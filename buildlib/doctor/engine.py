"""What images require of a container engine: a daemon whose parts fit each other, buildx, a builder, disk space, credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from buildlib.core.requirements import Fix, Requirement
from buildlib.core.versions import version
from buildlib.machine.host import Daemon, Host
from buildlib.registry.reference import HUB, HUB_ALIASES

SECTION = "containers"
AS_CONFIGURED = " that matches the settings"
WHY = "images are built, checked and smoke-tested with it"
# Docker before 20.10.10 answers clone3 with EPERM, and glibc since 2.34 calls it: "Operation not permitted" in today's images.
DOCKER = (20, 10, 10)
BUILDX = (0, 8)  # the first with --build-context
# For each containerd, the oldest runc that its releases are built and tested with (containerd's docs/RUNC.md).
RUNC = {(1, 5): (1, 0), (1, 6): (1, 1), (1, 7): (1, 1), (2, 0): (1, 2), (2, 1): (1, 3), (2, 2): (1, 3)}
# The first versions that support the unified hierarchy (cgroup v2).
CGROUP_V2 = {"Docker": (20, 10), "containerd": (1, 4), "runc": (1, 0)}
SLOW_DRIVERS = ("vfs", "devicemapper", "aufs")
DISK_SPACE = 2 << 30  # bytes; with less, many builds fail half way
FULL = 8 << 20  # bytes; with less, a build fails when it links: a program with debug information has a few MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What docker answered.

    `buildx` is the version of buildx, "" without it, and `buildx_error` why it is missing. `exists` and `differences` describe
    the builder. `servers` are the name servers that the builder asks, None if it is not running. `started` is why a container
    could not be started, "" for one that ran, and None when none was started.
    """

    buildx: str = ""
    buildx_error: str = ""
    builder: str = ""
    exists: bool = False
    differences: tuple[str, ...] = ()
    servers: tuple[str, ...] | None = None
    host_servers: tuple[str, ...] = ()
    started: str | None = None


def daemon(*, required: bool, error: str = "") -> Requirement:
    """That a Docker daemon answers.

    `required` is False where no image of this workspace needs it: then a missing daemon is only a warning. `error` is why it did
    not answer.
    """
    return Requirement(
        what="a Docker daemon", why=f"{WHY}; {error}" if error else WHY, required=required, section=SECTION,
        met=lambda host: bool(host.daemon.version),
        fixes=(Fix(text="start Docker, and join the group `docker`; binaries, tests and the images of binaries do not need it"),),
    )  # fmt: skip


def requirements(facts: EngineFacts, *, required: bool) -> tuple[Requirement, ...]:
    """Everything that images require of an engine that answers."""
    if not facts.buildx:
        return (daemon(required=required), _buildx(facts, required))
    return (daemon(required=required), *_parts(required), _buildx(facts, required), *_builder(facts, required))


def _parts(required: bool) -> tuple[Requirement, ...]:
    """The daemon's own version, and that containerd, runc, cgroups and the storage driver fit it."""

    def requirement(
        what: str, why: str, problem: Callable[[Daemon], object], fix: str, required: bool = required
    ) -> Requirement:
        return Requirement(
            what=what, why=why, met=lambda host: not host.daemon.version or not problem(host.daemon), required=required,
            fixes=(Fix(text=fix),), section=SECTION,
        )  # fmt: skip

    return (
        requirement("Docker 20.10.10 or newer", "older versions refuse clone3, which today's images call: `Operation not permitted`",
                    lambda d: version(d.version) < DOCKER, "install a newer Docker"),
        requirement("runc that fits containerd", "each containerd is built for certain versions of runc",
                    lambda d: runc_mismatch(d.parts), "upgrade runc and containerd together"),
        requirement("an engine for cgroup v2", "older versions fail to start containers on the unified hierarchy",
                    lambda d: d.info.get("CgroupVersion") == "2" and _too_old_for_cgroup_v2(d), "install a newer engine", False),
        requirement("a storage driver that shares layers", "vfs copies each layer; devicemapper and aufs are no longer maintained",
                    lambda d: d.info.get("Driver") in SLOW_DRIVERS, "set overlay2 in /etc/docker/daemon.json", False),
        requirement("a daemon with this machine's network", "a rootless one has its own network and cannot use the gateway that "
                    "retries requests to registries",
                    lambda d: any("rootless" in str(o) for o in d.info.get("SecurityOptions") or ()), "use a daemon that runs as root",
                    False),
    )  # fmt: skip


def runc_mismatch(parts: Mapping[str, str]) -> str:
    """Why runc is too old for containerd; "" if it is not, or if a version is unknown."""
    containerd, runc = version(parts.get("containerd", "")), version(parts.get("runc", ""))
    oldest = max((oldest for since, oldest in RUNC.items() if containerd[:2] >= since), default=())
    if not containerd or not runc or runc[:2] >= oldest:
        return ""
    return f"runc: {parts['runc']}, but containerd {parts['containerd']} expects {'.'.join(map(str, oldest))} or newer"


def _too_old_for_cgroup_v2(daemon: Daemon) -> bool:
    versions = {"Docker": daemon.version, **daemon.parts}
    return any(() < version(versions.get(name, "")) < oldest for name, oldest in CGROUP_V2.items())


def _buildx(facts: EngineFacts, required: bool) -> Requirement:
    return Requirement(
        what="docker buildx", why=facts.buildx_error or "builds for several platforms",
        met=lambda _: version(facts.buildx) >= BUILDX, required=required, section=SECTION, have=facts.buildx,
        fixes=(Fix(text="apt-get install docker-buildx-plugin (Docker's packages) or docker-buildx (the distribution's)"),),
    )  # fmt: skip


def _builder(facts: EngineFacts, required: bool) -> tuple[Requirement, ...]:
    create = Fix(text=f"buildlib builder.create{' --force' if facts.differences else ''}")
    builder = [
        Requirement(
            what=f"the builder {facts.builder}", why="it is created when it is missing", met=lambda _: facts.exists, required=False,
            section=SECTION, fixes=(create,),
        ),
        Requirement(
            what=f"the builder {facts.builder}{AS_CONFIGURED}",
            why="; ".join(facts.differences) or "images are built as the settings say",
            met=lambda _: not facts.differences, required=required, section=SECTION, fixes=(create,),
        ),
    ]  # fmt: skip
    if facts.servers is not None:
        other = tuple(server for server in facts.servers if server not in facts.host_servers)
        builder.append(
            Requirement(
                what="a builder that asks this machine's name servers", section=SECTION, required=False, have=", ".join(facts.servers),
                why=f"it asks {', '.join(other)}, this machine {', '.join(facts.host_servers)}" if other
                else "host names resolve in it as on this machine",
                met=lambda _: not other,
                fixes=(Fix(text="set `dns` in /etc/docker/daemon.json, then run buildlib builder.create --force"),),
            )
        )  # fmt: skip
    if facts.started is not None:
        builder.append(
            Requirement(
                what="containers that start", why=facts.started or "the runtime works", met=lambda _: not facts.started,
                required=required, section=SECTION,
                fixes=(Fix(text="check the daemon's default runtime in /etc/docker/daemon.json, and that runc fits containerd"),),
            )
        )  # fmt: skip
    return tuple(builder)


def disk_space(places: Iterable[tuple[Path, str]]) -> tuple[Requirement, ...]:
    """Free space where a build writes: `places` are (path, what is kept there). A full disk fails, one that is nearly full warns."""
    places = tuple(places)

    def requirement(what: str, why: str, met: Callable[[Host], bool], *, required: bool) -> Requirement:
        return Requirement(
            what=what, why=why, section="disk", required=required, met=met,
            fixes=(Fix(text="`docker buildx prune`, `cargo clean`, or use another disk (XDG_CACHE_HOME, --target-dir, TMPDIR)"),),
        )  # fmt: skip

    return (
        requirement(
            "8 MiB on every disk", "no build succeeds with less", required=True,
            met=lambda host: all(_has_space(host, path, FULL) for path, _ in places),
        ),
        *(
            requirement(f"2 GiB in {path}", what, required=False, met=partial(_has_space, path=path, size=DISK_SPACE))
            for path, what in places
        ),
    )  # fmt: skip


def _has_space(host: Host, path: Path, size: int) -> bool:
    free = host.free(path)
    return free is None or free >= size


def credentials(registries: Iterable[str], config: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """A login for each registry that is pushed to, or the credential helper that docker's `config` names for it."""
    logins = {_registry(key) for key in _table(config.get("auths"))}
    helpers = {_registry(key): helper for key, helper in _table(config.get("credHelpers")).items()}
    required: list[Requirement] = []
    for registry in registries:
        helper = helpers.get(registry) or config.get("credsStore") or ""
        if helper:
            required.append(_credential_helper(f"docker-credential-{helper}", registry))
        else:
            required.append(_login(registry, registry in logins))
    return tuple(required)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _registry(key: str) -> str:
    """The registry of a key in docker's config.json, which is a host or a URL; Docker Hub's is https://index.docker.io/v1/."""
    host = (key.partition("://")[2] or key).partition("/")[0]
    return HUB if host in HUB_ALIASES else host


def _credential_helper(name: str, registry: str) -> Requirement:
    return Requirement(
        what=name, why=f"docker's configuration gets the credentials for {registry} from it", section="credentials", required=False,
        met=lambda host: host.which(name) is not None, fixes=(Fix(text=f"install {name}, or remove it from config.json"),),
    )  # fmt: skip


def _login(registry: str, known: bool) -> Requirement:
    return Requirement(
        what=f"a login at {registry}", why="images are pushed there", met=lambda _: known, required=False, section="credentials",
        fixes=(Fix(text=f"docker login {registry}"),),
    )  # fmt: skip
