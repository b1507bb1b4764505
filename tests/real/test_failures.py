"""What today's tools print when they fail, caused for real, and read by `buildlib explain`."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import engine
import pytest
from bed import BUILDLIB, packages, run
from faulty import faulty

from buildlib.core.plan import words


def explained(log):
    done = subprocess.run([BUILDLIB, "explain", "--json"], input=log, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def assert_read(done, kind, said=""):
    assert done.code != 0, done
    log = done.out + done.err
    told = explained(log)
    assert (told["class"], said.lower() in told["cause"].lower()) == (kind, True), (told, done)
    assert told["retry"] is (kind in ("transient-network", "rate-limited"))
    assert told["line"] is None or told["line"] <= log.count("\n") + 1


@pytest.fixture(scope="module")
def closed():
    """host:port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


# --- BuildKit ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def build(bed, pristine, tmp_path_factory):
    """buildx on a Dockerfile, with the test bed's builder."""
    made = pristine.push("--component", "cli-command", arches="amd64")  # makes the builder
    assert made.code == 0, made

    def build(dockerfile, *more, progress="plain"):
        folder = tmp_path_factory.mktemp("context")
        (folder / "Dockerfile").write_text(dockerfile)
        (folder / "foreign").write_bytes(
            b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf7\x00" + bytes(100)
        )  # BPF: nothing runs it
        (folder / "foreign").chmod(0o755)
        return run(
            "docker",
            "buildx",
            "build",
            "--builder",
            engine.BUILDER,
            "--progress",
            progress,
            *(more or (folder,)),
            env=bed.env,
        )

    return build


BASE = f"FROM {engine.BASE}\n"
DOCKERFILES = {
    "foreign binary": ('COPY foreign /foreign\nRUN ["/foreign"]\n', "emulation", "exec format error"),
    "full tmpfs": ("RUN --mount=type=tmpfs,target=/t,size=1048576 head -c 9m /dev/zero > /t/x\n", "resource", "No space left"),
    "killed": ("RUN sh -c 'kill -9 $$'\n", "resource", "137"),
    "nothing to copy": ("COPY nothing /\n", "not-found", "nothing"),
    "not an instruction": ("RUNN true\n", "usage", "RUNN"),
    "a compiler's words": ("RUN printf 'error[E0308]: connection reset\\n' >&2; exit 101\n", "compile", "E0308"),
    "apt's words": (
        "RUN printf 'W: Temporary failure resolving x\\nE: Unable to locate package y\\n' >&2; exit 100\n",
        "transient-network", "W: Temp",
    ),
    "no reason": ("RUN false\n", "unknown", "exit code: 1"),
}  # fmt: skip


@pytest.mark.parametrize("progress", ["plain", "rawjson"])
@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_step_of_a_dockerfile(build, name, progress):
    text, kind, said = DOCKERFILES[name]
    assert_read(build(BASE + text, progress=progress), kind, said)


def test_images_that_cannot_be_had(build, closed):
    assert_read(build("FROM debian:no-such-tag\n"), "not-found", "debian:no-such-tag")
    assert_read(build(f"FROM {closed}/a\n"), "transient-network", "connection refused")
    assert_read(build("FROM no-such-host.invalid/a\n"), "not-found", "no such host")
    assert_read(build(BASE, "a", "b"), "usage", "1 argument")
    assert_read(build(BASE, "--no-such-flag", "."), "usage", "unknown flag")
    assert_read(build(BASE, "--platform", "linux/s390x", "-"), "usage")


@pytest.mark.parametrize(
    ("part", "status", "kind"),
    [
        ("/token", 503, "transient-network"), ("/token", 429, "rate-limited"), ("/token", 403, "auth"),
        ("/manifests/", 429, "rate-limited"), ("/manifests/", 401, "auth"),
    ],
)  # fmt: skip
def test_a_registry_that_says_no(build, bed, part, status, kind):
    with faulty(bed.registry) as proxy:
        proxy.play(0, refuse={part: (status, {"errors": []})})
        assert_read(build(f"FROM {proxy.address}/library/{engine.BASE}\n"), kind)


def test_a_builder_that_is_killed(build, bed):
    def kill():
        time.sleep(4)
        run("docker", "kill", f"buildx_buildkit_{engine.BUILDER}0", env=bed.env)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert_read(build(f"{BASE}RUN echo {time.time()}; sleep 30\n"), "builder")
    finally:
        killer.join()
        run("docker", "start", f"buildx_buildkit_{engine.BUILDER}0", env=bed.env)


# --- the others -----------------------------------------------------------------------------------------------------------


def test_docker_without_a_daemon(tmp_path):
    assert_read(run("docker", "info", env={"DOCKER_HOST": f"unix://{tmp_path}/none"}), "builder")


