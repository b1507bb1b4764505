"""Merge the layers of settings and check every value.

Defaults < Cargo.toml < buildlib.toml < environment < flags; `Config.origins` says which layer set a value. Whatever is wrong is one
UsageError that names the layer, the key, what was expected, and the nearest key.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from buildlib.core.errors import UsageError
from buildlib.core.settings import PREFIX, Config, declared, meta_of
from buildlib.core.targets import find_target, nearest, suggestion

# Not a setting: set for tests that run under emulation.
EMULATED = "BUILDLIB_EMULATED"

Layer = tuple[str, Mapping[str, Any]]  # (its name in messages, nested values)


def files(root: Path) -> list[Layer]:
    """The layers of a workspace's own files. UsageError for a file that cannot be read as TOML."""
    layers: list[Layer] = []
    manifest = _read(root / "Cargo.toml")
    for name in ("package", "workspace"):
        table = manifest.get(name)
        metadata = table.get("metadata") if isinstance(table, dict) else None
        if isinstance(metadata, dict) and "buildlib" in metadata:
            source = f"Cargo.toml [{name}.metadata.buildlib]"
            layers.append((source, _table(source, "", metadata["buildlib"])))
    if own := _read(root / "buildlib.toml"):
        layers.append(("buildlib.toml", own))
    return layers


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: {error}", "fix the file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def environment(env: Mapping[str, str]) -> Layer:
    """BUILDLIB_RETRY_ATTEMPTS=3 is {"retry.attempts": "3"}. UsageError for a variable that sets nothing."""
    keys = {setting.variable: key for key, setting in declared().items()}
    values: dict[str, Any] = {}
    for name, value in sorted(env.items()):
        if name.startswith(PREFIX) and name != EMULATED:
            if name not in keys:
                raise UsageError(f"environment: unknown setting {name!r}", _did_you_mean(name, keys))
            values[keys[name]] = value
    return "environment", values


def resolve(*layers: Layer) -> Config:
    """Merge the layers, later ones first, key by key. UsageError for an unknown key or a value of the wrong type."""
    values: dict[str, Any] = {}
    origins = dict.fromkeys(declared(), "default")
    for source, layer in layers:
        for key, value in _flatten(source, layer):
            values[key] = _value(source, key, value, declared()[key].type, textual=source in ("environment", "flag"))
            origins[key] = source
    nested: dict[str, Any] = {"origins": origins}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        (nested.setdefault(table, {}) if table else nested)[name] = value
    config = msgspec.convert(nested, Config)
    _check(config)
    return config


def check_components(config: Config, names: Mapping[str, Any]) -> None:
    """UsageError for a table in `components` that belongs to no binary of the workspace."""
    for name in config.components:
        if name not in names:
            raise UsageError(
                f"{config.origins['components']}: components has no {name!r}: no binary has that name", suggestion(name, names)
            )


