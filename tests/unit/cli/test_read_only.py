"""Commands that only look leave the workspace as it was: names, sizes and times of all files, with and without a Cargo.lock."""

import shutil
import subprocess
from pathlib import Path

import pytest

from buildlib.cli.app import Buildlib
from buildlib.cli.collection import namespace
from buildlib.cli.entry import report_errors
from buildlib.process.console import Console

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not shutil.which("cargo"), reason="needs cargo"),
]
FILES = {
    "Cargo.toml": "[package]\nname = 'app'\nversion = '1.0.0'\nedition = '2021'\n[build-dependencies]\ncmake = { path = 'cmake' }\n",
    "build.rs": "fn main() {}\n",
    "src/main.rs": "fn main() {}\n",
    "cmake/Cargo.toml": "[package]\nname = 'cmake'\nversion = '0.1.50'\nedition = '2021'\n",  # a crate that the tables know
    "cmake/src/lib.rs": "",
    "Dockerfile": "FROM --platform=linux/amd64 debian\n",
    "log.txt": "error: could not compile\n",
}
COMMANDS = [
    "config", "lint", "--dry lint --fix", "explain log.txt", "verify src", "verify missing", "builder", "ci --install x", "dockerfile",
    "--dry dockerfile --write", "--dry report", "--dry builder.remove", "--list", "doctor --network",
    "doctor --report --arch amd64,arm64",
    "--dry clean --cache --dist", "completion bash", "completion --values component", "completion --values profile",
]  # fmt: skip
WITH_GRAPH = ["plan", "doctor --arch amd64", "--dry build --arch amd64", "--dry bench --arch amd64", "--dry setup --yes --arch amd64",
              "--dry image --arch amd64-musl --output out"]  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    root = tmp_path / "workspace"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def state(root):
    """Every path with its size, time and mode."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(root))] = (status.st_size, status.st_mtime_ns, status.st_mode)
    return found


@pytest.fixture
def run(workspace, monkeypatch):
    """Runs a command with an empty home directory, without a Docker daemon and without a network; returns its exit code."""
    home = workspace.parent / "home"
    home.mkdir()
    monkeypatch.chdir(workspace)
    for name, value in {
        "XDG_CACHE_HOME": home / "cache", "DOCKER_CONFIG": home / "docker", "DOCKER_HOST": "tcp://127.0.0.1:1",
        "CARGO_NET_OFFLINE": "true", "HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))

    def run(words):
        program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
        with pytest.raises(SystemExit) as caught:
            raise SystemExit(report_errors(Console({}), lambda: program.run(["buildlib", *words.split()]), debug=True))
        assert state(home) == {}
        return caught.value.code

    return run


@pytest.mark.parametrize("words", [*COMMANDS, *WITH_GRAPH,
                                   "--dry builder.create",
                                   "--dry test --arch amd64"])  # fmt: skip
def test_without_a_lock_file_nothing_is_written(workspace, run, words):
    before = state(workspace)
    run(words)
    assert state(workspace) == before


@pytest.mark.parametrize("words", WITH_GRAPH)
def test_with_a_lock_file_nothing_is_written(workspace, run, words):
    subprocess.run(("cargo", "generate-lockfile", "--offline"), cwd=workspace, check=True, capture_output=True)
    before = state(workspace)
    run(words)
    assert state(workspace) == before


def test_the_report_writes_its_page_and_nothing_else(workspace, run):
    before = state(workspace)
    assert not run("report")
    page = Path("target", "buildlib", "reports", "index.html")
    assert state(workspace).keys() - before.keys() == {
        str(page),
        *(str(folder) for folder in page.parents if folder.name),
    }
