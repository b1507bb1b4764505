"""`buildlib image --engine none`: no program called docker, no daemon, and images with the same IDs as those of buildx."""

import hashlib
import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest
from faulty_registry import faulty_proxy
from project import EXITS_1, PLATFORMS, with_entry_code
from test_push import MACHINES
from testbed import BUILDLIB, PROGRAMS, assert_error, install_packages, path_without, run

from buildlib.registry.client import MANIFESTS

CLI_COMMAND = ("--component", "cli-command")
MQTT_SERVER = ("--component", "mqtt-server")
REPETITIONS = 4  # pushes through a registry that fails 20 % of all requests; benches/faults.py does a hundred
# Layers in the builder's cache keep their times unless they are later than this.
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
pytestmark = pytest.mark.slow


@pytest.fixture
def without_docker(tmp_path):
    """An environment without the program `docker`, and without a daemon."""
    path = path_without(
        tmp_path / "bin", lambda name: name.startswith(("docker", "podman", "buildx", "buildkit", "skopeo"))
    )
    (tmp_path / "config").mkdir()
    return {**path, **EPOCH, "DOCKER_HOST": "unix:///nowhere", "DOCKER_CONFIG": str(tmp_path / "config")}


def ask(registry, path):
    """What a registry has under a path."""
    request = urllib.request.Request(f"http://{registry}/v2/{path}", headers={"Accept": MANIFESTS})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def images(registry, reference):
    """The index of an image, and the manifest of each platform's image."""
    name, _, version = reference.partition(":")
    index = json.loads(ask(registry, f"{name}/manifests/{version}"))
    found = {
        "/".join(entry["platform"][key] for key in ("os", "architecture", "variant") if key in entry["platform"]):
        json.loads(ask(registry, f"{name}/manifests/{entry['digest']}"))
        for entry in index["manifests"]
    }  # fmt: skip
    return index, found


def assert_same_images(registry, one, other):
    """Two images have the same IDs, the digests of their configurations, which contain those of all layers; and the same inputs.

    Returns the manifests of the second.
    """
    (first, before), (second, after) = images(registry, one), images(registry, other)
    for platform, manifest in before.items():
        configurations = [
            ask(registry, f"{name.partition(':')[0]}/blobs/{found['config']['digest']}").decode()
            for name, found in ((one, manifest), (other, after[platform]))
        ]
        assert configurations[0] == configurations[1]
    assert (list(before), first["annotations"]) == (list(after), second["annotations"])
    return after


def test_four_services_for_four_platforms_have_the_ids_of_buildx(shared_project, without_docker):
    registry = shared_project.engine.registry
    options = ("--engine", "none", "--registry", f"{registry}/direct", "--json")
    pushed = shared_project.push(*options, env=without_docker)
    assert pushed.code == 0, pushed
    results = json.loads(pushed.out)
    assert [(one["component"], one["status"], one["platforms"], one["not_started"]) for one in results] == [
        (program, "done", PLATFORMS, []) for program in PROGRAMS
    ]
    by_buildx = shared_project.push("--engine", "docker", "--registry", f"{registry}/buildx", env=EPOCH)
    assert by_buildx.code == 0, by_buildx
    for name in PROGRAMS:
        found = assert_same_images(registry, f"buildx/{name}:latest", f"direct/{name}:latest")
        base = json.loads(ask(registry, "library/debian/manifests/trixie-slim"))
        layers = {
            layer["digest"]
            for entry in base["manifests"]
            for layer in json.loads(ask(registry, f"library/debian/manifests/{entry['digest']}"))["layers"]
        }
        assert {manifest["layers"][0]["digest"] for manifest in found.values()} == layers
    again = shared_project.push(*options, env=without_docker)
    assert [(one["status"], one["digest"]) for one in json.loads(again.out)] == [
        ("unchanged", one["digest"]) for one in results
    ]
    # The real daemon unpacks and starts them.
    for platform in PLATFORMS:
        image = f"{registry}/direct/cli-command:latest"
        flags = ("--rm", "--pull", "always", "--platform", platform, "--read-only", "--cap-drop=ALL")
        machine = run("docker", "run", *flags, "--entrypoint", "uname", image, "-m", env=shared_project.env)
        assert machine.out.strip() == MACHINES[platform], machine
        version = run("docker", "run", *flags, image, "--version", env=shared_project.env)
        assert version.code == 0 and version.out.startswith("cli-command 0.1.0 ("), version


