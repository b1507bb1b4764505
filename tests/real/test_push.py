"""`buildlib image --push`, against a real daemon, BuildKit and registry: what is under a tag is whole and was looked into."""

import json
import os
import signal
import subprocess
import time

import engine
import pytest
from bed import BUILDLIB, PROGRAMS, run
from project import ARCHES, CRASHES, EXITS_1, PLATFORMS, beginning_with

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64", "linux/arm/v7": "armv7l", "linux/riscv64": "riscv64"}
MIB = 2**20


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
    assert seconds < 15  # 1.1 s on an idle machine, see the README


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
        tools = run(
            "docker",
            "run",
            *flags,
            "--entrypoint",
            "sh",
            image,
            "-c",
            "command -v cc gcc ld cargo rustc zig python3 apt-get",
        )
        assert tools.out == "", tools


@pytest.mark.slow
def test_images_are_small_and_static_ones_have_nothing_but_the_program(project):
    for name in PROGRAMS:
        for platform, entry in project.manifests(f"{name}:latest").items():
            assert compressed(project, name, entry) < 40 * MIB, (name, platform)
    static = project.push("--tag", "static", arches="amd64-musl,arm64-musl")
    assert static.code == 0, static
    for name in PROGRAMS:
        for entry in project.manifests(f"{name}:static").values():
            assert compressed(project, name, entry) < 15 * MIB
        image = f"{project.repository}/{name}:static"
        shell = run("docker", "run", "--rm", "--entrypoint", "sh", image, "-c", "true", env=project.env)
        assert shell.code == 127, shell  # there is none
        version = run("docker", "run", "--rm", "--read-only", "--cap-drop=ALL", image, "--version", env=project.env)
        assert version.out.startswith(f"{name} 0.1.0 ("), version


def compressed(project, name, entry):
    return sum(layer["size"] for layer in json.loads(project.raw(f"{name}@{entry['digest']}"))["layers"])


@pytest.mark.slow
def test_a_commit_that_changes_no_binary_makes_no_image(project):
    before = json.loads(project.push("--json").out)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.test")
    assert run("git", *who, "commit", "--allow-empty", "-m", "nothing", cwd=project.root).code == 0
    after = json.loads(project.push("--json").out)
    assert [(m["status"], m["digest"]) for m in after] == [("unchanged", m["digest"]) for m in before]


SCANNER = """FROM debian:trixie-slim
COPY --chmod=0755 <<"script" /scan
#!/bin/sh
echo '{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "predicate": {"name": "x"}}' \\
    > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"
script
ENTRYPOINT ["/scan"]
"""


@pytest.fixture
def scanner(project, tmp_path):
    """What BuildKit lists an image's packages with comes from Docker's own registry; where that is out of reach, a stand-in
    with the same interface."""
    if project.bed.mirrors:
        (tmp_path / "scanner").mkdir()
        (tmp_path / "scanner" / "Dockerfile").write_text(SCANNER)
        name = f"{project.bed.registry}/docker/buildkit-syft-scanner:stable-1"
        made = run("docker", "buildx", "build", "--builder", engine.BUILDER, "--push", "--tag", name, tmp_path / "scanner",
                   env=project.env)  # fmt: skip
        assert made.code == 0, made


@pytest.mark.slow
def test_attestations_are_no_platforms(project, scanner):
    attested = ("--component", "cli-command", "--provenance", "--sbom", "--tag", "attested", "--json")
    first = project.push(*attested)
    assert first.code == 0, first
    told = json.loads(project.raw("cli-command:attested"))["manifests"]
    assert sorted(project.manifests("cli-command:attested")) == sorted(PLATFORMS)
    attestations = [entry["digest"] for entry in told if entry["platform"]["os"] == "unknown"]
    assert len(attestations) == len(PLATFORMS)
    for digest in attestations:
        layers = json.loads(project.raw(f"cli-command@{digest}"))["layers"]
        kinds = {layer["annotations"]["in-toto.io/predicate-type"].split("/v")[0] for layer in layers}
        assert kinds == {"https://slsa.dev/provenance", "https://spdx.dev/Document"}
    (made,) = json.loads(project.push(*attested).out)
    assert (made["status"], made["digest"]) == ("unchanged", json.loads(first.out)[0]["digest"])


