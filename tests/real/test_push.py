"""`buildlib image --push`, against a real daemon, BuildKit and registry: what is under a tag is whole and was looked into."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import time

import engine
import pytest
from bed import BUILDLIB, PROGRAMS, buildlib, run
from conftest import newer_packages
from elftools.elf.elffile import ELFFile

PLATFORMS = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"]
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64", "linux/arm/v7": "armv7l", "linux/riscv64": "riscv64"}
ARCHES = "amd64,arm64,armv7,riscv64"


@pytest.fixture(scope="module")
def docker_and_registry(tmp_path_factory):
    """The environment in which docker and buildx answer, and the registry's address."""
    folder = tmp_path_factory.mktemp("engine")
    for name in ("docker", "registry", "scratch", "debs"):
        (folder / name).mkdir()
    with engine.daemon(folder / "docker") as env, engine.registry(folder / "registry") as address:
        engine.binfmt()
        engine.buildx(env, lambda *names: newer_packages(folder / "debs", *names))
        engine.buildkit(env, folder / "scratch")
        engine.bases(env, address, folder / "scratch")
        yield env, address
        run("docker", "buildx", "rm", "buildlib-test", env=env)


class Project:
    """A copy of dist/ in a workspace that pushes to the registry."""

    def __init__(self, root, env, address):
        self.root, self.env, self.repository = root, env, f"{address}/acme"

    def push(self, *more, arches=ARCHES, env=None):
        argv = ("image", "--arch", arches, "--push", "--no-build", *more)
        return buildlib(*argv, cwd=self.root, env=self.env | (env or {}))

    def raw(self, reference):
        done = run("docker", "buildx", "imagetools", "inspect", "--raw", f"{self.repository}/{reference}", env=self.env)
        return done.out if done.code == 0 else ""

    def digest(self, reference):
        return f"sha256:{hashlib.sha256(self.raw(reference).encode()).hexdigest()}"

    def change(self, arch, name, data):
        """Other bytes in dist/, and in its manifest, as if they had passed the gate."""
        path = self.root / "dist" / arch / name
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o755)
        manifest = self.root / "dist" / "manifest.json"
        told = json.loads(manifest.read_text())
        (entry,) = [entry for entry in told["binaries"] if entry["path"] == f"{arch}/{name}"]
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        manifest.write_text(json.dumps(told))


@pytest.fixture(scope="module")
def pristine(docker_and_registry, clone, dist, tmp_path_factory):
    env, address = docker_and_registry
    root = tmp_path_factory.mktemp("project") / "main"
    shutil.copytree(clone, root, ignore=shutil.ignore_patterns("target"))
    (root / "buildlib.toml").write_text(
        f'registry = "{address}/acme"\n[builder]\nname = "buildlib-test"\nmirrors = {{ "docker.io" = ["{address}"] }}\n'
    )
    return Project(root, env, address)


@pytest.fixture
def project(pristine, tmp_path):
    root = shutil.copytree(pristine.root, tmp_path / "main")
    return Project(root, pristine.env, pristine.repository.removesuffix("/acme"))


@pytest.mark.slow
def test_four_services_for_four_platforms_then_nothing_to_do(pristine):
    first = pristine.push("--json")
    assert first.code == 0, first
    told = json.loads(first.out)
    assert [(m["component"], m["status"], m["platforms"]) for m in told] == [(p, "done", PLATFORMS) for p in PROGRAMS]
    for made in told:
        for tag in ("0.1.0", "latest"):
            assert pristine.digest(f"{made['component']}:{tag}") == made["digest"]
    began = time.monotonic()
    again = pristine.push("--json")
    seconds = time.monotonic() - began
    assert [(m["status"], m["digest"]) for m in json.loads(again.out)] == [("unchanged", m["digest"]) for m in told]
    assert seconds < 15  # 5 s on an idle machine, see the README


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_image_runs_as_what_it_says(pristine, platform):
    for name in PROGRAMS:
        image = f"{pristine.repository}/{name}:latest"
        flags = ("--rm", "--pull", "always", "--platform", platform, "--read-only", "--cap-drop=ALL")
        machine = run("docker", "run", *flags, "--entrypoint", "uname", image, "-m", env=pristine.env)
        assert machine.out.strip() == MACHINES[platform], machine
        version = run("docker", "run", *flags, image, "--version", env=pristine.env)
        assert version.code == 0 and version.out.startswith(f"{name} 0.1.0 ("), version
        uid = run("docker", "run", *flags, "--entrypoint", "id", image, "-u", env=pristine.env)
        assert uid.out.strip() == "65532", uid


