from dataclasses import replace

import fake_registry
import pytest
from fake_registry import BUILDER
from image_workspace import workspace

from buildlib.builder import builder, builder_commands
from buildlib.builder.builder_commands import BuilderState
from buildlib.core.errors import BuildError, MissingRequirements, NothingToDo

CREATE = ["create builder multiarch-builder0", "boot builder multiarch-builder"]


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    return fake_registry.prepare(tmp_path, monkeypatch)


def test_inspect_compares_the_existing_builder_with_the_settings(prepare):
    context = prepare()
    configured = builder.configured(context.config)
    assert builder_commands.inspect(context) == BuilderState(configured=configured, exists=True, differences=())
    missing = BuilderState(configured=configured, exists=False, differences=())
    assert builder_commands.inspect(prepare(builders=())) == missing
    other = prepare(builders=({**BUILDER, "Driver": "remote"},))
    assert builder_commands.inspect(other).differences == ("driver: remote, expected docker-container",)


def test_without_docker_the_help_names_what_works_without_it(tmp_path):
    def run(_):
        raise MissingRequirements("docker: no such program", "run `buildlib doctor`")

    with pytest.raises(MissingRequirements) as caught:
        builder_commands.inspect(replace(workspace(tmp_path), run=run))
    assert caught.value.message == "docker: no such program"
    assert caught.value.help == builder_commands.WITHOUT_DOCKER


HAS_BUILDX = (0, "github.com/docker/buildx v0.9.1 ed00243\n")
UNKNOWN_FLAG = "unknown flag: --format\nSee 'docker --help'.\n\nUsage:  docker [OPTIONS] COMMAND"


@pytest.mark.parametrize(
    ("answer", "buildx", "message"),
    [
        ((125, UNKNOWN_FLAG), (125, "unknown command"), "docker has no plugin buildx"),
        ((1, "\ndocker: 'buildx' is not a docker command."), (1, ""), "docker has no plugin buildx"),
        ((125, UNKNOWN_FLAG), HAS_BUILDX, "docker buildx: unknown flag: --format"),
        ((3, "\n"), HAS_BUILDX, "docker buildx: exit code 3"),
    ],
)
def test_a_missing_plugin_is_told_from_one_that_fails(tmp_path, answer, buildx, message):
    with pytest.raises(MissingRequirements) as caught:
        builder_commands.inspect(workspace(tmp_path, {"builders": answer, "buildx": buildx}))
    assert caught.value.message == message
    assert caught.value.help == builder_commands.WITHOUT_DOCKER


def test_an_existing_builder_is_not_changed(prepare):
    context = prepare()
    builder_commands.create(context, force=True)
    assert context.run.titles == ["builders"]


def test_a_missing_builder_is_created(prepare):
    context = prepare(builders=())
    assert not builder_commands.create(context, force=False).exists
    assert context.run.titles == ["builders", *CREATE]


def test_a_builder_that_differs_is_recreated_only_with_force(prepare):
    context = prepare(builders=({**BUILDER, "Driver": "remote"},))
    with pytest.raises(BuildError) as caught:
        builder_commands.create(context, force=False)
    assert caught.value.message == (
        "builder multiarch-builder differs from the settings:\n  driver: remote, expected docker-container"
    )
    assert caught.value.help == "--force recreates it and discards its cache"
    assert context.run.titles == ["builders"]
    builder_commands.create(context, force=True)
    assert context.run.titles == ["builders", "builders", "remove builder multiarch-builder", *CREATE]


def test_a_builder_that_does_not_boot_is_removed_again(prepare):
    context = prepare(builders=(), faults={"boot": "ERROR: Cannot connect to the Docker daemon at unix:///x"})
    with pytest.raises(MissingRequirements, match="Cannot connect to the Docker daemon"):
        builder_commands.create(context, force=False)
    assert context.run.titles == ["builders", *CREATE, "remove builder multiarch-builder"]


def test_remove(prepare):
    context = prepare()
    builder_commands.remove(context)
    assert context.run.titles == ["builders", "remove builder multiarch-builder"]


def test_a_missing_builder_cannot_be_removed(tmp_path):
    with pytest.raises(NothingToDo) as caught:
        builder_commands.remove(workspace(tmp_path, {"builders": (0, "")}))
    assert caught.value.message == "no builder is called 'multiarch-builder'"
