"""Merging the layers of settings, and the message for every kind of wrong setting."""

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.builder_settings import Node
from buildlib.core.component_settings import Component
from buildlib.core.errors import UsageError
from buildlib.core.layers import check_components, environment, files, resolve
from buildlib.core.settings import Config, Retry, declared, flat


def refused(*layers):
    """The message and the help of the one UsageError."""
    with pytest.raises(UsageError) as caught:
        resolve(*layers)
    assert caught.value.code == 2
    return caught.value.message, caught.value.help


def changed(config):
    """The settings that a layer has set, and the name of the layer."""
    return {key: source for key, source in config.origins.items() if source != "default"}


def nested(kind, levels):
    """A list of lists, or a table of tables."""
    value = kind()
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


# --- valid settings -----------------------------------------------------------------------------------------------------------


def test_the_defaults():
    config = resolve()
    assert config.arches == ("amd64", "arm64", "armv7", "riscv64")
    assert (config.backend, config.glibc, config.profile, config.dist) == ("auto", "", "release", "dist")
    assert config.retry == Retry(attempts=10, delay=1.0, max_delay=30.0, total=600.0)
    assert config.origins == dict.fromkeys(declared(), "default")
    assert flat(config) == {key: setting.default for key, setting in declared().items()}


def test_later_layers_win_and_each_value_has_the_origin_of_its_layer():
    config = resolve(
        ("Cargo.toml", {"arches": ["arm64"], "retry": {"attempts": 3}, "glibc": "2.28"}),
        environment(
            {"BUILDLIB_GLIBC": "2.31", "BUILDLIB_ARCHES": "arm64, armv7", "BUILDLIB_RETRY_DELAY": "2", "HOME": "/h"}
        ),
        ("flag", {"backend": "gcc"}),
    )
    assert (config.arches, config.glibc, config.backend) == (("arm64", "armv7"), "2.31", "gcc")
    assert (config.retry.attempts, config.retry.delay) == (3, 2.0)
    assert changed(config) == {
        "arches": "environment", "glibc": "environment", "retry.delay": "environment",
        "retry.attempts": "Cargo.toml", "backend": "flag",
    }  # fmt: skip


def test_the_environment_has_numbers_and_lists_as_words():
    config = resolve(
        environment(
            {
                "BUILDLIB_ARCHES": "arm64,,armv7, ",
                "BUILDLIB_FEATURES": "",
                "BUILDLIB_RETRY_ATTEMPTS": " 3 ",
                "BUILDLIB_RETRY_TOTAL": "1e3",
                "BUILDLIB_TEST_TIMEOUT": "0.5",
                "BUILDLIB_TEST_RUNNER": "nextest",
                "BUILDLIB_LINT_EXCLUDE": "a/*,b/*",
                "BUILDLIB_PROFILE": "3",
                "BUILDLIB_TARGET_DIR": " with blanks ",
                "BUILDLIB_EMULATED": "arm64",
            }
        )
    )
    keys = ("arches", "features", "retry.attempts", "retry.total", "test.timeout", "test.runner", "lint.exclude")
    values = flat(config)
    assert {key: values[key] for key in (*keys, "profile", "target_dir")} == {
        "arches": ["arm64", "armv7"], "features": [], "retry.attempts": 3, "retry.total": 1000.0, "test.timeout": 0.5,
        "test.runner": "nextest", "lint.exclude": ["a/*", "b/*"], "profile": "3", "target_dir": " with blanks ",
    }  # fmt: skip
    assert changed(config) == dict.fromkeys((*keys, "profile", "target_dir"), "environment")


def test_flags_have_words_and_values():
    config = resolve(("flag", {"features": "a,b", "arches": ("arm64",), "retry": {"attempts": "2"}}))
    assert (config.features, config.arches, config.retry.attempts) == (("a", "b"), ("arm64",), 2)


