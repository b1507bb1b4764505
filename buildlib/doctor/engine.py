"""What images want of a container engine: a daemon and parts that fit each other, buildx, a builder, room, and credentials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildlib.core.requirements import Fix, Requirement
from buildlib.core.versions import version as numbers
from buildlib.machine.host import Daemon, Host

SECTION = "containers"
AS_CONFIGURED = " that matches the settings"
WHY = "images are built, checked and smoked with it"
# Docker before 20.10.10 answers clone3 with EPERM, and glibc since 2.34 asks for it: "Operation not permitted" in today's images.
DOCKER = (20, 10, 10)
BUILDX = (0, 8)  # --build-context
# Of a containerd, the oldest runc that its releases are made and tested with (containerd's docs/RUNC.md).
RUNC = {(1, 5): (1, 0), (1, 6): (1, 1), (1, 7): (1, 1), (2, 0): (1, 2), (2, 1): (1, 3), (2, 2): (1, 3)}
# What the unified hierarchy (cgroup v2) wants.
UNIFIED = {"Docker": (20, 10), "containerd": (1, 4), "runc": (1, 0)}
SLOW_DRIVERS = {"vfs": "copies every layer", "devicemapper": "is no longer kept up", "aufs": "is no longer kept up"}
ROOM = 2 << 30  # bytes below which builds fail half way


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What was found out by asking docker: buildx's version or "", and why it is not there; the builder's state; the name servers
    that the builder asks, None for a builder that is not running; what came of starting a container, None when none was started."""

    buildx: str = ""
    buildx_error: str = ""
    builder: str = ""
    there: bool = False
    differs: tuple[str, ...] = ()
    servers: tuple[str, ...] | None = None
    own_servers: tuple[str, ...] = ()
    started: str | None = None  # "" for a container that ran


def daemon(*, required: bool, error: str = "") -> Requirement:
    """The engine itself. `must` says that this workspace makes images: then it is no mere warning that it is missing. `error` is why
    it did not answer."""
    return Requirement(
        what="a Docker daemon", why=f"{WHY}; {error}" if error else WHY, required=required, section=SECTION,
        met=lambda host: bool(host.daemon.version),
        fixes=(Fix(text="start Docker, and be in the group `docker`; binaries, tests and -musl images need none"),),
    )  # fmt: skip


def requirements(seen: EngineFacts, *, required: bool) -> tuple[Requirement, ...]:
    """Everything that images want of an engine that answers."""
    if not seen.buildx:
        return (daemon(required=required), _buildx(seen, required))
    return (daemon(required=required), *_parts(required), _buildx(seen, required), *_builder(seen, required))


def _parts(required: bool) -> tuple[Requirement, ...]:
    """The daemon's own version, and whether containerd, runc, cgroups and the storage driver fit it."""

    def need(what: str, why: str, problem, help: str, required: bool = required) -> Requirement:
        return Requirement(
            what=what, why=why, met=lambda host: not host.daemon.version or not problem(host.daemon), required=required,
            fixes=(Fix(text=help),), section=SECTION,
        )  # fmt: skip

    return (
        need("Docker 20.10.10 or newer", "older ones refuse clone3, which today's images call: `Operation not permitted`",
             lambda d: numbers(d.version) < DOCKER, "a newer Docker"),
        need("runc that fits containerd", "each containerd is made for a runc",
             lambda d: mismatched(d.parts), "upgrade runc and containerd together"),
        need("an engine for cgroup v2", "older ones fail to start containers on the unified hierarchy",
             lambda d: d.info.get("CgroupVersion") == "2" and _too_old(d), "a newer engine", False),
        need("a storage driver that shares layers", "vfs copies each layer, devicemapper and aufs are no longer kept up",
             lambda d: d.info.get("Driver") in SLOW_DRIVERS, "overlay2, in /etc/docker/daemon.json", False),
        need("a daemon with this machine's network", "a rootless one has a network of its own: requests to registries go straight",
             lambda d: any("rootless" in str(o) for o in d.info.get("SecurityOptions") or ()), "a daemon that root runs", False),
    )  # fmt: skip


