"""The conditions that rows of host_tools.toml and libraries.toml have in common; they are explained in the former."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from buildlib.core.versions import version
from buildlib.crates.graph import Script
from buildlib.machine.cfg_expression import facts
from buildlib.machine.host import Host

Row = Mapping[str, Any]


def matching(rows: Iterable[Row], scripts: Iterable[Script], target: str, host: Host) -> Iterator[tuple[Row, Script]]:
    """Return the rows that hold for each script of a build for the triple `target`."""
    by_crate: dict[str, list[Row]] = {}
    for row in rows:
        by_crate.setdefault(row["name"], []).append(row)
    for script in scripts:
        triple = host.triple if script.for_host else target
        named = [(row, script.version) for row in by_crate.get(script.package, ()) if not row.get("linked")]
        linked = [
            (row, release)
            for name, release in script.crates.items()
            for row in by_crate.get(name, ())
            if row.get("linked") and script.package not in row.get("except", ())
        ]
        for row, release in (*named, *linked):
            if _holds(row, script, release, triple, host.script_env):
                yield row, script


def _holds(row: Row, script: Script, release: str, triple: str, env: Mapping[str, str]) -> bool:
    """Whether a row holds for a script that belongs to its package, or has it compiled in, in version `release`."""
    arch = facts(triple).get("target_arch")
    return (
        not any(name in script.crates for name in row.get("unless", ()))
        and ("feature" not in row or row["feature"] in script.features)
        and not script.features & set(row.get("without", ()))
        and version(release) >= version(row.get("since", "0"))
        and ("before" not in row or version(release) < version(row["before"]))
        and ("arch" not in row or arch in row["arch"])
        and ("when" not in row or any(_is_on(env, name, triple) for name in row["when"]))
        and not any(_is_on(env, name, triple) for name in row.get("unless_env", ()))
    )


def _value(env: Mapping[str, str], name: str, triple: str) -> str:
    """Return the variable for `triple`: NAME_<triple> (cc, pkg-config), <TRIPLE>_NAME (openssl-sys, jemalloc), NAME; "" if unset."""
    under = triple.replace("-", "_")
    spellings = (f"{name}_{triple}", f"{name}_{under}", f"{name}_{under.upper()}", f"{under.upper()}_{name}", name)
    return next((env[spelling] for spelling in spellings if env.get(spelling)), "")


def _is_on(env: Mapping[str, str], name: str, triple: str) -> bool:
    """Return whether the variable is set for `triple` to anything but a word for no."""
    return _value(env, name, triple).lower() not in ("", "0", "n", "no", "f", "false", "off")
