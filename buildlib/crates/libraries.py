"""System libraries that crates link and do not bring (OpenSSL, ALSA, GTK …); libraries.toml has what is known of crates."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from buildlib.crates.graph import Script
from buildlib.crates.rows import Row, matching
from buildlib.machine.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library that crates need from the system, for the target or (`for_host`) for this machine; see libraries.toml."""

    name: str
    for_host: bool
    crates: tuple[str, ...]
    pc: tuple[str, ...]
    apt: str = ""
    variable: str = ""
    source: str = ""
    config: str = ""
    by_name: bool = False


@cache
def known() -> tuple[tuple[Row, ...], Mapping[str, tuple[str, str]]]:
    """Return the contents of libraries.toml: the rows, and name and Debian package of what crates declare, by .pc name."""
    table = tomllib.loads(Path(__file__).with_name("libraries.toml").read_text(encoding="utf-8"))
    return tuple(table["crate"]), {pc: (name, apt) for name, (apt, *pcs) in table["declared"].items() for pc in pcs}


def needed(scripts: Iterable[Script], target: str, host: Host) -> tuple[Library, ...]:
    """Return the libraries that `scripts` look for in a build for the triple `target`, each once per side."""
    scripts = tuple(scripts)
    merged: dict[tuple[str, bool], Library] = {}
    for library in (*_from_rows(scripts, target, host), *_declared(scripts, host.script_env)):
        key = (library.name, library.for_host)
        earlier = merged.setdefault(key, library)
        crates, pc = (
            tuple(dict.fromkeys((*a, *b))) for a, b in ((earlier.crates, library.crates), (earlier.pc, library.pc))
        )
        merged[key] = replace(earlier, crates=crates, pc=pc)
    return tuple(merged.values())


def _from_rows(scripts: Iterable[Script], target: str, host: Host) -> Iterator[Library]:
    details = ("apt", "variable", "source", "config", "by_name")
    for row, script in matching(known()[0], scripts, target, host):
        yield Library(
            name=row["library"], for_host=script.for_host, crates=(script.package,), pc=tuple(row["pc"]),
            **{key: row[key] for key in details if key in row},
        )  # fmt: skip


def _declared(scripts: Iterable[Script], env: Mapping[str, str]) -> Iterator[Library]:
    """What scripts require through the crate system-deps. Nothing is certain if variables replace what it looks for."""
    if any(name.startswith("SYSTEM_DEPS_") for name in env):
        return
    for script in scripts:
        for pc in script.system_deps:
            name, apt = known()[1].get(pc, (pc, ""))
            yield Library(name=name, for_host=script.for_host, crates=(script.package,), pc=(pc,), apt=apt)
