"""The builder: made, its drift shown, made anew, of two nodes; and never anybody else's."""

import json
import os
import subprocess

import pytest
from bed import BUILDLIB, buildlib, run

ONE = ("--component", "cli-command")
pytestmark = pytest.mark.slow


@pytest.fixture
def mine(project):
    """A builder for this test alone."""
    project.settings(name="buildlib-test-mine")
    yield project
    run("docker", "buildx", "rm", "buildlib-test-mine", env=project.env)


def command(project, *argv):
    return buildlib(*argv, cwd=project.root, env=project.env)


def told(project, name):
    listed = run("docker", "buildx", "ls", "--format", "json", env=project.env).out
    return next((json.loads(line) for line in listed.splitlines() if f'"{name}"' in line), None)


def test_made_drifted_made_anew_removed(mine):
    absent = command(mine, "builder")
    assert (absent.code, absent.out.splitlines()[0]) == (1, "builder buildlib-test-mine: not there")
    assert command(mine, "builder.create").code == 0
    there = command(mine, "builder")
    assert (there.code, there.out) == (0, "builder buildlib-test-mine: as the settings say\n")
    first = told(mine, "buildlib-test-mine")["Nodes"][0]["IDs"]
    assert command(mine, "builder.create").code == 0
    assert told(mine, "buildlib-test-mine")["Nodes"][0]["IDs"] == first  # left alone

    mine.settings(name="buildlib-test-mine", network="default")
    drifted = json.loads(command(mine, "builder", "--json").out)
    assert drifted["differs"] == ["network: is host, wanted none"]
    refused = mine.push(*ONE, "--tag", "drift")
    assert refused.code == 1 and "network: is host, wanted none" in refused.err, refused
    assert command(mine, "builder.create").code == 1
    assert command(mine, "builder.create", "--force").code == 0
    assert command(mine, "builder").code == 0
    assert told(mine, "buildlib-test-mine")["Nodes"][0]["IDs"] != first
    assert command(mine, "builder.remove").code == 0
    gone = command(mine, "builder.remove")
    assert (gone.code, gone.err) == (3, "error: no builder is called 'buildlib-test-mine'\n")


def test_two_nodes_each_do_their_part_and_latest_does_not_move(mine, tmp_path):
    """A second way to the one daemon makes a second BuildKit. buildx by itself would merge what the two have made under
    the tag `latest`, before anybody has looked into it."""
    before = mine.raw("mqtt-server:latest")
    second = tmp_path / "second.sock"
    endpoint = mine.env.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    second.symlink_to(endpoint.removeprefix("unix://"))
    nodes = [{"endpoint": f"unix://{second}", "arches": ["arm64"]}]
    mine.settings(name="buildlib-test-mine", nodes=nodes)
    pushed = mine.push("--component", "mqtt-server", "--tag", "nodes", "--json", arches="amd64,arm64,riscv64")
    assert pushed.code == 0, pushed
    assert sorted(mine.manifests("mqtt-server:nodes")) == ["linux/amd64", "linux/arm64", "linux/riscv64"]
    assert mine.raw("mqtt-server:latest") == before
    assert [built(mine, node) for node in (0, 1)] == [{"linux/amd64", "linux/riscv64"}, {"linux/arm64"}]
    (made,) = json.loads(
        mine.push("--component", "mqtt-server", "--tag", "nodes", "--json", arches="amd64,arm64,riscv64").out
    )
    assert (made["status"], made["digest"]) == ("unchanged", mine.digest("mqtt-server:nodes"))
    for platform in ("linux/amd64", "linux/arm64", "linux/riscv64"):
        version = run("docker", "run", "--rm", "--pull", "always", "--platform", platform, f"{mine.repository}/mqtt-server:nodes",
                      "--version", env=mine.env)  # fmt: skip
        assert version.out.startswith("mqtt-server 0.1.0 ("), version

    mine.settings(name="buildlib-test-mine")
    assert json.loads(command(mine, "builder", "--json").out)["differs"] == ["nodes: is 2, wanted 1"]


def built(project, node):
    """The platforms that a node has built for, as its own history tells."""
    container = f"buildx_buildkit_buildlib-test-mine{node}"
    asked = run(
        "docker", "exec", container, "buildctl", "debug", "histories", "--format", "{{json .}}", env=project.env
    )
    assert asked.code == 0, asked
    records = [json.loads(line) for line in asked.out.splitlines() if line.startswith("{")]
    return {record["record"]["FrontendAttrs"]["platform"] for record in records}


def test_two_at_once_make_one_builder(mine):
    argv = [str(BUILDLIB), "image", "--push", "--no-build", "--arch", "amd64", *ONE, "--tag", "at-once"]
    both = [
        subprocess.Popen(argv, cwd=mine.root, env=os.environ | mine.env, stdout=-3, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [(process.communicate()[1], process.returncode) for process in both]
    assert [code for _, code in told] == [0, 0], told
    assert sorted(err.count("buildx create") for err, _ in told) == [0, 1], told
    assert list(mine.manifests("cli-command:at-once")) == ["linux/amd64"]


def test_a_builder_whose_containers_are_gone_comes_back(mine):
    assert command(mine, "builder.create").code == 0
    removed = run("docker", "rm", "--force", "buildx_buildkit_buildlib-test-mine0", env=mine.env)
    assert removed.code == 0, removed
    pushed = mine.push(*ONE, "--tag", "gone", arches="arm64")
    assert pushed.code == 0, pushed
    assert list(mine.manifests("cli-command:gone")) == ["linux/arm64"]


def test_somebody_else_s_builder_is_left_alone(mine):
    run("docker", "buildx", "create", "--name", "somebody", "--driver", "docker-container", env=mine.env)
    try:
        refused = mine.push(*ONE, env={"BUILDLIB_BUILDER_NAME": "somebody"})
        assert refused.code == 1 and "network: is none, wanted host" in refused.err, refused
        assert not told(mine, "somebody")["Nodes"][0].get("DriverOpts")
        assert mine.push(*ONE, "--tag", "mine", arches="arm64").code == 0
        assert told(mine, "somebody")["Nodes"][0].get("Status") == "inactive"
    finally:
        run("docker", "buildx", "rm", "somebody", env=mine.env)
