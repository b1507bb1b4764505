"""The checks of one image against a fake daemon; tests/real/test_smoke.py and test_smoke_layout.py ask a real one."""

import signal
import socket
import threading

import pytest
from docker.errors import APIError, NotFound
from fake_daemon import Client, Clock, FakeContainer, daemon
from machines import AMD64, ARM64, MUSL
from requests.exceptions import ReadTimeout

from buildlib.core.cases import FAILED, IGNORED, PASSED
from buildlib.core.errors import Interrupted
from buildlib.smoke import checks, service, trial
from buildlib.smoke.containers import LABEL, LOG, reason
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.trial import Trial

accepts = service._accepts


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = Clock()
    for module in (checks, service, trial):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(service, "_accepts", lambda host, port: (host, port) == ("127.0.0.1", 4000))
    return clock


def cases(client, target, expectation):
    made = Trial(daemon=daemon(client), target=target, expectation=expectation, image="sha256:1")
    return {case.name: (case.result, case.detail) for case in checks.checks(made)}


def checked(client, target=ARM64, **more):
    """The cases of a program of the workspace."""
    usual = {"name": "app", "version": "1.2.3", "ports": (1883,), "own_health": True, "strict": True}
    return cases(client, target, Expectation(**usual | more))


def checked_any(client, target=ARM64, **more):
    """The cases of any image."""
    return cases(client, target, Expectation(name="redis", **more))


# --- programs of the workspace -----------------------------------------------------------------------------------------


def test_an_image_that_passes_all_checks():
    client = Client()
    assert checked(client) == {
        "platform": (PASSED, "linux/arm64/v8"), "user": (PASSED, "65532:65532"), "machine": (PASSED, "aarch64"),
        "version": (PASSED, "app 1.2.3 (abc)"), "service": (PASSED, "healthy after 0.2 s, exited 0.0 s after SIGTERM"),
    }  # fmt: skip
    strict = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"], "platform": "linux/arm64",
              "labels": {LABEL: "l"}, "log_config": LOG}  # fmt: skip
    assert len(client.started) == 3 and all(strict.items() <= options.items() for _, _, options in client.started)
    assert client.by_words[""].stopped == service.STOP
    assert all(container.removed for container in client.by_words.values())


def test_root_is_a_user_only_if_the_settings_say_so():
    client = Client(attrs={"Config": {"User": "0:0"}})
    assert checked(client, root_allowed=True)["user"] == (PASSED, "0:0")


def test_an_image_without_ports_has_no_service_check():
    client = Client()
    assert "service" not in checked(client, ports=())
    assert [words for _, words, _ in client.started] == [["-m"], ["--version"]]


