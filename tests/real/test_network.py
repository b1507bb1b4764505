"""A bad network between this machine and the registry: transient faults are retried, permanent ones end the command at once."""

import json
import os
import re
import signal
import subprocess

import containers
import pytest
from faulty_registry import ALL, COMMON, faulty_proxy
from project import Project
from test_image_errors import LOGIN, assert_image_error
from testbed import BUILDLIB, as_in_a_shell, buildlib, run

NAME = "cli-command"
COMPONENT = ("--component", NAME)
ARCHES = "amd64,arm64"
BUILDER = "buildlib-test-faulty"
STEPS_BUILDER = "buildlib-test-steps"


@pytest.fixture(scope="module")
def project_behind_proxy(engine, shared_project, tmp_path_factory):
    """The workspace with its registry behind a proxy that demands tokens. Base images come through the proxy as well."""
    with faulty_proxy(engine.registry) as proxy:
        behind = containers.Engine(env=engine.env, registry=proxy.address, mirrors={"docker.io": [proxy.address]})
        root = tmp_path_factory.mktemp("behind") / "main"
        run("cp", "-a", shared_project.root, root)
        project = Project(root, behind)
        project.write_settings(name=BUILDER)
        first = project.push(*COMPONENT, arches=ARCHES)
        assert first.code == 0, first
        project.proxy = proxy
        yield project
        proxy.inject(0)
        run("docker", "buildx", "rm", BUILDER, env=engine.env)


@pytest.fixture
def project(project_behind_proxy):
    """The same with new binaries, so that there is something to push, and without faults."""
    project = project_behind_proxy
    for arch in ARCHES.split(","):
        path = project.root / "dist" / arch / NAME
        project.replace_binary(arch, NAME, path.read_bytes() + os.urandom(64))
    (project.root / ".build-failures.log").unlink(missing_ok=True)
    project.proxy.inject(0)
    return project


def recorded_failures(project):
    return [json.loads(line) for line in (project.root / ".build-failures.log").read_text().splitlines()]


@pytest.mark.parametrize(
    ("rate", "seed", "kinds"),
    [
        (0.3, 3, COMMON),
        (0.2, 4, ALL),
        pytest.param(0.2, 1, COMMON, marks=pytest.mark.extended),
        pytest.param(0.3, 2, COMMON, marks=pytest.mark.extended),
    ],
    ids=["common faults at 30 %", "all faults at 20 %", "common faults at 20 %", "common faults at 30 %, other seed"],
)
def test_a_push_succeeds(project, rate, seed, kinds):
    project.proxy.inject(rate, seed, kinds)
    pushed = project.push(*COMPONENT, arches=ARCHES)
    assert pushed.code == 0, pushed
    faults = project.proxy.faults.total() - project.proxy.faults["none"] - project.proxy.faults["slow"]
    note = f"  network: {faults} request{' was' if faults == 1 else 's were'} tried again"
    assert faults > 0 and note in pushed.err, pushed
    record = recorded_failures(project)
    assert len(record) == faults and {line["class"] for line in record} <= {"transient-network", "rate-limited"}
    project.proxy.inject(0)
    assert sorted(project.manifests(f"{NAME}:latest")) == ["linux/amd64", "linux/arm64"]


@pytest.mark.extended
def test_a_push_by_buildx_alone_fails(project):
    """The faults are real: at a rate of three in ten, at least two of four pushes fail."""
    codes = []
    for seed in range(4):
        project.proxy.inject(0.3, seed)
        codes.append(push_with_buildx(project).code)
    assert sum(code != 0 for code in codes) >= 2


def push_with_buildx(project):
    """Build and push the same image with buildx alone."""
    dockerfile = f"FROM debian:trixie-slim\nARG TARGETARCH\nCOPY {NAME}-$TARGETARCH /usr/bin/{NAME}\n"
    folder = project.root / "raw"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(dockerfile)
    for arch in ARCHES.split(","):
        (folder / f"{NAME}-{arch}").write_bytes((project.root / "dist" / arch / NAME).read_bytes())
    return run("docker", "buildx", "build", "--builder", BUILDER, "--platform", "linux/amd64,linux/arm64", "--push",
               "--provenance=false", "--tag", f"{project.repository}/raw:1", folder, env=project.env)  # fmt: skip


