"""Merge the layers of settings.

Defaults < Cargo.toml < buildlib.toml < environment < flags; `Config.origins` says which layer set a value. Whatever is wrong is one
UsageError that names the layer, the key, what was expected, and the nearest key.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from buildlib.core import values
from buildlib.core.component_settings import Component
from buildlib.core.errors import UsageError
from buildlib.core.image_settings import Image, secret
from buildlib.core.settings import PREFIX, Config, declared
from buildlib.core.targets import find_target, nearest, suggestion
from buildlib.core.values import ENVIRONMENT

# Not a setting: set for tests that run under emulation.
EMULATED = "BUILDLIB_EMULATED"
FLAG = "flag"  # the name of that layer in messages
OWN_SETTINGS = "buildlib.toml"  # the file that has nothing else

Layer = tuple[str, Mapping[str, Any]]  # (its name in messages, nested values)


def files(root: Path) -> list[Layer]:
    """The layers of a workspace's own files. UsageError for a file that cannot be read as TOML."""
    layers: list[Layer] = []
    manifest = _read(root / "Cargo.toml")
    for name in ("package", "workspace"):
        section = manifest.get(name)
        metadata = section.get("metadata") if isinstance(section, dict) else None
        if isinstance(metadata, dict) and "buildlib" in metadata:
            source = f"Cargo.toml [{name}.metadata.buildlib]"
            layers.append((source, values.table(source, "", metadata["buildlib"])))
    if own := _read(root / OWN_SETTINGS):
        layers.append((OWN_SETTINGS, own))
    return layers


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # cargo too allows a byte order mark
    except FileNotFoundError:
        return {}
    except (
        ValueError,
        RecursionError,
    ) as error:  # not TOML, not UTF-8, an integer of more than 4300 digits; nested too deeply
        raise UsageError(f"{path}: {error}", "fix the file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def environment(env: Mapping[str, str]) -> Layer:
    """The layer of the environment: BUILDLIB_RETRY_ATTEMPTS=3 is {"retry.attempts": "3"}.

    UsageError for a variable with the prefix that is no setting's, and for a value that is not UTF-8.
    """
    keys = {setting.variable: key for key, setting in declared().items()}
    layer: dict[str, Any] = {}
    for name, value in sorted(env.items()):
        if name.startswith(PREFIX) and name != EMULATED:
            if name not in keys:
                raise UsageError(f"{ENVIRONMENT}: unknown setting {name!r}", _did_you_mean_variable(name))
            if not _is_unicode(value):
                raise UsageError(f"{ENVIRONMENT}: {name}: the value is not valid UTF-8")
            layer[keys[name]] = value
    return ENVIRONMENT, layer


def _is_unicode(text: str) -> bool:
    # os.environ has the other bytes as unpaired surrogates, which no file and no terminal can be given.
    return not any("\ud800" <= char <= "\udfff" for char in text)


def resolve(*layers: Layer) -> Config:
    """Merge the layers, later ones first, key by key. UsageError for an unknown key or a value of the wrong type."""
    nested: dict[str, Any] = {}
    origins = dict.fromkeys(declared(), "default")
    for source, layer in layers:
        for key, value in _flatten(source, layer):
            section, _, name = key.rpartition(".")
            converted = values.convert(source, key, value, declared()[key].type, textual=source in (ENVIRONMENT, FLAG))
            (nested.setdefault(section, {}) if section else nested)[name] = converted
            origins[key] = source
    config = msgspec.convert({**nested, "origins": origins}, Config)
    _check(config)
    return config


def check_components(config: Config, names: Collection[str]) -> None:
    """UsageError for a table in `components` that belongs to none of `names`, the binaries of the workspace, or an image's name.

    Both are components, so that two of one name could not be told apart.
    """
    for name in config.images:
        if name in names:
            source = config.origins["images"]
            raise UsageError(
                f"{source}: images.{name} has the name of a binary of the workspace", "give it another name"
            )
    for name in config.components:
        if name not in names:
            source = config.origins["components"]
            help_text = suggestion(name, names) if names else "remove the table, or add the binary"
            raise UsageError(f"{source}: components has no {name!r}: no binary has that name", help_text)


def _flatten(source: str, layer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values. Tables with keys of the project's own (components, builder.mirrors) stay whole."""
    sections = {key.rpartition(".")[0] for key in declared()} - {""}
    for key, value in layer.items():
        if key in declared():
            yield key, value
        elif key in sections:
            for name, inner in values.table(source, key, value).items():
                if f"{key}.{name}" not in declared():
                    raise _unknown(source, f"{key}.{name}")
                yield f"{key}.{name}", inner
        else:
            raise _unknown(source, key)


def _unknown(source: str, key: str) -> UsageError:
    return UsageError(f"{source}: unknown setting {key!r}", _did_you_mean(key, declared()))


def _did_you_mean(word: str, known: Collection[str]) -> str:
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else "see `buildlib config`"


def _did_you_mean_variable(name: str) -> str:
    """As `_did_you_mean`. The common prefix is left out: it makes all variables similar."""
    near = nearest(
        name.removeprefix(PREFIX).upper(), [one.variable.removeprefix(PREFIX) for one in declared().values()]
    )
    return f"did you mean {f'{PREFIX}{near}'!r}?" if near else "see `buildlib config`"


def _check(config: Config) -> None:
    """UsageError for values of the right type that name nothing."""
    for word in config.arches:
        _arch(config.origins["arches"], "arches", word)
    _check_keys(config.origins["cpu"], "cpu", config.cpu)
    _check_keys(config.origins["ci.times"], "ci.times", config.ci.times)
    for word in config.ci.runners:
        _arch(config.origins["ci.runners"], "ci.runners", word)
    for number, node in enumerate(config.builder.nodes):
        for word in node.arches:
            _arch(config.origins["builder.nodes"], f"builder.nodes[{number}].arches", word)
    for table, entries in (("components", config.components), ("images", config.images)):
        source = config.origins[table]
        for name, entry in entries.items():
            _check_run(source, values.join(table, name), entry)
    for name, image in config.images.items():
        source, key = config.origins["images"], values.join("images", name)
        for word in image.platforms:
            _arch(source, f"{key}.platforms", word)
        for text in image.secrets:
            try:
                secret(text)
            except UsageError as error:
                raise UsageError(f"{source}: {key}.secrets: {error.message}", error.help) from None


def _check_run(source: str, key: str, entry: Component | Image) -> None:
    """UsageError for texts of an arch that does not exist, or a health check with an open quote."""
    _check_keys(source, f"{key}.says", (word for word in entry.says if word != "all"))
    try:
        shlex.split(entry.health)
    except ValueError as error:
        message = f"{source}: {key}.health = {values.toml(entry.health)}: {error}"
        raise UsageError(message, "write it as for a shell: close every quote") from None


def _check_keys(source: str, key: str, names: Iterable[str]) -> None:
    """UsageError for a key of a table that is looked up by the name of the target, and is spelled in another way."""
    for word in names:
        if (name := _arch(source, key, word)) != word:
            raise UsageError(f"{source}: {key}: {word!r}", f"write it as {name}")


def _arch(source: str, key: str, word: str) -> str:
    """The name of the target. UsageError that names the setting for an unknown one."""
    try:
        return find_target(word).name
    except UsageError as error:
        raise UsageError(f"{source}: {key}: {error.message}", error.help) from None
