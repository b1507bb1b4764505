"""Images as containers: each for itself on every platform, and all services together, of mixed platforms."""

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager

import engine
import pytest
from bed import BUILDLIB, PROGRAMS, buildlib, run
from project import ARCHES
from test_services import Paho

pytestmark = pytest.mark.slow
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armv7": "armv7l", "riscv64": "riscv64"}
SERVICE = ["platform", "user", "machine", "version", "service"]


@pytest.fixture(scope="module")
def pushed(pristine):
    done = pristine.push()
    assert done.code == 0, done
    return pristine


@pytest.fixture
def nothing_left(pushed):
    """Containers, images, networks and volumes are after a test what they were before."""

    def there():
        asks = (("ps", "-aq"), ("images", "-aq", "--no-trunc"), ("network", "ls", "-q"), ("volume", "ls", "-q"))
        return [sorted(run("docker", *ask, env=pushed.env).out.split()) for ask in asks]

    before = there()
    yield
    assert there() == before


def smoke(project, *words, arches=ARCHES):
    return buildlib("smoke", "--arch", arches, *words, cwd=project.root, env=project.env)


def report(project, arch):
    return json.loads((project.root / "target" / "buildlib" / "reports" / f"smoke-{arch}.json").read_text())


def test_every_image_of_every_platform_keeps_its_promises(pushed, nothing_left):
    began = time.monotonic()
    done = smoke(pushed)
    assert done.code == 0, done
    assert time.monotonic() - began < 360
    for arch in ARCHES.split(","):
        told = report(pushed, arch)
        assert told["ran_on"] == {"machine": MACHINES[arch]}
        found = {suite["name"]: [case["name"] for case in suite["cases"]] for suite in told["suites"]}
        assert found == {name: SERVICE if name != "cli-command" else SERVICE[:-1] for name in PROGRAMS}
        assert {case["result"] for suite in told["suites"] for case in suite["cases"]} == {"passed"}, told