def test_the_example_in_the_documentation_is_read(tmp_path):
    (tmp_path / "Cargo.toml").write_text("""
[workspace.metadata.buildlib]
arches = ["amd64", "arm64", "armv7", "riscv64"]
registry = "ghcr.io/acme"
[workspace.metadata.buildlib.retry]
attempts = 10
delay = 1
max_delay = 30.0
total = 600.0
[workspace.metadata.buildlib.builder]
name = "multiarch-builder"
network = "host"
mirrors = { "docker.io" = ["mirror.acme.test"], "quay.io" = "other.acme.test" }
nodes = [{ endpoint = "ssh://user@host", arches = ["aarch64"] }]
[workspace.metadata.buildlib.components.placement-center]
ports = [1228]
env = { LISTEN = "0.0.0.0:1228", THREADS = 4, RATIO = 0.5, DEBUG = true }
says = { all = ["listening"], arm64 = ["path=neon"] }
health = "placement-center --health 'a b'"
volumes = ["/var/lib/app"]
""")
    config = resolve(*files(tmp_path))
    assert config.registry == "ghcr.io/acme"
    assert config.retry == Retry()
    assert config.builder.hosts() == {"docker.io": ("mirror.acme.test",), "quay.io": ("other.acme.test",)}
    assert config.builder.nodes == (Node(endpoint="ssh://user@host", arches=("aarch64",)),)
    assert config.components == {
        "placement-center": Component(
            ports=(1228,),
            env={"LISTEN": "0.0.0.0:1228", "THREADS": 4, "RATIO": 0.5, "DEBUG": True},
            says={"all": ("listening",), "arm64": ("path=neon",)},
            health="placement-center --health 'a b'",
            volumes=("/var/lib/app",),
        )
    }
    assert [type(value) for value in config.components["placement-center"].env.values()] == [str, int, float, bool]
    assert set(changed(config).values()) == {"Cargo.toml [workspace.metadata.buildlib]"}


def test_the_files_are_layers_in_this_order(tmp_path):
    (tmp_path / "Cargo.toml").write_text("""
[package.metadata.buildlib]
profile = "a"
dist = "a"
glibc = "2.28"
[workspace.metadata.buildlib]
profile = "b"
dist = "b"
""")
    (tmp_path / "buildlib.toml").write_text('profile = "c"\n')
    assert changed(resolve(*files(tmp_path))) == {
        "profile": "buildlib.toml",
        "dist": "Cargo.toml [workspace.metadata.buildlib]",
        "glibc": "Cargo.toml [package.metadata.buildlib]",
    }


@pytest.mark.parametrize("text", ["", "package = 1\n", "workspace = []\n", "[package]\nmetadata = 1\n"])
def test_a_manifest_without_the_table_has_no_layer(tmp_path, text):
    (tmp_path / "Cargo.toml").write_text(text)
    assert files(tmp_path) == files(tmp_path / "absent") == []


# --- wrong keys ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "message", "help_text"),
    [
        (("buildlib.toml", {"archs": ["arm64"]}), "buildlib.toml: unknown setting 'archs'", "did you mean 'arches'?"),
        (
            ("Cargo.toml", {"retry": {"attempt": 1}}),
            "Cargo.toml: unknown setting 'retry.attempt'",
            "did you mean 'retry.attempts'?",
        ),
        (("Cargo.toml", {"x\ny": 1}), r"Cargo.toml: unknown setting 'x\ny'", "see `buildlib config`"),
        (("f", {"origins": {}}), "f: unknown setting 'origins'", "see `buildlib config`"),
        (("f", {"components": {"a": {"prots": [1]}}}), "f: components.a has no 'prots'", "did you mean 'ports'?"),
        (
            ("f", {"components": {"a": {"x": nested(dict, 3000)}}}),
            "f: components.a has no 'x'",
            "one of: base program ports health env volumes files command user workdir labels says",
        ),
        (
            ("f", {"builder": {"nodes": [{"endpoint": "x", "arches": ["arm64"], "arch": 1}]}}),
            "f: builder.nodes[0] has no 'arch'",
            "did you mean 'arches'?",
        ),
        (
            ("f", {"builder": {"nodes": [{"arches": ["arm64"]}]}}),
            "f: builder.nodes[0]: missing key 'endpoint'",
            'add endpoint = "ssh://user@host"',
        ),
        (
            ("f", {"builder": {"nodes": [{"endpoint": "ssh://a"}]}}),
            "f: builder.nodes[0]: missing key 'arches'",
            'add arches = ["arm64"]',
        ),
    ],
)
def test_an_unknown_key_names_its_layer_and_the_nearest_key(layer, message, help_text):
    assert refused(layer) == (message, help_text)


