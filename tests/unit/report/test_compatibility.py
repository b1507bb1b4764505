"""What programs and projects depend on: settings with their defaults, the keys of every result, and exit codes.

before.json was captured from 0.1.0 as it was before its modules became packages. Keys may be added; what is there must stay, apart
from RENAMED. A type is "string", "integer|null", [element], {key: value}, {"*": value} for any keys, or "any".
"""

import json
from pathlib import Path

import pytest

from buildlib.core import errors
from buildlib.core.settings import declared
from buildlib.report.schemas import schemas

BEFORE = json.loads(Path(__file__).with_name("before.json").read_text(encoding="utf-8"))
RENAMED = {"cure": "help", "cures": "help"}
RENAMED_CLASSES = {"Lacking": "MissingRequirements"}


def shape(schema, definitions):
    """A JSON schema in the notation of before.json."""
    if "$ref" in schema:
        return shape(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
    if schema.get("type") == "array":
        return [shape(schema["items"], definitions)]
    if schema.get("type") == "object":
        keys = schema.get("properties", {})
        if "additionalProperties" in schema or not keys:  # a map, perhaps with keys of its own
            keys = keys | {"*": schema.get("additionalProperties", {})}
        return {key: shape(value, definitions) for key, value in keys.items()}
    if "anyOf" in schema:
        return "|".join(shape(option, definitions) for option in schema["anyOf"])
    return "string" if "enum" in schema else schema.get("type", "any")


def incompatible(before, now, path=""):
    """Every place where a reader of `before` cannot read `now`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key, value in before.items():
            name = RENAMED.get(key, key)
            if name not in now:
                yield f"{path}.{name}: missing"
            else:
                yield from incompatible(value, now[name], f"{path}.{name}")
    elif isinstance(before, list) and isinstance(now, list):
        yield from incompatible(before[0], now[0], f"{path}[]")
    elif before != now:
        yield f"{path}: {now}, expected {before}"


@pytest.mark.parametrize("name", BEFORE["results"])
def test_results_keep_their_keys_and_types(name):
    schema = schemas()[name]
    assert list(incompatible(BEFORE["results"][name], shape(schema, schema["$defs"]))) == []


def test_a_lost_key_and_a_changed_type_are_incompatible():
    before = [{"a": "string", "cures": ["string"], "b": {"*": "number"}}]
    assert list(incompatible(before, [{"a": "string", "help": ["string"], "b": {"*": "number"}, "new": "any"}])) == []
    assert list(incompatible(before, [{"a": "string|null", "help": "string"}])) == [
        "[].a: string|null, expected string", "[].help: string, expected ['string']", "[].b: missing",
    ]  # fmt: skip


def test_settings_keep_their_keys_and_defaults():
    now = {key: setting.default for key, setting in declared().items()}
    assert {key: now.get(key, "missing") for key in BEFORE["settings"]} == BEFORE["settings"]


def test_settings_keep_their_environment_variables():
    expected = {key: f"BUILDLIB_{key.replace('.', '_').upper()}" for key in BEFORE["settings"]}
    assert {key: declared()[key].variable for key in BEFORE["settings"]} == expected


def test_errors_keep_their_exit_codes():
    names = {RENAMED_CLASSES.get(name, name): code for name, code in BEFORE["exit_codes"].items()}
    classes = [errors.BuildError, *errors.BuildError.__subclasses__()]
    now = {error.__name__: error.code for error in classes if error.__module__ == errors.__name__}
    assert now == names | {"InternalError": 70}
