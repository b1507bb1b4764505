"""The declarations of settings, and their values as TOML."""

import subprocess
import sys
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.layers import resolve
from buildlib.core.settings import declared, help_text
from buildlib.core.values import convert, describe, toml

SETTINGS = declared()


def test_the_keys_and_variables_are_the_contract():
    assert tuple(SETTINGS) == (
        "arches", "backend", "glibc", "cpu", "trim_paths", "sbom", "embed_sbom", "provenance", "page_size", "profile", "features",
        "libraries",
        "suite", "mirror", "target_dir", "dist", "engine", "registry", "retry.attempts", "retry.delay", "retry.max_delay",
        "retry.total", "test.runner", "test.timeout", "ci.runner", "ci.runners", "ci.times", "ci.keyless", "lint.severity",
        "lint.exclude", "lint.baseline", "builder.name", "builder.network", "builder.image", "builder.mirrors",
        "builder.nodes", "builder.compiler", "builder.cache", "builder.emulated_compilers", "builder.emulation_limit",
        "cache.compiler", "cache.read_only", "signing.key", "signing.attest", "signing.require", "components", "images",
    )  # fmt: skip
    assert SETTINGS["retry.max_delay"].variable == "BUILDLIB_RETRY_MAX_DELAY"
    assert len({setting.variable for setting in SETTINGS.values()}) == len(SETTINGS)


@pytest.mark.parametrize("key", SETTINGS)
def test_each_setting_is_described_and_its_default_and_example_are_valid(key):
    setting = SETTINGS[key]
    assert setting.description and not setting.description.endswith(".")
    table, _, name = key.rpartition(".")
    for value in (setting.default, setting.example):
        if value is not None:
            resolve(("f", {table: {name: value}} if table else {name: value}))
            assert tomllib.loads(f"x = {toml(value)}") == {"x": value}


def test_the_help_of_a_flag():
    assert help_text("profile") == "cargo profile; default: release [env: BUILDLIB_PROFILE]"
    assert help_text("features") == "cargo features [env: BUILDLIB_FEATURES]"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("arches", "a list of strings"),
        ("backend", "auto, zig, gcc or cross"),
        ("glibc", "a glibc version"),
        ("profile", "a non-empty string"),
        ("registry", "a string"),
        ("retry.attempts", "an integer of at least 1"),
        ("test.timeout", "a number greater than 0"),
        ("builder.nodes", "a list of tables"),
        ("components", "a table"),
    ],
)
def test_a_type_in_words(key, words):
    assert describe(SETTINGS[key].type) == words


@pytest.mark.parametrize(
    ("hint", "words"), [(bool, "true or false"), (str | int | bool, "a string, an integer or true or false")]
)
def test_a_plain_type_in_words(hint, words):
    assert describe(hint) == words


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10)


@given(VALUES)
def test_a_value_as_toml_is_read_as_the_same_value(value):
    assert tomllib.loads(f"x = {toml(value, depth=50)}") == {"x": value}


@given(st.integers())
def test_a_large_integer_as_toml_is_read_as_the_same_value(value):
    assert int(toml(value), 0) == int(toml(value << 200), 0) >> 200 == value


def test_a_converted_value_has_the_declared_type():
    assert convert("f", "retry.delay", 2, SETTINGS["retry.delay"].type) == 2.0
    assert isinstance(convert("f", "retry.delay", 2, SETTINGS["retry.delay"].type), float)
    assert msgspec.to_builtins(resolve(("f", {"retry": {"delay": 2}})).retry)["delay"] == 2.0


@pytest.mark.processes
def test_importing_core_loads_no_slow_module():
    """`buildlib --help` and every `cargo` wrapper import core: it may load msgspec, and nothing that takes longer."""
    program = (
        "import sys; before = set(sys.modules); import buildlib.core.layers, buildlib.core.plan, buildlib.core.requirements;"
        "buildlib.core.settings.declared(); print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    loaded = set(done.stdout.split())
    assert "msgspec" in loaded, done.stderr
    slow = {
        "asyncio",
        "docker",
        "requests",
        "urllib3",
        "rich",
        "invoke",
        "nox",
        "tenacity",
        "elftools",
        "subprocess",
        "socket",
    }
    assert loaded & slow == set()
    assert loaded & {"difflib", "logging", "platformdirs", "http", "email"} == set()
