"""`buildlib image --output`: OCI layouts that other tools read, push and run."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from testbed import BUILDLIB, PROGRAMS, assert_error, buildlib, install_packages, run

STATIC = "amd64-musl,arm64-musl"
PLATFORMS = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]
pytestmark = pytest.mark.slow


def image(clone, output, *options):
    return buildlib("image", "--arch", STATIC, "--no-build", "--output", output, *options, cwd=clone)


@pytest.fixture(scope="module")
def layouts(dist, clone, tmp_path_factory):
    install_packages("skopeo")
    output = tmp_path_factory.mktemp("layouts")
    written = image(clone, output)
    assert written.code == 0, written
    return output


def skopeo(*argv):
    done = run("skopeo", *argv)
    assert done.code == 0, done
    return done.out


def test_unchanged_binaries_write_nothing(layouts, clone, tmp_path):
    before = {path: path.stat().st_ino for path in layouts.rglob("*")}
    again = image(clone, layouts, "--json")
    assert again.code == 0, again
    results = [(result["component"], result["status"]) for result in json.loads(again.out)]
    assert results == [(name, "unchanged") for name in PROGRAMS]
    assert {path: path.stat().st_ino for path in layouts.rglob("*")} == before


def test_the_same_binaries_give_the_same_bytes(layouts, clone, tmp_path):
    assert image(clone, tmp_path / "other").code == 0
    assert run("diff", "--recursive", layouts, tmp_path / "other").code == 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_skopeo_reads_a_layout_and_a_registry_accepts_it_unchanged(layouts, registry, name):
    description = json.loads(skopeo("inspect", f"oci:{layouts}/{name}"))
    assert description["Labels"]["org.opencontainers.image.title"] == name
    raw = skopeo("inspect", "--raw", f"oci:{layouts}/{name}")
    assert [entry["platform"] for entry in json.loads(raw)["manifests"]] == PLATFORMS
    destination = f"docker://{registry}/acme/{name}:0.1.0"
    flags = ("--all", "--preserve-digests", "--dest-tls-verify=false")
    skopeo("copy", *flags, f"oci:{layouts}/{name}", destination)
    pushed = skopeo("inspect", "--raw", "--tls-verify=false", destination)
    assert f"sha256:{hashlib.sha256(pushed.encode()).hexdigest()}" == description["Digest"]
    for platform in PLATFORMS:
        arch = ("--override-arch", platform["architecture"])
        config = json.loads(skopeo(*arch, "inspect", "--config", "--tls-verify=false", destination))
        assert (config["architecture"], config["config"]["User"]) == (platform["architecture"], "65532:65532")


def test_docker_runs_an_image_read_only_without_root_until_it_is_stopped(layouts, docker, tmp_path):
    archive, name = tmp_path / "image.tar", "acme/journal-server:test"
    skopeo("copy", f"oci:{layouts}/journal-server", f"docker-archive:{archive}:{name}")
    assert run("docker", "load", "--input", archive, env=docker).code == 0
    flags = ("--read-only", "--cap-drop=ALL", "--health-interval=1s", "--label=buildlib-test")
    started = run("docker", "run", "--detach", *flags, name, env=docker)
    assert started.code == 0, started
    container = started.out.strip()

    def inspect():
        (description,) = json.loads(run("docker", "inspect", container, env=docker).out)
        return description

    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and inspect()["State"].get("Health", {}).get("Status") != "healthy":
            time.sleep(0.3)
        description = inspect()
        assert description["State"]["Health"]["Status"] == "healthy", run("docker", "logs", container, env=docker)
        assert (description["Config"]["User"], list(description["Config"]["ExposedPorts"])) == (
            "65532:65532",
            ["1229/tcp"],
        )
        processes = run("docker", "top", container, "-o", "pid,uid,args", env=docker).out
        assert "65532" in processes, processes
        assert run("docker", "stop", "--time", "60", container, env=docker).code == 0
        assert inspect()["State"]["ExitCode"] == 0, run("docker", "logs", container, env=docker)
    finally:
        run("docker", "rm", "--force", "--volumes", container, env=docker)
        run("docker", "rmi", name, env=docker)


@pytest.fixture
def mqtt_server_binary(clone):
    """The path of the clone's static arm64 binary, which is restored after the test."""
    binary = clone / "dist" / "arm64-musl" / "mqtt-server"
    original = binary.read_bytes()
    yield binary
    binary.write_bytes(original)


def test_a_binary_that_did_not_pass_the_gate_is_refused(layouts, clone, mqtt_server_binary, tmp_path):
    output = shutil.copytree(layouts, tmp_path / "layouts")
    before = (output / "mqtt-server" / "index.json").read_bytes()
    # A common mistake: the amd64 file is where the arm64 file belongs.
    mqtt_server_binary.write_bytes((clone / "dist" / "amd64-musl" / "mqtt-server").read_bytes())
    replaced = image(clone, output, "--component", "mqtt-server")
    assert_error(replaced, 6, f"{mqtt_server_binary}: not the file that passed the gate", "run `buildlib build`")
    mqtt_server_binary.unlink()
    missing = image(clone, output, "--component", "mqtt-server")
    assert_error(missing, 6, f"{mqtt_server_binary}: not in dist/", "run `buildlib build`, or leave out --no-build")
    assert (output / "mqtt-server" / "index.json").read_bytes() == before


def test_after_a_kill_at_any_time_the_layout_is_complete(layouts, clone, tmp_path):
    output = shutil.copytree(layouts / "mqtt-server", tmp_path / "layouts" / "mqtt-server").parent
    argv = [
        str(BUILDLIB),
        "image",
        "--arch",
        STATIC,
        "--no-build",
        "--component",
        "mqtt-server",
        "--output",
        str(output),
    ]

    def start(epoch):
        env = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}  # another time gives another image
        return subprocess.Popen(argv, cwd=clone, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    began = time.monotonic()
    assert start(100).wait() == 0
    duration = time.monotonic() - began
    indexes = {(output / "mqtt-server" / "index.json").read_text()}
    for number in range(10):
        process = start(number)
        if number < 9:  # the last round is complete, however slow the machine has become
            time.sleep(duration * (1 + number) / 8)
            process.send_signal(signal.SIGKILL)
        process.wait()
        copied = tmp_path / f"copy-{number}"
        skopeo("copy", "--all", f"oci:{output}/mqtt-server", f"oci:{copied}")  # checks every digest
        indexes.add((copied / "index.json").read_text())
    assert len(indexes) > 1
