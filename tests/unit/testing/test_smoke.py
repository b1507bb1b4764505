"""The command `smoke` with a fake daemon; tests/real/test_smoke.py asks a real one."""

import threading
from dataclasses import replace

import machines
import pytest
from fake_daemon import Store
from machines import AMD64, ARM64, Machine, Recorder, context

from buildlib.core.cases import PASSED
from buildlib.core.errors import TestsFailed, UsageError
from buildlib.machine.workspace import Component
from buildlib.smoke import checks, containers
from buildlib.smoke.expectation import Expectation
from buildlib.testing import smoke

APP = Component(name="app", package="app", version="1.2.3")


@pytest.fixture
def prepared(tmp_path):
    """A context with one component, whose settings are `settings`."""

    def prepared(images=None, **settings):
        recorder = Recorder()
        recorder.env = {}
        workspace = machines.workspace(APP, root=tmp_path)
        components = {"app": settings} if settings else {}
        made = context(Machine(), recorder, root=tmp_path, registry="ghcr.io/acme", components=components,
                       images=images or {})  # fmt: skip
        return replace(made, workspace=workspace)

    return prepared


@pytest.fixture
def command(prepared, monkeypatch):
    """Run the command `smoke` against a fake daemon."""

    monkeypatch.setattr(checks, "STARTED", 0.0)

    def command(client, images=None, **options):
        monkeypatch.setattr(containers.docker_daemon, "client", lambda env, timeout: client)
        options = {"targets": (ARM64,), "images": tuple(images or ()), **options}
        return smoke.smoke(prepared(images), smoke.SmokeOptions(**options))

    return command


def test_a_part_starts_its_own_images_alone(command):
    """Not the tag, which is on the image of the last release."""
    with pytest.raises(UsageError) as caught:
        command(None, targets=(AMD64, ARM64), digests={"app": {"linux/amd64": "sha256:1"}})
    assert caught.value.message == "app: this part has pushed no image for linux/arm64 from these sources"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Expectation(name="app", version="1.2.3", strict=True)),
        (
            {"ports": [80], "health": "app --health", "says": {"all": ["up"]}, "user": "0:0"},
            Expectation(
                name="app", version="1.2.3", ports=(80,), own_health=True, says={"all": ("up",)}, strict=True, root_allowed=True,
            ),
        ),
        ({"user": "7"}, Expectation(name="app", version="1.2.3", strict=True)),
    ],
)  # fmt: skip
def test_what_is_expected_of_a_program_of_the_workspace(prepared, settings, expected):
    assert smoke.expectation(prepared(**settings), APP) == expected


def test_the_command_reports_one_suite_for_each_component(command, tmp_path):
    client = Store()
    (result,) = command(client)
    assert (result.session, result.target, result.emulator, result.error) == ("smoke", ARM64, "binfmt", None)
    assert result.ran_on == {"machine": "aarch64"}
    assert [(suite.name, suite.count(PASSED)) for suite in result.suites] == [("app", 4)]
    assert (tmp_path / "target" / "buildlib" / "reports" / "smoke-arm64.json").exists() and client.closed


def test_failed_checks_are_failed_tests(command, capsys):
    (result,) = command(Store(attrs={"Config": {}}))
    message = "arm64: app: user: runs as root, expected another user"
    assert type(result.error) is TestsFailed and result.error.message == message
    assert f"error: {message}\n" in capsys.readouterr().err


WEB = {"dockerfile": "Dockerfile", "context": "."}


def test_images_of_the_settings_are_started_on_their_own_platforms(command):
    images = {"web": WEB, "redis": {**WEB, "platforms": ["riscv64"]}}
    arm64, riscv64 = command(Store(), images, named=False)
    assert [(suite.name, [case.name for case in suite.cases]) for suite in arm64.suites] == [
        ("app", ["platform", "user", "machine", "version"]), ("web", ["platform", "machine", "started"]),
    ]  # fmt: skip
    assert (riscv64.target.name, [suite.name for suite in riscv64.suites]) == ("riscv64", ["redis"])


def test_an_image_without_a_named_platform_is_left_out(command):
    images = {"redis": {**WEB, "platforms": ["riscv64"]}}
    (result,) = command(Store(), images)
    assert [suite.name for suite in result.suites] == ["app"]


def test_platforms_run_at_once_and_each_is_shown_in_one_piece(command, capsys, monkeypatch):
    """Each platform waits for the other before its checks, so that the command would not end if they ran one after the other."""
    both, suite = threading.Barrier(2), checks.suite

    def waiting(trial):
        both.wait(timeout=60)
        return suite(trial)

    monkeypatch.setattr(checks, "suite", waiting)
    results = command(Store(attrs={"Config": {}}), targets=(ARM64, AMD64))
    assert [result.target.name for result in results] == ["arm64", "amd64"]
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines[::2]) == ["▸ amd64 · smoke", "▸ arm64 · smoke"]
    assert [line.partition(": ")[2].partition(":")[0] for line in lines[1::2]] == [
        line.removeprefix("▸ ").partition(" ")[0] for line in lines[::2]
    ]
