"""The checks of one image, against a daemon that is played; the real one is asked in tests/real/test_smoke.py."""

import pytest
from docker.errors import NotFound
from machines import AMD64, ARM64, MUSL

from buildlib.testing import smoke
from buildlib.images.dockerfile import Stage
from buildlib.testing.libtest import FAILED, IGNORED, PASSED
from buildlib.images.oci import Runtime
from buildlib.machine.workspace import Component


class Played:
    """A container: what it says, how it ends, and how healthy it becomes."""

    def __init__(self, said="", code=0, health=("starting", "healthy"), running=True):
        self.said, self.code, self.health, self.running = said, code, list(health), running
        self.attrs, self.stopped = {}, None
        self.ports = {"1883/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4000"}]}

    def wait(self, **_):
        return {"StatusCode": self.code}

    def logs(self):
        return self.said.encode()

    def reload(self):
        status = self.health.pop(0) if len(self.health) > 1 else self.health[0]
        self.attrs = {"State": {"Running": self.running, "ExitCode": self.code, "Health": {"Status": status}}}

    def stop(self, timeout):
        self.stopped = timeout


class Daemon:
    def __init__(self, containers=(), attrs=()):
        ordinary = {"uname": Played("aarch64\n"), "--version": Played("app 1.2.3 (abc)\n"), "": Played("listening\n")}
        self.made = ordinary | dict(containers)
        self.asked = []
        self.told = {"Os": "linux", "Architecture": "arm64", "Variant": "v8", "Config": {"User": "65532:65532"}} | dict(
            attrs
        )
        self.containers = self.images = self

    def get(self, _):
        return type("Image", (), {"attrs": self.told})

    def run(self, image, words, **facts):
        self.asked.append((image, words, facts))
        return self.made[facts.get("entrypoint") or "".join(words)]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(smoke.time, "sleep", lambda _: None)
    monkeypatch.setattr(smoke, "_answers", lambda host, port: (host, port) == ("127.0.0.1", 4000))
    monkeypatch.setattr(smoke, "HEALTHY", 0.05)


def checked(daemon, target=ARM64, ports=(1883,), health=("app", "--health"), says=()):
    component = Component(name="app", package="app", version="1.2.3")
    part = Stage(runtime=Runtime(entrypoint=("/usr/bin/app",), ports=ports, health=health), says=dict(says))
    trial = smoke.Trial(client=daemon, label="l", target=target, component=component, part=part, image="sha256:1")
    return {case.name: (case.result, case.detail) for case in smoke._checks(trial)}


def test_an_image_that_keeps_all_it_promises():
    daemon = Daemon()
    found = checked(daemon)
    assert {name: result for name, (result, _) in found.items()} == dict.fromkeys(
        ("platform", "user", "machine", "version", "service"), PASSED
    )
    assert found["machine"][1] == "aarch64" and found["platform"][1] == "linux/arm64/v8"
    strict = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "platform": "linux/arm64",
              "labels": {smoke.LABEL: "l"}, "detach": True}  # fmt: skip
    assert all(strict.items() <= facts.items() for _, _, facts in daemon.asked)
    assert daemon.made[""].stopped == smoke.STOP


def test_what_is_no_service_is_started_no_longer_than_for_its_version():
    assert "service" not in checked(Daemon(), ports=())


def test_a_static_image_has_no_uname():
    assert checked(Daemon(), target=MUSL)["machine"] == (IGNORED, smoke.SKIPPED)


@pytest.mark.parametrize(
    ("containers", "attrs", "name", "detail"),
    [
        ({"uname": Played("x86_64\n")}, {}, "machine", "ran on x86_64, wanted arm64"),
        ({"uname": Played("exec format error\n", code=1)}, {}, "machine", "exit code 1: exec format error"),
        ({"--version": Played("app 1.2.4\n")}, {}, "version", "--version says 'app 1.2.4', wanted 1.2.3"),
        ({}, {"Architecture": "amd64", "Variant": ""}, "platform", "is linux/amd64, wanted linux/arm64"),
        ({}, {"Config": {"User": "0:0"}}, "user", "runs as 0:0"),
        ({}, {"Config": {}}, "user", "runs as root"),
        ({"": Played("no port\n", code=2, running=False)}, {}, "service", "ended with 2: no port"),
        ({"": Played("x", health=("starting",))}, {}, "service", "not healthy within 0 s"),
        ({"": Played("")}, {}, "service", "has said nothing at its start"),
        ({"": Played("x", code=137)}, {}, "service", "ended with 137 0.0 s after SIGTERM"),
    ],
    ids=str,
)
def test_a_promise_that_is_not_kept(containers, attrs, name, detail):
    found = checked(Daemon(containers, attrs))
    assert found[name] == (FAILED, detail)
    assert [other for other, (result, _) in found.items() if result == FAILED] == [name]


def test_what_a_service_must_say_of_its_arch():
    said = {"": Played('starting arch="aarch64" path=neon')}
    says = {"all": ('arch="{arch}"',), "arm64": ("path=neon",), "armv7": ("path=plain",)}
    assert checked(Daemon(said), says=says)["service"][0] == PASSED
    assert checked(Daemon({"": Played("\x1b[1mpath\x1b[0m=neon arch=\"arm\"")}), says=says)["service"] == (
        FAILED, "has not said 'arch=\"aarch64\"'",
    )  # fmt: skip
    assert checked(Daemon(said), says={"arm64": ("path=plain",)})["service"] == (FAILED, "has not said 'path=plain'")


def test_a_port_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(smoke, "_answers", lambda *_: False)
    assert checked(Daemon(), health=())["service"] == (FAILED, "no answer on 1883/tcp within 0 s")


def test_what_the_daemon_will_not_do_is_a_failure():
    class Broken(Daemon):
        def run(self, image, words, **facts):
            raise NotFound("exec: absent: not found")

    found = checked(Broken(), target=AMD64, ports=())
    assert found["version"] == (FAILED, "exec: absent: not found")
