"""`buildlib image`: layouts that the tools of others read, push and run."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time

import pytest
from bed import BUILDLIB, PROGRAMS, buildlib, packages, run

STATIC = "amd64-musl,arm64-musl"
PLATFORMS = [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm64"}]


def image(clone, output, *more):
    return buildlib("image", "--arch", STATIC, "--no-build", "--output", output, *more, cwd=clone)


@pytest.fixture(scope="module")
def layouts(dist, clone, tmp_path_factory):
    packages("skopeo")
    output = tmp_path_factory.mktemp("layouts")
    made = image(clone, output)
    assert made.code == 0, made
    return output


def skopeo(*argv):
    done = run("skopeo", *argv)
    assert done.code == 0, done
    return done.out


@pytest.mark.slow
def test_again_without_a_change_nothing_is_written(layouts, clone, tmp_path):
    before = {path: path.stat().st_ino for path in layouts.rglob("*")}
    began = time.monotonic()
    again = image(clone, layouts, "--json")
    assert time.monotonic() - began < 5
    assert again.code == 0, again
    assert [(m["component"], m["status"]) for m in json.loads(again.out)] == [(name, "unchanged") for name in PROGRAMS]
    assert {path: path.stat().st_ino for path in layouts.rglob("*")} == before
    assert image(clone, tmp_path / "other").code == 0
    assert run("diff", "--recursive", layouts, tmp_path / "other").code == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_skopeo_reads_it_and_a_registry_takes_it_whole(layouts, registry, name):
    there = json.loads(skopeo("inspect", f"oci:{layouts}/{name}"))
    assert there["Labels"]["org.opencontainers.image.title"] == name
    raw = skopeo("inspect", "--raw", f"oci:{layouts}/{name}")
    assert [entry["platform"] for entry in json.loads(raw)["manifests"]] == PLATFORMS
    where = f"docker://{registry}/acme/{name}:0.1.0"
    skopeo("copy", "--all", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layouts}/{name}", where)
    pushed = skopeo("inspect", "--raw", "--tls-verify=false", where)
    assert f"sha256:{hashlib.sha256(pushed.encode()).hexdigest()}" == there["Digest"]
    for platform in PLATFORMS:
        arch = ("--override-arch", platform["architecture"])
        config = json.loads(skopeo(*arch, "inspect", "--config", "--tls-verify=false", where))
        assert (config["architecture"], config["config"]["User"]) == (platform["architecture"], "65532:65532")


@pytest.mark.slow
def test_docker_runs_it_read_only_without_root_until_it_is_told_to_stop(layouts, docker, tmp_path):
    archive = tmp_path / "image.tar"
    skopeo("copy", f"oci:{layouts}/journal-server", f"docker-archive:{archive}:acme/journal-server:test")
    assert run("docker", "load", "--input", archive, env=docker).code == 0
    flags = ("--read-only", "--cap-drop=ALL", "--health-interval=1s", "--label=buildlib-test")
    started = run("docker", "run", "--detach", *flags, "acme/journal-server:test", env=docker)
    assert started.code == 0, started
    container = started.out.strip()
    try:
        until = time.monotonic() + 30
        state = {}
        while time.monotonic() < until and state.get("Health", {}).get("Status") != "healthy":
            time.sleep(0.3)
            (told,) = json.loads(run("docker", "inspect", container, env=docker).out)
            state = told["State"]
        assert state["Health"]["Status"] == "healthy", run("docker", "logs", container, env=docker)
        assert (told["Config"]["User"], list(told["Config"]["ExposedPorts"])) == ("65532:65532", ["1229/tcp"])
        top = run("docker", "top", container, "-o", "pid,uid,args", env=docker).out
        assert "65532" in top, top
        assert run("docker", "stop", "--time", "5", container, env=docker).code == 0
        (told,) = json.loads(run("docker", "inspect", container, env=docker).out)
        assert told["State"]["ExitCode"] == 0, run("docker", "logs", container, env=docker)
    finally:
        run("docker", "rm", "--force", "--volumes", container, env=docker)
        run("docker", "rmi", "acme/journal-server:test", env=docker)


@pytest.mark.slow
def test_a_binary_that_is_not_the_gated_one_is_refused(layouts, clone, tmp_path):
    output = shutil.copytree(layouts, tmp_path / "layouts")
    before = (output / "mqtt-server" / "index.json").read_bytes()
    binary = clone / "dist" / "arm64-musl" / "mqtt-server"
    whole = binary.read_bytes()
    try:
        # The classic: the amd64 file in the arm64 slot.
        binary.write_bytes((clone / "dist" / "amd64-musl" / "mqtt-server").read_bytes())
        refused = image(clone, output, "--component", "mqtt-server")
        assert refused.code == 6 and "is not the file that passed the gate" in refused.err, refused
        binary.unlink()
        missing = image(clone, output, "--component", "mqtt-server")
        assert missing.code == 6 and "is not in dist/" in missing.err, missing
    finally:
        binary.write_bytes(whole)
    assert (output / "mqtt-server" / "index.json").read_bytes() == before


@pytest.mark.slow
def test_killed_at_any_moment_the_layout_is_whole(layouts, clone, tmp_path):
    output = shutil.copytree(layouts / "mqtt-server", tmp_path / "layouts" / "mqtt-server").parent
    argv = [BUILDLIB, "image", "--arch", STATIC, "--no-build", "--component", "mqtt-server", "--output", output]
    digests = set()
    for number in range(10):
        env = {**os.environ, "SOURCE_DATE_EPOCH": str(number)}  # another time is another image
        process = subprocess.Popen(list(map(str, argv)), cwd=clone, env=env, stdout=-3, stderr=-3)
        time.sleep(0.15 * (1 + number))
        process.send_signal(signal.SIGKILL)
        process.wait()
        copied = tmp_path / f"copy-{number}"
        skopeo("copy", "--all", f"oci:{output}/mqtt-server", f"oci:{copied}")  # checks every digest
        digests.add((copied / "index.json").read_text())
    assert len(digests) > 1  # some were killed after the change, some before