DENIED = {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}


# Parts of paths that only a push uses: a refusal by a mirror makes BuildKit try the next one.
@pytest.mark.parametrize("part", ["/acme/cli-command/blobs/uploads/", "repository%3Aacme"])
def test_a_denied_request_is_not_repeated(project, part):
    project.proxy.inject(0, refuse={part: (403, DENIED)})
    failed = project.push(*COMPONENT, arches=ARCHES)
    assert_image_error(failed, 4, re.compile(r".+"), LOGIN)
    assert "retrying" not in failed.err, failed
    # Two platforms are pushed concurrently. No request is repeated.
    assert project.proxy.refusals.total() <= 6, project.proxy.refusals


def test_an_unreachable_registry_ends_with_code_5_after_all_attempts(project):
    with faulty_proxy(project.proxy.upstream) as stopped:
        address = stopped.address
    env = {"BUILDLIB_RETRY_ATTEMPTS": "3", "BUILDLIB_RETRY_DELAY": "0.2"}
    failed = project.push(*COMPONENT, "--registry", f"{address}/acme", arches=ARCHES, env=env)
    help_text = "check the network and the proxy settings (HTTPS_PROXY): `buildlib doctor --network`"
    assert_image_error(failed, 5, re.compile(r".*Connection refused.*"), help_text)
    record = recorded_failures(project)
    # Each request is tried three times. The step whose request has failed is not repeated.
    assert {line["attempt"] for line in record if not line["argv"]} == {1, 2, 3}
    assert [line["attempt"] for line in record if line["argv"] and "inspect" not in line["argv"]] == [1]


def test_ctrl_c_ends_a_wait_between_attempts(project):
    """The registry asks for a wait of 500 s; the command ends long before."""
    project.proxy.inject(1.0, kinds=("429",), retry_after=500)
    argv = [str(BUILDLIB), "image", "--no-build", "--push", *COMPONENT, "--arch", ARCHES]
    process = subprocess.Popen(
        argv, cwd=project.root, env=os.environ | project.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, preexec_fn=as_in_a_shell,  # noqa: PLW1509
    )  # fmt: skip
    with process:
        next(line for line in process.stderr if "retrying" in line)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=120)
    assert process.returncode == 130 and rest.endswith("error: interrupted\n"), rest


def connection_steps(project, **settings):
    """The steps of `doctor --network` to the registry behind the proxy, by origin and name, and the advice about it."""
    project.write_settings(**settings)
    created = buildlib("builder.create", "--force", cwd=project.root, env=project.env)
    assert created.code == 0, created
    done = buildlib("doctor", "--network", "--json", cwd=project.root, env=project.env)
    assert done.out, done
    report = json.loads(done.out)
    steps = {(step["where"], step["leg"]): step for step in report["legs"] if step["host"] == project.proxy.address}
    return steps, [line for line in report["advice"] if project.proxy.address in line]


def test_the_connection_to_a_registry_step_by_step(project):
    try:
        steps, advice = connection_steps(project, name=STEPS_BUILDER)
        names = [name for where, name in steps if where == "this machine"]
        assert names == ["dns", "tcp", "answer", "token", "manifest", "blob"]
        assert {step["class"] for step in steps.values()} == {None} and advice == []
        assert steps["the builder", "answer"]["seconds"] > 0

        # A container on Docker's bridge does not reach this machine's loopback interface.
        steps, advice = connection_steps(project, name=STEPS_BUILDER, network="default")
        assert steps["this machine", "blob"]["class"] is None
        assert steps["the builder", "answer"]["class"] == "transient-network"
        host = project.proxy.address
        fix = 'set builder.network = "host", then buildlib builder.create --force'
        assert advice == [f"{host}: only the builder cannot reach it: {fix}"]

        # Advice names the token endpoint if only that fails.
        project.proxy.inject(0, refuse={"/token": (503, {})})
        steps, advice = connection_steps(project, name=STEPS_BUILDER)
        assert steps["this machine", "token"]["class"] == "transient-network"
        assert ("this machine", "manifest") not in steps
        assert advice[0].startswith(f"{host}: token: ")
    finally:
        run("docker", "buildx", "rm", STEPS_BUILDER, env=project.env)
        project.write_settings(name=BUILDER)
