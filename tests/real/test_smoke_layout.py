"""Images in an OCI layout, started before any name refers to them: services and programs of Debian, and of a few bytes."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

import containers
import pytest
from base_images import root_file_system
from layered_image import layered_image
from machines import context as make_context
from testbed import as_in_a_shell, run

from buildlib.assembly import oci
from buildlib.core.cases import FAILED, IGNORED, PASSED
from buildlib.core.errors import MissingRequirements
from buildlib.core.layers import resolve
from buildlib.core.plan import OciLayout
from buildlib.core.targets import TARGETS
from buildlib.emulation.exit_stub import exit_program
from buildlib.machine.host import probe as probe_host
from buildlib.process.console import Console
from buildlib.process.files import blob_files, layout
from buildlib.process.runner import Runner
from buildlib.smoke import archive, probe, service, trial
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.layout import run_layout
from buildlib.smoke.load import image_archive

pytestmark = pytest.mark.slow
AMD64, ARM64, ARMV7, RISCV64 = (TARGETS[name] for name in ("amd64", "arm64", "armv7", "riscv64"))
# As the scripts of many official images: root prepares the data, then the service runs as another user.
START = """#!/bin/sh
set -e
mkdir -p /data /run/redis
chown -R 999:999 /data
exec setpriv --reuid=999 --regid=999 --clear-groups redis-server --bind 0.0.0.0 --protected-mode no --dir /data
"""


@dataclass
class Engine:
    """A Docker daemon, and a context whose runner uses it."""

    env: dict
    context: object

    def objects(self):
        questions = (
            ("ps", "-aq"),
            ("images", "-a", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
            ("volume", "ls", "-q"),
        )
        return [sorted(run("docker", *question, env=self.env).out.splitlines()) for question in questions]

    def run(self, image, expectation):
        """The cases of each target: name -> (result, detail). Afterwards the daemon has what it had before."""
        before = self.objects()
        try:
            suites = run_layout(self.context, image.folder, image.digests, expectation)
        finally:
            assert self.objects() == before
        return {
            target.name: {case.name: (case.result, case.detail) for case in suite.cases}
            for target, suite in suites.items()
        }


@dataclass
class Image:
    """An image in a layout: its directory, and the digest of each target's manifest."""

    folder: Path
    digests: dict


@pytest.fixture(scope="module")
def engine(docker, tmp_path_factory):
    containers.enable_binfmt()
    env, root = {**os.environ, **docker}, tmp_path_factory.mktemp("workspace")
    runner = Runner(Console({}), env, resolve().retry)
    return Engine(env=docker, context=make_context(probe_host(env, root), runner, root=root))


def write_image(folder, layers, **runtime):
    """Write the layout of an image with one layer for each target: the bytes of a tar file."""
    settings = {"entrypoint": ("/exit",), "user": "0:0"} | runtime
    image = layered_image({target.oci: layer for target, layer in layers.items()}, oci.Runtime(**settings))
    layout(OciLayout(folder=folder, blobs=image.blobs, index=oci.layout_index(image, ["1"])))
    entries = json.loads(image.index)["manifests"]
    return Image(folder, {target: entry["digest"] for target, entry in zip(layers, entries, strict=True)})


def program(data, name="exit"):
    """A layer that contains this program alone."""
    return b"".join(archive.tar({name: data}, mode=0o755))


def no_machine(machine):
    """A program of a machine that no handler is for."""
    data = bytearray(exit_program(machine))
    data[18:20] = b"\x34\x12"
    return bytes(data)


@pytest.fixture(scope="module")
def redis_layers():
    """Debian's redis, as a layer for two targets."""
    layers = {}
    for target, arch in ((AMD64, "amd64"), (ARM64, "arm64")):
        data = io.BytesIO(root_file_system("redis", arch, "redis-server", "util-linux").read_bytes())
        with tarfile.open(fileobj=data, mode="a") as tar:
            info = tarfile.TarInfo("start")
            info.mode, info.size = 0o755, len(START)
            tar.addfile(info, io.BytesIO(START.encode()))
        layers[target] = data.getvalue()
    return layers


