"""What can go wrong with images, caused for real: one line of cause, one of cure, the right exit code, nothing half done."""

import http.server
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager

import engine
import pytest
from bed import buildlib, need, packages, path_without, run

pytestmark = pytest.mark.slow
ONE = ("--component", "cli-command")


def assert_said(done, code, cause, cure):
    assert done.code == code, done
    error, told = [line for line in done.err.splitlines() if line.startswith(("error: ", "  help: "))]
    assert error.startswith("error: ") and cause in error, done
    assert told.startswith("  help: ") and cure in told, done
    assert "Traceback" not in done.err


def test_no_docker_no_buildx_no_daemon(project, tmp_path):
    """Each with another builder's name, so that nothing is found that is there."""
    nothing = path_without(tmp_path / "bin", lambda name: name.startswith("docker"))
    assert_said(project.push(*ONE, env=nothing), 4, "docker: no such program", "--output with -musl arches")
    bare = {"DOCKER_CONFIG": str(tmp_path / "config")}
    if run("docker", "buildx", "version", env={**project.env, **bare}).code:  # else buildx is everybody's here
        without = project.push(*ONE, env=bare)
        assert_said(without, 4, "docker buildx: ", "install Docker and buildx")
        assert "more help" not in without.err, without  # the last line of the page that docker prints
    project.settings(name="buildlib-test-none")
    away = {"DOCKER_HOST": f"unix://{tmp_path}/none"}
    assert_said(
        project.push(*ONE, env=away), 4, "Cannot connect to the Docker daemon", "start Docker, or point DOCKER_HOST"
    )
    listed = run("docker", "buildx", "ls", env=project.env)
    assert "buildlib-test-none" not in listed.out, listed
    # Static binaries need none of it.
    kept = project.image("--arch", "amd64-musl", "--output", tmp_path / "out", *ONE, env=nothing)
    assert kept.code == 0, kept


@pytest.mark.parametrize(
    ("argv", "cause", "cure"),
    [
        (("--load", "--arch", "amd64,arm64"), "--load takes one platform", "--output DIR"),
        (("--push", "--tag", "a b"), "'a b' is no tag", "letters, digits"),
        (
            ("--push", "--registry", "127.0.0.1:5000/Acme"),
            "is no name of a repository",
            "did you mean '127.0.0.1:5000/acme'?",
        ),
        (("--push", "--component", "mqtt-sever"), "no component is called 'mqtt-sever'", "mqtt-server"),
        (("--push", "--load"), "where to?", "one of --push"),
    ],
)
def test_words_that_cannot_be_meant(project, argv, cause, cure):
    assert_said(project.image(*argv), 2, cause, cure)


def test_a_push_without_a_registry(project):
    (project.root / "buildlib.toml").unlink()
    assert_said(project.push(*ONE), 2, "no registry to push to", "--registry HOST/PATH")


@contextmanager
def refusing(status):
    """A registry that lets nobody write."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            code = (
                200
                if self.command == "GET" and self.path == "/v2/"
                else 404
                if self.command in ("GET", "HEAD")
                else status
            )
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_refuses(project, status):
    with refusing(status) as address:
        done = project.push(*ONE, "--registry", f"{address}/acme", arches="amd64")
        assert_said_of_one_image(done, 1, "build cli-command: ", "`docker login` at that registry")


def assert_said_of_one_image(done, code, cause, cure):
    """An image's own failure is said where it happens, the table of all images comes last, on stdout."""
    assert_said(done, code, cause, cure)
    assert "failed" in done.out, done


def test_a_registry_that_wants_a_password(project, tmp_path):
    """A real one, with htpasswd."""
    packages("apache2-utils")
    (tmp_path / "registry").mkdir()
    made = run("htpasswd", "-Bbc", tmp_path / "passwd", "me", "secret")
    assert made.code == 0, made
    auth = {"htpasswd": {"realm": "acme", "path": str(tmp_path / "passwd")}}
    with engine.registry(tmp_path / "registry", auth=auth) as address:
        push = (*ONE, "--registry", f"{address}/acme")
        assert_said_of_one_image(project.push(*push, arches="amd64"), 1, "build cli-command: ", "`docker login`")
        login = subprocess.run(
            ["docker", "login", "--username", "me", "--password-stdin", address], input=b"secret", check=False,
            env=os.environ | project.env, capture_output=True,
        )  # fmt: skip
        assert login.returncode == 0, login
        try:
            assert project.push(*push, arches="amd64").code == 0
        finally:
            run("docker", "logout", address, env=project.env)


def base(project, name):
    told = (project.root / "buildlib.toml").read_text()
    (project.root / "buildlib.toml").write_text(f'{told}[components.cli-command]\nbase = "{name}"\n')


def test_no_such_base_image_and_no_such_platform(project):
    before = project.raw("cli-command:latest")
    told = (project.root / "buildlib.toml").read_text()
    base(project, f"{project.bed.registry}/library/nothing:1")
    assert_said_of_one_image(project.push(*ONE), 1, "library/nothing:1", "check the name of the base image")
    (project.root / "buildlib.toml").write_text(told)
    base(project, "registry.invalid/debian:1")  # RFC 6761: a name that never resolves
    assert_said_of_one_image(project.push(*ONE), 1, "registry.invalid", "check the host's name")
    (project.root / "buildlib.toml").write_text(told)
    # The one that compiles is for this machine alone.
    only = f"{project.bed.registry}/acme/cli-command:one"
    assert project.push(*ONE, "--tag", "one", arches="amd64").code == 0
    base(project, only)
    assert_said_of_one_image(project.push(*ONE), 1, "no match for platform", "the base image has no such platform")
    assert project.raw("cli-command:latest") == before


def test_a_full_disk_in_the_builder(project, tmp_path, tmp_path_factory):
    """A daemon of its own whose disk is small; it is filled after the builder has booted."""
    disk = tmp_path_factory.mktemp("disk")  # sockets go in there, and their paths have a limit
    (disk / "data").mkdir(parents=True)
    mounted = run("mount", "-t", "tmpfs", "-o", "size=900m", "none", disk / "data")
    if mounted.code:
        need("a file system of its own", mounted.err)
    try:
        with engine.daemon(disk) as env:
            small = {**env, "DOCKER_CONFIG": str(tmp_path / "config")}
            engine.buildx(small)
            (tmp_path / "bed").mkdir()
            engine.buildkit(small, tmp_path / "bed")
            created = buildlib("builder.create", cwd=project.root, env=small)
            assert created.code == 0, created
            free = shutil.disk_usage(disk / "data").free
            filler = disk / "data" / "filler"
            assert run("fallocate", "--length", free - 2**20, filler).code == 0
            full = project.push(*ONE, "--tag", "full", env=small)
            assert_said_of_one_image(full, 1, "no space left on device", "free disk space")
            assert project.raw("cli-command:full") == ""
            filler.unlink()
            assert project.push(*ONE, "--tag", "full", env=small).code == 0
            run("docker", "buildx", "rm", engine.BUILDER, env=small)
    finally:
        run("umount", "--lazy", disk / "data")
