"""`buildlib image --push` with a real daemon, BuildKit and registry: every tag names a complete image that was checked."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from project import ARCHES, CRASHES, EXITS_1, PLATFORMS, with_entry_code
from testbed import BUILDLIB, PROGRAMS, as_in_a_shell, assert_error, run

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64", "linux/arm/v7": "armv7l", "linux/riscv64": "riscv64"}
MIB = 2**20
CLI_COMMAND = ("--component", "cli-command")
MQTT_SERVER = ("--component", "mqtt-server")
pytestmark = pytest.mark.slow


def test_four_services_for_four_platforms_and_nothing_to_do_afterwards(shared_project):
    first = shared_project.push("--json")
    assert first.code == 0 and "docker buildx build" in first.err, first
    images = json.loads(first.out)
    assert [(image["component"], image["status"], image["platforms"]) for image in images] == [
        (program, "done", PLATFORMS) for program in PROGRAMS
    ]
    for image in images:
        for tag in ("0.1.0", "latest"):
            assert shared_project.digest(f"{image['component']}:{tag}") == image["digest"]
    again = shared_project.push("--json")
    assert [(image["status"], image["digest"]) for image in json.loads(again.out)] == [
        ("unchanged", image["digest"]) for image in images
    ]
    assert "docker buildx build" not in again.err, again


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_image_runs_on_its_platform(shared_project, platform):
    for name in PROGRAMS:
        image = f"{shared_project.repository}/{name}:latest"

        def start(*words, image=image):
            flags = ("--rm", "--pull", "always", "--platform", platform, "--read-only", "--cap-drop=ALL")
            return run("docker", "run", *flags, *words, env=shared_project.env)

        machine = start("--entrypoint", "uname", image, "-m")
        assert machine.out.strip() == MACHINES[platform], machine
        version = start(image, "--version")
        assert version.code == 0 and version.out.startswith(f"{name} 0.1.0 ("), version
        uid = start("--entrypoint", "id", image, "-u")
        assert uid.out.strip() == "65532", uid
        tools = start(
            "--entrypoint", "sh", image, "-c", "command -v cc gcc ld cargo rustc zig python3 apt-get; echo end"
        )
        assert tools.out == "end\n", tools


def test_images_are_small_and_static_images_contain_only_the_program(project):
    for name in PROGRAMS:
        for platform, entry in project.manifests(f"{name}:latest").items():
            assert compressed_size(project, name, entry) < 40 * MIB, (name, platform)
    static = project.push("--tag", "static", arches="amd64-musl,arm64-musl")
    assert static.code == 0, static
    for name in PROGRAMS:
        for entry in project.manifests(f"{name}:static").values():
            assert compressed_size(project, name, entry) < 15 * MIB
        image = f"{project.repository}/{name}:static"
        shell = run("docker", "run", "--rm", "--entrypoint", "sh", image, "-c", "true", env=project.env)
        assert shell.code == 127, shell  # no such program
        version = run("docker", "run", "--rm", "--read-only", "--cap-drop=ALL", image, "--version", env=project.env)
        assert version.out.startswith(f"{name} 0.1.0 ("), version


def compressed_size(project, name, entry):
    """The size of the image's layers in the registry, in bytes."""
    return sum(layer["size"] for layer in json.loads(project.raw(f"{name}@{entry['digest']}"))["layers"])


def test_a_commit_that_changes_no_binary_gives_the_same_images(project):
    before = json.loads(project.push("--json").out)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.test")
    assert run("git", *author, "commit", "--allow-empty", "-m", "nothing", cwd=project.root).code == 0
    after = json.loads(project.push("--json").out)
    assert [(image["status"], image["digest"]) for image in after] == [
        ("unchanged", image["digest"]) for image in before
    ]


def test_ctrl_c_ends_all_processes_and_moves_no_tag(project):
    """The build does not end by itself, so that the signal comes before its end on a machine of any speed."""
    before = {name: project.raw(f"{name}:latest") for name in PROGRAMS}
    file, step = project.root / "Dockerfile.multiarch", f"sleep 3600.{os.getpid()}"  # seconds, which nobody else sleeps
    file.write_text(re.sub(r"(\nFROM .* AS cli-command\n)", rf"\1RUN {step}\n", file.read_text()))
    argv = (str(BUILDLIB), "image", "--arch", ARCHES, "--push", "--no-build", "--force")
    process = subprocess.Popen(
        argv, cwd=project.root, env=os.environ | project.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=as_in_a_shell,  # noqa: PLW1509
    )  # fmt: skip
    while run("pgrep", "--full", step).code and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, "error: interrupted\n" in stderr, "Traceback" in stderr) == (130, True, False), stderr
    registry = project.engine.registry.replace(":", "(:|__)")
    remaining = run("pgrep", "--full", "--list-full", f"docker-buildx.*{registry}/acme")
    assert remaining.out == "", remaining
    assert {name: project.raw(f"{name}:latest") for name in PROGRAMS} == before


@pytest.fixture
def mqtt_server(project):
    """The project after a push of mqtt-server, with the bytes of the tag `latest` and of the arm64 binary."""
    pushed = project.push(*MQTT_SERVER)
    assert pushed.code == 0, pushed
    return project, project.raw("mqtt-server:latest"), (project.root / "dist" / "arm64" / "mqtt-server").read_bytes()


def test_a_binary_of_another_architecture_is_refused(mqtt_server):
    project, before, _ = mqtt_server
    project.replace_binary("arm64", "mqtt-server", (project.root / "dist" / "amd64" / "mqtt-server").read_bytes())
    refused = project.push(*MQTT_SERVER)
    assert refused.code == 6 and "machine: 62 (amd64), expected 183 (arm64)" in refused.err, refused
    assert project.raw("mqtt-server:latest") == before


