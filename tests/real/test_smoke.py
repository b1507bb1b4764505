"""Images as containers: each image alone on every platform, and all services together on different platforms."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager

import base_images
import containers
import pytest
from project import ARCHES
from services import Paho
from testbed import BUILDLIB, PROGRAMS, as_in_a_shell, assert_error, buildlib, run

pytestmark = pytest.mark.slow
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armv7": "armv7l", "riscv64": "riscv64"}
SERVICE_CHECKS = ["platform", "user", "machine", "version", "service"]


@pytest.fixture(scope="module")
def pushed(shared_project):
    """The project with its images in the registry."""
    done = shared_project.push()
    assert done.code == 0, done
    return shared_project


@pytest.fixture
def unchanged_daemon(pushed):
    """The daemon has the same containers, images, networks and volumes after the test as before."""

    def objects():
        questions = (("ps", "-aq"), ("images", "-aq", "--no-trunc"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
        return [sorted(run("docker", *question, env=pushed.env).out.split()) for question in questions]

    before = objects()
    yield
    assert objects() == before


def smoke(project, *options, arches=ARCHES):
    return buildlib("smoke", "--arch", arches, *options, cwd=project.root, env=project.env)


def report(project, arch):
    return json.loads((project.root / "target" / "buildlib" / "reports" / f"smoke-{arch}.json").read_text())


def test_all_images_pass_on_every_platform(pushed, unchanged_daemon):
    done = smoke(pushed)
    assert done.code == 0, done
    for arch in ARCHES.split(","):
        data = report(pushed, arch)
        assert data["ran_on"] == {"machine": MACHINES[arch]}
        checks = {suite["name"]: [case["name"] for case in suite["cases"]] for suite in data["suites"]}
        without_service = SERVICE_CHECKS[:-1]
        expected = {name: without_service if name == "cli-command" else SERVICE_CHECKS for name in PROGRAMS}
        assert checks == expected
        assert {case["result"] for suite in data["suites"] for case in suite["cases"]} == {"passed"}, data


@contextmanager
def derived_image(project, tag, *lines):
    """Push an image under this tag that is cli-command's with other instructions added."""
    image = f"{project.repository}/cli-command"
    text = "\n".join((f"FROM {image}:0.1.0", *lines))
    flags = ("--builder", containers.BUILDER, "--platform", "linux/amd64,linux/arm64", "--provenance=false", "--push")
    argv = ["docker", "buildx", "build", *flags, "--tag", f"{image}:{tag}", "-"]
    done = subprocess.run(argv, input=text, env=os.environ | project.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield


@pytest.mark.parametrize(
    ("tag", "line", "check", "problem"),
    [
        ("root", "USER 0", "user", "runs as 0, expected another user"),
        ("old", 'ENTRYPOINT ["/bin/echo", "0.0.9"]', "version", "--version printed '0.0.9 --version', expected 0.1.0"),
        ("gone", 'ENTRYPOINT ["/usr/bin/absent"]', "version", re.compile(".+")),
    ],
    ids=["user", "version", "no program"],
)
def test_a_failed_check_is_named(pushed, unchanged_daemon, tag, line, check, problem):
    with derived_image(pushed, tag, line):
        failed = smoke(pushed, "--component", "cli-command", "--tag", tag, arches="arm64")
    assert_check_failed(failed, check, problem)


def assert_check_failed(result, check, problem):
    """`smoke` of cli-command for arm64 failed in this check alone."""
    prefix = f"arm64: cli-command: {check}: "
    is_pattern = isinstance(problem, re.Pattern)
    message = re.compile(re.escape(prefix) + problem.pattern, re.DOTALL) if is_pattern else prefix + problem
    assert_error(result, 7, message, "")
    assert f"✗ arm64 · cli-command · {check}: failed\n" in result.out, result


def test_an_image_that_does_not_exist(pushed, unchanged_daemon):
    done = smoke(pushed, "--component", "cli-command", "--tag", "none", arches="arm64")
    assert_check_failed(done, "pull", re.compile(".+"))


def test_the_daemon_s_image_names_keep_their_meaning(pushed):
    """A pull for another platform moves a name, and the pulled image may already exist under another name."""
    image = f"{pushed.repository}/cli-command"
    run("docker", "pull", "--platform", "linux/amd64", f"{image}:0.1.0", env=pushed.env)
    run("docker", "pull", "--platform", "linux/arm64", f"{image}:latest", env=pushed.env)

    def names():
        argv = ("docker", "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
        return sorted(run(*argv, env=pushed.env).out.split("\n"))

    before = names()
    assert len([line for line in before if line.startswith(f"{image}:")]) >= 2
    done = smoke(pushed, "--component", "cli-command", arches="arm64,riscv64")
    assert done.code == 0, done
    assert names() == before


def test_without_a_daemon(pushed):
    done = buildlib("smoke", cwd=pushed.root, env={**pushed.env, "DOCKER_HOST": "unix:///nowhere"})
    message = "no Docker daemon answers: No such file or directory"
    assert_error(done, 4, message, "start Docker; binaries are tested without it: `buildlib test`")


def test_ctrl_c_leaves_no_container(pushed, unchanged_daemon):
    process = subprocess.Popen([BUILDLIB, "smoke", "--arch", "arm64"], cwd=pushed.root, env=os.environ | pushed.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               preexec_fn=as_in_a_shell)  # fmt: skip  # noqa: PLW1509
    started = ("docker", "ps", "-q", "--filter", "label=io.github.buildlib.smoke")
    wait_until(lambda: run(*started, env=pushed.env).out, "a container has started")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130 and stderr.endswith("error: interrupted\n"), stderr


# --- verify of images in the registry ---------------------------------------------------------------------------------


def test_verify_reads_the_program_of_every_platform(pushed):
    names = [f"{pushed.repository}/{name}:latest" for name in ("cli-command", "mqtt-server")]
    done = buildlib("verify", *names, "--json", cwd=pushed.root, env=pushed.env)
    assert done.code == 0, done
    verdicts = [(row["arch"], row["refusals"]) for row in json.loads(done.out)]
    assert verdicts == [(arch, []) for arch in ARCHES.split(",")] * 2


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_verify_refuses_an_arm64_image_with_an_amd64_program(pushed, tmp_path, compression):
    (tmp_path / "app").write_bytes((pushed.root / "dist" / "amd64" / "cli-command").read_bytes())
    (tmp_path / "app").chmod(0o755)
    (tmp_path / "Dockerfile").write_text(f'FROM {base_images.BASE}\nCOPY app /app\nENTRYPOINT ["/app"]\n')
    image = f"{pushed.repository}/mixed:{compression}"
    output = f"type=image,name={image},push=true,oci-mediatypes=true,compression={compression},force-compression=true"
    flags = ("--builder", containers.BUILDER, "--platform", "linux/amd64,linux/arm64", "--provenance=false", "--output")
    built = run("docker", "buildx", "build", *flags, output, tmp_path, env=pushed.env)
    assert built.code == 0, built
    done = buildlib("verify", image, cwd=pushed.root, env=pushed.env)
    assert done.code == 6 and "architecture: x86-64, expected AArch64" in done.out, done
    assert f"✓ {image} · linux/amd64 · /app" in done.out and f"✗ {image} · linux/arm64 · /app" in done.out


# --- all services together --------------------------------------------------------------------------------------------

NETWORK = "buildlib-test-together"
PLACEMENT, JOURNAL = "http://placement-center:1228", "http://journal-server:1229"


@pytest.fixture
def cluster(pushed):
    """The placement center on amd64, the journal on riscv64 and the broker on arm64, in one network.

    Yields the project and the names of the containers.
    """
    names = []

    def start(service, platform, *words):
        image = f"{pushed.repository}/{service}:latest"
        pulled = run("docker", "pull", "--quiet", "--platform", platform, image, env=pushed.env)
        assert pulled.code == 0, pulled
        name = f"{NETWORK}-{service}"
        flags = ("--detach", "--network", NETWORK, "--name", name, "--network-alias", service)
        strict = ("--read-only", "--cap-drop=ALL")
        ports = ("--publish", "127.0.0.1::1883") if service == "mqtt-server" else ()
        done = run("docker", "run", *flags, *strict, *ports, "--platform", platform, image, *words, env=pushed.env)
        assert done.code == 0, done
        names.append(name)

    created = run("docker", "network", "create", NETWORK, env=pushed.env)
    assert created.code == 0, created
    try:
        member = ("--placement-center", PLACEMENT)
        start("placement-center", "linux/amd64")
        start("journal-server", "linux/riscv64", *member, "--node-address", "journal-server:1229")
        start("mqtt-server", "linux/arm64", *member, "--journal", JOURNAL, "--node-address", "mqtt-server:1883")
        for name in names:
            wait_until(lambda name=name: health(pushed, name) == "healthy", f"{name} is healthy")
        yield pushed, names
    finally:
        run("docker", "rm", "--force", "--volumes", *names, env=pushed.env)
        run("docker", "network", "rm", NETWORK, env=pushed.env)


def health(project, name):
    return run("docker", "inspect", "--format", "{{.State.Health.Status}}", name, env=project.env).out.strip()


def wait_until(condition, description, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {description}"
        time.sleep(0.3)


def test_services_on_four_platforms_work_together(cluster):
    project, names = cluster
    published = run("docker", "port", f"{NETWORK}-mqtt-server", "1883/tcp", env=project.env).out.split()[0]
    receiver, sender = Paho(published, 5, "receiver"), Paho(published, 4, "sender")
    try:
        receiver.subscribe("hall/#", 1)
        sender.publish("hall/3/door", "open", 1)
        assert receiver.wait_for_messages(1) == [("hall/3/door", "open", 1, False)]
    finally:
        receiver.close()
        sender.close()
    image = f"{project.repository}/cli-command:latest"
    run("docker", "pull", "--quiet", "--platform", "linux/arm/v7", image, env=project.env)

    def client(*words):
        flags = ("--rm", "--network", NETWORK, "--read-only", "--cap-drop=ALL", "--platform", "linux/arm/v7")
        services = ("--placement-center", PLACEMENT, "--journal", JOURNAL)
        done = run("docker", "run", *flags, image, *services, *words, env=project.env)
        assert done.code == 0, done
        return done.out

    assert "arch: arm" in client("arch").splitlines()
    (record,) = client("journal", "read", "--long").splitlines()
    assert record.split("\t")[2:] == ["hall/3/door", "open"]
    nodes = client("node", "list")
    for kind, triple in (("mqtt-server", "aarch64"), ("journal-server", "riscv64")):
        assert any(kind in line and triple in line for line in nodes.splitlines()), nodes
    for name in reversed(names):
        assert run("docker", "stop", "--time", "60", name, env=project.env).code == 0
        code = run("docker", "inspect", "--format", "{{.State.ExitCode}}", name, env=project.env).out.strip()
        assert code == "0", run("docker", "logs", name, env=project.env)