@pytest.mark.parametrize(
    "text",
    [
        'OCI runtime create failed: exec: "uname": executable file not found in $PATH: unknown',
        "crun: executable file `uname` not found in $PATH: No such file or directory",
    ],
)
def test_an_image_without_uname(text):
    absent = {"uname": FakeContainer(start_error=APIError("400", explanation=text))}
    assert checked(Client(absent), target=MUSL)["machine"] == (IGNORED, checks.SKIPPED)
    other = {"uname": FakeContainer(start_error=APIError("500", explanation="no space left"))}
    assert checked(Client(other))["machine"] == (FAILED, "no space left")


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
        ({"": FakeContainer("bye\n", running=False)}, {}, "service", "exited with code 0: bye"),
        (
            {"": FakeContainer("x", health=("starting",))},
            {},
            "service",
            "not healthy within 120 s: check failed",
        ),
        ({"": FakeContainer("x", health=("none",))}, {}, "service", "not healthy within 120 s"),
        ({"": FakeContainer("")}, {}, "service", "the log is empty after the start"),
        ({"": FakeContainer("x", code=137)}, {}, "service", "exited with code 137, 0.0 s after SIGTERM"),
        ({"": FakeContainer("x", code=143)}, {}, "service", "exited with code 143, 0.0 s after SIGTERM"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_failed_check_says_what_is_wrong(containers, attrs, name, detail):
    results = checked(Client(containers, attrs))
    assert results[name] == (FAILED, detail)
    assert [other for other, (result, _) in results.items() if result == FAILED] == [name]


def test_the_log_of_a_service_contains_what_the_settings_expect_for_its_arch():
    container = {"": FakeContainer('starting arch="aarch64" path=neon')}
    says = {"all": ('arch="{arch}"',), "arm64": ("path=neon",), "armv7": ("path=plain",)}
    assert checked(Client(container), says=says)["service"][0] == PASSED
    other = {"": FakeContainer('\x1b[1mpath\x1b[0m=neon arch="arm"')}
    missing = "the log does not contain 'arch=\"aarch64\"' within 10 s"
    assert checked(Client(other), says=says)["service"] == (FAILED, missing)
    assert checked(Client(container), says={"arm64": ("path=plain",)})["service"] == (
        FAILED, "the log does not contain 'path=plain' within 10 s",
    )  # fmt: skip


def test_a_text_that_is_logged_a_moment_after_the_port_answers(clock):
    class Late(FakeContainer):
        def logs(self):
            return b"starting\nready\n" if clock.now > 3 else b"starting\n"

    assert checked(Client({"": Late()}), says={"all": ("ready",)})["service"][0] == PASSED


def test_a_port_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(service, "_accepts", lambda *_: False)
    assert checked(Client(), own_health=False)["service"] == (FAILED, "no answer on 1883/tcp within 120 s")


def test_a_service_that_exits_before_its_port_answers(monkeypatch):
    class Exiting(FakeContainer):
        def reload(self):
            super().reload()
            self.running = False

    monkeypatch.setattr(service, "_accepts", lambda *_: False)
    failed = (FAILED, "exited with code 4: out of memory")
    container = {"": Exiting("out of memory", code=4, health=("healthy",))}
    assert checked(Client(container), own_health=False)["service"] == failed


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (NotFound("exec: absent: not found"), "exec: absent: not found"),
        (NotFound("404 Client Error for http+docker://x", explanation="no such file"), "no such file"),
        (ReadTimeout("read timed out"), "read timed out"),
    ],
)
def test_an_error_of_the_daemon_is_a_failed_check(error, detail):
    class Broken(Client):
        def create(self, image, words, **options):
            raise error

    results = checked(Broken(), target=AMD64, ports=())
    assert results["version"] == (FAILED, detail)


# --- any image -----------------------------------------------------------------------------------------------------------


def test_any_image_is_started_as_docker_starts_it():
    client = Client({"": FakeContainer("up", health=("none",))}, attrs={"Config": {}})
    assert checked_any(client, ports=(1883,), env={"PASSWORD": "x"}) == {
        "platform": (PASSED, "linux/arm64/v8"), "machine": (PASSED, "aarch64"),
        "service": (PASSED, "healthy after 0.0 s, exited 0.0 s after SIGTERM"),
    }  # fmt: skip
    options = {"entrypoint": None, "platform": "linux/arm64", "labels": {LABEL: "l"}, "log_config": LOG}
    service = {"ports": {"1883/tcp": ("127.0.0.1", None)}, "environment": {"PASSWORD": "x"}}
    assert [more for _, _, more in client.started] == [options | {"entrypoint": "uname"}, options | service]


def test_a_program_that_is_no_service_has_its_variables_too():
    client = Client()
    assert checked_any(client, env={"MODE": "test"})["started"][0] == PASSED
    assert client.started[-1][2]["environment"] == {"MODE": "test"}


def test_a_health_check_of_the_settings_replaces_that_of_the_image():
    client = Client({"": FakeContainer("", health=("starting", "starting", "healthy"))})
    result = checked_any(client, health=("redis-cli", "ping"))["service"]
    assert result == (PASSED, "healthy after 0.4 s, exited 0.0 s after SIGTERM")
    expected = {"test": ["CMD", "redis-cli", "ping"], "interval": 10**9, "timeout": 30 * 10**9, "retries": 3}
    assert client.started[-1][2]["healthcheck"] == expected


