"""Images of a service with a configuration: `files`, `command`, `user`, `workdir` and `labels` of a component."""

import json
import os
import tarfile
import time

import containers
import pytest
from services import Paho
from testbed import assert_error, buildlib, install_packages, run

from buildlib.core.plan import CopyFiles
from buildlib.process.files import blob_files, copy_files

BROKER = ("--component", "mqtt-server")
SETTINGS = """
[components.mqtt-server]
ports = [1884]
health = "mqtt-server --health --config /etc/broker/server.toml"
files = { "deploy/" = "/etc/broker/", "dist/notes.txt" = "/srv/" }
command = ["--config", "/etc/broker/server.toml", "--log-format", "json"]
user = "10001"
workdir = "/srv"
labels = { "org.opencontainers.image.version" = "7", "test.acme/owner" = "the \\"$team\\"" }
says = { all = ['"address":"0.0.0.0:1884"'] }
"""
# The listening port shows that the file was read; the limit refuses what the default accepts.
SERVER = 'listen = "0.0.0.0:1884"\nmax-packet = 256\n'


def configure(root, text):
    """The settings of a broker with a configuration: one of its files is in a directory that the generated .dockerignore excludes."""
    (root / "buildlib.toml").write_text(text + SETTINGS)
    (root / "deploy" / "target").mkdir(parents=True)
    (root / "deploy" / "server.toml").write_text(SERVER)
    (root / "deploy" / "server.toml").chmod(0o600)
    (root / "deploy" / "target" / "hook").write_text("#!/bin/sh\n")
    (root / "deploy" / "target" / "hook").chmod(0o700)
    (root / "dist" / "notes.txt").write_text("notes\n")


FILES = {
    "/etc/broker/server.toml": "644 10001:10001",
    "/etc/broker/target": "755 10001:10001",
    "/etc/broker/target/hook": "755 10001:10001",
    "/srv/notes.txt": "644 10001:10001",
}


@pytest.fixture
def broker(project):
    """The workspace, whose broker has a configuration."""
    configure(project.root, project.engine.settings())
    return project


def files_in(project, image, platform):
    """Modes, owners and times of the files in the image, as its own stat(1) prints them."""
    flags = ("--rm", "--pull", "always", "--platform", platform, "--entrypoint", "stat")
    done = run("docker", "run", *flags, image, "--format", "%n %a %u:%g %Y", *FILES, env=project.env)
    assert done.code == 0, done
    return dict(line.split(" ", 1) for line in done.out.splitlines())


