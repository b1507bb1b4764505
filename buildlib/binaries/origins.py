"""What in a project gives other bytes in another place, from the directories of two builds of the same sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildlib.process.context import Context

COMPILED = (".o", ".a")  # what follows from other files
# What build systems write for themselves or for people: paths of dependencies, times, the machine's name.
NOTES = (".d", ".log")
NOTES_OF_CMAKE = {"CMakeFiles", "CMakeCache.txt"}
OWN = "the crate of the program itself, a macro in it, or how it is linked"
SHOWN = 80  # characters of a line
INSTRUCTION = re.compile(rb"(?m)^cargo:(?!:?(?:warning|rerun-if-))[^\n]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two builds: the program, the directory that cargo wrote it to, and the paths of its machine in a fixed order."""

    program: Path
    folder: Path
    paths: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[Path, Path]:
        """Where cargo puts what it compiles for the target, and for this machine: macros, and what build scripts use."""
        return self.folder, self.folder.parent.parent / self.folder.name

    def without_paths(self, data: bytes) -> bytes:
        """What is the same in both builds if only the paths of the machine differ."""
        for number in sorted(range(len(self.paths)), key=lambda number: -len(self.paths[number])):
            data = data.replace(self.paths[number].encode(), f"<path {number}>".encode())
        return data


def side(context: Context, program: Path, folder: Path) -> Side:
    """The build of `program`, which cargo wrote to `folder`."""
    host, workspace = context.host, context.workspace
    home = host.env.get("HOME", "/nonexistent")
    cargo = str(host.cwd / host.env.get("CARGO_HOME", f"{home}/.cargo"))
    paths = (str(workspace.root), str(workspace.target_dir), cargo, home)
    return Side(program=program, folder=folder, paths=tuple(path.rstrip("/") or "/nonexistent" for path in paths))


def origins(here: Side, there: Side) -> tuple[str, ...]:
    """What in the project differs between two builds, of which `there` began with nothing.

    Cargo gives the same unit the same name in both. First those whose values are in the program, and build scripts that make
    something else; then build scripts that differ in paths only, which matters if the program has such a path. Of the crates it is
    the one that was compiled first: those that depend on it differ as well. One that is missing here has another name: cargo's
    names of path dependencies outside of the workspace depend on their absolute path.
    """
    scripts = tuple(_scripts(here, there, paths=False))
    if found := (*scripts, *_variables(here, there)):
        return tuple(dict.fromkeys(found))
    data = here.program.read_bytes()
    if any(path.encode() in data for path in here.paths) and (found := tuple(_scripts(here, there, paths=True))):
        return found
    libraries = [
        path for path in (there.folder / "deps").glob("*.rlib") if not _same(here, there, Path("deps", path.name))
    ]
    if not libraries:
        return (OWN,)
    first = min(libraries, key=lambda path: path.stat().st_mtime_ns)
    return (f"the crate {_name(first.stem.removeprefix('lib'))}",)


def _name(unit: str) -> str:
    """The name of a unit without cargo's hash."""
    return unit.rpartition("-")[0]


# --- variables that crates read ----------------------------------------------------------------------------------------------


def _variables(here: Side, there: Side) -> Iterator[str]:
    """The crates that have another value of a variable in them, by env! or option_env!, if the programs have these values too.

    rustc lists them beside what it compiled, with their values. Those of build scripts are left to the build scripts.
    """
    programs = here.program.read_bytes(), there.program.read_bytes()
    printed = set().union(*(_set_by_scripts(folder) for folder in there.folders))
    for file in sorted((there.folder / "deps").glob("*.d")):
        ours, theirs = _env(here.folder / "deps" / file.name), _env(file)
        for name in sorted(theirs.keys() - printed):
            values = ours.get(name, b""), theirs[name]
            if values[0] != values[1] and all(
                value in program for value, program in zip(values, programs, strict=True)
            ):
                yield f'the crate {_name(file.stem)} reads env!("{name}")'


def _env(file: Path) -> dict[str, bytes]:
    """The variables that a crate reads, from the file of its dependencies."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return {}
    pairs = (line.removeprefix(b"# env-dep:").partition(b"=") for line in lines if line.startswith(b"# env-dep:"))
    return {name.decode("utf-8", "replace"): value.replace(rb"\\", b"\\") for name, _, value in pairs}


def _set_by_scripts(folder: Path) -> set[str]:
    """The variables that build scripts set."""
    texts = (_read(path).decode("utf-8", "replace") for path in folder.glob("build/*/output"))
    return {found[1] for text in texts for found in re.finditer(r"(?m)^cargo::?rustc-env=(\w+)=", text)}


# --- build scripts -----------------------------------------------------------------------------------------------------------


def _scripts(here: Side, there: Side, *, paths: bool) -> Iterator[str]:
    """What build scripts write or print differently; with `paths`, also what differs only in a path of the machine."""
    for ours, theirs in zip(here.folders, there.folders, strict=True):
        for out in sorted((theirs / "build").glob("*/out")):
            unit = out.parent
            if what := _written(here, there, unit, ours / "build" / unit.name, paths=paths):
                yield f"the build script of {_name(unit.name)} writes {what}"
            elif what := _printed(here, there, unit, ours / "build" / unit.name, paths=paths):
                yield f"the build script of {_name(unit.name)} prints {what}"


def _written(here: Side, there: Side, unit: Path, ours: Path, *, paths: bool) -> str:
    """The first file that a build script writes with other content, "" if all are equal."""
    out = unit / "out"
    files = (path for path in out.rglob("*") if path.is_file() and not _is_note(path.relative_to(out)))
    for file in sorted(files, key=lambda path: (path.suffix in COMPILED, path)):
        one, other = _read(ours / file.relative_to(unit)), _read(file)
        if (one != other) if paths else (here.without_paths(one) != there.without_paths(other)):
            return str(file.relative_to(out))
    return ""


def _is_note(path: Path) -> bool:
    return path.suffix in NOTES or not NOTES_OF_CMAKE.isdisjoint(path.parts)


def _printed(here: Side, there: Side, unit: Path, ours: Path, *, paths: bool) -> str:
    """The first instruction to cargo that a build script prints differently, "" if all are equal."""
    one, other = (b"\n".join(INSTRUCTION.findall(_read(folder / "output"))) for folder in (ours, unit))
    if paths:  # that of the target directory is in every output
        one, other = (
            data.replace(str(side.folder.parent.parent).encode(), b"") for data, side in ((one, here), (other, there))
        )
    else:
        one, other = here.without_paths(one), there.without_paths(other)
    if one == other:
        return ""
    lines, theirs = one.splitlines(), other.splitlines()
    new = next((line for line in (*theirs, *lines) if line not in lines or line not in theirs), None)
    if new is None:
        return "its lines in another order"
    text = new.decode("utf-8", "replace")
    variable = re.match(r"cargo::?rustc-env=(\w+)=", text)
    return f"another value of {variable[1]}" if variable else f"something else: {text[:SHOWN]!r}"


def _same(here: Side, there: Side, path: Path) -> bool:
    """Whether a file of the directory of the target has the same bytes."""
    return _read(here.folder / path) == _read(there.folder / path) != b""


def _read(path: Path) -> bytes:
    """The bytes of a file, none if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
