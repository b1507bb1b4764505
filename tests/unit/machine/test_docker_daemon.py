"""The daemon that the command `docker` uses, what is wrong with it, and the stored credentials."""

import base64
import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from docker.errors import ContextNotFound
from requests.exceptions import ReadTimeout

from buildlib.machine import docker_daemon
from buildlib.machine.host import Daemon, Host

NO_DAEMON = "the answer is not that of a Docker daemon"


@pytest.fixture
def env(tmp_path):
    """A configuration with a context `remote` that is not in use."""
    number = hashlib.sha256(b"remote").hexdigest()
    meta = tmp_path / "contexts" / "meta" / number / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": "remote", "Endpoints": {"docker": {"Host": "unix:///remote.sock"}}}))
    return {"DOCKER_CONFIG": str(tmp_path)}


def address(env, **more):
    return docker_daemon.environment(env | more).get("DOCKER_HOST")


# --- contexts -----------------------------------------------------------------------------------------------------------------


def test_the_address_of_the_context_in_use(env, tmp_path):
    assert address(env) is None
    assert address(env, DOCKER_CONTEXT="remote") == "unix:///remote.sock"
    (tmp_path / "config.json").write_text('{"currentContext": "remote"}')
    assert address(env) == "unix:///remote.sock"
    assert address(env, DOCKER_CONTEXT="default") is None
    assert address(env, DOCKER_HOST="unix:///near.sock", DOCKER_CONTEXT="remote") == "unix:///near.sock"


