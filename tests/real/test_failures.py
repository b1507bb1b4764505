"""Errors of current versions of all tools, caused for real and classified by `buildlib explain`."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import base_images
import containers
import pytest
from faulty_registry import faulty_proxy
from testbed import BUILDLIB, install_packages, run, skip_or_fail

from buildlib.core.plan import words


def explain(log):
    done = subprocess.run([BUILDLIB, "explain", "--json"], input=log, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def assert_classified(failed, kind, cause=""):
    """The command failed, and `explain` finds this class, with `cause` in the cause that it shows."""
    assert failed.code != 0, failed
    log = failed.out + failed.err
    failure = explain(log)
    assert (failure["class"], cause.lower() in failure["cause"].lower()) == (kind, True), (failure, failed)
    assert failure["retry"] is (kind in ("transient-network", "rate-limited"))
    assert failure["line"] is None or failure["line"] <= log.count("\n") + 1


@pytest.fixture(scope="module")
def closed():
    """host:port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


# --- BuildKit ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def build(engine, shared_project, tmp_path_factory):
    """Builds a Dockerfile with buildx and the tests' builder."""
    pushed = shared_project.push("--component", "cli-command", arches="amd64")  # creates the builder
    assert pushed.code == 0, pushed

    def build(dockerfile, *options, progress="plain"):
        folder = tmp_path_factory.mktemp("context")
        (folder / "Dockerfile").write_text(dockerfile)
        # An executable for BPF, which no machine can run.
        (folder / "foreign").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf7\x00" + bytes(100))
        (folder / "foreign").chmod(0o755)
        flags = ("--builder", containers.BUILDER, "--progress", progress)
        return run("docker", "buildx", "build", *flags, *(options or (folder,)), env=engine.env)

    return build


BASE = f"FROM {base_images.BASE}\n"
# Per title: instructions, class, and a part of the cause.
DOCKERFILES = {
    "foreign binary": ('COPY foreign /foreign\nRUN ["/foreign"]\n', "emulation", "exec format error"),
    "full tmpfs": ("RUN --mount=type=tmpfs,target=/t,size=1048576 head -c 9m /dev/zero > /t/x\n", "resource", "No space left"),
    "killed": ("RUN sh -c 'kill -9 $$'\n", "resource", "Killed"),
    "nothing to copy": ("COPY nothing /\n", "usage", "nothing"),
    "not an instruction": ("RUNN true\n", "usage", "RUNN"),
    "a compiler's output": ("RUN printf 'error[E0308]: connection reset\\n' >&2; exit 101\n", "compile", "E0308"),
    "apt's output": (
        "RUN printf 'W: Temporary failure resolving x\\nE: Unable to locate package y\\n' >&2; exit 100\n",
        "transient-network", "W: Temp",
    ),
    "no output": ("RUN false\n", "unknown", "exit code: 1"),
}  # fmt: skip


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
@pytest.mark.parametrize("title", DOCKERFILES)
def test_a_step_of_a_dockerfile(build, title, progress):
    text, kind, cause = DOCKERFILES[title]
    assert_classified(build(BASE + text, progress=progress), kind, cause)


def test_images_that_are_not_available(build, closed):
    assert_classified(build("FROM debian:no-such-tag\n"), "not-found", "debian:no-such-tag")
    assert_classified(build(f"FROM {closed}/a\n"), "transient-network", "connection refused")
    assert_classified(build("FROM no-such-host.invalid/a\n"), "not-found", "no such host")


def test_wrong_options_of_buildx(build):
    assert_classified(build(BASE, "a", "b"), "usage", "1 argument")
    assert_classified(build(BASE, "--no-such-flag", "."), "usage", "unknown flag")
    assert_classified(build(BASE, "--platform", "linux/s390x", "-"), "usage")


@pytest.mark.parametrize(
    ("part", "status", "kind"),
    [
        ("/token", 503, "transient-network"), ("/token", 429, "rate-limited"), ("/token", 403, "auth"),
        ("/manifests/", 429, "rate-limited"), ("/manifests/", 401, "auth"),
    ],
)  # fmt: skip
def test_a_registry_that_refuses(build, engine, part, status, kind):
    with faulty_proxy(engine.registry) as proxy:
        proxy.inject(0, refuse={part: (status, {"errors": []})})
        assert_classified(build(f"FROM {proxy.address}/library/{base_images.BASE}\n"), kind)


def test_a_builder_that_is_killed(build, engine):
    container = f"buildx_buildkit_{containers.BUILDER}0"
    step = f"sleep 3600.{os.getpid()}"  # seconds, which nobody else sleeps

    def kill():
        while run("pgrep", "--full", step).code and killer_waits.is_set():
            time.sleep(0.1)
        run("docker", "kill", container, env=engine.env)

    killer, killer_waits = threading.Thread(target=kill), threading.Event()
    killer_waits.set()
    killer.start()
    try:
        assert_classified(build(f"{BASE}RUN {step}\n"), "builder")
    finally:
        killer_waits.clear()
        killer.join()
        run("docker", "start", container, env=engine.env)


# --- other tools ----------------------------------------------------------------------------------------------------------


def test_docker_without_a_daemon(tmp_path):
    assert_classified(run("docker", "info", env={"DOCKER_HOST": f"unix://{tmp_path}/none"}), "builder")


