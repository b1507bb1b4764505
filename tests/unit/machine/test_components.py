import machines
import pytest

from buildlib.core.errors import UsageError
from buildlib.core.request import Request
from buildlib.machine.components import split
from buildlib.machine.workspace import Component

SERVER = Component(name="server", package="server", version="1.0.0")
TOOL = Component(name="tool", package="tool", version="1.0.0")
WORKSPACE = machines.workspace(SERVER, TOOL)
IMAGES = ("redis", "redis-exporter", "web")


@pytest.mark.parametrize(
    ("request_", "binaries", "images"),
    [
        (Request(), Request(), IMAGES),
        (Request(components=("all",)), Request(components=("all",)), IMAGES),
        (Request(components=("web",)), Request(no_binaries=True), ("web",)),
        (Request(components=("web", "server")), Request(components=("server",)), ("web",)),
        (Request(components=("redis*",)), Request(no_binaries=True), ("redis", "redis-exporter")),
        (Request(components=("*r*",)), Request(components=("*r*",)), ("redis", "redis-exporter")),
        (Request(components=("tool/tool",)), Request(components=("tool/tool",)), ()),
        # What only cargo knows means binaries alone.
        (Request(packages=("tool",)), Request(packages=("tool",)), ()),
        (Request(workspace=True), Request(workspace=True), ()),
        (Request(bins=True), Request(bins=True), ()),
        (Request(packages=("tool",), components=("all",)), Request(packages=("tool",), components=("all",)), IMAGES),
    ],
)
def test_a_request_for_binaries_and_images(request_, binaries, images):
    assert split(WORKSPACE, request_, IMAGES) == (binaries, images)


def test_a_workspace_without_binaries_has_images_alone():
    assert split(machines.workspace(), Request(), IMAGES) == (Request(no_binaries=True), IMAGES)
    assert split(machines.workspace(), Request(components=("all",)), IMAGES) == (Request(no_binaries=True), IMAGES)
    assert split(machines.workspace(), Request(), ()) == (Request(), ())


def test_a_word_that_is_neither_is_an_error_with_the_nearest_of_both():
    for word, help_text in (("redsi", "did you mean 'redis'?"), ("sever", "did you mean 'server'?")):
        with pytest.raises(UsageError) as caught:
            split(WORKSPACE, Request(components=(word,)), IMAGES)
        assert (caught.value.message, caught.value.help) == (f"unknown component {word!r}", help_text)


def test_a_component_that_is_called_all_is_all():
    assert split(WORKSPACE, Request(components=("all",)), ("all", "web"))[1] == ("all", "web")


@pytest.mark.parametrize("more", [{"packages": ("tool",)}, {"workspace": True}, {"bins": True}])
def test_cargo_s_words_for_an_image_are_an_error(more):
    with pytest.raises(UsageError, match="web is an image of the settings"):
        split(WORKSPACE, Request(components=("web",), **more), IMAGES)