def test_the_keys_of_a_context_are_used(env, tmp_path):
    keys = tmp_path / "contexts" / "tls" / hashlib.sha256(b"remote").hexdigest() / "docker"
    keys.mkdir(parents=True)
    assert docker_daemon.environment(env | {"DOCKER_CONTEXT": "remote"}) == env | {
        "DOCKER_CONTEXT": "remote",
        "DOCKER_HOST": "unix:///remote.sock",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(keys),
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Endpoints": []}', '{"Endpoints": {"docker": null}}'])
def test_a_context_without_an_address(env, tmp_path, text):
    (meta,) = tmp_path.glob("contexts/meta/*/meta.json")
    meta.write_text(text)
    with pytest.raises(ContextNotFound):
        address(env, DOCKER_CONTEXT="remote")
    assert "remote" in Host(machine="x86_64", env=env | {"DOCKER_CONTEXT": "remote"}).daemon.error


@pytest.mark.parametrize("context", ["null", "3", "{}", '""'])
def test_a_current_context_that_is_not_a_name(env, tmp_path, context):
    (tmp_path / "config.json").write_text(f'{{"currentContext": {context}}}')
    if context == "3":
        with pytest.raises(ContextNotFound):
            address(env)
    else:
        assert address(env) is None


def test_a_configuration_that_is_not_valid(tmp_path):
    for text in ("", "{", "[]", "{}", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        assert docker_daemon.read_config({"DOCKER_CONFIG": str(tmp_path)}) == {}
    assert docker_daemon.read_config({"HOME": str(tmp_path / "absent")}) == {}


# --- the daemon ---------------------------------------------------------------------------------------------------------------

VERSION = {"Version": "28.5.1", "ApiVersion": "1.51", "Components": [{"Name": "containerd", "Version": "1.7.28"}]}


class FakeDaemon(BaseHTTPRequestHandler):
    """Answers with (status, body) by the last part of the path."""

    def do_GET(self):
        status, body = self.server.answers[self.path.rpartition("/")[2]]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def daemon():
    """The facts about a daemon that gives these answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeDaemon) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()

        def ask(version=VERSION, info=(200, b"{}")):
            body = version if isinstance(version, tuple) else (200, json.dumps(version).encode())
            server.answers = {"version": body, "info": info}
            return Host(machine="x86_64", env={"DOCKER_HOST": f"tcp://127.0.0.1:{server.server_address[1]}"}).daemon

        yield ask
        server.shutdown()
        thread.join()


def test_a_daemon_describes_itself(daemon):
    assert daemon(info=(200, b'{"Driver": "overlay2"}')) == Daemon(
        version="28.5.1", parts={"containerd": "1.7.28"}, info={"Driver": "overlay2"}
    )
    assert daemon(VERSION | {"Components": None}) == Daemon(version="28.5.1")
    assert daemon(VERSION | {"Components": [3, {"Name": "runc"}]}) == Daemon(version="28.5.1", parts={"runc": ""})


@pytest.mark.parametrize(
    ("version", "error"),
    [
        ((200, b"hello"), NO_DAEMON),
        ((200, b""), NO_DAEMON),
        ((200, b"\xff\xfe"), NO_DAEMON),
        ({"ApiVersion": "1.51"}, NO_DAEMON),
        (VERSION | {"Version": None}, NO_DAEMON),
        (VERSION | {"Version": 3}, NO_DAEMON),
        (VERSION | {"ApiVersion": "1.2"}, "API versions below 1.24 are no longer supported by this library."),
    ],
)
def test_an_answer_that_is_not_that_of_a_daemon(daemon, version, error):
    assert daemon(version) == Daemon(error=error)


@pytest.mark.parametrize(
    "version", [[], 3, None, "x", {}, {"ApiVersion": 3, "Version": "1"}, {"ApiVersion": "1.x", "Version": "1"}]
)
def test_json_that_is_not_that_of_a_daemon(daemon, version):
    answer = daemon(version)
    assert answer == Daemon(error=answer.error) and answer.error and "\n" not in answer.error


@pytest.mark.parametrize(
    ("info", "error"),
    [((200, b"[]"), NO_DAEMON), ((200, b"null"), NO_DAEMON), ((200, b"<html>"), NO_DAEMON), ((200, b"3"), NO_DAEMON)],
)
def test_an_answer_to_info_that_is_not_that_of_a_daemon(daemon, info, error):
    assert daemon(info=info) == Daemon(error=error)


def test_a_page_of_a_proxy_is_one_short_line(daemon):
    error = daemon((404, b"<html>\n\n" + b"not here " * 1000)).error
    assert "404 Client Error" in error
    assert len(error) == 200 and "\n" not in error
    assert "500 Server Error" in daemon(info=(500, b"")).error


@pytest.mark.parametrize("silent", ["version", "info"])
def test_a_daemon_that_does_not_answer_in_time(monkeypatch, silent):
    """The SDK raises another exception for the first question, whose answer it needs itself, than for the others."""
    asked = []

    class Client:
        def version(self):
            return self.answer("version", VERSION)

        def info(self):
            return self.answer("info", {})

        def answer(self, question, data):
            asked.append(question)
            if question == silent:
                raise ReadTimeout(
                    "UnixHTTPConnectionPool(host='localhost', port=None): Read timed out."
                ) from TimeoutError("timed out")
            return data

        def close(self):
            asked.append("close")

    def client(env, *, timeout):
        asked.append(timeout)
        return Client()

    monkeypatch.setattr(docker_daemon, "client", client)
    assert Host(machine="x86_64").daemon == Daemon(error="timed out")
    assert asked == [5, "version", *(["info"] if silent == "info" else []), "close"]


def test_a_socket_that_accepts_and_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ConnectionError, match=r"^timed out$"):
        docker_daemon.describe({"DOCKER_HOST": f"tcp://127.0.0.1:{server.getsockname()[1]}"}, timeout=1)


def test_a_connection_that_is_closed_without_an_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        answer = Host(machine="x86_64", env={"DOCKER_HOST": f"tcp://127.0.0.1:{server.getsockname()[1]}"}).daemon
        thread.join(timeout=60)
    assert answer == Daemon(error=answer.error) and "closed connection" in answer.error


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("tcp://127.0.0.1:9", "Connection refused"),
        ("tcp://127.0.0.1:x", "Port could not be cast to integer value as 'x'"),
        ("npipe:////./pipe/docker_engine", "The npipe:// protocol is only supported on Windows"),
        ("ssh://user@host", "Install paramiko package to enable ssh:// support"),
    ],
)
def test_the_reason_is_in_the_words_of_the_system(host, error):
    assert Host(machine="x86_64", env={"DOCKER_HOST": host}).daemon == Daemon(error=error)


def test_an_address_of_an_unknown_kind():
    assert "ftp" in Host(machine="x86_64", env={"DOCKER_HOST": "ftp://x"}).daemon.error


# --- credentials --------------------------------------------------------------------------------------------------------------


def auth(text):
    return {"auth": base64.b64encode(text.encode()).decode()}


def stored(tmp_path, config, host):
    """The credentials for `host`, and the warnings."""
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    warnings = []
    credentials = docker_daemon.login({"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}, warnings.append)(host)
    return credentials, warnings


@pytest.mark.parametrize(
    ("host", "credentials"),
    [
        ("ghcr.io", ("u", "p:q")),
        ("docker.io", ("hub", "h")),
        ("registry-1.docker.io", ("hub", "h")),
        ("azure.test", ("", "t0ken")),
        ("empty.test", None),
        ("other.test", None),
    ],
)
def test_the_credentials_of_docker_login(tmp_path, host, credentials):
    auths = {
        "ghcr.io": auth("u:p:q"),
        "https://index.docker.io/v1/": auth("hub:h"),
        "azure.test": {"identitytoken": "t0ken"},
        "empty.test": {},
    }
    assert stored(tmp_path, {"auths": auths}, host) == (credentials, [])


@pytest.mark.parametrize(
    "config",
    [
        {"auths": 3}, {"auths": []}, {"auths": {"ghcr.io": {"auth": "hunter2"}}}, {"auths": {"ghcr.io": {"auth": 3}}},
        {"auths": {"ghcr.io": auth("no colon hunter2")}}, {"auths": {"ghcr.io": "hunter2"}}, {"credHelpers": 3}, [1], [],
        "{", "", "[" * 100_000,
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_valid_has_no_credentials(tmp_path, config):
    credentials, warnings = stored(tmp_path, config, "ghcr.io")
    assert credentials is None
    assert len(warnings) <= 1
    assert all(line.startswith("no credentials for ghcr.io: ") and "hunter2" not in line for line in warnings)


def test_a_credential_helper_that_is_not_installed_is_one_warning(tmp_path):
    (tmp_path / "config.json").write_text('{"credsStore": "absent"}')
    warnings = []
    login = docker_daemon.login({"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}, warnings.append)
    assert login("ghcr.io") is login("ghcr.io") is None
    assert len(warnings) == 1 and "docker-credential-absent" in warnings[0]
