"""Cross.toml and cargo's configuration: linkers of one machine, images of another target."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from buildlib.lint.analysis import Look
from buildlib.lint.finding import Finding, found
from buildlib.lint.parsing.containerfile import Script, of_script
from buildlib.lint.parsing.source import Source, Span
from buildlib.lint.parsing.words import TRIPLE, find, fits, meant
from buildlib.lint.rules import downloads

PROGRAMS = ("linker", "runner", "ar")
# Folders that every machine of a distribution has; a program there is named by its path and still the same everywhere.
COMMON = re.compile(r"^(?:/usr/bin/|/bin/)")


def configuration(source: Source) -> Iterator[Finding]:
    """Of .cargo/config.toml: programs that one machine has, or that are another target's; a target that is written out."""
    told = _toml(source)
    for triple, table in _tables(told, "target"):
        for key in PROGRAMS:
            program = table.get(key)
            if isinstance(program, list):
                program = program[0] if program else None
            if not isinstance(program, str):
                continue
            place = _place(source, program, triple)
            if program.startswith(("/", "~")) and not COMMON.match(program):
                text = f"{key} of {triple} is {program}: only this machine has it"
                yield found(source, "host-only-linker", place, text)
            elif wrong := _of_another(triple, program):
                yield found(source, "wrong-arch-mapping", place, f"{key} of {triple} is {program}, which is {wrong}'s")
    target = told.get("build", {}).get("target") if isinstance(told.get("build"), dict) else None
    if isinstance(target, str) and TRIPLE.match(target):
        text = f"build.target is {target} for everybody who builds here"
        yield found(source, "hardcoded-target-triple", _place(source, target, "build"), text,
                    help="leave it out, and say --target where one is wanted")  # fmt: skip


def cross(source: Source) -> Iterator[Finding]:
    """Of Cross.toml: images of one platform or of another target, and what `pre-build` downloads."""
    told = _toml(source)
    for triple, table in (("", told.get("build", {})), *_tables(told, "target")):
        if not isinstance(table, dict):
            continue
        image = table.get("image")
        name = image.get("name") if isinstance(image, dict) else image
        if isinstance(name, str):
            yield from _image(source, triple, name)
        lines = table.get("pre-build", [])
        for line in lines if isinstance(lines, list) else []:
            if isinstance(line, str):
                yield from _pre_build(source, triple, line)


def _image(source: Source, triple: str, name: str) -> Iterator[Finding]:
    place = _place(source, name, triple)
    if triple and (wrong := _of_another(triple, name)):
        yield found(source, "cross-image-platform", place, f"the image of {triple} is {name}, which is {wrong}'s")
    elif not triple and any(find(name)):
        yield found(source, "cross-image-platform", place, f"the image of all targets is {name}")


def _pre_build(source: Source, triple: str, line: str) -> Iterator[Finding]:
    """As a RUN would have it; CROSS_DEB_ARCH chooses."""
    place = _place(source, line, triple)
    for one in downloads.check(Look(of_script(source, Script(line.encode(), place.start), place))):
        machines = meant(triple)
        arches = {other.arch for other in find(line)}
        if not machines or not any(fits(machine, arch) for machine in machines for arch in arches):
            yield one


def _tables(told: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tables = told.get(name, {})
    for key, table in tables.items() if isinstance(tables, dict) else ():
        if isinstance(table, dict):
            yield key, table


def _of_another(triple: str, name: str) -> str:
    """The architecture that a name speaks of, when the triple is another's."""
    machines = meant(triple.split("-", maxsplit=1)[0]) or meant(triple)
    told = {one.arch for one in find(name)}
    wrong = machines and told and not any(fits(machine, arch) for machine in machines for arch in told)
    return sorted(told)[0] if wrong else ""


def _toml(source: Source) -> dict[str, Any]:
    try:
        return tomllib.loads(source.raw.decode("utf-8", "replace"))
    except tomllib.TOMLDecodeError:
        return {}  # cargo and cross say what is wrong with it


def _place(source: Source, text: str, after: str) -> Span:
    """Where a string stands, in the table that is named before it."""
    start = max(0, source.raw.find(after.encode()))
    at = source.raw.find(text.encode(), start)
    if at < 0:
        at = max(0, source.raw.find(text.encode()[:20]))
    return Span(at, min(len(source.raw), at + len(text.encode())))
