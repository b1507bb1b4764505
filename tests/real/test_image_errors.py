"""Failures of `buildlib image`, each caused for real: a clear error with its help, the documented exit code, no partial result."""

import http.server
import os
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager

import containers
import pytest
from testbed import assert_error, buildlib, install_packages, path_without, run, skip_or_fail

pytestmark = pytest.mark.slow
CLI_COMMAND = ("--component", "cli-command")
INSTALL = "install Docker and buildx; images of binaries need neither with --engine none"
NO_DAEMON_HELP = "start Docker, or point DOCKER_HOST at an engine"
LOGIN = "`docker login` at that registry, with an account that has the permission"
CHECK_HOST = "check the host's name, `builder.mirrors`, and the network (VPN?)"
DISK_HELP = "free disk space (`df -h`, `docker system prune`), or point --target-dir to another disk"


def assert_image_error(result, code, message, help_text):
    """One image's error: it is shown when it happens, and the table of all images follows on stdout."""
    assert_error(result, code, message, help_text)
    assert re.search(r"^cli-command .* failed\s*$", result.out, re.MULTILINE), result


def test_without_docker(project, tmp_path):
    env = path_without(tmp_path / "bin", lambda name: name.startswith("docker"))
    assert_error(project.push(*CLI_COMMAND, "--engine", "docker", env=env), 4, "docker: no such program", INSTALL)
    # Static binaries need neither Docker nor buildx.
    written = project.image("--arch", "amd64-musl", "--output", tmp_path / "out", *CLI_COMMAND, env=env)
    assert written.code == 0, written


def test_without_buildx(project, tmp_path):
    env = {"DOCKER_CONFIG": str(tmp_path / "config")}
    if run("docker", "buildx", "version", env={**project.env, **env}).code == 0:
        pytest.skip("buildx is installed for all users of this machine")
    assert_error(project.push(*CLI_COMMAND, "--engine", "docker", env=env), 4, "docker has no plugin buildx", INSTALL)


def test_without_a_daemon(project, tmp_path):
    """The builder has a name of its own, so that no existing builder is found."""
    project.write_settings(name="buildlib-test-none")
    env = {"DOCKER_HOST": f"unix://{tmp_path}/none"}
    message = re.compile(r".*Cannot connect to the Docker daemon at unix://.*")
    assert_error(project.push(*CLI_COMMAND, "--engine", "docker", env=env), 4, message, NO_DAEMON_HELP)
    builders = run("docker", "buildx", "ls", env=project.env)
    assert "buildlib-test-none" not in builders.out, builders


@pytest.mark.parametrize(
    ("argv", "message", "help_text"),
    [
        (
            ("--load", "--arch", "amd64,arm64"),
            "--load takes one platform, not amd64,arm64",
            "use --arch for one of them, or --output DIR for all",
        ),
        (
            ("--push", "--tag", "a b"),
            "'a b' is not a tag",
            "letters, digits, _ . and -, at most 128, not beginning with . or -",
        ),
        (
            ("--push", "--registry", "127.0.0.1:5000/Acme"),
            "registry: '127.0.0.1:5000/Acme' is not the name of a registry",
            "did you mean '127.0.0.1:5000/acme'?",
        ),
        (("--push", "--component", "mqtt-sever"), "unknown component 'mqtt-sever'", "did you mean 'mqtt-server'?"),
        (("--push", "--load"), "choose one of --push, --load, --output DIR and --check-bases", ""),
    ],
    ids=["two platforms loaded", "tag", "registry", "component", "two destinations"],
)
def test_wrong_options(project, argv, message, help_text):
    assert_error(project.image(*argv), 2, message, help_text)


def test_a_push_without_a_registry(project):
    (project.root / "buildlib.toml").unlink()
    message, help_text = "no registry to push to", "use --registry HOST/PATH, or set `registry`"
    assert_error(project.push(*CLI_COMMAND), 2, message, help_text)