@pytest.mark.parametrize(
    ("check", "name"),
    [({"Test": ["CMD", "true"]}, "service"), ({"Test": ["NONE"]}, "started"), ({}, "started"), (None, "started")],
)
def test_the_image_s_own_health_check_makes_it_a_service(check, name):
    client = Client({"": FakeContainer("", health=("unhealthy",))}, attrs={"Config": {"Healthcheck": check}})
    results = checked_any(client)
    assert list(results) == ["platform", "machine", name]
    if name == "service":
        assert results[name] == (FAILED, "not healthy within 120 s: check failed")


@pytest.mark.parametrize(
    ("signal_name", "shown", "code", "result"),
    [
        ("", "SIGTERM", 0, PASSED),
        ("", "SIGTERM", 128 + signal.SIGTERM, PASSED),
        ("", "SIGTERM", 128 + signal.SIGKILL, FAILED),
        ("", "SIGTERM", 1, FAILED),
        ("SIGQUIT", "SIGQUIT", 128 + signal.SIGQUIT, PASSED),
        ("int", "SIGINT", 128 + signal.SIGINT, PASSED),
        ("3", "SIGQUIT", 128 + signal.SIGQUIT, PASSED),
        ("SIGRTMIN+3", "SIGRTMIN+3", 128 + 37, PASSED),
        ("999", "999", 1, FAILED),
        ("nonsense", "NONSENSE", 128 + signal.SIGTERM, PASSED),
    ],
)
def test_the_exit_code_of_a_stopped_service(signal_name, shown, code, result):
    container = {"": FakeContainer("", code=code, health=("none",))}
    client = Client(container, attrs={"Config": {"StopSignal": signal_name}})
    failed = f"exited with code {code}, 0.0 s after {shown}"
    passed = f"healthy after 0.0 s, exited 0.0 s after {shown}"
    assert checked_any(client, ports=(1883,))["service"] == (result, passed if result == PASSED else failed)


def test_a_service_that_the_signal_does_not_end(clock):
    class Stubborn(FakeContainer):
        def stop(self, timeout):
            clock.sleep(timeout)

    container = {"": Stubborn("", code=137, health=("none",))}
    detail = "exited with code 137, 15.0 s after SIGTERM: SIGTERM did not end it, so it was killed"
    assert checked_any(Client(container), ports=(1883,))["service"] == (FAILED, detail)


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (FakeContainer("migrated\n", running=False), (PASSED, "logged what is expected, and exited with code 0: migrated")),
        (
            FakeContainer("x\n", running=False),
            (FAILED, "the log does not contain 'migrated', and the program has exited"),
        ),
        (FakeContainer("migrated\n", code=1, running=False), (FAILED, "exited with code 1: migrated")),
        (FakeContainer("migrated\n"), (PASSED, "healthy after 0.0 s, exited 0.0 s after SIGTERM")),
        (FakeContainer("x\n"), (FAILED, "the log does not contain 'migrated' within 120 s")),
    ],
    ids=["exits", "silent", "fails", "runs", "runs silently"],
)  # fmt: skip
def test_a_program_of_which_only_its_log_is_known(container, expected):
    container.health = ["none"]
    assert checked_any(Client({"": container}), says={"all": ("migrated",)})["service"] == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (FakeContainer("x"), (PASSED, "still running after 5 s")),
        (FakeContainer("usage: a FILE\n", code=2, running=False), (PASSED, "exited with code 2: usage: a FILE")),
        (FakeContainer("", running=False), (PASSED, "exited with code 0 and no output")),
        (FakeContainer("", code=127, running=False), (FAILED, "exited with code 127 and no output")),
        (FakeContainer("a\nb", code=126, running=False), (FAILED, "exited with code 126: b")),
        (FakeContainer("", code=125, running=False), (FAILED, "exited with code 125 and no output")),
        (FakeContainer("", code=132, running=False), (FAILED, "exited with code 132 and no output")),
        (FakeContainer("", code=255, running=False), (FAILED, "exited with code 255 and no output")),
        (
            FakeContainer("exec /app: exec format error\n", code=1, running=False),
            (FAILED, "exited with code 1: exec /app: exec format error"),
        ),
        (
            FakeContainer(start_error=APIError("400", explanation="exec: /app: no such file")),
            (FAILED, "exec: /app: no such file"),
        ),
    ],
)
def test_any_other_program_is_started(container, expected):
    client = Client({"": container})
    assert checked_any(client)["started"] == expected
    assert container.removed


