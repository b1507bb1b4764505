"""Pulling, removing, and working on several images at once, with a fake daemon."""

import re
import threading
from pathlib import Path

import pytest
from docker.errors import APIError, DockerException
from fake_daemon import FakeContainer, Store, daemon
from machines import ARM64, Machine, Recorder, context
from requests.exceptions import ReadTimeout

from buildlib.core import workers
from buildlib.core.errors import Interrupted, MissingRequirements
from buildlib.smoke import containers
from buildlib.smoke.containers import open_daemon, started


@pytest.fixture
def opened(monkeypatch):
    """Open this client as the daemon of a command, whose runner is `opened.run`."""

    def opened(client, **more):
        monkeypatch.setattr(containers.docker_daemon, "client", lambda env, timeout: client)
        return open_daemon(context(Machine(), opened.run, root=Path("/w")), **more)

    opened.run = Recorder()
    opened.run.env = {}
    return opened


def test_containers_are_removed_at_the_end(opened, capsys):
    client = Store()
    client.remaining = [FakeContainer(), FakeContainer()]
    with pytest.raises(KeyboardInterrupt), opened(client):
        raise KeyboardInterrupt
    assert ([container.removed for container in client.remaining], client.closed) == ([True, True], True)
    assert "warning" not in capsys.readouterr().err


def test_containers_that_cannot_be_listed_are_a_warning(opened, capsys):
    class Gone(Store):
        def list(self, *, all, filters=None, ignore_removed=False):
            raise DockerException("connection refused")

    with opened(Gone()):
        pass
    label = r"io\.github\.buildlib\.smoke=[0-9a-f]{16}"
    pattern = rf"warning: containers with the label {label} may remain: connection refused\n"
    assert re.search(pattern, capsys.readouterr().err)


def test_a_daemon_that_does_not_answer_is_a_missing_requirement(opened):
    class Silent(Store):
        def ping(self):
            raise ReadTimeout("read timed out")

    with pytest.raises(MissingRequirements) as caught, opened(Silent(), help_text="start it"):
        pass
    assert (caught.value.message, caught.value.help) == ("no Docker daemon answers: read timed out", "start it")


def test_a_container_that_does_not_start_is_removed():
    client = Store()
    client.by_words[""] = container = FakeContainer(start_error=APIError("no"))
    with pytest.raises(APIError), started(daemon(client), "sha256:1", ARM64):
        pass
    assert container.removed


def test_results_are_in_the_order_of_the_items():
    released = threading.Event()

    def check(item):
        if item == 1:
            assert released.wait(60)
        if item == 2:
            released.set()
        return -item

    assert daemon(Store()).concurrently(check, [1, 2, 3]) == [-1, -2, -3]


def test_an_error_ends_what_is_still_running():
    client = Store()
    client.remaining = [FakeContainer()]
    made, waiting = daemon(client), threading.Event()

    def check(item):
        if item == "fails":
            assert waiting.wait(60)
            raise MissingRequirements("no")
        waiting.set()
        made.stopped.wait(60)  # as a check that polls
        made.check()

    with pytest.raises(MissingRequirements):
        made.concurrently(check, ["waits", "fails"])
    assert client.remaining[0].removed


def test_a_command_that_is_interrupted_ends_the_checks(opened, monkeypatch):
    """Ctrl-C reaches the main thread alone; this is what another one sees of it."""
    monkeypatch.setattr(workers, "PAUSE", 0.01)
    client = Store()
    client.remaining = [FakeContainer()]
    with opened(client) as made:

        def check(item):
            opened.run.stopped.set()
            assert made.stopped.wait(60)

        with pytest.raises(Interrupted):
            made.concurrently(check, [1, 2])
        assert client.remaining[0].removed
        with pytest.raises(Interrupted), started(made, "sha256:1", ARM64):
            pass
    assert client.started == []