@pytest.mark.parametrize(
    ("name", "help_text"),
    [
        ("BUILDLIB_BACKED", "did you mean 'BUILDLIB_BACKEND'?"),
        ("BUILDLIB_RETRY_ATTEMPT", "did you mean 'BUILDLIB_RETRY_ATTEMPTS'?"),
        ("BUILDLIB_glibc", "did you mean 'BUILDLIB_GLIBC'?"),
        ("BUILDLIB_FOO", "see `buildlib config`"),  # the common prefix alone makes no two names similar
        ("BUILDLIB_XYZZY_PLUGH_QUUX", "see `buildlib config`"),
    ],
)
def test_an_unknown_variable_of_the_environment(name, help_text):
    with pytest.raises(UsageError) as caught:
        environment({name: "1"})
    assert (caught.value.message, caught.value.help) == (f"environment: unknown setting {name!r}", help_text)


def test_a_table_for_a_component_that_the_workspace_does_not_have():
    config = resolve(("buildlib.toml", {"components": {"mqtt-servr": {"ports": [1]}, "cli": {}}}))
    check_components(config, ("mqtt-servr", "cli"))
    with pytest.raises(UsageError) as caught:
        check_components(config, ("mqtt-server", "cli"))
    message = "buildlib.toml: components has no 'mqtt-servr': no binary has that name"
    assert (caught.value.message, caught.value.help) == (message, "did you mean 'mqtt-server'?")
    with pytest.raises(UsageError) as caught:
        check_components(config, ())
    assert (caught.value.message, caught.value.help) == (message, "remove the table, or add the binary")
    check_components(resolve(), ())


# --- wrong values -------------------------------------------------------------------------------------------------------------