ODD_BASE = """FROM {base}
RUN mkdir -p /srv/kept /data /opt/real && chown 5:6 /srv /data && chmod 0700 /srv && ln -s /data /link && ln -s opt/real /optlink
RUN echo app:x:77:78::/:/bin/sh > /etc/passwd && touch /removed
RUN rm /removed
ENV FOO=bar PATH=/usr/sbin:/usr/bin
LABEL kept=1 org.opencontainers.image.version=base
EXPOSE 80
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK CMD true
CMD ["/bin/sh"]
WORKDIR /w
USER app
"""
ODD_SETTINGS = """
[components.cli-command]
base = "{registry}/bases/odd:1"
program = "/optlink/new/cli"
ports = [1234, 99]
env = {{ FOO = "a <b> & $c \\"d\\"", LONG = "x", "a.b" = 1 }}
volumes = ["/data", "/link/deep/volume", "/var/lib/a/b"]
files = {{ "deploy/" = "/srv/conf/", "Cargo.toml" = "/q/r/" }}
command = ["--x", "é <&> y"]
user = "2000000001:3000000"
workdir = "/wd/deep"
labels = {{ "test.acme/owner" = "the \\"$team\\" <é>" }}
"""


def test_an_odd_base_image_and_static_binaries_give_the_ids_of_buildx(project, without_docker, tmp_path):
    """The base image has links, other owners, a user by name, whiteouts; the files long names, and names that are not ASCII."""
    registry = project.engine.registry
    context = tmp_path / "odd"
    context.mkdir()
    (context / "Dockerfile").write_text(ODD_BASE.format(base=f"{registry}/library/debian:trixie-slim"))
    deep = project.root / "deploy" / ("x" * 60) / ("y" * 60)
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    (project.root / "deploy" / "ü.txt").write_text("u")
    (project.root / "deploy" / "hook").write_text("#!/bin/sh\n")
    (project.root / "deploy" / "hook").chmod(0o700)
    settings = project.root / "buildlib.toml"
    plain = settings.read_text()
    options = (*CLI_COMMAND, "--engine", "docker", "--registry", f"{registry}/buildx")
    first = project.push(*options, "--tag", "static", arches="amd64-musl,arm64-musl", env=EPOCH)
    assert first.code == 0, first  # creates the builder
    flags = ("--builder", "buildlib-test", "--platform", "linux/amd64,linux/arm/v7", "--provenance=false", "--push")
    built = run("docker", "buildx", "build", *flags, "--tag", f"{registry}/bases/odd:1", context, env=project.env)
    assert built.code == 0, built

    def push(*options, arches):
        direct = ("--engine", "none", "--registry", f"{registry}/direct")
        pushed = project.push(*CLI_COMMAND, *direct, *options, arches=arches, env=without_docker)
        assert pushed.code == 0, pushed

    push("--tag", "static", arches="amd64-musl,arm64-musl")
    assert_same_images(registry, "buildx/cli-command:static", "direct/cli-command:static")
    settings.write_text(plain + ODD_SETTINGS.format(registry=registry))
    by_buildx = project.push(*options, "--tag", "odd", arches="amd64,armv7", env=EPOCH)
    assert by_buildx.code == 0, by_buildx
    push("--tag", "odd", arches="amd64,armv7")
    assert_same_images(registry, "buildx/cli-command:odd", "direct/cli-command:odd")


def change(project, arch, name):
    """Append random bytes to a program, as if the new file had passed the gate."""
    project.replace_binary(arch, name, (project.root / "dist" / arch / name).read_bytes() + os.urandom(64))


def test_a_registry_that_fails_a_fifth_of_all_requests(project, without_docker):
    with faulty_proxy(project.engine.registry) as proxy:
        (project.root / "buildlib.toml").write_text(
            f'registry = "{proxy.address}/faulty"\n[builder]\nmirrors = {{ "docker.io" = ["{proxy.address}"] }}\n'
        )
        codes, faults = [], 0
        for seed in range(REPETITIONS):
            change(project, "arm64", "cli-command")
            proxy.inject(0.2, seed)
            pushed = project.push(*CLI_COMMAND, "--engine", "none", arches="amd64,arm64", env=without_docker)
            codes.append(pushed.code)
            faults += proxy.faults.total()
        assert (codes, faults > REPETITIONS) == ([0] * REPETITIONS, True), pushed