def stillborn(binary):
    """The binary with nothing where it begins: all of its headers are right, and it does not run."""
    elf = ELFFile(io.BytesIO(binary))
    (at, *_) = elf.address_offsets(elf.header.e_entry)
    return binary[:at] + bytes(64) + binary[at + 64 :]


@pytest.mark.slow
def test_what_is_not_as_asked_is_refused_and_the_tags_stay(project):
    good = project.push("--component", "mqtt-server,cli-command")
    assert good.code == 0, good
    before = project.raw("mqtt-server:latest")
    dist = project.root / "dist"
    arm = (dist / "arm64" / "mqtt-server").read_bytes()

    project.change("arm64", "mqtt-server", (dist / "amd64" / "mqtt-server").read_bytes())
    wrong = project.push("--component", "mqtt-server")
    assert wrong.code == 6 and "machine: is 62 (amd64), wanted 183 (arm64)" in wrong.err, wrong
    assert project.raw("mqtt-server:latest") == before

    project.change("arm64", "mqtt-server", stillborn(arm))
    fails = project.push("--component", "mqtt-server")
    assert fails.code == 6 and "does not run" in fails.err, fails
    assert project.raw("mqtt-server:latest") == before

    (dist / "arm64" / "mqtt-server").unlink()
    missing = project.push("--component", "mqtt-server")
    assert missing.code == 6 and "is not in dist/" in missing.err, missing
    assert project.raw("mqtt-server:latest") == before


@pytest.mark.slow
def test_one_platform_and_a_tag_of_ones_own(project):
    one = ("--component", "cli-command", "--tag", "only", "--json")
    pushed = project.push(*one, arches="arm64")
    assert pushed.code == 0, pushed
    (made,) = json.loads(pushed.out)
    assert (made["status"], made["platforms"], made["tags"]) == ("done", ["linux/arm64"], ["only"])
    (entry,) = json.loads(project.raw("cli-command:only"))["manifests"]
    assert entry["digest"] == made["digest"]
    assert json.loads(project.push(*one, arches="arm64").out) == [{**made, "status": "unchanged"}]


@pytest.mark.slow
def test_only_what_changed_gets_a_new_digest(project):
    first = json.loads(project.push("--json").out)
    changed = (project.root / "dist" / "riscv64" / "cli-command").read_bytes() + b"\0"
    project.change("riscv64", "cli-command", changed)
    second = json.loads(project.push("--json").out)
    assert [m["status"] for m in second] == ["done", "unchanged", "unchanged", "unchanged"]
    assert [m["digest"] for m in first][1:] == [m["digest"] for m in second][1:]
    assert first[0]["digest"] != second[0]["digest"]


@pytest.mark.slow
def test_killed_at_any_moment_latest_is_whole_and_checked(project):
    """Each round is another image; whatever moment it is killed in, the tag names one whole index, old or new."""
    known = {project.raw("cli-command:latest")}
    for number in range(10):
        env = os.environ | project.env | {"SOURCE_DATE_EPOCH": str(1_000_000 + number)}
        argv = (BUILDLIB, "image", "--arch", ARCHES, "--push", "--no-build", "--component", "cli-command")
        process = subprocess.Popen(
            list(map(str, argv)), cwd=project.root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(0.7 * (1 + number))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raw = project.raw("cli-command:latest")
        known.add(raw)
        names = [entry["platform"] for entry in json.loads(raw)["manifests"]]
        assert len(names) == len(PLATFORMS), raw
        for entry in json.loads(raw)["manifests"]:
            assert project.digest(f"cli-command@{entry['digest']}") == entry["digest"]
    assert len(known) > 1


@pytest.mark.slow
def test_another_builder_of_that_name_is_left_alone(project):
    run("docker", "buildx", "create", "--name", "somebody", "--driver", "docker-container", env=project.env)
    try:
        refused = project.push("--component", "cli-command", env={"BUILDLIB_BUILDER_NAME": "somebody"})
        assert refused.code == 1 and "network: is none, wanted host" in refused.err, refused
        listed = run("docker", "buildx", "ls", "--format", "json", env=project.env).out
        (told, *_) = [json.loads(line) for line in listed.splitlines() if '"somebody"' in line]
        assert not told["Nodes"][0].get("DriverOpts")
    finally:
        run("docker", "buildx", "rm", "somebody", env=project.env)
