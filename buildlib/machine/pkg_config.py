"""How build scripts run pkg-config for a target: which program, and with which of the user's variables.

The crate pkg-config (0.3, `targeted_env_var`) reads NAME_<triple>, TARGET_NAME and NAME, in this order, and HOST_NAME for build
dependencies. It refuses to run for another triple than the host's unless PKG_CONFIG, PKG_CONFIG_SYSROOT_DIR or
PKG_CONFIG_ALLOW_CROSS is set. Programs that run pkg-config by themselves know the plain names only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from buildlib.core.targets import Target
from buildlib.machine.host import Host

PROGRAMS = ("pkg-config", "pkgconf")
SEARCH = ("PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_SYSROOT_DIR")
# Debian's name for a pkg-config that searches the directories of one target: aarch64-linux-gnu-pkg-config.
CROSS = re.compile(r"(.+-linux-(?:gnu|musl)\w*)-(?:pkg-config|pkgconf)")


class Search(NamedTuple):
    """A pkg-config, and the variables that it gets in addition to those of the build script."""

    program: str
    variables: Mapping[str, str]

    @property
    def shell(self) -> str:
        """The command in a shell script, without arguments."""
        assignments = [quote(f"{name}={value}") for name, value in self.variables.items()]
        return " ".join((*(("env", *assignments) if assignments else ()), quote(self.program)))


def for_host(host: Host) -> str | None:
    """Return the pkg-config for what is compiled for this machine, None without one."""
    named = host.script_env.get("PKG_CONFIG", "")
    return named if named and not _cross(named) else host.which(*PROGRAMS)


def search_host(host: Host) -> Search | None:
    """Return the pkg-config for what is compiled for this machine, with the variables that the crate gives it."""
    env, suffixes = host.script_env, (host.triple, host.triple.replace("-", "_"))

    def own(name: str) -> str:
        spellings = (*(f"{name}_{suffix}" for suffix in suffixes), f"HOST_{name}")
        return next((env[spelling] for spelling in spellings if spelling in env), "")

    program = own("PKG_CONFIG") or for_host(host)
    return Search(program, {name: value for name in SEARCH if (value := own(name))}) if program else None


def for_target(host: Host, target: Target) -> Search | None:
    """Return the pkg-config for a target that is not this machine, None without one.

    It must not find this machine's libraries. Unless the user has set pkg-config up for other machines, it searches only the
    directories that are set for the target, or named after it.
    """
    env = host.script_env
    named = env.get("PKG_CONFIG", "")
    if _cross(named) == target.gnu:
        return Search(named, {})
    program = for_host(host)
    if not program:
        return None
    variables = {name: value for name in SEARCH if (value := targeted(env, name, target))}
    sysroot = host.sysroots.get(target.name)
    if sysroot and variables.keys().isdisjoint(sysroot.pkg_config):
        return Search(program, {**sysroot.pkg_config, **variables})
    if not is_set_up(env, target):
        variables = {
            "PKG_CONFIG_LIBDIR": "/nonexistent",
            "PKG_CONFIG_PATH": ":".join(named_for(env, target)),
            **variables,
        }
    return Search(program, variables)


def is_set_up(env: Mapping[str, str], target: Target) -> bool:
    """Return whether variables set pkg-config up for other machines: then it finds what they say, and its default directories."""
    plain = "PKG_CONFIG_LIBDIR" in env
    return plain or any(
        name in env or targeted(env, name, target) for name in ("PKG_CONFIG_SYSROOT_DIR", "PKG_CONFIG_ALLOW_CROSS")
    )


def targeted(env: Mapping[str, str], name: str, target: Target) -> str:
    """Return the value of the variable for the target alone, "" if only the plain one is set."""
    spellings = (f"{name}_{target.triple}", f"{name}_{target.env}", f"TARGET_{name}")
    return next((env[spelling] for spelling in spellings if spelling in env), "")


def named_for(env: Mapping[str, str], target: Target) -> tuple[str, ...]:
    """Return the directories in a plain PKG_CONFIG_PATH that are named after the target, as in /usr/lib/<gnu>/pkgconfig."""
    names = {target.gnu, target.triple}
    return tuple(folder for folder in env.get("PKG_CONFIG_PATH", "").split(":") if names & set(Path(folder).parts))


def ignored(host: Host, target: Target) -> str:
    """Return what is not read of a plain PKG_CONFIG_PATH for the target, because it is for this machine; "" for nothing."""
    env = host.script_env
    if (
        is_set_up(env, target)
        or targeted(env, "PKG_CONFIG_PATH", target)
        or _cross(env.get("PKG_CONFIG", "")) == target.gnu
    ):
        return ""
    named = named_for(env, target)
    return ":".join(folder for folder in env.get("PKG_CONFIG_PATH", "").split(":") if folder and folder not in named)


def _cross(program: str) -> str:
    """The GNU triplet of a pkg-config for one target, "" for any other program."""
    match = CROSS.fullmatch(Path(program).name)
    return match[1] if match else ""