def test_a_killed_push_leaves_the_tags(project, without_docker):
    direct = ("--engine", "none", "--registry", f"{project.engine.registry}/killed")
    argv = (BUILDLIB, "image", "--no-build", "--push", "--arch", "amd64,arm64", *direct, *CLI_COMMAND)
    assert run(*argv, cwd=project.root, env=without_docker).code == 0
    before = ask(project.engine.registry, "killed/cli-command/manifests/latest")
    for seconds in (0.5, 1.5, 3.0):
        change(project, "arm64", "cli-command")
        process = subprocess.Popen([str(word) for word in argv], cwd=project.root, env=os.environ | without_docker,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        if process.wait(60) == 0:  # a fast machine was done: the tag was moved to a complete image
            before = ask(project.engine.registry, "killed/cli-command/manifests/latest")
        assert ask(project.engine.registry, "killed/cli-command/manifests/latest") == before
    assert run(*argv, cwd=project.root, env=without_docker).code == 0
    assert ask(project.engine.registry, "killed/cli-command/manifests/latest") != before


def test_a_program_that_does_not_run_is_refused(project, without_docker):
    direct = ("--engine", "none", "--registry", f"{project.engine.registry}/refused")
    first = project.push(*CLI_COMMAND, *direct, arches="arm64", env=without_docker)
    assert first.code == 0, first
    before = ask(project.engine.registry, "refused/cli-command/manifests/latest")
    binary = (project.root / "dist" / "arm64" / "cli-command").read_bytes()
    project.replace_binary("arm64", "cli-command", with_entry_code(binary, EXITS_1))
    refused = project.push(*CLI_COMMAND, *direct, arches="arm64", env=without_docker)
    message = "cli-command: linux/arm64: does not run: exited with code 1: exit code 1"
    assert_error(refused, 6, message, "no tag was moved and no layout was written")
    assert ask(project.engine.registry, "refused/cli-command/manifests/latest") == before


NO_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv "$@"'


@pytest.mark.parametrize("chroot", [True, False])
def test_where_namespaces_are_not_permitted(project, without_docker, chroot):
    """With chroot the program starts, and a warning says that it is not isolated; without, the result says that it was not started."""
    install_packages("util-linux")
    words = ("--inh-caps=-sys_chroot",) if chroot else ("--bounding-set=-sys_chroot", "--inh-caps=-sys_chroot")
    direct = ("--engine", "none", "--registry", f"{project.engine.registry}/bare", "--force", "--json")
    argv = (BUILDLIB, "image", "--no-build", "--push", "--arch", "arm64", *direct, *CLI_COMMAND)
    done = run("unshare", "--user", "--map-root-user", "sh", "-c", NO_NAMESPACES, "sh", *words, *argv,
               cwd=project.root, env=without_docker)  # fmt: skip
    assert done.code == 0, done
    (result,) = json.loads(done.out)
    reason = "linux/arm64: neither namespaces nor chroot are permitted: Operation not permitted"
    assert result["not_started"] == ([] if chroot else [reason])
    assert "programs are started without isolation from this machine: " in done.err
    assert (f"not started: {reason.partition(': ')[2]}" in done.err) == (not chroot), done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--load",), "--load needs a container engine, and the setting `engine` is none"),
        (("--push", "--in-docker"), "--in-docker needs a container engine, and the setting `engine` is none"),
    ],
)
def test_what_needs_an_engine_is_refused_before_anything_is_compiled(shared_project, options, message):
    refused = run(BUILDLIB, "image", "--engine", "none", "--arch", "arm64", *options, cwd=shared_project.root)
    assert_error(refused, 2, message, "leave it out, or use --engine docker")


def test_auto_is_none_where_no_daemon_answers(project, without_docker, tmp_path):
    options = ("--registry", f"{project.engine.registry}/auto")
    pushed = project.push(*CLI_COMMAND, *options, arches="arm64", env=without_docker)
    assert pushed.code == 0 and "the images are made without one\n" in pushed.err, pushed
    saved = project.image("--arch", "arm64", "--output", tmp_path / "out", *CLI_COMMAND, "--json", env=without_docker)
    assert saved.code == 0, saved
    pushed = ask(project.engine.registry, "auto/cli-command/manifests/latest")
    assert json.loads(saved.out)[0]["digest"] == f"sha256:{hashlib.sha256(pushed).hexdigest()}"
