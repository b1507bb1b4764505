import base64
import hashlib
import json
import os
import platform
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from machines import Machine, Recorder, context

from buildlib.core.errors import Refused
from buildlib.core.plan import Step
from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure
from buildlib.machine import docker_daemon
from buildlib.process.console import Console
from buildlib.process.retry import Budget
from buildlib.registry import session
from buildlib.registry.gateway import Gateway, docker_config

RETRY = Retry(attempts=3, delay=0.01, max_delay=0.1, total=10.0)
LOCAL = {"name": platform.node(), "security": ["name=seccomp,profile=builtin"]}
DEADLINE = 60.0  # seconds for an event on a busy machine


@pytest.fixture
def make(tmp_path):
    """A function that makes a context whose `docker info` answers `info`, in a home directory of its own."""

    def make(info=LOCAL, *, code=0, dry=False, builder=(), retry=()):
        answer = info if isinstance(info, str) else json.dumps(info)
        run = Recorder({"docker info": (code, answer)}, dry=dry)
        run.env, run.budget, run.translate, run.sleep = {"HOME": str(tmp_path)}, Budget(RETRY), str, lambda _: None
        run.failures = []
        run.failed = lambda *failure: run.failures.append(failure)
        flags = {name: dict(table) for name, table in (("builder", builder), ("retry", retry)) if table}
        return context(Machine(cache=tmp_path / "cache"), run, root=tmp_path, **flags)

    return make


def is_direct(context, **more):
    with session.open_session(context, session.prepare(context, **more)) as opened:
        assert opened.direct == (opened.name("debian:12") == "debian:12")
        return opened.direct


def test_a_builder_on_this_machine_s_network_gets_the_gateway(make):
    context = make()
    before = context.run.env
    with session.open_session(context, session.prepare(context)) as opened:
        assert opened.name("debian:12").endswith("/docker.io/library/debian:12")
        assert context.run.translate(opened.name("debian:12")) == "docker.io/library/debian:12"
        config = json.loads((Path(context.run.env["DOCKER_CONFIG"]) / "config.json").read_text())
        assert [name for name in config["auths"] if opened.name("a/b").startswith(name)]
        assert context.run.env["BUILDX_CONFIG"] == f"{before['HOME']}/.docker/buildx"
    assert context.run.env is before and context.run.translate is str


def test_after_a_command_was_killed_the_next_ones_use_another_port(make, monkeypatch):
    """BuildKit goes on with what the killed command requested, through the old port."""
    builders = []

    @contextmanager
    def open_gateway(client, builder):
        builders.append(builder)
        yield Gateway(client, "secret", address="127.0.0.1:1")

    monkeypatch.setattr("buildlib.registry.gateway.open_gateway", open_gateway)
    context = make()
    folder = context.host.cache / "builders" / "multiarch-builder"

    def run():
        with session.open_session(context, lambda: True):
            assert (folder / "open").exists()
        assert not (folder / "open").exists()

    run()
    with pytest.raises(KeyboardInterrupt), session.open_session(context, lambda: True):
        raise KeyboardInterrupt  # an orderly end
    run()
    (folder / "open").touch()  # left by SIGKILL
    run()
    run()
    os.utime(folder / "killed", (0, 0))  # long ago
    run()
    assert builders == ["multiarch-builder"] * 3 + ["", ""] + ["multiarch-builder"]


