import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.settings import defaults
from buildlib.core.layers import environment, files, resolve
from buildlib.core.errors import UsageError


def refused(*layers):
    with pytest.raises(UsageError) as caught:
        resolve(*layers)
    assert caught.value.code == 2
    return caught.value.message, caught.value.help


def test_the_defaults_are_the_contract():
    config = resolve()
    assert config.arches == ("amd64", "arm64", "armv7", "riscv64")
    assert (config.backend, config.glibc, config.profile, config.dist) == ("auto", "", "release", "dist")
    assert (config.retry.attempts, config.retry.delay, config.retry.max_delay, config.retry.total) == (
        10,
        1.0,
        30.0,
        600.0,
    )
    assert set(config.origins.values()) == {"default"}


def test_later_layers_win_and_each_value_knows_who_set_it():
    config = resolve(
        ("Cargo.toml", {"arches": ["arm64"], "retry": {"attempts": 3}, "glibc": "2.28"}),
        environment(
            {"BUILDLIB_GLIBC": "2.31", "BUILDLIB_ARCHES": "arm64, armv7", "BUILDLIB_RETRY_DELAY": "2", "HOME": "/h"}
        ),
        ("flag", {"backend": "gcc"}),
    )
    assert (config.arches, config.glibc, config.backend) == (("arm64", "armv7"), "2.31", "gcc")
    assert (config.retry.attempts, config.retry.delay) == (3, 2.0)
    set_by = {key: source for key, source in config.origins.items() if source != "default"}
    assert set_by == {
        "arches": "environment", "glibc": "environment", "retry.delay": "environment",
        "retry.attempts": "Cargo.toml", "backend": "flag",
    }  # fmt: skip


def test_the_contract_s_example_is_read(tmp_path):
    (tmp_path / "Cargo.toml").write_text("""
[workspace.metadata.buildlib]
arches = ["amd64", "arm64", "armv7", "riscv64"]
registry = "ghcr.io/acme"
[workspace.metadata.buildlib.retry]
attempts = 10
delay = 1.0
max_delay = 30.0
total = 600.0
[workspace.metadata.buildlib.builder]
name = "multiarch-builder"
network = "host"
mirrors = { "docker.io" = ["mirror.acme.test"] }
nodes = []
[workspace.metadata.buildlib.components.placement-center]
ports = [1228]
""")
    config = resolve(*files(tmp_path))
    assert config.registry == "ghcr.io/acme"
    assert config.builder.mirrors == {"docker.io": ["mirror.acme.test"]}
    assert config.components == {"placement-center": {"ports": [1228]}}
    assert config.origins["registry"] == "Cargo.toml [workspace.metadata.buildlib]"


def test_an_unknown_key_names_its_file_and_the_nearest_key(tmp_path):
    (tmp_path / "buildlib.toml").write_text('archs = ["arm64"]\n')
    assert refused(*files(tmp_path)) == ("buildlib.toml: unknown setting 'archs'", "did you mean 'arches'?")
    assert refused(("Cargo.toml", {"retry": {"attempt": 1}})) == (
        "Cargo.toml: unknown setting 'retry.attempt'",
        "did you mean 'retry.attempts'?",
    )
    assert refused(environment({"BUILDLIB_BACKED": "zig"})) == (
        "environment: unknown setting 'BUILDLIB_BACKED'",
        "did you mean 'backend'?",
    )


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"backend": "zigg"}, "f: unknown backend 'zigg'"),
        ({"glibc": "2"}, "f: glibc = '2' is not a version"),
        ({"glibc": 2.31}, "f: glibc = 2.31 is not a string"),
        ({"arches": ["arm65"]}, "f: no architecture is called 'arm65'"),
        ({"arches": 3}, "f: arches = 3 is not a list"),
        ({"retry": {"attempts": "many"}}, "f: retry.attempts = 'many' is not a number"),
        ({"retry": {"attempts": 0}}, "f: retry.attempts is 0"),
        ({"retry": 3}, "f: unknown setting 'retry'"),
    ],
)
def test_a_wrong_value_is_said_in_one_line(layer, message):
    assert refused(("f", layer))[0] == message


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "buildlib.toml").write_text("arches = [\n")
    with pytest.raises(UsageError, match=r"buildlib\.toml: "):
        files(tmp_path)


@given(st.dictionaries(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_").map("BUILDLIB_".__add__), st.text()))
def test_any_environment_is_read_or_refused(env):
    try:
        assert set(resolve(environment(env)).values) >= set(dict(defaults()[1])) - {
            "retry",
            "test",
            "ci",
            "lint",
            "builder",
        }
    except UsageError as error:
        assert error.message.startswith("environment: ")
