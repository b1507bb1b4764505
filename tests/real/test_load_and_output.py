"""`buildlib image --load`, and `--output` with a base image: buildx builds the image, and it is published after the checks."""

import json
import re
import shutil

import pytest
from layered_image import layered_image
from project import EXITS_1, PLATFORMS, with_entry_code
from testbed import install_packages, run

from buildlib.assembly import oci
from buildlib.core.plan import OciLayout
from buildlib.emulation.exit_stub import exit_program
from buildlib.process.files import layout
from buildlib.smoke.archive import loadable, tar

pytestmark = pytest.mark.slow
CLI_COMMAND = ("--component", "cli-command")


def loaded(project, name):
    """The id and the architecture of an image in the daemon."""
    return run("docker", "image", "inspect", "--format", "{{.Id}} {{.Architecture}}", name, env=project.env).out.split()


def test_a_loaded_image_runs_and_a_refused_one_does_not_replace_it(project):
    name = f"{project.repository}/cli-command:loaded"
    options = ("--load", "--arch", "riscv64", *CLI_COMMAND, "--tag", "loaded", "--json")
    first = project.image(*options)
    assert first.code == 0, first
    (result,) = json.loads(first.out)
    assert (result["status"], result["platforms"], result["where"]) == ("done", ["linux/riscv64"], name)
    assert loaded(project, name) == [result["digest"], "riscv64"]
    flags = ("--rm", "--pull", "never", "--platform", "linux/riscv64")
    version = run("docker", "run", *flags, name, "--version", env=project.env)
    assert re.match(r"cli-command 0\.1\.0 \(riscv64gc-unknown-linux-gnu, ", version.out), version
    assert json.loads(project.image(*options).out) == [{**result, "status": "unchanged"}]

    binary = (project.root / "dist" / "arm64" / "cli-command").read_bytes()
    project.replace_binary("arm64", "cli-command", with_entry_code(binary, EXITS_1))
    refused = project.image("--load", "--arch", "arm64", *CLI_COMMAND, "--tag", "loaded")
    assert refused.code == 6 and "exit code: 1" in refused.err, refused
    assert loaded(project, name) == [result["digest"], "riscv64"]


def test_the_archive_that_is_loaded_is_one_of_both_formats(tmp_path):
    """Other tools read it too: for the classic image store by its configuration, for containerd's by its manifest. No engine."""
    install_packages("skopeo")
    runtime = oci.Runtime(entrypoint=("/usr/bin/a",))
    image = layered_image({"linux/amd64": b"".join(tar({"usr/bin/a": exit_program("x86_64")}, mode=0o755))}, runtime)
    layout(OciLayout(folder=tmp_path / "layout", blobs=image.blobs, index=oci.layout_index(image, ["1"])))
    (entry,) = json.loads(image.index)["manifests"]
    manifest = json.loads(image.blobs[entry["digest"]])
    config, layers = manifest["config"]["digest"], [layer["digest"] for layer in manifest["layers"]]
    for name, text in loadable(entry, config, layers, {"a:1": "docker.io/library/a:1"}).items():
        (tmp_path / "layout" / name).write_text(text)
    archive = shutil.make_archive(str(tmp_path / "image"), "tar", tmp_path / "layout")
    classic = run("skopeo", "copy", f"docker-archive:{archive}:docker.io/library/a:1", f"dir:{tmp_path}/classic")
    assert classic.code == 0, classic
    assert json.loads((tmp_path / "classic" / "manifest.json").read_text())["config"]["digest"] == config
    containerd = run("skopeo", "copy", f"oci-archive:{archive}:1", f"dir:{tmp_path}/containerd")
    assert containerd.code == 0, containerd
    assert oci.digest((tmp_path / "containerd" / "manifest.json").read_bytes()) == entry["digest"]


def test_a_layout_with_a_base_image(project, tmp_path):
    """The image has two C libraries: static programs need no base image."""
    install_packages("skopeo")
    options = ("--output", tmp_path / "out", "--arch", "amd64,arm64-musl,armv7,riscv64", *CLI_COMMAND, "--json")
    first = project.image(*options)
    assert first.code == 0, first
    (result,) = json.loads(first.out)
    layout = f"oci:{tmp_path}/out/cli-command"
    index = json.loads(run("skopeo", "inspect", "--raw", layout).out)
    assert len({"/".join(entry["platform"].values()) for entry in index["manifests"]}) == len(PLATFORMS), index
    assert json.loads(run("skopeo", "inspect", layout).out)["Digest"] == result["digest"]
    image = f"{project.repository}/cli-command:from-layout"
    flags = ("--all", "--preserve-digests", "--dest-tls-verify=false")
    copied = run("skopeo", "copy", *flags, layout, f"docker://{image}")
    assert copied.code == 0, copied
    assert project.digest("cli-command:from-layout") == result["digest"]
    for platform in PLATFORMS:
        flags = ("--rm", "--pull", "always", "--platform", platform)
        version = run("docker", "run", *flags, image, "--version", env=project.env)
        assert version.out.startswith("cli-command 0.1.0 ("), version
    assert json.loads(project.image(*options).out) == [{**result, "status": "unchanged"}]