def test_a_second_command_waits_until_the_first_has_finished_with_the_builder(make, monkeypatch):
    context, order, notes, waits = make(), [], [], threading.Event()
    monkeypatch.setattr(Console, "note", lambda _, text: (notes.append(text), waits.set()))

    def second():
        with session.open_session(context, lambda: False):
            order.append("second")

    with session.open_session(context, lambda: False):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(DEADLINE) and not order
        assert [note.partition(" (")[0] for note in notes] == ["builder multiarch-builder: waiting for another command"]
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.parametrize(
    "more",
    [
        {"info": {**LOCAL, "name": "docker-desktop"}}, {"info": {**LOCAL, "security": ["name=rootless"]}},
        {"info": "no json"}, {"info": "null"}, {"info": "[]"}, {"info": ""}, {"code": 1}, {"code": 124, "info": ""},
        {"code": 124}, {"builder": {"network": "default"}},
        {"builder": {"nodes": [{"endpoint": "ssh://x", "arches": ["arm64"]}]}}, {"dry": True}, {"retry": {"attempts": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_without_a_local_buildkit_the_session_is_direct(make, more):
    """124 is the code of a question that took too long: the daemon is slow."""
    assert is_direct(make(**more))


def test_retried_requests_are_reported_and_counted(make, capsys):
    context = make()
    failure = Failure("transient-network", "GET x: 503")
    with session.open_session(context, lambda: True) as opened:
        for attempt, wait in ((1, 0.5), (2, 2.0), (3, None)):
            opened.gateway.client.on_failure("GET x", failure, attempt, wait)
    assert context.run.failures == [
        ("GET x", (), failure, attempt, wait) for attempt, wait in ((1, 0.5), (2, 2.0), (3, None))
    ]
    assert capsys.readouterr().err.splitlines() == [
        "  GET x: retrying 3 of 10 in 2 s: 503", "  network: 2 requests were tried again, after waits of 2.5 s in all",
    ]  # fmt: skip


def test_the_user_s_docker_configuration_stays_available(tmp_path):
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


def test_the_user_s_builders_stay_where_they_are(make, tmp_path):
    """buildx keeps them in BUILDX_CONFIG: the builder was created there, and is looked up there."""
    context = make()
    context.run.env = {**context.run.env, "BUILDX_CONFIG": str(tmp_path / "builders")}
    with session.open_session(context, lambda: True):
        assert context.run.env["BUILDX_CONFIG"] == str(tmp_path / "builders")
    assert context.run.env["BUILDX_CONFIG"] == str(tmp_path / "builders")


def test_a_relative_configuration_is_found_from_everywhere(make, tmp_path, monkeypatch):
    """docker resolves it from the working directory; a link resolves its target from its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "cli-plugins").mkdir(parents=True)
    (tmp_path / "config" / "cli-plugins" / "docker-buildx").write_text("plugin")
    context = make()
    context.run.env = {**context.run.env, "DOCKER_CONFIG": "config"}
    with session.open_session(context, lambda: True):
        private = Path(context.run.env["DOCKER_CONFIG"])
        assert private.is_absolute()
        assert (private / "cli-plugins" / "docker-buildx").read_text() == "plugin"
        assert context.run.env["BUILDX_CONFIG"] == f"{tmp_path}/config/buildx"
    assert docker_daemon.config_folder({"DOCKER_CONFIG": "config"}) == tmp_path / "config"


@pytest.mark.parametrize(
    "content", [b"\xff", b"[]", b'{"auths": [1]}', b'{"auths": "x", "credHelpers": 5}', b"[" * 100_000, None]
)
def test_a_broken_configuration_of_docker_is_replaced(tmp_path, content):
    """docker would complain about it; the gateway's password works."""
    real, folder = tmp_path / "real", tmp_path / "private"
    folder.mkdir()
    if content is not None:
        real.mkdir()
        (real / "config.json").write_bytes(content)
    docker_config(folder, real, Gateway(None, "secret", address="127.0.0.1:1"))
    assert list(json.loads((folder / "config.json").read_text())["auths"]) == ["127.0.0.1:1"]


def test_a_manifest_that_buildx_reads_is_verified(make):
    """Without the gateway: buildx itself compares nothing."""
    context = make()
    good, other = '{"manifests": []}', '{"manifests": [ ]}'
    name = f"sha256:{hashlib.sha256(good.encode()).hexdigest()}"
    for text in (good, other):
        context.run.answers["read"] = (0, text)
        question = Step(
            title="read", argv=("docker", "buildx", "imagetools", "inspect", "x"), stdout="keep", quiet=True
        )
        assert session.DIRECT.read(context, "acme/a:1", question).stdout == text
        if text == good:
            assert session.DIRECT.read(context, f"acme/a@{name}", question).stdout == text
    with pytest.raises(Refused, match=f"^acme/a@{name}: digest mismatch: got sha256:.*, expected {name}$"):
        session.DIRECT.read(context, f"acme/a@{name}", question)


def test_other_credentials_than_those_of_the_configuration_are_not_used(tmp_path, monkeypatch):
    """The Docker SDK falls back to the home directory, docker does not."""
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": encoded("me:pw")}}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert docker_daemon.login({"HOME": str(tmp_path)}, None)("ghcr.io") == ("me", "pw")
    assert (
        docker_daemon.login({"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path / "none")}, None)("ghcr.io") is None
    )


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("auths", "host", "login"),
    [
        ({"ghcr.io": {"auth": encoded("me:pw")}}, "ghcr.io", ("me", "pw")),
        ({"https://index.docker.io/v1/": {"auth": encoded("me:pw")}}, "registry-1.docker.io", ("me", "pw")),
        ({"ghcr.io": {"auth": encoded("me:"), "identitytoken": "id"}}, "ghcr.io", ("", "id")),
        ({"ghcr.io": {"auth": encoded("me:pw")}}, "quay.io", None),
        ({}, "ghcr.io", None),
    ],
)
def test_the_client_uses_the_credentials_of_docker_login(make, tmp_path, auths, host, login):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.json").write_text(json.dumps({"auths": auths}))
    context = make()
    context.run.env = {**context.run.env, "DOCKER_CONFIG": str(tmp_path / "config")}
    with session.open_session(context, lambda: True) as opened:
        assert opened.gateway.client.login(host) == login


def test_a_missing_credential_helper_is_a_warning(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "no-such-helper"}))
    warnings = []
    assert docker_daemon.login({"DOCKER_CONFIG": str(tmp_path)}, warnings.append)("ghcr.io") is None
    assert len(warnings) == 1 and warnings[0].startswith("no credentials for ghcr.io: ")


def test_the_gateway_reads_manifests_itself_and_answers_as_buildx_would(make, monkeypatch):
    context = make()
    question = Step(title="read", argv=("docker", "buildx", "imagetools", "inspect", "acme/a:1"), quiet=True)
    with session.open_session(context, session.prepare(context)) as opened:
        monkeypatch.setattr(type(opened.gateway), "manifest", lambda _, reference: reference.encode())
        answer = opened.read(context, "acme/a:1", question)
        assert (bool(answer), answer.stdout, answer.step) == (True, "acme/a:1", question)

        def missing(_, reference):
            raise OSError(f"{reference}: not found")

        monkeypatch.setattr(type(opened.gateway), "manifest", missing)
        failed = opened.read(context, "r.test/acme/a:1", question)
        assert (bool(failed), failed.output) == (False, "ERROR: r.test/acme/a:1: not found")
    assert [line.split()[:2] for line in context.run.asked] == [["docker", "info"]]
    assert session.DIRECT.read(context, "acme/a:1", question).step == question
    assert context.run.asked[-1] == "docker buildx imagetools inspect acme/a:1"
