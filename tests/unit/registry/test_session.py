import base64
import json
import os
import platform
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from machines import Machine, Recorder, context, settings

from buildlib.registry import session
from buildlib.core.settings import Retry
from buildlib.process.console import Console
from buildlib.registry.gateway import Gateway, docker_config
from buildlib.process.retry import Budget

RETRY = Retry(attempts=3, delay=0.01, max_delay=0.1, total=10.0)
HERE = {"name": platform.node(), "security": ["name=seccomp,profile=builtin"]}


@pytest.fixture
def here(tmp_path):
    """A context whose docker says `told` of itself, in a home of its own."""

    def here(told=HERE, *, code=0, dry=False, builder=(), retry=None):
        said = told if isinstance(told, str) else json.dumps(told)
        run = Recorder({"docker info": (code, said)}, dry=dry)
        run.env, run.budget, run.translate, run.sleep = {"HOME": str(tmp_path)}, Budget(RETRY), str, lambda _: None
        run.failed = lambda *_: None
        flags = {"builder": {**settings().builder, **dict(builder)}} | ({"retry": retry} if retry else {})
        return context(Machine(cache=tmp_path / "cache"), run, root=tmp_path, **flags)

    return here


def is_direct(found, **more):
    with session.open_session(found, session.prepare(found, **more)) as way:
        assert way.direct == (way.name("debian:12") == "debian:12")
        return way.direct


def test_a_builder_on_this_machine_s_network_gets_the_gateway(here):
    found = here()
    before = found.run.env
    with session.open_session(found, session.prepare(found)) as way:
        assert way.name("debian:12").endswith("/docker.io/library/debian:12")
        config = json.loads((Path(found.run.env["DOCKER_CONFIG"]) / "config.json").read_text())
        assert [name for name in config["auths"] if way.name("a/b").startswith(name)]
        assert found.run.env["BUILDX_CONFIG"] == f"{before['HOME']}/.docker/buildx"
    assert found.run.env is before and found.run.translate is str


def test_after_a_run_that_was_killed_the_next_ones_have_another_port(here, monkeypatch):
    """BuildKit goes on with what the killed one asked for, by the old port."""
    asked = []

    @contextmanager
    def opened(client, builder):
        asked.append(builder)
        yield Gateway(client, "secret", address="127.0.0.1:1")

    monkeypatch.setattr("buildlib.registry.gateway.opened", opened)
    found = here()
    folder = found.host.cache / "builders" / "multiarch-builder"

    def run():
        with session.open_session(found, lambda: True):
            assert (folder / "open").exists()
        assert not (folder / "open").exists()

    run()
    with pytest.raises(KeyboardInterrupt), session.open_session(found, lambda: True):
        raise KeyboardInterrupt  # an orderly end
    run()
    (folder / "open").touch()  # as SIGKILL leaves it
    run()
    run()
    os.utime(folder / "killed", (0, 0))  # long ago
    run()
    assert asked == ["multiarch-builder"] * 3 + ["", ""] + ["multiarch-builder"]


def test_a_second_run_at_the_same_builder_waits_for_the_first(here, monkeypatch):
    found, order, said, waits = here(), [], [], threading.Event()
    monkeypatch.setattr(Console, "note", lambda _, text: (said.append(text), waits.set()))

    def second():
        with session.open_session(found, lambda: False):
            order.append("second")

    with session.open_session(found, lambda: False):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60) and said == ["builder multiarch-builder: waiting for another run"] and not order
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "more",
    [
        {"told": {**HERE, "name": "docker-desktop"}}, {"told": {**HERE, "security": ["name=rootless"]}}, {"told": "no json"},
        {"code": 1},
        {"builder": {"network": "default"}}, {"builder": {"nodes": [{"endpoint": "ssh://x", "arches": ["arm64"]}]}}, {"dry": True},
        {"retry": {"attempts": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_elsewhere_it_goes_straight(here, more):
    assert is_direct(here(**more))


def test_attestations_name_what_they_speak_of(here):
    assert is_direct(here(), attested=True) and not is_direct(here())


def test_the_person_s_own_configuration_stays_in_reach(tmp_path):
    real, folder = tmp_path / "real", tmp_path / "private"
    for path in (real / "cli-plugins", real / "contexts", folder):
        path.mkdir(parents=True)
    (real / "config.json").write_text('{"currentContext": "c"}')

    class Gateway:
        address, authorization = "127.0.0.1:1", "Basic eDp5"

    env = docker_config(folder, real, Gateway())
    assert env == {"DOCKER_CONFIG": str(folder), "BUILDX_CONFIG": str(real / "buildx")}
    assert {path.name: path.is_symlink() for path in folder.iterdir()} == {
        "cli-plugins": True,
        "contexts": True,
        "config.json": False,
    }
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "config.json").read_text()) == {
        "currentContext": "c",
        "auths": {"127.0.0.1:1": {"auth": "eDp5"}},
    }
    assert (real / "config.json").read_text() == '{"currentContext": "c"}'


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("auths", "host", "found"),
    [
        ({"ghcr.io": {"auth": encoded("me:pw")}}, "ghcr.io", ("me", "pw")),
        ({"https://index.docker.io/v1/": {"auth": encoded("me:pw")}}, "registry-1.docker.io", ("me", "pw")),
        ({"ghcr.io": {"auth": encoded("me:"), "identitytoken": "id"}}, "ghcr.io", ("", "id")),
        ({"ghcr.io": {"auth": encoded("me:pw")}}, "quay.io", None),
        ({}, "ghcr.io", None),
    ],
)
def test_who_docker_login_said_that_we_are(here, tmp_path, auths, host, found):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(json.dumps({"auths": auths}))
    told = here()
    told.run.env = {**told.run.env, "DOCKER_CONFIG": str(tmp_path / "config")}
    assert session.login(replace(told))(host) == found


def test_a_helper_that_is_not_there_is_said(here, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "no-such-helper"}))
    told = here()
    told.run.env = {**told.run.env, "DOCKER_CONFIG": str(tmp_path)}
    assert session.login(told)("ghcr.io") is None
    assert "no credentials for ghcr.io" in capsys.readouterr().err


def test_the_gateway_reads_for_itself_and_says_it_as_buildx_would(here, monkeypatch):
    found = here()
    with session.open_session(found, session.prepare(found)) as way:
        monkeypatch.setattr(type(way.gateway), "manifest", lambda _, reference: reference.encode())
        asked = way.read(found, "acme/a:1")
        assert (bool(asked), asked.stdout, found.run.asked[-1].split()[:2]) == (True, "acme/a:1", ["docker", "info"])

        def missing(_, reference):
            raise OSError(f"{reference}: not found")

        monkeypatch.setattr(type(way.gateway), "manifest", missing)
        failed = way.read(found, "r.test/acme/a:1")
        assert (bool(failed), failed.output) == (False, "ERROR: r.test/acme/a:1: not found")
    direct = session.DIRECT.read(found, "acme/a:1")
    assert direct.step.argv[:4] == ("docker", "buildx", "imagetools", "inspect")