def test_texts_for_another_arch_say_nothing_about_this_one():
    says = {"armv7": ("path=plain",)}
    assert checked_any(Client(), says=says)["started"] == (PASSED, "still running after 5 s")


def test_long_output_is_cut():
    container = FakeContainer("x" * 100_000, code=1, running=False)
    assert checked_any(Client({"": container}))["started"] == (PASSED, f"exited with code 1: {'x' * trial.DETAIL}")


def test_an_interrupted_command_does_not_wait(clock):
    client = Client({"": FakeContainer("", health=("starting",))})
    made = Trial(daemon=daemon(client, lambda: clock.now > 7), target=ARM64, image="sha256:1",
                 expectation=Expectation(name="a", health=("true",)))  # fmt: skip
    with pytest.raises(Interrupted):
        list(checks.checks(made))
    assert clock.now < 8 and client.by_words[""].removed


# --- answers that nothing expects -------------------------------------------------------------------------------------

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
    monkeypatch.setattr(service, "OPEN", seconds)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        assert accepts(*server.getsockname()) is expected
        thread.join()


def test_a_port_without_a_listener_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    assert not accepts(*address)


@pytest.mark.parametrize(
    ("client", "name", "detail"),
    [
        (Client(attrs={"Config": None}), "user", "AttributeError: 'NoneType' object has no attribute 'get'"),
        (Client(attrs={"Architecture": 3}), "platform", "TypeError: sequence item 1: expected str instance, int found"),
    ],
    ids=["null", "number"],
)
def test_an_unexpected_answer_of_the_daemon_is_a_failed_check(client, name, detail):
    results = checked(client)
    assert results[name] == (FAILED, UNEXPECTED + detail)
    assert [other for other, (result, _) in results.items() if result == FAILED] == [name]


@pytest.mark.parametrize("key", ["Os", "Architecture", "Config"])
def test_a_missing_key_of_the_image_is_a_failed_check(key):
    client = Client()
    del client.attrs[key]
    failed = {name: detail for name, (result, detail) in checked(client).items() if result == FAILED}
    assert failed == {"user" if key == "Config" else "platform": f"{UNEXPECTED}KeyError: '{key}'"}


def test_a_missing_key_of_a_container_is_a_failed_check():
    class NoState(FakeContainer):
        def reload(self):
            self.attrs = {}

    no_code = FakeContainer("aarch64\n")
    del no_code.answers["StatusCode"]
    no_port = FakeContainer("listening\n")
    no_port.ports = {"1883/tcp": None}
    results = checked(Client({"uname": no_code, "": NoState()}))
    assert results["machine"] == (FAILED, f"{UNEXPECTED}KeyError: 'StatusCode'")
    assert results["service"] == (FAILED, f"{UNEXPECTED}KeyError: 'State'")
    detail = checked(Client({"": no_port}))["service"][1]
    assert detail.startswith(f"{UNEXPECTED}TypeError: ")


def test_the_reason_is_what_the_daemon_says():
    assert reason(APIError("400 Client Error", explanation="bad name")) == "bad name"
    assert reason(APIError("400 Client Error")) == "400 Client Error"
    assert reason(KeyError("Id")) == f"{UNEXPECTED}KeyError: 'Id'"
