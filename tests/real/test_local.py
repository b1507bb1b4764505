"""`buildlib image --load` and `--output` with a base image: through buildx, looked into before anybody finds it."""

import json
import re

import pytest
from bed import packages, run
from project import EXITS_1, PLATFORMS, beginning_with

pytestmark = pytest.mark.slow
ONE = ("--component", "cli-command")


def loaded(project, name):
    return run("docker", "image", "inspect", "--format", "{{.Id}} {{.Architecture}}", name, env=project.env).out.split()


def test_one_platform_is_loaded_and_runs(project):
    name = f"{project.repository}/cli-command:mine"
    flags = ("--load", "--arch", "riscv64", *ONE, "--tag", "mine", "--json")
    first = project.image(*flags)
    assert first.code == 0, first
    (made,) = json.loads(first.out)
    assert (made["status"], made["platforms"], made["where"]) == ("done", ["linux/riscv64"], name)
    assert loaded(project, name) == [made["digest"], "riscv64"]
    version = run(
        "docker", "run", "--rm", "--pull", "never", "--platform", "linux/riscv64", name, "--version", env=project.env
    )
    assert re.match(r"cli-command 0\.1\.0 \(riscv64gc-unknown-linux-gnu, ", version.out), version
    assert json.loads(project.image(*flags).out) == [{**made, "status": "unchanged"}]

    binary = (project.root / "dist" / "arm64" / "cli-command").read_bytes()
    project.change("arm64", "cli-command", beginning_with(binary, EXITS_1))
    refused = project.image("--load", "--arch", "arm64", *ONE, "--tag", "mine")
    assert refused.code == 6 and "exit code: 1" in refused.err, refused
    assert loaded(project, name) == [made["digest"], "riscv64"]


def test_a_layout_with_a_base_image(project, tmp_path):
    """Two C libraries in one image, too: what runs on scratch is static."""
    packages("skopeo")
    flags = ("--output", tmp_path / "out", "--arch", "amd64,arm64-musl,armv7,riscv64", *ONE, "--json")
    first = project.image(*flags)
    assert first.code == 0, first
    (made,) = json.loads(first.out)
    layout = f"oci:{tmp_path}/out/cli-command"
    there = run("skopeo", "inspect", "--raw", layout)
    told = {"/".join(entry["platform"].values()): entry for entry in json.loads(there.out)["manifests"]}
    assert len(told) == len(PLATFORMS), there
    assert json.loads(run("skopeo", "inspect", layout).out)["Digest"] == made["digest"]
    copied = run("skopeo", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", layout,
                 f"docker://{project.repository}/cli-command:laid-out")  # fmt: skip
    assert copied.code == 0, copied
    assert project.digest("cli-command:laid-out") == made["digest"]
    for platform in PLATFORMS:
        image = f"{project.repository}/cli-command:laid-out"
        version = run(
            "docker", "run", "--rm", "--pull", "always", "--platform", platform, image, "--version", env=project.env
        )
        assert version.out.startswith("cli-command 0.1.0 ("), version
    assert json.loads(project.image(*flags).out) == [{**made, "status": "unchanged"}]