@pytest.mark.slow
def test_a_service_reads_its_configuration_in_its_image(broker):
    options = ("--push", "--arch", "amd64,arm64", *BROKER, "--json")
    first = broker.image(*options)
    assert first.code == 0, first
    (result,) = json.loads(first.out)
    assert (result["status"], result["platforms"]) == ("done", ["linux/amd64", "linux/arm64"])
    image = f"{broker.repository}/mqtt-server:latest"

    when = run("git", "log", "-1", "--format=%ct", cwd=broker.root).out.strip()
    assert files_in(broker, image, "linux/arm64") == {name: f"{facts} {when}" for name, facts in FILES.items()}
    config = json.loads(run("docker", "image", "inspect", image, env=broker.env).out)[0]["Config"]
    assert [config[key] for key in ("User", "WorkingDir", "Cmd")] == [
        "10001:10001", "/srv", ["--config", "/etc/broker/server.toml", "--log-format", "json"],
    ]  # fmt: skip
    labels = {key: config["Labels"][key] for key in ("org.opencontainers.image.version", "test.acme/owner")}
    assert labels == {"org.opencontainers.image.version": "7", "test.acme/owner": 'the "$team"'}

    flags = ("--detach", "--read-only", "--cap-drop=ALL", "--publish", "127.0.0.1::1884", "--platform", "linux/arm64")
    started = run("docker", "run", *flags, image, env=broker.env)
    assert started.code == 0, started
    container = started.out.strip()
    try:
        deadline = time.monotonic() + 120
        state = ("docker", "inspect", "--format", "{{.State.Health.Status}}", container)
        while run(*state, env=broker.env).out.strip() != "healthy":
            assert time.monotonic() < deadline, run("docker", "logs", container, env=broker.env)
            time.sleep(0.3)
        log = [json.loads(line) for line in run("docker", "logs", container, env=broker.env).err.splitlines()]
        assert [line["address"] for line in log if line["message"] == "listening"] == ["0.0.0.0:1884"]
        assert [line["triple"] for line in log if line["message"] == "starting"] == ["aarch64-unknown-linux-gnu"]
        address = run("docker", "port", container, "1884/tcp", env=broker.env).out.split()[0]
        receiver, sender = Paho(address, 5, "receiver"), Paho(address, 5, "sender")
        receiver.subscribe("hall/#", 1)
        sender.publish("hall/door", "open", 1)
        assert receiver.wait_for_messages(1) == [("hall/door", "open", 1, False)]
        receiver.close()
        sender.close()
    finally:
        run("docker", "rm", "--force", container, env=broker.env)

    smoked = buildlib("smoke", "--arch", "arm64", *BROKER, cwd=broker.root, env=broker.env)
    assert smoked.code == 0, smoked

    (broker.root / "deploy" / "server.toml").chmod(0o644)
    os.utime(broker.root / "deploy" / "server.toml", (1, 1))
    assert json.loads(broker.image(*options).out) == [{**result, "status": "unchanged"}]
    (broker.root / "deploy" / "server.toml").write_text(f"{SERVER}max-queued = 10\n")
    (changed,) = json.loads(broker.image(*options).out)
    assert (changed["status"], changed["digest"] == result["digest"]) == ("done", False)


@pytest.mark.slow
def test_buildkit_reads_a_file_again_that_has_another_content_of_the_same_size(broker, tmp_path):
    """It compares the size and time of each file with those of the last context of that name, wherever that one was."""
    assert buildlib("builder.create", cwd=broker.root, env=broker.env).code == 0
    source, dockerfile = tmp_path / "server.toml", tmp_path / "context" / "Dockerfile"
    dockerfile.parent.mkdir()
    dockerfile.write_text("FROM scratch\nCOPY --from=binaries arm64/server.toml /\n")
    for number, text in enumerate(("port = 1883\n", "port = 1884\n")):
        source.write_text(text)
        binaries, output = tmp_path / str(number) / "binaries", tmp_path / str(number) / "output"
        copy_files(CopyFiles(folder=binaries, files=((source, "arm64/server.toml", 0o644),), modified=1_700_000_000))
        words = ("--build-context", f"binaries={binaries}", "--output", f"type=local,dest={output}", dockerfile.parent)
        built = run("docker", "buildx", "build", "--builder", containers.BUILDER, *words, env=broker.env)
        assert built.code == 0, built
        assert (output / "server.toml").read_text() == text, built
        assert int((output / "server.toml").stat().st_mtime) == 1_700_000_000


@pytest.mark.slow
def test_the_written_dockerfile_builds_the_same_without_buildlib(broker):
    """Its .dockerignore excludes dist/ and every target/, but not what the image needs."""
    (broker.root / "deploy" / "server.toml").chmod(0o644)  # of a clone with the usual umask
    (broker.root / "deploy" / "target" / "hook").chmod(0o755)
    assert buildlib("dockerfile", "--write", cwd=broker.root, env=broker.env).code == 0
    assert buildlib("builder.create", cwd=broker.root, env=broker.env).code == 0
    image = f"{broker.repository}/mqtt-server:by-hand"
    built = run(
        "docker", "buildx", "build", "--builder", containers.BUILDER, "--file", "Dockerfile.multiarch", "--target", "mqtt-server",
        "--platform", "linux/arm64", "--build-context", "binaries=dist", "--build-arg", "COMPILER=scratch", "--tag", image,
        "--push", ".", cwd=broker.root, env=broker.env,
    )  # fmt: skip
    assert built.code == 0, built
    found = files_in(broker, image, "linux/arm64")
    assert {name: facts.rpartition(" ")[0] for name, facts in found.items()} == FILES