@pytest.fixture(scope="module")
def shell_layers():
    """A layer with a shell, for one target."""
    return {AMD64: root_file_system("slim", "amd64", "libc6", "libgcc-s1").read_bytes()}


@pytest.fixture(scope="module")
def redis(redis_layers, tmp_path_factory):
    return write_image(tmp_path_factory.mktemp("redis") / "layout", redis_layers, entrypoint=("/start",))


def test_a_service_passes_on_each_platform(engine, redis):
    says = {"all": ("Ready to accept connections",)}
    expected = Expectation(name="redis", ports=(6379,), health=("redis-cli", "ping"), says=says)
    results = engine.run(redis, expected)
    for name, machine in (("amd64", "x86_64"), ("arm64", "aarch64")):
        detail = results[name].pop("service")
        assert detail[0] == PASSED and "after SIGTERM" in detail[1], detail
        assert results[name] == {"platform": (PASSED, f"linux/{name}"), "machine": (PASSED, machine)}


def test_a_port_that_nothing_listens_on_and_a_text_that_is_not_logged(engine, redis, monkeypatch):
    monkeypatch.setattr(trial, "HEALTHY", 6.0)
    monkeypatch.setattr(service, "LOGGED", 2.0)
    one = Image(redis.folder, {AMD64: redis.digests[AMD64]})
    results = engine.run(one, Expectation(name="redis", ports=(6379, 6380)))["amd64"]
    assert results["service"] == (FAILED, "no answer on 6380/tcp within 6 s")
    results = engine.run(one, Expectation(name="redis", ports=(6379,), says={"amd64": ("absent",)}))["amd64"]
    assert results["service"] == (FAILED, "the log does not contain 'absent' within 2 s")
    results = engine.run(one, Expectation(name="redis", health=("sh", "-c", "echo no; exit 1")))["amd64"]
    assert results["service"] == (FAILED, "not healthy within 6 s: no")


def test_a_service_that_ignores_the_signal_is_killed(engine, shell_layers, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "STOP", 2)
    command = ("-c", "echo up; while :; do sleep 1; done")
    image = write_image(tmp_path / "layout", shell_layers, entrypoint=("/bin/sh",), command=command)
    result, detail = engine.run(image, Expectation(name="a", says={"all": ("up",)}))["amd64"]["service"]
    assert result == FAILED and detail.startswith("exited with code 137, "), detail
    assert detail.endswith(" s after SIGTERM: SIGTERM did not end it, so it was killed"), detail


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo done; exit 3", (PASSED, "exited with code 3: done")),
        ("absent-program", (FAILED, "exited with code 127: /bin/sh: 1: absent-program: not found")),
        ("echo x; kill -ILL $$; sleep 1; exit 132", (FAILED, "exited with code 132: x")),
        ("exec sleep 60", (PASSED, "still running after 5 s")),
    ],
    ids=["exits", "absent", "signal", "runs"],
)
def test_a_program_without_a_service_is_only_started(engine, shell_layers, tmp_path, script, expected):
    image = write_image(tmp_path / "layout", shell_layers, entrypoint=("/bin/sh",), command=("-c", script))
    assert engine.run(image, Expectation(name="a"))["amd64"]["started"] == expected


def test_static_programs_of_four_platforms(engine, tmp_path):
    targets = (AMD64, ARM64, ARMV7, RISCV64)
    image = write_image(tmp_path / "layout", {target: program(exit_program(target.qemu)) for target in targets})
    expected = {"machine": (IGNORED, "the image has no uname"), "started": (PASSED, "exited with code 0 and no output")}
    results = engine.run(image, Expectation(name="a"))
    assert results == {target.name: {"platform": (PASSED, target.oci), **expected} for target in targets}


@pytest.mark.parametrize("target", [AMD64, ARM64, ARMV7], ids=lambda target: target.name)
def test_a_program_of_another_architecture_is_the_fault_of_the_image(engine, tmp_path, target):
    image = write_image(tmp_path / "layout", {target: program(no_machine(target.qemu))})
    result, detail = engine.run(image, Expectation(name="a"))[target.name]["started"]
    assert result == FAILED and "exec format error" in detail, detail