def mismatched(parts: Mapping[str, str]) -> str:
    """Why runc is too old for containerd, "" where it is not, or nobody knows."""
    containerd, runc = numbers(parts.get("containerd", "")), numbers(parts.get("runc", ""))
    wanted = max((want for since, want in RUNC.items() if containerd[:2] >= since), default=())
    if not containerd or not runc or runc[:2] >= wanted:
        return ""
    return f"containerd {parts['containerd']} wants runc {'.'.join(map(str, wanted))}, here is {parts['runc']}"


def _too_old(daemon: Daemon) -> bool:
    have = {"Docker": daemon.version, **daemon.parts}
    return any(name in have and () < numbers(have[name]) < want for name, want in UNIFIED.items())


def _buildx(seen: EngineFacts, required: bool) -> Requirement:
    return Requirement(
        what="docker buildx", why="builds for several platforms" if not seen.buildx_error else seen.buildx_error,
        met=lambda _: numbers(seen.buildx) >= BUILDX, required=required, section=SECTION, have=seen.buildx,
        fixes=(Fix(text="apt-get install docker-buildx-plugin (Docker's packages) or docker-buildx (the distribution's)"),),
    )  # fmt: skip


def _builder(seen: EngineFacts, required: bool) -> tuple[Requirement, ...]:
    create = Fix(text=f"buildlib builder.create{' --force' if seen.differs else ''}")
    told = "; ".join(seen.differs)
    found = [
        Requirement(
            what=f"the builder {seen.builder}", why="made when it is missing", met=lambda _: seen.there, required=False, section=SECTION,
            fixes=(create,),
        ),
        Requirement(
            what=f"the builder {seen.builder}{AS_CONFIGURED}", why=told or "another one would build something else",
            met=lambda _: not seen.differs, required=required, section=SECTION, fixes=(create,),
        ),
    ]  # fmt: skip
    if seen.servers is not None:
        alien = tuple(server for server in seen.servers if server not in seen.own_servers)
        found.append(
            Requirement(
                what="a builder that asks this machine's name servers", section=SECTION, required=False, have=", ".join(seen.servers),
                why=f"it asks {', '.join(alien)}, this machine {', '.join(seen.own_servers)}" if alien else "names are found in it",
                met=lambda _: not alien, fixes=(Fix(text="`dns` in /etc/docker/daemon.json, then buildlib builder.create --force"),),
            )
        )  # fmt: skip
    if seen.started is not None:
        found.append(
            Requirement(
                what="containers that start", why=seen.started or "the runtime works", met=lambda _: not seen.started, required=required,
                section=SECTION, fixes=(Fix(text="the daemon's default runtime, in /etc/docker/daemon.json; runc that fits"),),
            )
        )  # fmt: skip
    return tuple(found)


def room(places: Iterable[tuple[Path, str]]) -> tuple[Requirement, ...]:
    """Room on each disk that is written to: (place, what is kept there)."""
    return tuple(
        Requirement(
            what=f"2 GiB in {path}", why=what, section="disk", required=False,
            met=lambda host, path=path: (host.free(path) or ROOM) >= ROOM,
            fixes=(Fix(text="`docker buildx prune`, `cargo clean`, or another place (XDG_CACHE_HOME, --target-dir, TMPDIR)"),),
        )
        for path, what in places
    )  # fmt: skip


def credentials(registries: Iterable[str], config: Mapping[str, Any]) -> tuple[Requirement, ...]:
    """A login at the registry that is pushed to, and the helpers that docker's configuration names."""
    auths, helpers = config.get("auths") or {}, config.get("credHelpers") or {}
    found = []
    for registry in registries:
        helper = helpers.get(registry) or config.get("credsStore") or ""
        if helper:
            name = f"docker-credential-{helper}"
            found.append(
                Requirement(
                    what=name, why=f"docker's configuration asks it who we are at {registry}", section="credentials", required=False,
                    met=lambda host, name=name: _has(host, name), fixes=(Fix(text=f"install {name}, or take it out of config.json"),),
                )
            )  # fmt: skip
            continue
        known = any(host.partition("://")[2].partition("/")[0] == registry or host == registry for host in auths)
        found.append(
            Requirement(
                what=f"a login at {registry}", why="images are pushed there", met=lambda _, known=known: known, required=False,
                section="credentials", fixes=(Fix(text=f"docker login {registry}"),),
            )
        )  # fmt: skip
    return tuple(found)


def _has(host: Host, name: str) -> bool:
    return host.which(name) is not None
