"""Cargo's effective configuration: its files from the working directory upwards, CARGO_HOME, and the environment over them.

The rules are those of cargo 1.95 (the Cargo Book, "Configuration"; src/cargo/util/context in its sources): tables are merged key by
key, the nearer file wins, arrays are joined with the nearer file's values last, `config` is preferred to `config.toml` in the same
directory, and `include` (stable since 1.94) names files that are merged below the one that includes them. A file that cannot be read
or parsed counts as absent here; cargo itself reports what is wrong with it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from buildlib.core.targets import TARGETS
from buildlib.machine.cfg_expression import matches

# An array that holds the words of a program is replaced, not joined (NON_MERGEABLE_LISTS in cargo's config_value.rs).
PROGRAMS = ("runner",)
# The variables that cargo reads before those that are named after the keys.
WRAPPERS = {"rustc-wrapper": "RUSTC_WRAPPER", "rustc-workspace-wrapper": "RUSTC_WORKSPACE_WRAPPER"}

Files = Iterable[tuple[Path, Mapping[str, Any]]]


class Value(NamedTuple):
    """A string of the configuration, with the key and the file that it comes from; `key` is "" for a variable, the `source`."""

    text: str
    source: str
    key: str = ""

    @property
    def where(self) -> str:
        """The origin in messages: "build.rustflags in /w/.cargo/config.toml", "RUSTFLAGS"."""
        return f"{self.key} in {self.source}" if self.key else self.source


class Variable(NamedTuple):
    """An entry of [env]. With `force` it replaces a variable that is already set."""

    value: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable:
    """A [target] table. `linker` and `runner` are programs, by name or absolute path; the arguments of a runner are left out."""

    linker: Value | None = None
    runner: Value | None = None
    rustflags: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CargoConfig:
    """The keys that matter to a build. `targets` are the [target] tables by triple or `cfg(...)`, those of variables included."""

    targets: Mapping[str, TargetTable] = field(default_factory=dict)
    variable_rustflags: tuple[Value, ...] | None = None  # of RUSTFLAGS or CARGO_ENCODED_RUSTFLAGS, None without them
    build_rustflags: tuple[Value, ...] = ()
    rustc: Value | None = None  # the compiler, None for that on PATH
    wrappers: tuple[Value, ...] = ()  # programs that cargo starts in place of rustc
    env: Mapping[str, Variable] = field(default_factory=dict)
    jobs: str = ""  # build.jobs
    build_dir: str = ""  # build.build-dir

    def linker(self, triple: str) -> Value | None:
        """The linker for `triple`, None for rustc's default."""
        return next((table.linker for table in self._tables(triple) if table.linker), None)

    def runner(self, triple: str) -> Value | None:
        """The program that starts binaries of `triple`, None without one."""
        return next((table.runner for table in self._tables(triple) if table.runner), None)

    def rustflags(self, triple: str) -> tuple[Value, ...]:
        """The flags for `triple`. Cargo takes them from the first that has any: variables, [target] tables, [build]."""
        if self.variable_rustflags is not None:
            return self.variable_rustflags
        return tuple(flag for table in self._tables(triple) for flag in table.rustflags) or self.build_rustflags

    def undecided(self, triple: str) -> tuple[Value, ...]:
        """The flags of which only rustc can tell whether they apply to `triple`: see `cfg_expression`."""
        tables = self.targets.items() if self.variable_rustflags is None else ()
        return tuple(
            flag
            for key, table in tables
            if key.startswith("cfg(") and matches(key, triple) is None
            for flag in table.rustflags
        )

    def applied(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """The variables that build scripts see when cargo is started with `env`."""
        return {**env, **{name: entry.value for name, entry in self.env.items() if entry.force or name not in env}}

    def _tables(self, triple: str) -> list[TargetTable]:
        """The tables for `triple`, in cargo's order: its own, then the cfg tables, sorted by key."""
        own = [self.targets[triple]] if triple in self.targets else []
        return own + [table for key, table in sorted(self.targets.items()) if key != triple and matches(key, triple)]


def read(env: Mapping[str, str], cwd: Path) -> CargoConfig:
    """Read the configuration that cargo uses in `cwd`."""
    return resolve(files(env, cwd), env, cwd)


def files(env: Mapping[str, str], cwd: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    """The parsed configuration files, the one with the lowest precedence first."""
    home = cwd / (env.get("CARGO_HOME") or Path(env.get("HOME", "/nonexistent"), ".cargo"))
    found: list[tuple[Path, Mapping[str, Any]]] = []
    seen: set[str] = set()
    for folder in (*(parent / ".cargo" for parent in (cwd, *cwd.parents)), home):
        path = next((folder / name for name in ("config", "config.toml") if (folder / name).is_file()), None)
        if path and os.path.realpath(folder) not in seen:
            found = [*_with_includes(path), *found]
        seen.add(os.path.realpath(folder))
    return found


def _with_includes(path: Path, including: tuple[Path, ...] = ()) -> list[tuple[Path, Mapping[str, Any]]]:
    """The file, after the files that it includes."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return []
    entries = table.pop("include", None)
    included: list[tuple[Path, Mapping[str, Any]]] = []
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("path") if isinstance(entry, dict) else entry
        if isinstance(name, str) and path not in including:  # cargo refuses a cycle
            included += _with_includes(path.parent / name, (*including, path))
    return [*included, (path, table)]


def resolve(sources: Files, env: Mapping[str, str], cwd: Path) -> CargoConfig:
    """The configuration of the files `sources`, the one with the lowest precedence first, with the variables in `env` over them."""
    merged: dict[str, Any] = {}
    for path, table in sources:
        merged = _merge(merged, _located(table, path))
    build, tables = _table(merged, "build"), _table(merged, "target")
    reader = _Reader(env, cwd)
    targets = {
        key: reader.target(key, _table(tables, key)) for key in {**tables, **{t.triple: 0 for t in TARGETS.values()}}
    }
    variables = {name: _variable(raw) for name, raw in _table(merged, "env").items()}
    return CargoConfig(
        targets={key: table for key, table in targets.items() if table != TargetTable()},
        variable_rustflags=_variable_rustflags(env),
        build_rustflags=reader.words("build.rustflags", build.get("rustflags")),
        rustc=reader.rustc(build.get("rustc")),
        wrappers=tuple(wrapper for key in WRAPPERS if (wrapper := reader.wrapper(key, build.get(key)))),
        env={name: entry for name, entry in variables.items() if entry},
        jobs=reader.text("build.jobs", build.get("jobs")),
        build_dir=reader.text("build.build-dir", build.get("build-dir")),
    )


class _Leaf(NamedTuple):
    """A value in a file, which is neither a table nor an array."""

    value: Any
    file: Path

    @property
    def root(self) -> Path:
        """The directory that relative paths in the file are relative to."""
        return self.file.parent.parent


def _located(node: Any, path: Path) -> Any:
    """The tree of a file, with a _Leaf for each value."""
    if isinstance(node, Mapping):
        return {key: _located(value, path) for key, value in node.items()}
    return [_located(value, path) for value in node] if isinstance(node, list) else _Leaf(node, path)


def _merge(base: Any, over: Any, key: str = "") -> Any:
    """Two trees in one; `over` has precedence."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {
            **base,
            **{name: _merge(base[name], value, name) if name in base else value for name, value in over.items()},
        }
    return base + over if isinstance(base, list) and isinstance(over, list) and key not in PROGRAMS else over


def _table(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = parent.get(key)
    return table if isinstance(table, dict) else {}


def _variable(raw: Any) -> Variable | None:
    """An entry of [env]: a string, or a table of `value`, `force` and `relative`."""
    entry = raw if isinstance(raw, dict) else {"value": raw}
    options = {key: leaf for key, leaf in entry.items() if isinstance(leaf, _Leaf)}
    value = options.get("value")
    if value is None or not isinstance(value.value, str):
        return None
    flags = {key: leaf.value is True for key, leaf in options.items()}
    text = str(value.root / value.value) if flags.get("relative") else value.value
    return Variable(text, flags.get("force", False))


def _variable_rustflags(env: Mapping[str, str]) -> tuple[Value, ...] | None:
    for name, separator in (("CARGO_ENCODED_RUSTFLAGS", "\x1f"), ("RUSTFLAGS", " ")):
        if name in env:
            return tuple(Value(word, name) for word in env[name].split(separator) if word)
    return None


class _Reader:
    """Reads single keys, with the variables that replace them or add to them."""

    def __init__(self, env: Mapping[str, str], cwd: Path) -> None:
        self._env = env
        self._cwd = cwd

    def target(self, key: str, table: Mapping[str, Any]) -> TargetTable:
        """The table target.<key>; no variable replaces anything of a cfg table."""
        prefix = f"target.{key}"
        return TargetTable(
            linker=self._program(f"{prefix}.linker", table.get("linker")),
            runner=self._program(f"{prefix}.runner", table.get("runner")),
            rustflags=self.words(f"{prefix}.rustflags", table.get("rustflags")),
        )

    def words(self, key: str, node: Any) -> tuple[Value, ...]:
        """The words of a string or an array. A variable adds to an array and replaces a string."""
        name, variable = self._variable(key)
        added = tuple(Value(word, name) for word in variable.split())
        if isinstance(node, list):
            leaves = (leaf for leaf in node if isinstance(leaf, _Leaf) and isinstance(leaf.value, str))
            return (*(Value(leaf.value, str(leaf.file), key) for leaf in leaves), *added)
        if isinstance(node, _Leaf) and isinstance(node.value, str) and not added:
            return tuple(Value(word, str(node.file), key) for word in node.value.split())
        return added

    def text(self, key: str, node: Any) -> str:
        """A string or a number, "" without one."""
        leaf = node.value if isinstance(node, _Leaf) and isinstance(node.value, str | int) else ""
        return self._variable(key)[1] or str(leaf)

    def rustc(self, node: Any) -> Value | None:
        """The compiler: the variable RUSTC goes before the key and the variable that is named after it."""
        if named := self._env.get("RUSTC"):
            return self._value(named, "RUSTC", "", self._cwd)
        return self._program("build.rustc", node)

    def wrapper(self, key: str, node: Any) -> Value | None:
        """A wrapper of rustc. An empty value means none, also where a file has one."""
        for name in (WRAPPERS[key], self._variable(f"build.{key}")[0]):
            if name in self._env:
                return self._value(self._env[name], name, "", self._cwd)
        return self._program(f"build.{key}", node)

    def _program(self, key: str, node: Any) -> Value | None:
        """The program of a string or an array, without its arguments; a relative path is made absolute."""
        name, variable = self._variable(key)
        if variable:
            return self._value(variable, name, "", self._cwd)
        leaf = node[0] if isinstance(node, list) and node else node
        if not isinstance(leaf, _Leaf) or not isinstance(leaf.value, str):
            return None
        return self._value(leaf.value, str(leaf.file), key, leaf.root)

    @staticmethod
    def _value(text: str, source: str, key: str, root: Path) -> Value | None:
        """A program; only a runner has arguments, and no path of a linker may be split at its spaces."""
        word = next(iter(text.split()), "") if "runner" in key or source.endswith("_RUNNER") else text
        return Value(str(root / word) if "/" in word else word, source, key) if word else None

    def _variable(self, key: str) -> tuple[str, str]:
        """The name of the variable for `key`, and its value; cargo has none for a cfg table."""
        name = f"CARGO_{key}".upper().replace("-", "_").replace(".", "_")
        return name, "" if "cfg(" in key else self._env.get(name, "")
