"""A bad network between this machine and the registry: what passes costs a pause, what is real stops at once."""

import json
import os
import signal
import subprocess
import time

import engine
import pytest
from bed import BUILDLIB, buildlib, run
from faulty import ALL, HALF, faulty
from project import Project
from test_bad_images import assert_said_of_one_image

NAME = "cli-command"
ONE = ("--component", NAME)
TWO = "amd64,arm64"


@pytest.fixture(scope="module")
def behind(bed, pristine, tmp_path_factory):
    """The workspace and its registry, behind a proxy that asks for a token; base images come through it too."""
    with faulty(bed.registry) as proxy:
        there = engine.Bed(env=bed.env, registry=proxy.address, mirrors={"docker.io": [proxy.address]})
        root = tmp_path_factory.mktemp("behind") / "main"
        run("cp", "-a", pristine.root, root)
        project = Project(root, there)
        project.settings(name="buildlib-test-faulty")
        first = project.push(*ONE, arches=TWO)
        assert first.code == 0, first
        project.proxy = proxy
        yield project
        proxy.play(0)
        run("docker", "buildx", "rm", "buildlib-test-faulty", env=bed.env)


@pytest.fixture
def project(behind):
    """The same, with other binaries than before: there is something to push."""
    for arch in TWO.split(","):
        path = behind.root / "dist" / arch / NAME
        behind.change(arch, NAME, path.read_bytes() + os.urandom(64))
    (behind.root / ".build-failures.log").unlink(missing_ok=True)
    behind.proxy.play(0)
    return behind


def raw(project):
    """The same image by buildx alone."""
    dockerfile = f"FROM debian:trixie-slim\nARG TARGETARCH\nCOPY {NAME}-$TARGETARCH /usr/bin/{NAME}\n"
    folder = project.root / "raw"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for arch in TWO.split(","):
        (folder / f"{NAME}-{arch}").write_bytes((project.root / "dist" / arch / NAME).read_bytes())
    return run("docker", "buildx", "build", "--builder", "buildlib-test-faulty", "--platform", "linux/amd64,linux/arm64", "--push",
               "--provenance=false", "--tag", f"{project.repository}/raw:1", folder, env=project.env)  # fmt: skip


@pytest.mark.parametrize(("rate", "seed", "kinds"), [(0.2, 1, HALF), (0.3, 2, HALF), (0.3, 3, HALF), (0.2, 4, ALL)])
def test_a_push_gets_through(project, rate, seed, kinds):
    project.proxy.play(rate, seed, kinds)
    done = project.push(*ONE, arches=TWO)
    assert done.code == 0, done
    faults = project.proxy.faults.total() - project.proxy.faults["none"] - project.proxy.faults["slow"]
    assert faults > 0 and f"network: {faults} requests were tried again" in done.err, done
    record = [json.loads(line) for line in (project.root / ".build-failures.log").read_text().splitlines()]
    assert len(record) == faults and {line["class"] for line in record} <= {"transient-network", "rate-limited"}
    project.proxy.play(0)
    assert sorted(project.manifests(f"{NAME}:latest")) == ["linux/amd64", "linux/arm64"]


def test_buildx_alone_does_not(project):
    """The faults are real: at three in ten, of four builds at least two fail."""
    codes = []
    for seed in range(4):
        project.proxy.play(0.3, seed)
        codes.append(raw(project).code)
    assert sum(code != 0 for code in codes) >= 2


DENIED = {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}


# What is pushed alone: a mirror that refuses is passed over.
@pytest.mark.parametrize("part", ["/acme/cli-command/blobs/uploads/", "repository%3Aacme"])
def test_a_refusal_is_asked_for_once(project, part):
    project.proxy.play(0, refuse={part: (403, DENIED)})
    began = time.monotonic()
    done = project.push(*ONE, arches=TWO)
    assert_said_of_one_image(done, 1, "", "`docker login` at that registry")
    assert time.monotonic() - began < 20 and "retrying" not in done.err
    # Two platforms are pushed at once; nothing is asked for again.
    assert project.proxy.refusals.total() <= 6, project.proxy.refusals


def test_a_registry_that_is_gone_ends_with_5_after_all_tries(project):
    with faulty(project.proxy.upstream) as gone:
        address = gone.address
    done = project.push(
        *ONE,
        "--registry",
        f"{address}/acme",
        arches=TWO,
        env={"BUILDLIB_RETRY_ATTEMPTS": "3", "BUILDLIB_RETRY_DELAY": "0.2"},
    )
    assert_said_of_one_image(done, 5, "Connection refused", "buildlib doctor --network")
    record = [json.loads(line) for line in (project.root / ".build-failures.log").read_text().splitlines()]
    # Each request three times; the step, whose request has used its tries up, once.
    assert {line["attempt"] for line in record if not line["argv"]} == {1, 2, 3}
    assert [line["attempt"] for line in record if line["argv"] and "inspect" not in line["argv"]] == [1]


def test_ctrl_c_ends_a_wait_at_once(project):
    project.proxy.play(1.0, kinds=("429",))
    argv = [str(BUILDLIB), "image", "--no-build", "--push", *ONE, "--arch", TWO]
    process = subprocess.Popen(
        argv, cwd=project.root, env=os.environ | project.env, stdout=-3, stderr=subprocess.PIPE, text=True
    )
    with process:
        next(line for line in process.stderr if "retrying" in line)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(30) == 130 and time.monotonic() - began < 10, rest


def legs(project, **settings):
    """What `doctor --network` says of the registry behind the proxy."""
    project.settings(**settings)
    made = buildlib("builder.create", "--force", cwd=project.root, env=project.env)
    assert made.code == 0, made
    done = buildlib("doctor", "--network", "--json", cwd=project.root, env=project.env)
    assert done.out, done
    told = json.loads(done.out)
    found = {(leg["where"], leg["leg"]): leg for leg in told["legs"] if leg["host"] == project.proxy.address}
    return found, "\n".join(line for line in told["advice"] if project.proxy.address in line)


def test_the_way_to_a_registry_leg_by_leg(project):
    found, advice = legs(project, name="buildlib-test-legs")
    assert [name for where, name in found if where == "this machine"] == [
        "dns",
        "tcp",
        "answer",
        "token",
        "manifest",
        "blob",
    ]
    assert {leg["class"] for leg in found.values()} == {None} and advice == ""
    assert 0 < found["the builder", "answer"]["seconds"] < 5
    # From a bridge of Docker's nobody reaches this machine's loopback.
    found, advice = legs(project, name="buildlib-test-legs", network="default")
    assert found["this machine", "blob"]["class"] is None
    assert found["the builder", "answer"]["class"] == "transient-network"
    assert 'builder.network = "host"' in advice
    # A token endpoint that does not answer is named as that.
    project.proxy.play(0, refuse={"/token": (503, {})})
    found, advice = legs(project, name="buildlib-test-legs")
    assert found["this machine", "token"]["class"] == "transient-network" and ("this machine", "manifest") not in found
    assert "token" in advice
    run("docker", "buildx", "rm", "buildlib-test-legs", env=project.env)
    project.settings(name="buildlib-test-faulty")