PATH = "expected an absolute path of letters, digits, `.`, `_` and `-`, without `..`"
OR_FOLDER = "; a directory with `/` at the end"
SOURCE = "expected a path in the workspace of letters, digits, `.`, `_` and `-`, without `..`"
USER = 'expected UID or UID:GID, as numbers such as "10001:10001"'
ENV = "expected a line of text, a number or true or false"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"arches": 3}, "f: arches = 3: expected a list of strings"),
        ({"arches": "arm64"}, 'f: arches = "arm64": expected a list of strings'),
        ({"arches": [{"a": 1}]}, "f: arches[0] = { a = 1 }: expected a string"),
        ({"arches": ["arm64", True]}, "f: arches[1] = true: expected a string"),
        ({"profile": ""}, 'f: profile = "": expected a non-empty string'),
        ({"profile": datetime.date(1979, 5, 27)}, "f: profile = 1979-05-27: expected a non-empty string"),
        ({"profile": {"x y": '"\x1b'}}, 'f: profile = { "x y" = "\\"\\u001b" }: expected a non-empty string'),
        ({"backend": 3}, "f: backend = 3: expected auto, zig, gcc or cross"),
        ({"glibc": "2"}, 'f: glibc = "2": expected a glibc version such as "2.31"'),
        ({"glibc": "2.31\n"}, 'f: glibc = "2.31\\n": expected a glibc version such as "2.31"'),
        ({"glibc": "2.٣١"}, 'f: glibc = "2.٣١": expected a glibc version such as "2.31"'),
        ({"retry": 3}, "f: retry = 3: expected a table"),
        ({"retry": [{"attempts": 3}]}, "f: retry = [{ attempts = 3 }]: expected a table"),
        ({"retry": {"attempts": "many"}}, 'f: retry.attempts = "many": expected an integer of at least 1'),
        ({"retry": {"attempts": "3"}}, 'f: retry.attempts = "3": expected an integer of at least 1'),
        ({"retry": {"attempts": 0}}, "f: retry.attempts = 0: expected an integer of at least 1"),
        ({"retry": {"attempts": 1.5}}, "f: retry.attempts = 1.5: expected an integer of at least 1"),
        ({"retry": {"attempts": True}}, "f: retry.attempts = true: expected an integer of at least 1"),
        ({"retry": {"delay": False}}, "f: retry.delay = false: expected a number of at least 0"),
        ({"retry": {"delay": -1}}, "f: retry.delay = -1: expected a number of at least 0"),
        ({"retry": {"delay": math.nan}}, "f: retry.delay = nan: expected a number of at least 0"),
        ({"test": {"timeout": 0}}, "f: test.timeout = 0: expected a number greater than 0"),
        ({"lint": {"exclude": "x"}}, 'f: lint.exclude = "x": expected a list of strings such as ["third_party/*"]'),
        ({"lint": {"severity": {"r": 1}}}, "f: lint.severity.r = 1: expected error, warning, info or off"),
        (
            {"builder": {"nodes": 1}},
            'f: builder.nodes = 1: expected a list of tables such as [{ endpoint = "ssh://user@host", arches = ["arm64"] }]',
        ),
        ({"builder": {"nodes": [1]}}, "f: builder.nodes[0] = 1: expected a table"),
        (
            {"builder": {"nodes": [{"endpoint": "", "arches": ["arm64"]}]}},
            'f: builder.nodes[0].endpoint = "": expected a non-empty string such as "ssh://user@host"',
        ),
        (
            {"builder": {"nodes": [{"endpoint": "x", "arches": []}]}},
            'f: builder.nodes[0].arches = []: expected a non-empty list of strings such as ["arm64"]',
        ),
        (
            {"builder": {"mirrors": 3}},
            'f: builder.mirrors = 3: expected a table such as { "docker.io" = ["mirror.acme.test"] }',
        ),
        (
            {"builder": {"mirrors": {"docker.io": 3}}},
            'f: builder.mirrors."docker.io" = 3: expected a list of non-empty strings',
        ),
        (
            {"builder": {"mirrors": {"docker.io": ["a", ""]}}},
            'f: builder.mirrors."docker.io" = ["a", ""]: expected a list of non-empty strings',
        ),
        ({"components": "x"}, 'f: components = "x": expected a table'),
        ({"components": {"a": "x"}}, 'f: components.a = "x": expected a table'),
        ({"components": {"a": {"ports": 1}}}, "f: components.a.ports = 1: expected a list of integers such as [1883]"),
        ({"components": {"a": {"ports": [1, 0]}}}, "f: components.a.ports[1] = 0: expected an integer from 1 to 65535"),
        (
            {"components": {"a": {"ports": [65536]}}},
            "f: components.a.ports[0] = 65536: expected an integer from 1 to 65535",
        ),
        (
            {"components": {"a": {"ports": [True]}}},
            "f: components.a.ports[0] = true: expected an integer from 1 to 65535",
        ),
        ({"components": {"a b": {"env": {"X": {"a": 1}}}}}, f'f: components."a b".env.X = {{ a = 1 }}: {ENV}'),
        ({"components": {"a": {"env": {"X": []}}}}, f"f: components.a.env.X = []: {ENV}"),
        ({"components": {"a": {"env": {"X": "1\n2"}}}}, f'f: components.a.env.X = "1\\n2": {ENV}'),
        (
            {"components": {"a": {"env": ["X=1"]}}},
            'f: components.a.env = ["X=1"]: expected a table such as { LISTEN = "0.0.0.0:1883" }',
        ),
        ({"components": {"a": {"volumes": ["data"]}}}, f'f: components.a.volumes[0] = "data": {PATH}'),
        ({"components": {"a": {"volumes": ["/a/../b"]}}}, f'f: components.a.volumes[0] = "/a/../b": {PATH}'),
        ({"components": {"a": {"volumes": ["/a\n"]}}}, f'f: components.a.volumes[0] = "/a\\n": {PATH}'),
        ({"components": {"a": {"program": "a b"}}}, f'f: components.a.program = "a b": {PATH}'),
        ({"components": {"a": {"program": "\n"}}}, f'f: components.a.program = "\\n": {PATH}'),
        (
            {"components": {"a": {"says": ["x"]}}},
            'f: components.a.says = ["x"]: expected a table such as { all = ["listening"], arm64 = ["path=neon"] }',
        ),
        ({"components": {"a": {"says": {"all": "x"}}}}, 'f: components.a.says.all = "x": expected a list of strings'),
        ({"components": {"a": {"volumes": ["/a/./b"]}}}, f'f: components.a.volumes[0] = "/a/./b": {PATH}'),
        (
            {"components": {"a": {"env": {"A B": "1"}}}},
            "f: components.a.env has 'A B': expected letters, digits, `_`, `.` and `-`, and no digit first",
        ),
        ({"components": {"a": {"files": {"--link": "/x"}}}}, f"f: components.a.files has '--link': {SOURCE}"),
        ({"components": {"a": {"files": {"/c": "/x"}}}}, f"f: components.a.files has '/c': {SOURCE}"),
        ({"components": {"a": {"files": {"a/../c": "/x"}}}}, f"f: components.a.files has 'a/../c': {SOURCE}"),
        ({"components": {"a": {"files": {"..": "/x"}}}}, f"f: components.a.files has '..': {SOURCE}"),
        ({"components": {"a": {"files": {".": "/x"}}}}, f"f: components.a.files has '.': {SOURCE}"),
        ({"components": {"a": {"files": {"": "/x"}}}}, f"f: components.a.files has '': {SOURCE}"),
        ({"components": {"a": {"files": {"c*": "/x"}}}}, f"f: components.a.files has 'c*': {SOURCE}"),
        ({"components": {"a": {"files": {"c": "x"}}}}, f'f: components.a.files.c = "x": {PATH}{OR_FOLDER}'),
        ({"components": {"a": {"files": {"c": "/a/../x"}}}}, f'f: components.a.files.c = "/a/../x": {PATH}{OR_FOLDER}'),
        ({"components": {"a": {"files": {"c": "/a//"}}}}, f'f: components.a.files.c = "/a//": {PATH}{OR_FOLDER}'),
        (
            {"components": {"a": {"files": ["c"]}}},
            'f: components.a.files = ["c"]: expected a table such as { "config/" = "/etc/app/" }',
        ),
        (
            {"components": {"a": {"command": "--x"}}},
            'f: components.a.command = "--x": expected a list of strings such as ["--config", "/etc/app/server.toml"]',
        ),
        ({"components": {"a": {"user": "app"}}}, f'f: components.a.user = "app": {USER}'),
        ({"components": {"a": {"user": "1:"}}}, f'f: components.a.user = "1:": {USER}'),
        ({"components": {"a": {"user": "2147483648"}}}, f'f: components.a.user = "2147483648": {USER}'),
        ({"components": {"a": {"workdir": "srv"}}}, f'f: components.a.workdir = "srv": {PATH} such as "/var/lib/app"'),
        (
            {"components": {"a": {"labels": {"a b": "x"}}}},
            "f: components.a.labels has 'a b': expected letters, digits, `.`, `_`, `/` and `-`",
        ),
        ({"components": {"a": {"labels": {"x": ["y"]}}}}, 'f: components.a.labels.x = ["y"]: expected a string'),
        ({"dist": "a\0b"}, 'f: dist = "a\\u0000b": expected a string without the character NUL'),
        ({"features": ["\0"]}, 'f: features[0] = "\\u0000": expected a string without the character NUL'),
        (
            {"mirror": "http://me:se@cret@mirror x"},  # a password is not repeated
            'f: mirror = "http://***@mirror x": expected an http, https or file address such as "https://mirror.acme.test/debian"',
        ),
        (
            {"components": {"a": {"says": {"all": [""]}}}},
            'f: components.a.says.all[0] = "": expected a non-empty string',
        ),
    ],
)
def test_a_value_of_the_wrong_type_names_its_layer_its_key_and_what_was_expected(layer, message):
    assert refused(("f", layer)) == (message, "")