def test_a_daemon_that_cannot_run_the_platform(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "exit_program", no_machine)
    image = write_image(tmp_path / "layout", {ARM64: program(no_machine("aarch64"))})
    with pytest.raises(MissingRequirements) as caught:
        engine.run(image, Expectation(name="a"))
    assert caught.value.message == "the Docker daemon cannot run programs for linux/arm64: exec format error"
    assert "tonistiigi/binfmt --install arm64" in caught.value.help


def test_a_program_that_is_not_in_the_image_and_a_layer_that_is_damaged(engine, tmp_path):
    image = write_image(tmp_path / "a", {AMD64: program(exit_program("x86_64"))}, entrypoint=("/absent",))
    result, detail = engine.run(image, Expectation(name="a"))["amd64"]["started"]
    assert result == FAILED and "/absent" in detail and "http" not in detail, detail
    digest = json.loads((blob_files(image.folder)[image.digests[AMD64]]).read_text())["layers"][0]["digest"]
    blob_files(image.folder)[digest].write_bytes(b"damaged")
    result, detail = engine.run(image, Expectation(name="a"))["amd64"]["load"]
    assert result == FAILED and detail, detail
    blob_files(image.folder)[digest].unlink()
    assert engine.run(image, Expectation(name="a"))["amd64"] == {
        "load": (FAILED, f"the image layout has no blob {digest}")
    }


@pytest.mark.parametrize("is_named", [True, False], ids=["under a name", "without a name"])
def test_an_image_that_the_daemon_has_already_stays(engine, tmp_path, is_named):
    images = [
        write_image(tmp_path / name, {AMD64: program(exit_program("x86_64"))}, env={"NAME": name})
        for name in ("a", "b")
    ]
    file = tmp_path / "archive.tar"
    for image in images[:1] if is_named else images:  # the second one takes the name
        parts = image_archive(blob_files(image.folder), image.digests[AMD64], "localhost/buildlib-kept:1")
        file.write_bytes(b"".join(parts))
        done = run("docker", "load", "--input", file, env=engine.env)
        assert done.code == 0, done
    try:
        assert engine.run(images[0], Expectation(name="a"))["amd64"]["started"][0] == PASSED
    finally:
        for image in images:
            manifest = json.loads(blob_files(image.folder)[image.digests[AMD64]].read_text())
            run("docker", "rmi", "--force", manifest["config"]["digest"], env=engine.env)


SCRIPT = """
import json, os, sys
from pathlib import Path
from machines import context
from buildlib.core.layers import resolve
from buildlib.core.targets import TARGETS
from buildlib.machine.host import probe
from buildlib.process.console import Console
from buildlib.process.runner import Runner
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.layout import run_layout
folder, digest = Path(sys.argv[1]), sys.argv[2]
runner = Runner(Console({}), os.environ, resolve().retry)
made = context(probe(os.environ, folder), runner, root=folder)
run_layout(made, folder, {TARGETS["amd64"]: digest}, Expectation(name="a", ports=(1,)))
"""


def test_ctrl_c_leaves_nothing_and_does_not_wait(engine, shell_layers, tmp_path):
    command = ("-c", "echo up; while :; do sleep 1; done")
    image = write_image(tmp_path / "layout", shell_layers, entrypoint=("/bin/sh",), command=command)
    before = engine.objects()
    words = [sys.executable, "-c", SCRIPT, str(image.folder), image.digests[AMD64]]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(words, env={**os.environ, **engine.env, "PYTHONPATH": path}, stderr=subprocess.PIPE,
                               preexec_fn=as_in_a_shell)  # fmt: skip  # noqa: PLW1509
    deadline = time.monotonic() + 60
    running = ("docker", "ps", "-q", "--no-trunc", "--filter", "label=io.github.buildlib.smoke")
    while not run(*running, env=engine.env).out:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in stderr, stderr
    assert engine.objects() == before
