"""Generate docs/schemas/ from the types of the results, and docs/settings.md from the declared settings.

Run `python -m buildlib.report.schemas` after a change of a result or a setting; a unit test fails while the files are stale.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct

from buildlib.core.builder_settings import Node
from buildlib.core.component_settings import Component
from buildlib.core.image_settings import Image
from buildlib.core.settings import Setting, Settings, declared, default_of, meta_of
from buildlib.core.values import describe, toml
from buildlib.report.reply import ReplyData
from buildlib.report.results import MAPS, RESULTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Results whose command is not just `buildlib NAME --json`.
TITLES = {
    "image-check-bases": "buildlib image --check-bases --json",
    "doctor-network": "buildlib doctor --network --json",
    "explain": "buildlib explain --json, each line",
    "failure": "any command with --json that fails without a result",
    "lint": "buildlib lint --format json",
    "lint-json": "buildlib lint --json",
    "manifest": "dist/manifest.json",
}
SECTION = "workspace.metadata.buildlib"
SETTINGS_PAGE = Path("docs", "settings.md")
SCHEMAS = Path("docs", "schemas")


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every result, by the name of its command; each refers to nothing outside of itself."""
    return {
        name: {"$schema": DIALECT, "title": TITLES.get(name, f"buildlib {name} --json"), **_schema(name, result)}
        for name, result in RESULTS.items()
    }


def _schema(name: str, result: Any) -> dict[str, Any]:
    """Return the schema of a result. That of a map has the keys of every result, too, which no type of Python can say."""
    schema = msgspec.json.schema(result)
    if name in MAPS:
        common = msgspec.json.schema(ReplyData)
        keys = common["$defs"].pop(ReplyData.__name__)
        schema |= {word: keys[word] for word in ("properties", "required")}
        schema["$defs"] |= common["$defs"]
    return schema


def write(root: Path) -> None:
    """Write docs/settings.md and docs/schemas/*.json in `root`, and remove schemas without a result."""
    folder = root / SCHEMAS
    folder.mkdir(parents=True, exist_ok=True)
    current = {folder / f"{name}.json": schema for name, schema in schemas().items()}
    for path, schema in current.items():
        path.write_text(schema_text(schema), encoding="utf-8")
    for path in folder.glob("*.json"):
        if path not in current:
            path.unlink()
    (root / SETTINGS_PAGE).write_text(settings_page(), encoding="utf-8")


def schema_text(schema: Mapping[str, Any]) -> str:
    """Return a schema as its file contains it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


# --- docs/settings.md ---------------------------------------------------------------------------------------------------------


INTRODUCTION = """\
# Settings

<!-- Generated from buildlib/core/*settings.py by `python -m buildlib.report.schemas`. -->

Every setting has a default, and a project sets only what differs. There are five layers; a value in a later layer replaces the
value of an earlier one, key by key:

1. the defaults, which are listed below;
2. `Cargo.toml`, in the table `[workspace.metadata.buildlib]` or `[package.metadata.buildlib]`;
3. `buildlib.toml` beside it, with the same keys at the top level;
4. environment variables, `BUILDLIB_*`;
5. flags of the command.

`buildlib config` prints every setting, its value, and the layer that set it. An unknown key or a value of the wrong type is an
error with exit code 2 that names the layer, the key and the nearest known key. A list in an environment variable or a flag is
separated by commas; a table or a list of tables in a variable is TOML or JSON on one line, as in
`BUILDLIB_BUILDER_MIRRORS='{"docker.io" = ["mirror.acme.test"]}'`.
"""
HEAD = ("key", "type", "default", "variable", "flag", "description")
FIELD_HEAD = ("key", "type", "default", "description")


def settings_page() -> str:
    """Return docs/settings.md."""
    sections = [INTRODUCTION, _section("General", "", _settings_of(""))]
    for name, table in _tables().items():
        sections.append(_section(f"`[{name}]`", table.__doc__ or "", _settings_of(name)))
        if name == "builder":
            sections.append(_fields("`[[builder.nodes]]`", Node))
    sections += [_fields("`[components.NAME]`", Component), _fields("`[images.NAME]`", Image), _example()]
    return "\n".join(sections)


def _tables() -> dict[str, type[Struct]]:
    """Return the tables of settings by name, in the order of their declaration."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: hint for name, hint in hints.items() if isinstance(hint, type) and issubclass(hint, Struct)}


def _settings_of(table: str) -> list[Setting]:
    return [setting for key, setting in declared().items() if key.rpartition(".")[0] == table]


def _section(title: str, introduction: str, settings: Iterable[Setting]) -> str:
    rows = []
    for setting in settings:
        flag = f"`{setting.flag}`" if setting.flag else ""
        rows.append((
            f"`{setting.key}`", describe(setting.type), f"`{toml(setting.default)}`", f"`{setting.variable}`", flag,
            setting.description,
        ))  # fmt: skip
    return _markdown(title, introduction, HEAD, rows)


def _fields(title: str, table: type[Struct]) -> str:
    """Return a section for a table whose name the project chooses, or of which there are several."""
    hints = get_type_hints(table, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(table):
        default = "required" if field.required else f"`{toml(default_of(field))}`"
        hint = hints[field.name]
        rows.append((f"`{field.encode_name}`", describe(hint), default, meta_of(hint).description or ""))
    return _markdown(title, table.__doc__ or "", FIELD_HEAD, rows)


def _markdown(title: str, introduction: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"## {title}", "", *((introduction, "") if introduction else ())]
    for row in (head, ("---",) * len(head), *rows):
        cells = (cell.replace("|", "\\|").replace("<", "\\<") for cell in row)  # Markdown would read a tag
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _example() -> str:
    """Return every setting in TOML, as for a workspace that sets them all."""
    return "\n".join(("## Example", "", "```toml", *_example_lines(), "```", ""))


def _example_lines() -> Iterator[str]:
    yield f"[{SECTION}]"
    yield from _assignments(setting for setting in _settings_of("") if setting.key not in ("components", "images"))
    for name in _tables():
        yield from ("", f"[{SECTION}.{name}]", *_assignments(_settings_of(name)))
    yield from ("", f"[{SECTION}.components.mqtt-server]", *_assignments(declared(Component).values()))
    yield from ("", f"[{SECTION}.images.redis]", *_assignments(declared(Image).values()))


def _assignments(settings: Iterable[Setting]) -> Iterator[str]:
    for setting in settings:
        value = setting.default if setting.example is None else setting.example
        yield f"{setting.key.rpartition('.')[2]} = {toml(value)}"


if __name__ == "__main__":
    write(Path(__file__).parents[2])
