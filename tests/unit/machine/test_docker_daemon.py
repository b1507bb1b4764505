"""Which daemon the command `docker` would talk to."""

import hashlib
import json

import pytest
from docker.errors import ContextNotFound

from buildlib.machine import docker_daemon
from buildlib.machine.host import Host


@pytest.fixture
def env(tmp_path):
    """A configuration with a context `far`, which is not chosen."""
    number = hashlib.sha256(b"far").hexdigest()
    meta = tmp_path / "contexts" / "meta" / number / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "far", "Endpoints": {"docker": {"Host": "unix:///far.sock"}}}))
    return {"DOCKER_CONFIG": str(tmp_path)}


def address(env, **more):
    return docker_daemon.environment(env | more).get("DOCKER_HOST")


def test_the_context_that_is_chosen_has_the_address(env, tmp_path):
    assert address(env) is None
    assert address(env, DOCKER_CONTEXT="far") == "unix:///far.sock"
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    assert address(env) == "unix:///far.sock"
    assert address(env, DOCKER_CONTEXT="default") is None
    assert address(env, DOCKER_HOST="unix:///near.sock", DOCKER_CONTEXT="far") == "unix:///near.sock"


def test_its_keys_are_taken_where_it_has_any(env, tmp_path):
    keys = tmp_path / "contexts" / "tls" / hashlib.sha256(b"far").hexdigest() / "docker"
    keys.mkdir(parents=True)
    told = docker_daemon.environment(env | {"DOCKER_CONTEXT": "far"})
    assert (told["DOCKER_TLS_VERIFY"], told["DOCKER_CERT_PATH"]) == ("1", str(keys))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Endpoints": []}', '{"Endpoints": {"docker": null}}'])
def test_a_context_that_is_none(env, tmp_path, text):
    (meta,) = tmp_path.glob("contexts/meta/*/meta.json")
    meta.write_text(text)
    with pytest.raises(ContextNotFound):
        address(env, DOCKER_CONTEXT="far")
    assert "far" in Host(machine="x86_64", env=env | {"DOCKER_CONTEXT": "far"}).daemon.error


def test_a_configuration_that_is_none(tmp_path):
    for text in ("", "{", "[]", "{}"):
        (tmp_path / "config.json").write_text(text)
        assert docker_daemon.read_config({"DOCKER_CONFIG": str(tmp_path)}) == {}
    assert docker_daemon.read_config({"HOME": str(tmp_path / "nowhere")}) == {}


def test_why_none_answers_is_said_in_the_system_s_words():
    assert Host(machine="x86_64", env={"DOCKER_HOST": "tcp://127.0.0.1:9"}).daemon.error == "Connection refused"
    assert "ftp" in Host(machine="x86_64", env={"DOCKER_HOST": "ftp://x"}).daemon.error