@pytest.mark.parametrize(
    ("layer", "message", "help_text"),
    [
        ({"glibc": 2.31}, 'f: glibc = 2.31: expected a glibc version such as "2.31"', "write it in quotes"),
        ({"profile": 3}, "f: profile = 3: expected a non-empty string", "write it in quotes"),
        ({"ci": {"runners": {"arm64": 3}}}, "f: ci.runners.arm64 = 3: expected a string", "write it in quotes"),
        ({"components": {"a": {"base": 1}}}, "f: components.a.base = 1: expected a string", "write it in quotes"),
        (
            {"backend": "zigg"},
            "f: unknown backend 'zigg' (expected auto, zig, gcc or cross)",
            "did you mean 'zig'?",
        ),
        (
            {"lint": {"severity": {"emulated-compile": "eror"}}},
            "f: unknown lint.severity.emulated-compile 'eror' (expected error, warning, info or off)",
            "did you mean 'error'?",
        ),
        ({"arches": ["arm65"]}, "f: arches: unknown architecture 'arm65'", "did you mean arm64?"),
        ({"ci": {"runners": {"arm65": "x"}}}, "f: ci.runners: unknown architecture 'arm65'", "did you mean arm64?"),
        (
            {"builder": {"nodes": [{"endpoint": "x", "arches": ["arm65"]}]}},
            "f: builder.nodes[0].arches: unknown architecture 'arm65'",
            "did you mean arm64?",
        ),
        (
            {"components": {"a": {"says": {"arm65": ["x"]}}}},
            "f: components.a.says: unknown architecture 'arm65'",
            "did you mean arm64?",
        ),
        ({"components": {"a": {"says": {"aarch64": ["x"]}}}}, "f: components.a.says: 'aarch64'", "write it as arm64"),
        (
            {"components": {"a": {"health": "a 'b"}}},
            'f: components.a.health = "a \'b": No closing quotation',
            "write it as for a shell: close every quote",
        ),
    ],
)
def test_a_wrong_word_gets_the_nearest_right_one(layer, message, help_text):
    assert refused(("f", layer)) == (message, help_text)