def test_git(closed, tmp_path):
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    assert_read(
        run("git", "clone", f"http://{closed}/a", tmp_path / "a", env=quiet), "transient-network", "Failed to connect"
    )
    assert_read(
        run("git", "clone", "https://no-such-host.invalid/a", tmp_path / "b", env=quiet),
        "transient-network",
        "Could not resolve",
    )
    assert_read(run("git", "clone", tmp_path / "none", tmp_path / "c"), "not-found", "does not exist")
    assert_read(
        run("git", "status", cwd=tmp_path, env={"GIT_CEILING_DIRECTORIES": "/"}), "usage", "not a git repository"
    )


def test_curl(closed, bed):
    packages("curl")
    assert_read(run("curl", "-sS", f"http://{closed}/"), "transient-network", "(7)")
    assert_read(run("curl", "-sSf", f"http://{bed.registry}/none"), "not-found", "404")
    assert_read(run("curl", "-sS", f"https://{bed.registry}/"), "usage", "(35)")


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
    tools = {"CARGO_HTTP_TIMEOUT": "2", "CARGO_NET_RETRY": "1"}
    assert_read(
        run("cargo", "build", cwd=crate('fn main() { let timed_out: u8 = "connection reset"; }\n')), "compile", "E0308"
    )
    assert_read(run("cargo", "build", "--relase", cwd=crate()), "usage", "--relase")
    assert_read(run("cargo", "build", cwd=crate(dependencies='b = { path = "none" }\n')), "not-found")
    assert_read(
        run("cargo", "build", "--offline", cwd=crate(dependencies='no-such-crate-anywhere = "1"\n')), "not-found"
    )
    assert_read(
        run("cargo", "build", cwd=crate(dependencies=f'b = {{ git = "http://{closed}/b" }}\n'), env=tools),
        "transient-network",
    )
    assert_read(run("cargo", "test", cwd=crate(TEST)), "test")
    linked = crate('extern "C" { fn no_such_symbol(); }\nfn main() { unsafe { no_such_symbol() } }\n')
    assert_read(run("cargo", "build", cwd=linked), "compile", "no_such_symbol")
    assert_read(run("cargo", "build", "--target", "no-such-triple", cwd=crate()), "usage", "no-such-triple")


def test_a_full_disk_under_cargo(crate, tmp_path):
    target = tmp_path / "small"
    target.mkdir()
    if run("mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", target).code:
        pytest.skip("needs root to mount a small disk") if "CI" not in os.environ else pytest.fail("mount")
    try:
        assert_read(run("cargo", "build", "--target-dir", target, cwd=crate()), "resource")
    finally:
        run("umount", target)


def test_pip(closed, tmp_path):
    pip = (
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--timeout",
        "2",
        "--target",
        tmp_path,
    )
    refused = run(*pip, "--index-url", f"http://{closed}/simple", "no-such-package-anywhere")
    assert_read(refused, "transient-network", "onnection refused")
    assert_read(run(*pip, "--no-index", "no-such-package-anywhere"), "not-found")


def test_apt(closed, tmp_path):
    if not shutil.which("apt-get"):
        pytest.skip("no apt here")
    (tmp_path / "sources").write_text(f"deb [trusted=yes] http://{closed}/debian bookworm main\n")
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    settings = (f"Dir::Etc::SourceList={tmp_path}/sources", "Dir::Etc::SourceParts=-", f"Dir::State::Lists={tmp_path}/lists",
                f"Dir::Cache={tmp_path}", "APT::Sandbox::User=root", "Acquire::Retries=0")  # fmt: skip
    alone = words("-o", settings)
    updated = run("apt-get", *alone, "update")
    missing = run("apt-get", *alone, "install", "--yes", "no-such-package-anywhere")
    assert_read(missing, "not-found", "no-such-package-anywhere")
    # As one RUN prints both: apt only warns of lists that it could not fetch.
    missing.out, missing.err = updated.out + missing.out, updated.err + missing.err
    assert_read(missing, "transient-network", "Connection refused")


def test_qemu(qemu, tmp_path):
    (tmp_path / "a.c").write_text("int main(void) { return *(volatile int *)0; }\n")
    packages("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
    made = run("aarch64-linux-gnu-gcc", "-o", tmp_path / "a", tmp_path / "a.c")
    assert made.code == 0, made
    assert_read(run("qemu-aarch64-static", tmp_path / "a"), "emulation", "ld-linux-aarch64")
    assert_read(
        run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", tmp_path / "a"),
        "emulation",
        "uncaught target signal 11",
    )
    assert_read(run("qemu-aarch64-static", "/bin/true"), "emulation", "Invalid ELF")
