"""Settings: defaults.toml < Cargo.toml or buildlib.toml < BUILDLIB_* < flags; each value remembers who set it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildlib.errors import UsageError
from buildlib.targets import find, nearest, suggestion

BACKENDS = ("auto", "zig", "gcc", "cross")
PREFIX = "BUILDLIB_"
EMULATED = "BUILDLIB_EMULATED"  # no setting: what tests see that run under emulation

Layer = tuple[str, Mapping[str, Any]]  # (who says it, nested values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a transient failure is tried again: `attempts` in all, waits in seconds."""

    attempts: int
    delay: float
    max_delay: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, resolved. `came_from` maps a dotted key to the layer that set it."""

    arches: tuple[str, ...]
    backend: str
    glibc: str
    profile: str
    features: tuple[str, ...]
    target_dir: str
    dist: str
    registry: str
    retry: Retry
    test: Mapping[str, Any]
    ci: Mapping[str, Any]
    lint: Mapping[str, Any]
    builder: Mapping[str, Any]
    components: Mapping[str, Mapping[str, Any]]
    came_from: Mapping[str, str]
    values: Mapping[str, Any]  # the same, flat: dotted key to value


def defaults() -> Layer:
    return "default", tomllib.loads(Path(__file__).with_name("defaults.toml").read_text(encoding="utf-8"))


def files(root: Path) -> list[Layer]:
    """The layers that a workspace's own files make. UsageError for a file that is not TOML."""
    layers: list[Layer] = []
    manifest = _read(root / "Cargo.toml")
    for table in ("package", "workspace"):
        metadata = manifest.get(table, {}).get("metadata", {})
        if "buildlib" in metadata:
            layers.append((f"Cargo.toml [{table}.metadata.buildlib]", metadata["buildlib"]))
    if own := _read(root / "buildlib.toml"):
        layers.append(("buildlib.toml", own))
    return layers


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "mend the file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def environment(env: Mapping[str, str]) -> Layer:
    """BUILDLIB_RETRY_ATTEMPTS=3 -> {"retry": {"attempts": "3"}}; which keys exist is `resolve`'s to say."""
    tables = [key for key, value in defaults()[1].items() if isinstance(value, dict)]
    values: dict[str, Any] = {}
    for name, value in sorted(env.items()):
        if name.startswith(PREFIX) and name != EMULATED:
            key = name.removeprefix(PREFIX).lower()
            table = next((t for t in tables if key.startswith(f"{t}_")), None)
            if table:
                values.setdefault(table, {})[key.removeprefix(f"{table}_")] = value
            else:
                values[key] = value
    return "environment", values


def resolve(*layers: Layer) -> Config:
    """Later layers win, key by key. UsageError for an unknown key or a value of the wrong kind."""
    known = dict(_flat(defaults()[1]))
    values, came_from = dict(known), dict.fromkeys(known, "default")
    for source, layer in layers:
        for key, value in _flat(layer):
            _check_key(source, key, known)
            values[key] = _coerce(source, key, value, known.get(key, value))
            came_from[key] = source
    _check_values(values, came_from)
    return _build(values, came_from)


def _flat(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys. Free tables (components, builder.mirrors) stay whole: their keys are the project's own words."""
    for key, value in layer.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name in ("retry", "test", "ci", "lint", "builder"):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _check_key(source: str, key: str, known: Mapping[str, Any]) -> None:
    if key in known:
        return
    shown = f"{PREFIX}{key.replace('.', '_').upper()}" if source == "environment" else key
    near = nearest(key, known)
    raise UsageError(
        f"{source}: unknown setting {shown!r}", f"did you mean {near!r}?" if near else "see `buildlib config`"
    )


def _coerce(source: str, key: str, value: Any, like: Any) -> Any:
    """`value` as the kind that the default is; words from the environment and flags are read as such."""
    if isinstance(like, list) and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(like, int | float) and not isinstance(value, bool) and isinstance(value, str | int | float):
        with suppress(ValueError):  # said below, in our words
            value = type(like)(value)
    if isinstance(like, list):
        ok = isinstance(value, list) and all(isinstance(part, str | dict) for part in value)
    else:
        ok = type(value) is type(like)
    if not ok:
        kind = {"str": "a string", "list": "a list", "dict": "a table"}.get(type(like).__name__, "a number")
        raise UsageError(f"{source}: {key} = {value!r} is not {kind}")
    return value


def _check_values(values: Mapping[str, Any], came_from: Mapping[str, str]) -> None:
    if values["backend"] not in BACKENDS:
        cure = suggestion(values["backend"], BACKENDS)
        raise UsageError(f"{came_from['backend']}: unknown backend {values['backend']!r}", cure)
    if values["glibc"] and not re.fullmatch(r"2\.\d+", values["glibc"]):
        raise UsageError(f"{came_from['glibc']}: glibc = {values['glibc']!r} is not a version", "write it as 2.31")
    if values["retry.attempts"] < 1:
        raise UsageError(f"{came_from['retry.attempts']}: retry.attempts is {values['retry.attempts']}", "at least 1")
    if values["test.timeout"] <= 0:
        raise UsageError(
            f"{came_from['test.timeout']}: test.timeout is {values['test.timeout']}", "seconds, more than 0"
        )
    for word in values["arches"]:
        try:
            find(word)
        except UsageError as error:
            raise UsageError(f"{came_from['arches']}: {error.message}", error.cure) from None


def _build(values: dict[str, Any], came_from: dict[str, str]) -> Config:
    def table(name: str) -> dict[str, Any]:
        return {key.removeprefix(f"{name}."): value for key, value in values.items() if key.startswith(f"{name}.")}

    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if "." not in key}
    return Config(
        **plain,
        retry=Retry(**table("retry")),
        test=table("test"),
        ci=table("ci"),
        lint=table("lint"),
        builder=table("builder"),
        came_from=came_from,
        values=values,
    )
