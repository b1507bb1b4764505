"""Images of a registry in a daemon that has one platform under a name."""

from dataclasses import replace

import pytest
from docker.errors import APIError
from fake_daemon import Store, daemon
from machines import AMD64, ARM64
from requests.exceptions import ReadTimeout

from buildlib.core.cases import FAILED, Case
from buildlib.core.errors import Interrupted
from buildlib.smoke.pulls import Pulls

NAME = "ghcr.io/acme/app:1.2.3"
WORDS = tuple(NAME.rsplit(":", 1))
PULL = ("pull", *WORDS, "linux/arm64")
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("names", "named", "actions", "after"),
    [
        ({}, (), [("remove", "sha256:new")], {}),
        ({"other:1": "sha256:new"}, ("sha256:new",), [("remove", NAME)], {"other:1": "sha256:new"}),
        (
            {NAME: "sha256:old"},
            (),
            [("remove", "sha256:new"), ("tag", "sha256:old", *WORDS)],
            {NAME: "sha256:old"},
        ),
        # Removing the last name of an image removes the image.
        ({"": "sha256:new"}, ("sha256:other",), [("tag", "sha256:other", *WORDS), ("remove", NAME)], {}),
        ({"": "sha256:new"}, (), [], {NAME: "sha256:new"}),
    ],
    ids=["new", "known by another name", "another platform", "without a name", "the only image, without a name"],
)
def test_the_daemon_has_the_same_images_afterwards(names, named, actions, after):
    client = Store(names)
    pulls = Pulls(replace(daemon(client), named=named), *WORDS)
    with pulls.image(ARM64) as image:
        assert image == "sha256:new"
    pulls.close()
    assert (client.actions, client.names) == ([PULL, *actions], after)


def test_platforms_that_are_used_at_once_have_images_of_their_own():
    client = Store({NAME: "sha256:old"}, pulled={"linux/arm64": "sha256:arm64", "linux/amd64": "sha256:amd64"})
    pulls = Pulls(daemon(client), *WORDS)
    with pulls.image(ARM64) as arm64:
        with pulls.image(AMD64) as amd64:
            assert (arm64, amd64) == ("sha256:arm64", "sha256:amd64")
        assert client.actions[2:] == [("remove", "sha256:amd64")]
    pulls.close()
    assert client.actions[3:] == [("remove", "sha256:arm64"), ("tag", "sha256:old", *WORDS)]
    assert client.names == {NAME: "sha256:old"}


def test_an_image_that_is_one_for_all_platforms_stays_for_the_last_of_them():
    client = Store()
    pulls = Pulls(daemon(client), *WORDS)
    with pulls.image(ARM64):
        with pulls.image(AMD64):
            pass
        assert client.names == {NAME: "sha256:new"}
    pulls.close()
    assert client.names == {}


def test_a_digest_always_means_the_same_image():
    client = Store()
    pulls = Pulls(daemon(client), "ghcr.io/acme/app", DIGEST)
    with pulls.image(ARM64):
        assert client.names == {f"ghcr.io/acme/app@{DIGEST}": "sha256:new"}
    pulls.close()
    assert client.actions == [("pull", "ghcr.io/acme/app", DIGEST, "linux/arm64"), ("remove", "sha256:new")]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (APIError("no such manifest"), "no such manifest"), (ReadTimeout("read timed out"), "read timed out"),
        (KeyError("Id"), "unexpected answer of the Docker daemon: KeyError: 'Id'"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_pulled_is_a_failed_case(error, detail):
    client = Store(error=error)
    pulls = Pulls(daemon(client), *WORDS)
    with pulls.image(ARM64) as case:
        assert case == Case(name="pull", result=FAILED, detail=detail)
    pulls.close()
    assert client.actions == [PULL]


def test_nothing_is_pulled_once_the_command_was_stopped():
    client = Store()
    pulls = Pulls(daemon(client, interrupted=lambda: True), *WORDS)
    with pytest.raises(Interrupted), pulls.image(ARM64):
        pass
    pulls.close()
    assert client.actions == []