@contextmanager
def read_only_registry(status):
    """A registry that answers every upload with this status; yields host:port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            reading = self.command in ("GET", "HEAD")
            self.send_response(200 if (self.command, self.path) == ("GET", "/v2/") else 404 if reading else status)
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
def test_a_registry_that_denies_uploads(project, status):
    with read_only_registry(status) as address:
        failed = project.push(*CLI_COMMAND, "--registry", f"{address}/acme", arches="amd64")
        assert_image_error(failed, 4, re.compile(r"build cli-command: .+"), LOGIN)


def test_a_registry_that_requires_a_password(project, tmp_path):
    """A real registry with htpasswd."""
    install_packages("apache2-utils")
    (tmp_path / "registry").mkdir()
    created = run("htpasswd", "-Bbc", tmp_path / "passwd", "user", "secret")
    assert created.code == 0, created
    auth = {"htpasswd": {"realm": "acme", "path": str(tmp_path / "passwd")}}
    with containers.registry(tmp_path / "registry", auth=auth) as address:
        push = (*CLI_COMMAND, "--registry", f"{address}/acme")
        failed = project.push(*push, arches="amd64")
        assert_image_error(failed, 4, re.compile(r"build cli-command: .+"), LOGIN)
        login = subprocess.run(
            ["docker", "login", "--username", "user", "--password-stdin", address], input=b"secret", check=False,
            env=os.environ | project.env, capture_output=True,
        )  # fmt: skip
        assert login.returncode == 0, login
        try:
            assert project.push(*push, arches="amd64").code == 0
        finally:
            run("docker", "logout", address, env=project.env)


@pytest.fixture
def set_base(project):
    """Sets the base image of cli-command."""
    file = project.root / "buildlib.toml"
    settings = file.read_text()
    return lambda image: file.write_text(f'{settings}[components.cli-command]\nbase = "{image}"\n')


def test_a_base_image_that_does_not_exist(project, set_base):
    before = project.raw("cli-command:latest")
    missing = f"{project.engine.registry}/library/nothing:1"
    set_base(missing)
    help_text = "check the name of the base image, and `builder.mirrors`"
    assert_image_error(project.push(*CLI_COMMAND), 1, f"read {missing}: {missing}: not found", help_text)
    set_base("registry.invalid/debian:1")  # RFC 6761: a name that never resolves
    assert_image_error(project.push(*CLI_COMMAND), 1, re.compile(r"read registry\.invalid/debian:1: .*"), CHECK_HOST)
    assert project.raw("cli-command:latest") == before


def test_a_base_image_without_the_platform(project, set_base):
    before = project.raw("cli-command:latest")
    pushed = project.push(*CLI_COMMAND, "--tag", "amd64-only", arches="amd64")
    assert pushed.code == 0, pushed
    set_base(f"{project.repository}/cli-command:amd64-only")
    message = re.compile(r"build cli-command: .*no match for platform.*")
    help_text = "the base image does not have that platform: set another `base`, or leave the arch out"
    assert_image_error(project.push(*CLI_COMMAND), 1, message, help_text)
    assert project.raw("cli-command:latest") == before


def test_a_full_disk_in_the_builder(project, tmp_path, tmp_path_factory):
    """A daemon of its own with a small disk, which is filled after the builder has started."""
    disk = tmp_path_factory.mktemp("disk")  # sockets are created below, and the length of their paths is limited
    (disk / "data").mkdir(parents=True)
    mounted = run("mount", "-t", "tmpfs", "-o", "size=900m", "none", disk / "data")
    if mounted.code:
        skip_or_fail("a file system of its own", mounted.err)
    try:
        with containers.daemon(disk) as daemon:
            env = {**daemon, "DOCKER_CONFIG": str(tmp_path / "config")}
            containers.install_buildx(env)
            (tmp_path / "buildkit").mkdir()
            containers.load_buildkit(env, tmp_path / "buildkit")
            created = buildlib("builder.create", cwd=project.root, env=env)
            assert created.code == 0, created
            free = shutil.disk_usage(disk / "data").free
            filler = disk / "data" / "filler"
            assert run("fallocate", "--length", free - 2**20, filler).code == 0
            failed = project.push(*CLI_COMMAND, "--tag", "full", env=env)
            assert_image_error(failed, 1, re.compile(r"build cli-command: .*no space left on device.*"), DISK_HELP)
            assert project.raw("cli-command:full") == ""
            filler.unlink()
            assert project.push(*CLI_COMMAND, "--tag", "full", env=env).code == 0
            run("docker", "buildx", "rm", containers.BUILDER, env=env)
    finally:
        run("umount", "--lazy", disk / "data")