@contextmanager
def made_of(project, tag, *lines):
    """Another image of cli-command's under this tag."""
    image = f"{project.repository}/cli-command"
    text = "\n".join((f"FROM {image}:0.1.0", *lines))
    flags = ("--builder", engine.BUILDER, "--platform", "linux/amd64,linux/arm64", "--provenance=false", "--push")
    argv = ["docker", "buildx", "build", *flags, "--tag", f"{image}:{tag}", "-"]
    done = subprocess.run(argv, input=text, env=os.environ | project.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield


@pytest.mark.parametrize(
    ("tag", "lines", "said"),
    [
        ("root", ["USER root"], "arm64: cli-command: user: runs as root"),
        ("old", ['ENTRYPOINT ["/bin/echo", "0.0.9"]'], "arm64: cli-command: version: --version says '0.0.9 --version', wanted 0.1.0"),
        ("gone", ['ENTRYPOINT ["/usr/bin/absent"]'], "arm64: cli-command: version: "),
    ],
)  # fmt: skip
def test_a_promise_that_is_not_kept_is_named(pushed, nothing_left, tag, lines, said):
    with made_of(pushed, tag, *lines):
        done = smoke(pushed, "--component", "cli-command", "--tag", tag, arches="arm64")
    assert done.code == 7, done
    assert said in done.err and "Traceback" not in done.err
    assert "✗ arm64 · cli-command · " in done.out


def test_an_image_that_is_not_there(pushed, nothing_left):
    done = smoke(pushed, "--component", "cli-command", "--tag", "none", arches="arm64")
    assert done.code == 7 and "arm64: cli-command: pull: " in done.err, done


def test_names_of_the_daemon_s_stand_for_what_they_stood_for(pushed):
    """Pulling another platform moves a name, and what is pulled may be there under another one."""
    image = f"{pushed.repository}/cli-command"
    run("docker", "pull", "--platform", "linux/amd64", f"{image}:0.1.0", env=pushed.env)
    run("docker", "pull", "--platform", "linux/arm64", f"{image}:latest", env=pushed.env)

    def names():
        told = run("docker", "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", env=pushed.env).out
        return sorted(told.split("\n"))

    before = names()
    assert len([line for line in before if line.startswith(f"{image}:")]) >= 2
    done = smoke(pushed, "--component", "cli-command", arches="arm64,riscv64")
    assert done.code == 0, done
    assert names() == before


def test_no_daemon_is_said(pushed):
    done = buildlib("smoke", cwd=pushed.root, env={**pushed.env, "DOCKER_HOST": "unix:///nowhere"})
    assert done.code == 4 and "no Docker daemon answers" in done.err and "Traceback" not in done.err, done


def test_ctrl_c_leaves_nothing(pushed, nothing_left):
    process = subprocess.Popen([BUILDLIB, "smoke", "--arch", "arm64"], cwd=pushed.root, env=os.environ | pushed.env,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    deadline = time.monotonic() + 60
    while not run("docker", "ps", "-q", "--filter", "label=io.github.buildlib.smoke", env=pushed.env).out:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.endswith("error: interrupted\n"), said


# --- what lies in the registry ----------------------------------------------------------------------------------------


def test_verify_reads_every_platform_s_program(pushed):
    names = [f"{pushed.repository}/{name}:latest" for name in ("cli-command", "mqtt-server")]
    done = buildlib("verify", *names, "--json", cwd=pushed.root, env=pushed.env)
    assert done.code == 0, done
    assert [(row["arch"], row["refusals"]) for row in json.loads(done.out)] == [
        (arch, []) for arch in ARCHES.split(",")
    ] * 2


@pytest.mark.parametrize("compression", ["gzip", "zstd", "uncompressed"])
def test_a_tag_that_says_arm64_over_a_program_that_says_amd64(pushed, tmp_path, compression):
    (tmp_path / "app").write_bytes((pushed.root / "dist" / "amd64" / "cli-command").read_bytes())
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n')
    image = f"{pushed.repository}/mixed:{compression}"
    output = f"type=image,name={image},push=true,oci-mediatypes=true,compression={compression},force-compression=true"
    flags = ("--builder", engine.BUILDER, "--platform", "linux/amd64,linux/arm64", "--provenance=false", "--output")
    made = run("docker", "buildx", "build", *flags, output, tmp_path, env=pushed.env)
    assert made.code == 0, made
    done = buildlib("verify", image, cwd=pushed.root, env=pushed.env)
    assert done.code == 6 and "machine: is 62 (amd64), wanted 183 (arm64)" in done.out, done
    assert f"✓ {image} · linux/amd64 · /app" in done.out and f"✗ {image} · linux/arm64 · /app" in done.out


# --- together ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(pushed):
    """Placement center on amd64, journal on riscv64, broker on arm64, in one network."""
    label, started = "buildlib-test-together", []

    def service(name, platform, *words):
        flags = (
            "--detach",
            "--network",
            label,
            "--name",
            f"{label}-{name}",
            "--network-alias",
            name,
            "--read-only",
            "--cap-drop=ALL",
        )
        image = f"{pushed.repository}/{name}:latest"
        pulled = run("docker", "pull", "--quiet", "--platform", platform, image, env=pushed.env)
        assert pulled.code == 0, pulled
        ports = ("--publish", "127.0.0.1::1883") if name == "mqtt-server" else ()
        done = run("docker", "run", *flags, *ports, "--platform", platform, image, *words, env=pushed.env)
        assert done.code == 0, done
        started.append(f"{label}-{name}")

    made = run("docker", "network", "create", label, env=pushed.env)
    assert made.code == 0, made
    try:
        placement, journal = "http://placement-center:1228", "http://journal-server:1229"
        service("placement-center", "linux/amd64")
        service(
            "journal-server", "linux/riscv64", "--placement-center", placement, "--node-address", "journal-server:1229"
        )
        service("mqtt-server", "linux/arm64", "--placement-center", placement, "--journal", journal,
                "--node-address", "mqtt-server:1883")  # fmt: skip
        for name in started:
            wait(lambda name=name: health(pushed, name) == "healthy", f"{name} healthy")
        yield pushed, label, started
    finally:
        run("docker", "rm", "--force", "--volumes", *started, env=pushed.env)
        run("docker", "network", "rm", label, env=pushed.env)


def health(project, name):
    return run("docker", "inspect", "--format", "{{.State.Health.Status}}", name, env=project.env).out.strip()


def wait(done, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)


def test_four_services_of_four_platforms_are_one_broker(cluster):
    project, label, started = cluster
    published = run("docker", "port", f"{label}-mqtt-server", "1883/tcp", env=project.env).out.split()[0]
    one, other = Paho(published, 5, "one"), Paho(published, 4, "other")
    try:
        one.subscribe("hall/#", 1)
        other.publish("hall/3/door", "open", 1)
        assert one.messages(1) == [("hall/3/door", "open", 1, False)]
    finally:
        one.close()
        other.close()
    image = f"{project.repository}/cli-command:latest"
    run("docker", "pull", "--quiet", "--platform", "linux/arm/v7", image, env=project.env)

    def client(*words):
        flags = ("--rm", "--network", label, "--read-only", "--cap-drop=ALL", "--platform", "linux/arm/v7")
        where = ("--placement-center", "http://placement-center:1228", "--journal", "http://journal-server:1229")
        done = run("docker", "run", *flags, image, *where, *words, env=project.env)
        assert done.code == 0, done
        return done.out

    assert "arch: arm" in client("arch").splitlines()
    (record,) = client("journal", "read", "--long").splitlines()
    assert record.split("\t")[2:] == ["hall/3/door", "open"]
    nodes = client("node", "list")
    for kind, triple in (("mqtt-server", "aarch64"), ("journal-server", "riscv64")):
        assert any(kind in line and triple in line for line in nodes.splitlines()), nodes
    for name in reversed(started):
        assert run("docker", "stop", name, env=project.env).code == 0
        code = run("docker", "inspect", "--format", "{{.State.ExitCode}}", name, env=project.env).out.strip()
        assert code == "0", run("docker", "logs", name, env=project.env)