# A program that crashes as the first process of a container hangs under QEMU until the time limit of one minute.
@pytest.mark.parametrize(
    ("code", "reason"),
    [(EXITS_1, "exit code: 1"), pytest.param(CRASHES, "did not exit within 60 s", marks=pytest.mark.extended)],
    ids=["exits", "crashes"],
)
def test_a_binary_that_does_not_run_is_refused(mqtt_server, code, reason):
    project, before, binary = mqtt_server
    project.replace_binary("arm64", "mqtt-server", with_entry_code(binary, code))
    refused = project.push(*MQTT_SERVER)
    assert refused.code == 6 and "does not run: " in refused.err and reason in refused.err, refused
    assert project.raw("mqtt-server:latest") == before


def test_a_missing_binary_is_refused(mqtt_server):
    project, before, _ = mqtt_server
    binary = project.root / "dist" / "arm64" / "mqtt-server"
    binary.unlink()
    help_text = "run `buildlib build`, or leave out --no-build"
    assert_error(project.push(*MQTT_SERVER), 6, f"{binary}: not in dist/", help_text)
    assert project.raw("mqtt-server:latest") == before


def test_one_platform_and_one_tag(project):
    options = (*CLI_COMMAND, "--tag", "only", "--json")
    pushed = project.push(*options, arches="arm64")
    assert pushed.code == 0, pushed
    (image,) = json.loads(pushed.out)
    assert (image["status"], image["platforms"], image["tags"]) == ("done", ["linux/arm64"], ["only"])
    assert list(project.manifests("cli-command:only")) == ["linux/arm64"]
    assert project.digest("cli-command:only") == image["digest"]
    assert json.loads(project.push(*options, arches="arm64").out) == [{**image, "status": "unchanged"}]


def test_the_workspace_s_own_dockerfile_is_used_unchanged(project):
    file = project.root / "Dockerfile.multiarch"
    file.write_text(file.read_text().replace("EXPOSE 1883\n", "EXPOSE 1883\nCOPY rustfmt.toml /etc/\nENV OWN=1\n"))
    options = ("--component", "mqtt-server,cli-command", "--tag", "own", "--json")
    pushed = project.push(*options)
    assert pushed.code == 0, pushed
    image = f"{project.repository}/mqtt-server:own"
    script = ("-c", "cat /etc/rustfmt.toml; echo $OWN")
    output = run("docker", "run", "--rm", "--entrypoint", "sh", image, *script, env=project.env)
    assert output.out == (project.root / "rustfmt.toml").read_text() + "1\n"
    assert [image["status"] for image in json.loads(project.push(*options).out)] == ["unchanged", "unchanged"]

    file.write_text(file.read_text().replace("/usr/bin/cli-command", "/opt/cli"))
    moved = project.push(*options)
    assert moved.code == 6 and "/usr/bin/cli-command is not in the image\n" in moved.err, moved
    settings = project.root / "buildlib.toml"
    settings.write_text(settings.read_text() + '[components.cli-command]\nprogram = "/opt/cli"\n')
    assert project.push(*options).code == 0

    file.write_text(file.read_text().replace("AS cli-command", "AS cli"))
    renamed = project.push(*options)
    assert (
        renamed.code == 1
        and "\n  help: add a stage of that name to the Dockerfile, or name another one with --target\n" in renamed.err
    ), renamed


def test_only_the_changed_image_gets_a_new_digest(project):
    pushed = project.push("--json")
    assert pushed.code == 0, pushed
    first = json.loads(pushed.out)
    changed = (project.root / "dist" / "riscv64" / "cli-command").read_bytes() + b"\0"
    project.replace_binary("riscv64", "cli-command", changed)
    second = json.loads(project.push("--json").out)
    assert [image["status"] for image in second] == ["done", "unchanged", "unchanged", "unchanged"]
    assert [image["digest"] for image in first][1:] == [image["digest"] for image in second][1:]
    assert first[0]["digest"] != second[0]["digest"]


def test_after_a_kill_at_any_time_latest_is_a_complete_image(project):
    """Each round pushes another image and is killed at another time: the tag names one complete index, old or new."""
    binary = (project.root / "dist" / "riscv64" / "cli-command").read_bytes()
    project.replace_binary("riscv64", "cli-command", binary + b"complete")
    began = time.monotonic()
    pushed = project.push(*CLI_COMMAND)
    assert pushed.code == 0, pushed
    duration = time.monotonic() - began
    first = complete_index(project)
    argv = (str(BUILDLIB), "image", "--arch", ARCHES, "--push", "--no-build", *CLI_COMMAND)
    for number in range(9):
        project.replace_binary("riscv64", "cli-command", binary + bytes([number]))
        process = subprocess.Popen(
            argv, cwd=project.root, env=os.environ | project.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(duration * (1 + number) / 8)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        complete_index(project)
    project.replace_binary("riscv64", "cli-command", binary + b"the last one")
    pushed = project.push(*CLI_COMMAND)
    assert pushed.code == 0, pushed
    assert complete_index(project) != first


def complete_index(project):
    """The index that cli-command:latest names; all its manifests are in the registry."""
    raw = project.raw("cli-command:latest")
    entries = json.loads(raw)["manifests"]
    assert len(entries) == len(PLATFORMS), raw
    for entry in entries:
        assert project.digest(f"cli-command@{entry['digest']}") == entry["digest"], raw
    return raw
