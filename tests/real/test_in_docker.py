"""`buildlib image --in-docker`: the stage `compile`, and what it makes passes the gate on this machine."""

import json

import engine
import pytest
from bed import buildlib, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bed_with_compiler(bed, tmp_path_factory):
    engine.compiler(bed, tmp_path_factory.mktemp("compiler"))
    return bed


@pytest.fixture
def hello(bed_with_compiler, workspace):
    """A small workspace without anything in dist/, and with a Dockerfile of nobody's."""
    root = workspace("hello")
    (root / "buildlib.toml").write_text(bed_with_compiler.settings())
    return root


def test_it_compiles_in_a_container_and_not_again(hello, bed, tmp_path):
    def image(*more):
        flags = (
            "--arch",
            "arm64",
            "--in-docker",
            "--push",
            "--cache",
            tmp_path / "cache",
            "--network",
            "host",
            "--json",
        )
        return buildlib("image", *flags, *more, cwd=hello, env=bed.env)

    first = image()
    assert first.code == 0, first
    (made,) = json.loads(first.out)
    assert (made["status"], made["platforms"]) == ("done", ["linux/arm64"])
    name = f"{bed.registry}/acme/{made['component']}:latest"
    ran = run("docker", "run", "--rm", "--platform", "linux/arm64", "--entrypoint", "uname", name, "-m", env=bed.env)
    assert ran.out.strip() == "aarch64", ran
    verified = buildlib("verify", "--json", cwd=hello)
    assert [verdict["arch"] for verdict in json.loads(verified.out)] == ["arm64"], verified
    assert (tmp_path / "cache" / "arm64" / "index.json").is_file()

    again = image()
    assert json.loads(again.out) == [{**made, "status": "unchanged"}]
    assert "Compiling" not in again.err, again

    source = (hello / "src" / "main.rs").read_text()
    (hello / "src" / "main.rs").write_text("fn main() { let x: u8 = 256; }\n")
    broken = image()
    assert broken.code == 101 and "literal out of range" in broken.err, broken
    assert buildlib("verify", "--json", cwd=hello).out == verified.out  # dist/ is as it was

    # An empty builder takes it from the cache beside it.
    (hello / "src" / "main.rs").write_text(source)
    run("docker", "buildx", "prune", "--builder", engine.BUILDER, "--all", "--force", env=bed.env)
    anew = image()
    assert json.loads(anew.out)[0]["digest"] == made["digest"], anew
    assert "Compiling" not in anew.err, anew
