"""The same binaries give the same images on another machine: in another directory, for another user, with an empty cache."""

import json
import os
import shutil

import pytest
from project import Project
from testbed import run

BUILDER = "buildlib-test-elsewhere"
CLI_COMMAND = ("--component", "cli-command", "--json", "--force")
pytestmark = pytest.mark.slow


def without_times_and_modes(source, to):
    """Copy a file as git and an archive of dist/ may give it to somebody else."""
    shutil.copyfile(source, to)
    if os.access(source, os.X_OK):
        os.chmod(to, 0o700)  # noqa: PTH101


@pytest.fixture
def elsewhere(project, tmp_path):
    """The project in another place, with a builder of its own, that pushes to another repository; and the environment there."""
    umask = os.umask(0o077)
    try:
        root = shutil.copytree(project.root, tmp_path / "another place" / "main", copy_function=without_times_and_modes)
        there = Project(root, project.engine)
        there.write_settings(name=BUILDER)
        settings = root / "buildlib.toml"
        settings.write_text(settings.read_text().replace("/acme", "/elsewhere"))
        home = os.environ.get("HOME", "/root")
        own = {
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{home}/.rustup"),
            "CARGO_HOME": os.environ.get("CARGO_HOME", f"{home}/.cargo"),
        }
        other = {"HOME": str(tmp_path), "TZ": "Pacific/Chatham", "LANG": "C", "LC_ALL": "C", "USER": "nobody"}
        yield there, {**own, **other}
    finally:
        os.umask(umask)
        run("docker", "buildx", "rm", BUILDER, env=project.env)


@pytest.mark.parametrize(
    "options",
    [
        ("--arch", "amd64-musl,arm64-musl", "--output", "static"),  # written by buildlib
        ("--arch", "amd64,arm64", "--output", "layouts"),  # by BuildKit
        ("--arch", "amd64,arm64", "--push"),
    ],
)
def test_an_index_has_the_same_digest_elsewhere(project, elsewhere, options):
    there, env = elsewhere
    images = []
    for one, variables in ((project, {}), (there, env)):
        done = one.image(*options, *CLI_COMMAND, env=variables)
        assert done.code == 0 and ("docker buildx build" in done.err) == ("static" not in options), done
        images += json.loads(done.out)
    assert [image["digest"] for image in images] == [images[0]["digest"]] * 2
