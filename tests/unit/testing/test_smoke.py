"""The checks of one image against a fake daemon; tests/real/test_smoke.py asks a real one."""

import re
import socket
import threading
from dataclasses import replace

import machines
import pytest
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from machines import AMD64, ARM64, MUSL, Machine, Recorder, context
from requests.exceptions import ReadTimeout

from buildlib.core.errors import MissingRequirements, TestsFailed
from buildlib.images.dockerfile import Stage
from buildlib.images.oci import Runtime
from buildlib.machine.workspace import Component
from buildlib.testing import smoke, smoke_checks
from buildlib.testing.libtest import FAILED, IGNORED, PASSED, Case

APP = Component(name="app", package="app", version="1.2.3")


class FakeContainer:
    """A container: its log, its exit code, and its health over time."""

    def __init__(self, log="", code=0, health=("starting", "healthy"), running=True):
        self.log, self.code, self.health, self.running = log, code, list(health), running
        self.answers = {"StatusCode": code}
        self.attrs, self.stopped, self.removed = {}, None, False
        self.ports = {"1883/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}

    def wait(self, **_):
        return self.answers

    def logs(self):
        return self.log.encode()

    def reload(self):
        status = self.health.pop(0) if len(self.health) > 1 else self.health[0]
        self.attrs = {"State": {"Running": self.running, "ExitCode": self.code, "Health": {"Status": status}}}

    def stop(self, timeout):
        self.stopped = timeout

    def remove(self, **_):
        self.removed = True


class FakeImage:
    def __init__(self, id, attrs=()):
        self.id, self.attrs = id, attrs


IMAGE = {"Os": "linux", "Architecture": "arm64", "Variant": "v8", "Config": {"User": "65532:65532"}}


class Daemon:
    """The client of Docker's SDK for one image."""

    def __init__(self, containers=(), attrs=()):
        usual = {
            "uname": FakeContainer("aarch64\n"),
            "--version": FakeContainer("app 1.2.3 (abc)\n"),
            "": FakeContainer("listening\n"),
        }
        self.by_words = usual | dict(containers)
        self.attrs = IMAGE | dict(attrs)
        self.started = []
        self.containers = self.images = self

    def get(self, _):
        return FakeImage("sha256:1", self.attrs)

    def run(self, image, words, **options):
        self.started.append((image, words, options))
        return self.by_words[options.get("entrypoint") or "".join(words)]


class Clock:
    """Stands for the module `time`: only sleeping lets time pass."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


answers = smoke_checks._answers


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr(smoke_checks, "time", Clock())
    monkeypatch.setattr(smoke_checks, "_answers", lambda host, port: (host, port) == ("127.0.0.1", 4000))


def checked(daemon, target=ARM64, ports=(1883,), health=("app", "--health"), says=(), user="1:1"):
    runtime = Runtime(entrypoint=("/usr/bin/app",), ports=ports, health=health, user=user)
    stage = Stage(runtime=runtime, says=dict(says))
    trial = smoke_checks.Trial(client=daemon, label="l", target=target, component=APP, stage=stage, image="sha256:1")
    return {case.name: (case.result, case.detail) for case in smoke_checks.checks(trial)}


def test_an_image_that_passes_all_checks():
    daemon = Daemon()
    assert checked(daemon) == {
        "platform": (PASSED, "linux/arm64/v8"), "user": (PASSED, "65532:65532"), "machine": (PASSED, "aarch64"),
        "version": (PASSED, "app 1.2.3 (abc)"), "service": (PASSED, "healthy after 0.2 s, exited 0.0 s after SIGTERM"),
    }  # fmt: skip
    strict = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "platform": "linux/arm64",
              "labels": {smoke_checks.LABEL: "l"}, "detach": True}  # fmt: skip
    assert len(daemon.started) == 3 and all(strict.items() <= options.items() for _, _, options in daemon.started)
    assert daemon.by_words[""].stopped == smoke_checks.STOP


def test_root_is_a_user_only_if_the_settings_say_so():
    daemon = Daemon(attrs={"Config": {"User": "0:0"}})
    assert checked(daemon, user="0:0")["user"] == (PASSED, "0:0")


def test_an_image_without_ports_has_no_service_check():
    daemon = Daemon()
    assert "service" not in checked(daemon, ports=())
    assert [words for _, words, _ in daemon.started] == [["-m"], ["--version"]]


def test_a_static_image_has_no_uname():
    assert checked(Daemon(), target=MUSL)["machine"] == (IGNORED, smoke_checks.SKIPPED)


@pytest.mark.parametrize(
    ("containers", "attrs", "name", "detail"),
    [
        ({"uname": FakeContainer("x86_64\n")}, {}, "machine", "ran on x86_64, expected arm64"),
        (
            {"uname": FakeContainer("exec format error\n", code=1)},
            {},
            "machine",
            "exited with code 1: exec format error",
        ),
        ({"--version": FakeContainer("", code=3)}, {}, "version", "exited with code 3 and no output"),
        ({"--version": FakeContainer("app 1.2.4\n")}, {}, "version", "--version printed 'app 1.2.4', expected 1.2.3"),
        ({}, {"Architecture": "amd64", "Variant": ""}, "platform", "the image is linux/amd64, expected linux/arm64"),
        ({}, {"Config": {"User": "0:0"}}, "user", "runs as 0:0, expected another user"),
        ({}, {"Config": {"User": None}}, "user", "runs as root, expected another user"),
        ({}, {"Config": {}}, "user", "runs as root, expected another user"),
        ({"": FakeContainer("no port\n", code=2, running=False)}, {}, "service", "exited with code 2: no port"),
        ({"": FakeContainer("x", health=("starting",))}, {}, "service", "not healthy within 120 s"),
        ({"": FakeContainer("")}, {}, "service", "the log is empty after the start"),
        ({"": FakeContainer("x", code=137)}, {}, "service", "exited with code 137, 0.0 s after SIGTERM"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failed_check_says_what_is_wrong(containers, attrs, name, detail):
    results = checked(Daemon(containers, attrs))
    assert results[name] == (FAILED, detail)
    assert [other for other, (result, _) in results.items() if result == FAILED] == [name]


def test_the_log_of_a_service_contains_what_the_settings_expect_for_its_arch():
    container = {"": FakeContainer('starting arch="aarch64" path=neon')}
    says = {"all": ('arch="{arch}"',), "arm64": ("path=neon",), "armv7": ("path=plain",)}
    assert checked(Daemon(container), says=says)["service"][0] == PASSED
    other = {"": FakeContainer('\x1b[1mpath\x1b[0m=neon arch="arm"')}
    assert checked(Daemon(other), says=says)["service"] == (FAILED, "the log does not contain 'arch=\"aarch64\"'")
    assert checked(Daemon(container), says={"arm64": ("path=plain",)})["service"] == (
        FAILED, "the log does not contain 'path=plain'",
    )  # fmt: skip


def test_a_port_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(smoke_checks, "_answers", lambda *_: False)
    assert checked(Daemon(), health=())["service"] == (FAILED, "no answer on 1883/tcp within 120 s")


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (NotFound("exec: absent: not found"), "exec: absent: not found"),
        (ReadTimeout("read timed out"), "read timed out"),
    ],
)
def test_an_error_of_the_daemon_is_a_failed_check(error, detail):
    class Broken(Daemon):
        def run(self, image, words, **options):
            raise error

    results = checked(Broken(), target=AMD64, ports=())
    assert results["version"] == (FAILED, detail)


UNEXPECTED = "unexpected answer of the Docker daemon: "


@pytest.mark.parametrize(
    ("serve", "seconds", "expected"),
    [
        (lambda connection: connection.sendall(b"220 "), 60, True),
        (lambda connection: connection.recv(1), 0.01, True),
        (lambda connection: None, 60, False),
    ],
    ids=["speaks", "waits", "closes"],
)
def test_a_port_answers_if_the_connection_stays_open(monkeypatch, serve, seconds, expected):
    """Docker's proxy accepts a connection and closes it while nothing listens behind it."""
    monkeypatch.setattr(smoke_checks, "OPEN", seconds)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        assert answers(*server.getsockname()) is expected
        thread.join()


def test_a_port_without_a_listener_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert not answers(*address)


@pytest.mark.parametrize(
    ("daemon", "name", "detail"),
    [
        (Daemon(attrs={"Config": None}), "user", "AttributeError: 'NoneType' object has no attribute 'get'"),
        (Daemon(attrs={"Architecture": 3}), "platform", "TypeError: sequence item 1: expected str instance, int found"),
    ],
    ids=["null", "number"],
)
def test_an_unexpected_answer_of_the_daemon_is_a_failed_check(daemon, name, detail):
    results = checked(daemon)
    assert results[name] == (FAILED, UNEXPECTED + detail)
    assert [other for other, (result, _) in results.items() if result == FAILED] == [name]


@pytest.mark.parametrize("key", ["Os", "Architecture", "Config"])
def test_a_missing_key_of_the_image_is_a_failed_check(key):
    daemon = Daemon()
    del daemon.attrs[key]
    failed = {name: detail for name, (result, detail) in checked(daemon).items() if result == FAILED}
    assert failed == {"user" if key == "Config" else "platform": f"{UNEXPECTED}KeyError: '{key}'"}


def test_a_missing_key_of_a_container_is_a_failed_check():
    class NoState(FakeContainer):
        def reload(self):
            self.attrs = {}

    no_code = FakeContainer("aarch64\n")
    del no_code.answers["StatusCode"]
    no_port = FakeContainer("listening\n")
    no_port.ports = {"1883/tcp": None}
    results = checked(Daemon({"uname": no_code, "": NoState()}))
    assert results["machine"] == (FAILED, f"{UNEXPECTED}KeyError: 'StatusCode'")
    assert results["service"] == (FAILED, f"{UNEXPECTED}KeyError: 'State'")
    detail = checked(Daemon({"": no_port}))["service"][1]
    assert detail.startswith(f"{UNEXPECTED}TypeError: ")


# --- pulling, and the whole command -------------------------------------------------------------------------------------------


class Registry(Daemon):
    """A daemon that holds images by name, and pulls others."""

    def __init__(self, names=(), pulled="sha256:new", error=None, **more):
        super().__init__(**more)
        self.names, self.pulled, self.error = dict(names), pulled, error
        self.actions, self.remaining = [], []
        self.api, self.closed = self, False

    def ping(self):
        return True

    def close(self):
        self.closed = True

    def list(self, *, all, filters=None, ignore_removed=False):
        return self.remaining if filters else [FakeImage(id) for id in self.names.values()]

    def get(self, name):
        if name.startswith("sha256:"):
            return FakeImage(name, self.attrs)
        if name not in self.names:
            raise ImageNotFound(name)
        return FakeImage(self.names[name])

    def pull(self, repository, *, tag, platform):
        self.actions.append(("pull", repository, tag, platform))
        if self.error:
            raise self.error
        return FakeImage(self.pulled)

    def tag(self, *words):
        self.actions.append(("tag", *words))

    def remove(self, name, **_):
        self.actions.append(("remove", name))


NAME = "ghcr.io/acme/app:1.2.3"
PULL = ("pull", "ghcr.io/acme/app", "1.2.3", "linux/arm64")


@pytest.mark.parametrize(
    ("names", "actions"),
    [
        ({}, [("remove", NAME), ("remove", "sha256:new")]),
        ({"other:1": "sha256:new"}, [("remove", NAME)]),
        ({NAME: "sha256:old"}, [("tag", "sha256:old", "ghcr.io/acme/app", "1.2.3"), ("remove", "sha256:new")]),
    ],
    ids=["new", "known by another name", "another platform"],
)
def test_the_daemon_has_the_same_images_afterwards(names, actions):
    daemon = Registry(names)
    with smoke._pulled(daemon, *NAME.rsplit(":", 1), ARM64) as image:
        assert image == "sha256:new"
    assert daemon.actions == [PULL, *actions]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (APIError("no such manifest"), "no such manifest"), (ReadTimeout("read timed out"), "read timed out"),
        (KeyError("Id"), f"{UNEXPECTED}KeyError: 'Id'"),
    ],
)  # fmt: skip
def test_an_image_that_cannot_be_pulled_is_a_failed_case(error, detail):
    daemon = Registry(error=error)
    with smoke._pulled(daemon, *NAME.rsplit(":", 1), ARM64) as case:
        assert case == Case(name="pull", result=FAILED, detail=detail)
    assert daemon.actions == [PULL]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run the command `smoke` against a fake daemon."""

    def command(daemon):
        monkeypatch.setattr(smoke.docker_daemon, "client", lambda env, timeout: daemon)
        recorder = Recorder()
        recorder.env = {}
        workspace = machines.workspace(APP, root=tmp_path)
        prepared = replace(context(Machine(), recorder, root=tmp_path, registry="ghcr.io/acme"), workspace=workspace)
        return smoke.smoke(prepared, smoke.SmokeOptions(targets=(ARM64,)))

    return command


def test_the_command_reports_one_suite_for_each_component(command, tmp_path):
    daemon = Registry()
    (result,) = command(daemon)
    assert (result.session, result.target, result.emulator, result.error) == ("smoke", ARM64, "binfmt", None)
    assert result.ran_on == {"machine": "aarch64"}
    assert [(suite.name, suite.count(PASSED)) for suite in result.suites] == [("app", 4)]
    assert (tmp_path / "target" / "buildlib" / "reports" / "smoke-arm64.json").exists() and daemon.closed


def test_failed_checks_are_failed_tests(command, capsys):
    (result,) = command(Registry(attrs={"Config": {}}))
    message = "arm64: app: user: runs as root, expected another user"
    assert type(result.error) is TestsFailed and result.error.message == message
    assert f"error: {message}\n" in capsys.readouterr().err


def test_containers_are_removed_at_the_end(command, capsys):
    daemon = Registry()
    daemon.remaining = [FakeContainer(), FakeContainer()]
    command(daemon)
    assert [container.removed for container in daemon.remaining] == [True, True]
    assert "warning" not in capsys.readouterr().err


def test_containers_that_cannot_be_listed_are_a_warning(command, capsys):
    class Gone(Registry):
        def list(self, *, all, filters=None, ignore_removed=False):
            if filters:
                raise DockerException("connection refused")
            return super().list(all=all)

    (result,) = command(Gone())
    assert result.error is None
    pattern = (
        r"warning: containers with the label io\.github\.buildlib\.smoke=[0-9a-f]{16} may remain: connection refused\n"
    )
    assert re.search(pattern, capsys.readouterr().err)


def test_a_daemon_that_does_not_answer_is_a_missing_requirement(command):
    class Silent(Registry):
        def ping(self):
            raise ReadTimeout("read timed out")

    with pytest.raises(MissingRequirements) as caught:
        command(Silent())
    assert caught.value.message == "no Docker daemon answers: read timed out"