TABLE_HELP = "a variable holds a table as TOML or JSON, on one line"


@pytest.mark.parametrize(
    ("name", "value", "message", "help_text"),
    [
        ("RETRY_ATTEMPTS", "many", 'retry.attempts = "many": expected an integer of at least 1', ""),
        ("RETRY_ATTEMPTS", "", 'retry.attempts = "": expected an integer of at least 1', ""),
        ("RETRY_DELAY", "nan", 'retry.delay = "nan": expected a number of at least 0', ""),
        ("GLIBC", "new", 'glibc = "new": expected a glibc version such as "2.31"', ""),
        ("ARCHES", "arm64,arm65", "arches: unknown architecture 'arm65'", "did you mean arm64?"),
        ("COMPONENTS", "x", 'components = "x": expected a table', TABLE_HELP),
        (
            "LINT_SEVERITY",
            "off",
            'lint.severity = "off": expected a table such as { emulated-compile = "off" }',
            TABLE_HELP,
        ),
        (
            "BUILDER_NODES",
            "a,b",
            'builder.nodes = "a,b": expected a list of tables such as [{ endpoint = "ssh://user@host", arches = ["arm64"] }]',
            "",
        ),
    ],
)
def test_a_wrong_value_in_the_environment(name, value, message, help_text):
    assert refused(environment({f"BUILDLIB_{name}": value})) == (f"environment: {message}", help_text)


def test_a_value_in_the_environment_that_is_not_utf_8():
    with pytest.raises(UsageError) as caught:
        environment({"BUILDLIB_PROFILE": b"\xff".decode("utf-8", "surrogateescape")})
    assert caught.value.message == "environment: BUILDLIB_PROFILE: the value is not valid UTF-8"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"arches": nested(list, 3000)}, f"f: arches[0] = {'[' * 11}…{']' * 11}: expected a string"),
        ({"retry": nested(list, 3000)}, f"f: retry = {'[' * 11}…{']' * 11}: expected a table"),
        (
            {"profile": nested(dict, 3000)},
            f"f: profile = {'{ a = ' * 11}… }} }} }} }} }} }} …: expected a non-empty string",
        ),
        (
            {"components": {"a": {"env": {"X": nested(dict, 3000)}}}},
            f"f: components.a.env.X = {'{ a = ' * 11}… }} }} }} }} }} }} …: {ENV}",
        ),
        (
            {"components": {"a": nested(list, 3000)}},
            f"f: components.a = {'[' * 11}…{']' * 11}: expected a table",
        ),
        ({"retry": {"attempts": "x" * 100}}, f'f: retry.attempts = "{"x" * 79}…: expected an integer of at least 1'),
        (
            {"retry": {"delay": 16**5000}},
            f"f: retry.delay = 0x1{'0' * 77}…: expected a number of at least 0",
        ),
        (
            {"components": {"a": {"ports": [16**20]}}},
            f"f: components.a.ports[0] = 0x1{'0' * 20}: expected an integer from 1 to 65535",
        ),
    ],
)
def test_a_deep_or_long_value_is_cut_in_the_message(layer, message):
    assert refused(("f", layer)) == (message, "")


# --- files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("section", ["package", "workspace"])
@pytest.mark.parametrize(("text", "shown"), [("1", "1"), ('"x"', '"x"'), ("[{ a = 1 }]", "[{ a = 1 }]")])
def test_metadata_that_is_not_a_table(tmp_path, section, text, shown):
    (tmp_path / "Cargo.toml").write_text(f"[{section}]\nmetadata.buildlib = {text}\n")
    with pytest.raises(UsageError) as caught:
        files(tmp_path)
    assert caught.value.message == f"Cargo.toml [{section}.metadata.buildlib] = {shown}: expected a table"


