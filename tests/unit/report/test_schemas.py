"""docs/settings.md and docs/schemas/ are what the declarations and types say now."""

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from buildlib.core.builder_settings import Node
from buildlib.core.component_settings import Component
from buildlib.core.image_settings import Image
from buildlib.core.layers import files, resolve
from buildlib.core.settings import declared
from buildlib.report.results import RESULTS
from buildlib.report.schemas import DIALECT, SCHEMAS, SETTINGS_PAGE, schema_text, schemas, settings_page, write

ROOT = Path(__file__).parents[3]
STALE = "run `python -m buildlib.report.schemas`"


def test_every_schema_file_is_current():
    current = {f"{name}.json": schema_text(schema) for name, schema in schemas().items()}
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / SCHEMAS).iterdir()}
    assert on_disk == current, STALE


def test_the_settings_page_is_current():
    assert (ROOT / SETTINGS_PAGE).read_text(encoding="utf-8") == settings_page(), STALE


def references(data):
    if isinstance(data, dict):
        for key, value in data.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(data, list):
        for value in data:
            yield from references(value)


@pytest.mark.parametrize("name", RESULTS)
def test_a_schema_is_one_document(name):
    schema = schemas()[name]
    assert schema["$schema"] == DIALECT and schema["title"]
    assert set(references(schema)) == {f"#/$defs/{definition}" for definition in schema["$defs"]}


def test_titles_are_the_commands():
    titles = {name: schema["title"] for name, schema in schemas().items()}
    assert (titles["build"], titles["lint"], titles["manifest"]) == (
        "buildlib build --json", "buildlib lint --format json", "dist/manifest.json",
    )  # fmt: skip


def test_write_replaces_all_files_and_removes_schemas_without_a_result(tmp_path):
    (tmp_path / SCHEMAS).mkdir(parents=True)
    (tmp_path / SCHEMAS / "old.json").write_text("{}")
    (tmp_path / SCHEMAS / "build.json").write_text("{}")
    write(tmp_path)
    assert {path.stem for path in (tmp_path / SCHEMAS).iterdir()} == RESULTS.keys()
    assert json.loads((tmp_path / SCHEMAS / "build.json").read_text()) == schemas()["build"]
    assert (tmp_path / SETTINGS_PAGE).read_text() == settings_page()


# --- docs/settings.md ---------------------------------------------------------------------------------------------------------


def cells(line):
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_page_has_a_row_for_every_setting_and_every_key_of_a_table():
    rows = [cells(line) for line in settings_page().splitlines() if line.startswith("| `")]
    fields = [field.encode_name for table in (Node, Component, Image) for field in msgspec.structs.fields(table)]
    assert sorted(row[0].strip("`") for row in rows) == sorted([*declared(), *fields])


def test_a_row_has_the_type_in_words_the_default_the_variable_and_the_flag():
    rows = {row[0]: row for row in (cells(line) for line in settings_page().splitlines() if line.startswith("| `"))}
    assert rows["`backend`"][:5] == [
        "`backend`", "auto, zig, gcc or cross", '`"auto"`', "`BUILDLIB_BACKEND`", "`build --backend`",
    ]  # fmt: skip
    assert rows["`ci.runners`"][:5] == ["`ci.runners`", "a table", "`{}`", "`BUILDLIB_CI_RUNNERS`", ""]
    assert rows["`endpoint`"][:3] == ["`endpoint`", "a non-empty string", "required"]


def test_every_setting_of_the_example_is_valid(tmp_path):
    _, _, rest = settings_page().partition("```toml\n")
    example = rest.partition("```")[0]
    (tmp_path / "Cargo.toml").write_text(example)
    config = resolve(*files(tmp_path))
    assert {key for key, source in config.origins.items() if source == "default"} == set()
    tables = tomllib.loads(example)["workspace"]["metadata"]["buildlib"]
    assert tables["components"]["mqtt-server"].keys() == set(Component.__struct_encode_fields__)
    assert tables["images"]["redis"].keys() == set(Image.__struct_encode_fields__)
