"""The builder: created, compared with the settings, recreated, with two nodes. Builders of others are never changed."""

import json
import os
import subprocess

import pytest
from testbed import BUILDLIB, assert_error, buildlib, run

CLI_COMMAND = ("--component", "cli-command")
MQTT_SERVER = ("--component", "mqtt-server", "--tag", "nodes", "--json")
NAME = "buildlib-test-own"
RECREATE = "--force recreates it and discards its cache"
pytestmark = pytest.mark.slow


@pytest.fixture
def own(project):
    """The project with a builder for this test alone."""
    project.write_settings(name=NAME)
    yield project
    run("docker", "buildx", "rm", NAME, env=project.env)


def command(project, *argv):
    return buildlib(*argv, cwd=project.root, env=project.env)


def describe(project, name):
    """The builder as buildx lists it; None where it does not exist."""
    lines = run("docker", "buildx", "ls", "--format", "json", env=project.env).out.splitlines()
    return next((json.loads(line) for line in lines if f'"{name}"' in line), None)


def node_ids(project):
    return describe(project, NAME)["Nodes"][0]["IDs"]


def test_create_compare_recreate_remove(own):
    absent = command(own, "builder")
    assert (absent.code, absent.out.splitlines()[0]) == (1, f"builder {NAME}: does not exist")
    assert command(own, "builder.create").code == 0
    existing = command(own, "builder")
    assert (existing.code, existing.out) == (0, f"builder {NAME}: matches the settings\n")
    first = node_ids(own)
    assert command(own, "builder.create").code == 0
    assert node_ids(own) == first  # an existing builder is kept

    own.write_settings(name=NAME, network="default")
    difference = "network: host, expected none"
    assert json.loads(command(own, "builder", "--json").out)["differs"] == [difference]
    message = f"builder {NAME} differs from the settings:\n  {difference}"
    assert_error(own.push(*CLI_COMMAND, "--tag", "differs"), 1, message, RECREATE)
    assert_error(command(own, "builder.create"), 1, message, RECREATE)
    assert command(own, "builder.create", "--force").code == 0
    assert command(own, "builder").code == 0
    assert node_ids(own) != first
    assert command(own, "builder.remove").code == 0
    assert_error(command(own, "builder.remove"), 3, f"no builder is called '{NAME}'", "")


def test_two_nodes_share_the_work_and_latest_does_not_move(own, tmp_path):
    """A second path to the daemon's socket gives a second BuildKit.

    buildx by itself would merge the results of both under the tag `latest`, before they are checked.
    """
    before = own.raw("mqtt-server:latest")
    second = tmp_path / "second.sock"
    endpoint = own.env.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    second.symlink_to(endpoint.removeprefix("unix://"))
    own.write_settings(name=NAME, nodes=[{"endpoint": f"unix://{second}", "arches": ["arm64"]}])
    platforms = ["linux/amd64", "linux/arm64", "linux/riscv64"]
    pushed = own.push(*MQTT_SERVER, arches="amd64,arm64,riscv64")
    assert pushed.code == 0, pushed
    assert sorted(own.manifests("mqtt-server:nodes")) == platforms
    assert own.raw("mqtt-server:latest") == before
    assert [platforms_built_by(own, node) for node in (0, 1)] == [{"linux/amd64", "linux/riscv64"}, {"linux/arm64"}]
    (again,) = json.loads(own.push(*MQTT_SERVER, arches="amd64,arm64,riscv64").out)
    assert (again["status"], again["digest"]) == ("unchanged", own.digest("mqtt-server:nodes"))
    for platform in platforms:
        image = f"{own.repository}/mqtt-server:nodes"
        flags = ("--rm", "--pull", "always", "--platform", platform)
        version = run("docker", "run", *flags, image, "--version", env=own.env)
        assert version.out.startswith("mqtt-server 0.1.0 ("), version

    own.write_settings(name=NAME)
    assert json.loads(command(own, "builder", "--json").out)["differs"] == ["nodes: 2, expected 1"]


def platforms_built_by(project, node):
    """The platforms that a node has built for, from its build history."""
    container = f"buildx_buildkit_{NAME}{node}"
    argv = ("buildctl", "debug", "histories", "--format", "{{json .}}")
    answer = run("docker", "exec", container, *argv, env=project.env)
    assert answer.code == 0, answer
    records = [json.loads(line) for line in answer.out.splitlines() if line.startswith("{")]
    return {record["record"]["FrontendAttrs"]["platform"] for record in records}


def test_two_commands_at_once_create_one_builder(own):
    argv = [str(BUILDLIB), "image", "--push", "--no-build", "--arch", "amd64", *CLI_COMMAND, "--tag", "at-once"]
    processes = [
        subprocess.Popen(
            argv, cwd=own.root, env=os.environ | own.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    results = [(process.communicate()[1], process.returncode) for process in processes]
    assert [code for _, code in results] == [0, 0], results
    assert sorted(stderr.count("buildx create") for stderr, _ in results) == [0, 1], results
    assert list(own.manifests("cli-command:at-once")) == ["linux/amd64"]


def test_a_builder_without_its_container_is_started_again(own):
    assert command(own, "builder.create").code == 0
    removed = run("docker", "rm", "--force", f"buildx_buildkit_{NAME}0", env=own.env)
    assert removed.code == 0, removed
    pushed = own.push(*CLI_COMMAND, "--tag", "restarted", arches="arm64")
    assert pushed.code == 0, pushed
    assert list(own.manifests("cli-command:restarted")) == ["linux/arm64"]


def test_a_builder_with_another_configuration_is_not_changed(own):
    other = "buildlib-test-other"
    run("docker", "buildx", "create", "--name", other, "--driver", "docker-container", env=own.env)
    try:
        refused = own.push(*CLI_COMMAND, env={"BUILDLIB_BUILDER_NAME": other})
        assert refused.code == 1 and "\n  network: none, expected host" in refused.err, refused
        assert not describe(own, other)["Nodes"][0].get("DriverOpts")
        assert own.push(*CLI_COMMAND, "--tag", "own", arches="arm64").code == 0
        assert describe(own, other)["Nodes"][0].get("Status") == "inactive"
    finally:
        run("docker", "buildx", "rm", other, env=own.env)