@pytest.mark.parametrize(
    "data",
    [b"arches = [\n", b"\xff", b"x = " + b"[" * 5000, b"x = " + b"9" * 5000],
    ids=["syntax", "encoding", "depth", "digits"],
)
@pytest.mark.parametrize("name", ["buildlib.toml", "Cargo.toml"])
def test_a_file_that_is_not_toml_is_named(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as caught:
        files(tmp_path)
    assert caught.value.message.startswith(f"{tmp_path / name}: ")
    assert caught.value.help == "fix the file"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "buildlib.toml").mkdir()
    with pytest.raises(UsageError) as caught:
        files(tmp_path)
    assert caught.value.message == f"{tmp_path / 'buildlib.toml'}: Is a directory"


# --- properties ---------------------------------------------------------------------------------------------------------------

VARIABLES = st.sampled_from([setting.variable for setting in declared().values()])


@given(
    st.dictionaries(
        st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_").map("BUILDLIB_".__add__) | VARIABLES,
        st.text(st.characters()),
        max_size=5,
    )
)
def test_any_environment_is_read_or_refused(env):
    try:
        config = resolve(environment(env))
        assert isinstance(config, Config)
        assert set(flat(config)) == set(config.origins) == set(declared())
    except UsageError as error:
        assert error.message.startswith("environment: ")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
WORDS = st.text(max_size=3) | st.sampled_from(
    ["a", "arm64", "all", "ports", "env", "says", "health", "endpoint", "arches"]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=8
)


@given(st.sampled_from(sorted(declared())), VALUES)
def test_any_value_of_a_setting_is_read_or_refused_in_one_line(key, value):
    table, _, name = key.rpartition(".")
    try:
        config = resolve(("f", {table: {name: value}} if table else {name: value}))
        assert changed(config) == {key: "f"}
        assert set(flat(config)) == set(declared())
    except UsageError as error:
        assert error.message.startswith("f: ")
        assert "\n" not in error.message


def test_files_may_begin_with_a_byte_order_mark(tmp_path):
    """cargo reads such a Cargo.toml too; editors on Windows write it."""
    (tmp_path / "Cargo.toml").write_bytes(b"\xef\xbb\xbf[package.metadata.buildlib]\nprofile = 'dev'\n")
    (tmp_path / "buildlib.toml").write_bytes(b"\xef\xbb\xbfglibc = '2.31'\n")
    config = resolve(*files(tmp_path))
    assert (config.profile, config.glibc) == ("dev", "2.31")


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("BUILDER_MIRRORS", '{"docker.io" = ["mirror.acme.test"]}', "builder.mirrors", {"docker.io": ["mirror.acme.test"]}),
        ("BUILDER_MIRRORS", '{"docker.io": "mirror.acme.test"}', "builder.mirrors", {"docker.io": "mirror.acme.test"}),
        ("CPU", ' {arm64="max"} ', "cpu", {"arm64": "max"}),
        ("CI_RUNNERS", "", "ci.runners", {}),
        ("COMPONENTS",
         '{app = {ports = [80], says = {all = ["up"]}}}', "components", {"app": {"ports": [80], "says": {"all": ["up"]}}}),
        ("BUILDER_NODES", '[{endpoint = "ssh://a", arches = ["arm64"]}]', "builder.nodes",
         [{"endpoint": "ssh://a", "arches": ["arm64"]}]),
    ],
)  # fmt: skip
def test_a_variable_holds_a_table_as_toml_or_json(name, text, key, value):
    config = resolve(environment({f"BUILDLIB_{name}": text}))
    assert (flat(config)[key], config.origins[key]) == (value, "environment")


@pytest.mark.parametrize(
    "text", ["{a = 1}\nother = 2", "{a = 1} other", "[[x]]", "{" * 5000, "1", "null", '{"arm64": 1}', "[{}]"]
)
def test_another_text_is_no_table(text):
    with pytest.raises(UsageError) as caught:
        resolve(environment({"BUILDLIB_CPU": text}))
    assert caught.value.message.startswith("environment: cpu")
