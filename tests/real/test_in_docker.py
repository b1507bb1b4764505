"""`buildlib image --in-docker`: the stage `compile` builds the binaries, and they pass the gate on this machine."""

import json

import base_images
import containers
import pytest
from testbed import buildlib, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine_with_compiler(engine, tmp_path_factory):
    base_images.publish_compiler(engine, tmp_path_factory.mktemp("compiler"))
    return engine


@pytest.fixture
def hello(engine_with_compiler, workspace):
    """A small workspace without dist/ and without a Dockerfile of its own, with a file for its image."""
    root = workspace("hello")
    files = '[components.hello]\nfiles = { "conf/" = "/etc/hello/" }\n'
    (root / "buildlib.toml").write_text(engine_with_compiler.settings() + files)
    (root / "conf" / "target").mkdir(parents=True)
    (root / "conf" / "target" / "greeting").write_text("good evening")
    return root


def test_a_container_compiles_once(hello, engine, tmp_path):
    cache = tmp_path / "cache"
    argv = ("image", "--arch", "arm64", "--in-docker", "--push", "--cache", cache, "--network", "host", "--json")

    def image():
        return buildlib(*argv, cwd=hello, env=engine.env)

    first = image()
    assert first.code == 0 and " compiled" in first.err, first
    (result,) = json.loads(first.out)
    assert (result["status"], result["platforms"]) == ("done", ["linux/arm64"])
    name = f"{engine.registry}/acme/{result['component']}:latest"
    flags = ("--rm", "--platform", "linux/arm64", "--entrypoint", "uname")
    machine = run("docker", "run", *flags, name, "-m", env=engine.env)
    assert machine.out.strip() == "aarch64", machine
    flags = ("--rm", "--platform", "linux/arm64", "--entrypoint", "cat")
    greeting = run("docker", "run", *flags, name, "/etc/hello/target/greeting", env=engine.env)
    assert greeting.out == "good evening", greeting
    verified = buildlib("verify", "--json", cwd=hello)
    assert [verdict["arch"] for verdict in json.loads(verified.out)] == ["arm64"], verified
    assert (cache / "arm64" / "index.json").is_file()

    again = image()
    assert json.loads(again.out) == [{**result, "status": "unchanged"}]
    assert " compiled" not in again.err, again

    source = (hello / "src" / "main.rs").read_text()
    (hello / "src" / "main.rs").write_text("fn main() { let x: u8 = 256; }\n")
    failed = image()
    assert failed.code == 101 and "literal out of range" in failed.err, failed
    assert buildlib("verify", "--json", cwd=hello).out == verified.out  # dist/ is unchanged

    # An empty builder takes the result from the exported cache.
    (hello / "src" / "main.rs").write_text(source)
    run("docker", "buildx", "prune", "--builder", containers.BUILDER, "--all", "--force", env=engine.env)
    from_cache = image()
    assert json.loads(from_cache.out)[0]["digest"] == result["digest"], from_cache
    assert " compiled" not in from_cache.err, from_cache