def _flatten(source: str, layer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys. Tables with keys of the project's own (components, builder.mirrors) stay whole."""
    tables = {key.rpartition(".")[0] for key in declared()} - {""}
    for key, value in layer.items():
        if key in declared():
            yield key, value
        elif key in tables:
            for name, inner in _table(source, key, value).items():
                if f"{key}.{name}" not in declared():
                    raise _unknown(source, f"{key}.{name}")
                yield f"{key}.{name}", inner
        else:
            raise _unknown(source, key)


def _unknown(source: str, key: str) -> UsageError:
    return UsageError(f"{source}: unknown setting {key!r}", _did_you_mean(key, declared()))


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else "see `buildlib config`"


# --- values --------------------------------------------------------------------------------------------------------------------


def _value(source: str, key: str, value: Any, hint: Any, *, textual: bool = False) -> Any:
    """`value` if it has the declared type, tables and lists of tables key by key. `textual`: words are read as numbers and lists."""
    kind, inner = _kind(hint)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct(source, key, value, kind)
    if kind is dict and (inner_kind := _kind(inner[1])[0]) and isinstance(inner_kind, type) and issubclass(inner_kind, Struct):
        table = _table(source, key, value)
        return {name: _value(source, f"{key}.{name}", one, inner[1]) for name, one in table.items()}
    if kind is tuple and isinstance(inner[0], type) and issubclass(inner[0], Struct) and isinstance(value, list):
        return [_value(source, f"{key}[{number}]", one, inner[0]) for number, one in enumerate(value)]
    if textual and kind is tuple and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        msgspec.convert(value, hint, strict=not textual)
    except msgspec.ValidationError as error:
        raise _mismatch(source, key, value, hint, str(error)) from None
    return msgspec.convert(value, hint, strict=False) if textual else value


def _struct(source: str, key: str, value: Any, kind: type[Struct]) -> dict[str, Any]:
    table, fields = _table(source, key, value), {field.name: field for field in msgspec.structs.fields(kind)}
    for name in table:
        if name not in fields:
            raise UsageError(f"{source}: {key} has no {name!r}", suggestion(name, fields))
    for name, field in fields.items():
        if field.required and name not in table:
            raise UsageError(f"{source}: {key} has no {name!r}, which it needs", f"add {name} = …")
    hints = get_type_hints(kind, include_extras=True)
    return {name: _value(source, f"{key}.{name}", one, hints[name]) for name, one in table.items()}


def _table(source: str, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        where = f"{source}: {key} = {value!r}" if key else f"{source} = {value!r}"
        raise UsageError(f"{where}: expected a table")
    return value


def _kind(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type behind Annotated, without its parameters; and the parameters."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(bare) or bare, get_args(bare)


def _mismatch(source: str, key: str, value: Any, hint: Any, error: str) -> UsageError:
    kind, inner = _kind(hint)
    if kind is Literal and isinstance(value, str):
        return UsageError(f"{source}: unknown {key} {value!r} (expected {_listed(inner)})", suggestion(value, inner))
    meta = meta_of(hint)
    example = f" such as {toml(meta.examples[0])}" if meta.examples else ""
    # "Expected `int` >= 1 - at `$[0]`": msgspec's words for a limit are as good as any.
    limit = re.search(r"(?:>=|<=|>|<) [\d.]+", error)
    of_limit = f" {limit[0]}" if limit else ""
    return UsageError(f"{source}: {key} = {toml(value)}: expected {describe(hint)}{of_limit}{example}")


def describe(hint: Any) -> str:
    """A type in words: "a string", "a list of strings", "auto, zig, gcc or cross"."""
    kind, inner = _kind(hint)
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    if kind in names:
        return names[kind]
    if kind is Literal:
        return _listed(inner)
    if kind is tuple:
        return f"a list of {describe(inner[0]).partition(' ')[2]}s" if _kind(inner[0])[0] in names else "a list of tables"
    return "a table"


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def toml(value: Any) -> str:
    """A value as it is written in TOML, for messages and the documentation."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case dict():
            return "{ " + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + " }" if value else "{}"
        case list() | tuple():
            return f"[{', '.join(map(toml, value))}]"
    return str(value)


def _check(config: Config) -> None:
    """UsageError for values that have the right type and mean nothing."""
    for word in config.arches:
        _arch(config.origins["arches"], "arches", word)
    for name, component in config.components.items():
        where = config.origins["components"]
        for word in component.says:
            if word != "all" and _arch(where, f"components.{name}.says", word) != word:
                raise UsageError(f"{where}: components.{name}.says: {word!r}", f"write it as {find_target(word).name}")
        try:
            shlex.split(component.health)
        except ValueError as error:
            help_text = "write it as a shell would read it"
            raise UsageError(f"{where}: components.{name}.health: {error}", help_text) from None


def _arch(source: str, key: str, word: str) -> str:
    try:
        return find_target(word).name
    except UsageError as error:
        raise UsageError(f"{source}: {key}: {error.message}", error.help) from None