def test_git(closed, tmp_path):
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    refused = run("git", "clone", f"http://{closed}/a", tmp_path / "a", env=quiet)
    assert_classified(refused, "transient-network", "Failed to connect")
    unknown_host = run("git", "clone", "https://no-such-host.invalid/a", tmp_path / "b", env=quiet)
    assert_classified(unknown_host, "transient-network", "Could not resolve")
    assert_classified(run("git", "clone", tmp_path / "none", tmp_path / "c"), "not-found", "does not exist")
    outside = run("git", "status", cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": "/"})
    assert_classified(outside, "usage", "not a git repository")


def test_curl(closed, engine):
    install_packages("curl")
    assert_classified(run("curl", "-sS", f"http://{closed}/"), "transient-network", "(7)")
    assert_classified(run("curl", "-sSf", f"http://{engine.registry}/none"), "not-found", "404")
    assert_classified(run("curl", "-sS", f"https://{engine.registry}/"), "usage", "(35)")


@pytest.fixture
def crate(tmp_path):
    def write(source="fn main() {}\n", dependencies=""):
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / "Cargo.toml").write_text(
            f'[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\n{dependencies}'
        )
        (tmp_path / "src" / "main.rs").write_text(source)
        return tmp_path

    return write


TEST = '#[test]\nfn connection_reset() { panic!("Connection refused (os error 111)") }\nfn main() {}\n'


def test_cargo(crate, closed):
    network = {"CARGO_HTTP_TIMEOUT": "2", "CARGO_NET_RETRY": "1"}

    def cargo(*argv, cwd, env=None):
        return run("cargo", *argv, cwd=cwd, env=env)

    mistyped = cargo("build", cwd=crate('fn main() { let timed_out: u8 = "connection reset"; }\n'))
    assert_classified(mistyped, "compile", "E0308")
    assert_classified(cargo("build", "--relase", cwd=crate()), "usage", "--relase")
    assert_classified(cargo("build", cwd=crate(dependencies='b = { path = "none" }\n')), "not-found")
    unknown = cargo("build", "--offline", cwd=crate(dependencies='no-such-crate-anywhere = "1"\n'))
    assert_classified(unknown, "not-found")
    refused = cargo("build", cwd=crate(dependencies=f'b = {{ git = "http://{closed}/b" }}\n'), env=network)
    assert_classified(refused, "transient-network")
    assert_classified(cargo("test", cwd=crate(TEST)), "test")
    linked = crate('extern "C" { fn no_such_symbol(); }\nfn main() { unsafe { no_such_symbol() } }\n')
    assert_classified(cargo("build", cwd=linked), "compile", "no_such_symbol")
    assert_classified(cargo("build", "--target", "no-such-triple", cwd=crate()), "usage", "no-such-triple")


def test_cargo_with_a_full_disk(crate, tmp_path):
    target = tmp_path / "small"
    target.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", target).code:
        skip_or_fail("a small file system", "run as root")
    try:
        assert_classified(run("cargo", "build", "--target-dir", target, cwd=crate()), "resource")
    finally:
        run("umount", target)


def test_pip(closed, tmp_path):
    options = ("--disable-pip-version-check", "--retries", "1", "--timeout", "2", "--target", tmp_path)
    pip = (sys.executable, "-m", "pip", "install", *options)
    refused = run(*pip, "--index-url", f"http://{closed}/simple", "no-such-package-anywhere")
    assert_classified(refused, "transient-network", "onnection refused")
    assert_classified(run(*pip, "--no-index", "no-such-package-anywhere"), "not-found")


def test_apt(closed, tmp_path):
    if not shutil.which("apt-get"):
        pytest.skip("this machine has no apt")
    (tmp_path / "sources").write_text(f"deb [trusted=yes] http://{closed}/debian bookworm main\n")
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    settings = (f"Dir::Etc::SourceList={tmp_path}/sources", "Dir::Etc::SourceParts=-", f"Dir::State::Lists={tmp_path}/lists",
                f"Dir::Cache={tmp_path}", "APT::Sandbox::User=root", "Acquire::Retries=0")  # fmt: skip
    alone = words("-o", settings)
    updated = run("apt-get", *alone, "update")
    missing = run("apt-get", *alone, "install", "--yes", "no-such-package-anywhere")
    assert_classified(missing, "not-found", "no-such-package-anywhere")
    # A RUN prints both: apt only warns of lists that it could not download.
    missing.out, missing.err = updated.out + missing.out, updated.err + missing.err
    assert_classified(missing, "transient-network", "Connection refused")


def test_qemu(qemu, tmp_path):
    (tmp_path / "a.c").write_text("int main(void) { return *(volatile int *)0; }\n")
    install_packages("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
    compiled = run("aarch64-linux-gnu-gcc", "-o", tmp_path / "a", tmp_path / "a.c")
    assert compiled.code == 0, compiled
    assert_classified(run("qemu-aarch64-static", tmp_path / "a"), "emulation", "ld-linux-aarch64")
    crashed = run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", tmp_path / "a")
    assert_classified(crashed, "emulation", "uncaught target signal 11")
    assert_classified(run("qemu-aarch64-static", "/bin/true"), "emulation", "Invalid ELF")