@pytest.mark.slow
def test_ctrl_c_ends_all_of_it_and_moves_no_tag(project):
    before = {name: project.raw(f"{name}:latest") for name in PROGRAMS}
    env = os.environ | project.env | {"SOURCE_DATE_EPOCH": "77"}
    argv = (BUILDLIB, "image", "--arch", ARCHES, "--push", "--no-build", "--force")
    process = subprocess.Popen(
        list(map(str, argv)), cwd=project.root, env=env, stdout=-3, stderr=subprocess.PIPE, text=True
    )
    time.sleep(3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "interrupted" in err, "Traceback" in err) == (130, True, False), err
    assert time.monotonic() - began < 20
    left = run("pgrep", "--full", "--list-full", f"docker-buildx.*{project.bed.registry.replace(':', '(:|__)')}/acme")
    assert left.out == "", left
    assert {name: project.raw(f"{name}:latest") for name in PROGRAMS} == before


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

    for code, why in ((EXITS_1, "exit code: 1"), (CRASHES, "")):
        project.change("arm64", "mqtt-server", beginning_with(arm, code))
        fails = project.push("--component", "mqtt-server")
        assert fails.code == 6 and "does not run: " in fails.err and why in fails.err, fails
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
    assert list(project.manifests("cli-command:only")) == ["linux/arm64"]
    assert project.digest("cli-command:only") == made["digest"]
    assert json.loads(project.push(*one, arches="arm64").out) == [{**made, "status": "unchanged"}]


@pytest.mark.slow
def test_a_dockerfile_of_ones_own_is_used_as_it_stands(project):
    file = project.root / "Dockerfile.multiarch"
    file.write_text(file.read_text().replace("EXPOSE 1883\n", "EXPOSE 1883\nCOPY rustfmt.toml /etc/\nENV OWN=1\n"))
    own = ("--component", "mqtt-server,cli-command", "--tag", "own", "--json")
    pushed = project.push(*own)
    assert pushed.code == 0, pushed
    image = f"{project.repository}/mqtt-server:own"
    there = run(
        "docker", "run", "--rm", "--entrypoint", "sh", image, "-c", "cat /etc/rustfmt.toml; echo $OWN", env=project.env
    )
    assert there.out == (project.root / "rustfmt.toml").read_text() + "1\n"
    assert [made["status"] for made in json.loads(project.push(*own).out)] == ["unchanged", "unchanged"]
    file.write_text(file.read_text().replace("/usr/bin/cli-command", "/opt/cli"))
    elsewhere = project.push(*own)
    assert elsewhere.code == 6 and "has no /usr/bin/cli-command" in elsewhere.err, elsewhere
    settings = project.root / "buildlib.toml"
    settings.write_text(settings.read_text() + '[components.cli-command]\nprogram = "/opt/cli"\n')
    assert project.push(*own).code == 0
    file.write_text(file.read_text().replace("AS cli-command", "AS cli"))
    missing = project.push(*own)
    assert missing.code == 1 and "write a stage of that name into Dockerfile.multiarch" in missing.err, missing


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
    binary = (project.root / "dist" / "riscv64" / "cli-command").read_bytes()
    project.change("riscv64", "cli-command", binary + b"whole")
    began = time.monotonic()
    assert project.push("--component", "cli-command").code == 0
    whole = time.monotonic() - began
    known = {project.raw("cli-command:latest")}
    env = os.environ | project.env
    for number in range(10):
        project.change("riscv64", "cli-command", binary + bytes([number]))
        argv = (BUILDLIB, "image", "--arch", ARCHES, "--push", "--no-build", "--component", "cli-command")
        process = subprocess.Popen(
            list(map(str, argv)), cwd=project.root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(whole * (1 + number) / 8)  # the last ones get to the end
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raw = project.raw("cli-command:latest")
        known.add(raw)
        names = [entry["platform"] for entry in json.loads(raw)["manifests"]]
        assert len(names) == len(PLATFORMS), raw
        for entry in json.loads(raw)["manifests"]:
            assert project.digest(f"cli-command@{entry['digest']}") == entry["digest"]
    assert len(known) > 1