def entries_of(layout):
    """Every file and directory in the layers of a layout with one platform."""
    entries = {}
    for path in blob_files(layout).values():
        if not path.read_bytes().startswith(b"{"):
            with tarfile.open(path) as tar:
                for member in tar:
                    content = tar.extractfile(member).read() if member.isfile() else b""
                    entries[member.name.strip("./")] = (member.mode, member.uid, member.gid, member.mtime, content)
    return entries


@pytest.mark.slow
def test_a_layout_has_the_same_files_with_docker_and_without(broker, tmp_path):
    options = ("--arch", "arm64-musl", *BROKER, "--output")
    without = broker.image(*options, tmp_path / "without", env={"DOCKER_HOST": "unix:///nowhere"})
    assert without.code == 0, without
    (broker.root / "buildlib.toml").write_text((broker.root / "buildlib.toml").read_text() + 'base = "scratch"\n')
    with_docker = broker.image(*options, tmp_path / "with")
    assert with_docker.code == 0, with_docker
    one, other = (entries_of(tmp_path / name / "mqtt-server") for name in ("without", "with"))
    names = [name for name in one if name.startswith(("etc/broker", "srv/"))]
    assert len(names) == 5
    assert {name: one[name] for name in names} == {name: other[name] for name in names}
    install_packages("skopeo")
    configs = [
        json.loads(
            run("skopeo", "--override-arch", "arm64", "inspect", "--config", f"oci:{tmp_path}/{name}/mqtt-server").out
        )
        for name in ("without", "with")
    ]
    keys = ("User", "WorkingDir", "Entrypoint", "Cmd", "Healthcheck", "ExposedPorts")
    one, other = ({key: config["config"].get(key) for key in keys} for config in configs)
    assert one == other


@pytest.mark.parametrize(
    ("files", "message", "help_text"),
    [
        ('"deply/" = "/etc/x/"', "deply/ does not exist in {root}", "did you mean 'deploy'?"),
        ('"passwd" = "/etc/x"', "passwd leads to /etc/passwd, outside of the workspace", "copy it into the workspace"),
        (
            '"deploy/server.toml" = "/usr/bin/hello"',
            "deploy/server.toml and the program are both /usr/bin/hello in the image",
            "",
        ),
    ],
)
def test_a_wrong_file_is_an_error_before_anything_is_compiled(workspace, tmp_path, files, message, help_text):
    root = workspace("hello")
    (root / "passwd").symlink_to("/etc/passwd")
    configure_hello = f"[components.hello]\nfiles = {{ {files} }}\n"
    (root / "deploy").mkdir()
    (root / "deploy" / "server.toml").write_text("")
    (root / "buildlib.toml").write_text(configure_hello)
    done = buildlib("image", "--arch", "amd64-musl", "--output", tmp_path / "out", cwd=root)
    assert_error(done, 2, f"components.hello.files: {message.format(root=root)}", help_text)
    assert [path.name for path in (root / "target").rglob("*") if path.is_file()] == ["journal.jsonl"]  # of `report`
    assert not (root / "dist").exists() and not (tmp_path / "out").exists()


def test_files_outside_of_the_workspace_cannot_be_named(workspace):
    root = workspace("hello")
    (root / "buildlib.toml").write_text('[components.hello]\nfiles = { "../x" = "/x" }\n')
    done = buildlib("plan", cwd=root)
    expected = "expected a path in the workspace of letters, digits, `.`, `_` and `-`, without `..`"
    assert_error(done, 2, f"buildlib.toml: components.hello.files has '../x': {expected}", "")
