"""What `reproduce` copies, and the environment of the second build."""

import os
import subprocess

import pytest
from machines import Recorder, context

from buildlib.binaries import reproduce
from buildlib.binaries.build import BuildResult
from buildlib.core.errors import BuildError
from buildlib.core.plan import Status
from buildlib.core.settings import Retry
from buildlib.core.targets import TARGETS
from buildlib.process.console import Console
from buildlib.process.runner import Runner


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.processes
@pytest.mark.parametrize("with_git", [True, False])
def test_the_sources_are_copied_without_what_was_built(machine, tmp_path, with_git):
    top = tmp_path / "a"
    files = {".gitignore": "/app/target\n/app/dist\n", "app/Cargo.toml": "", "app/new.rs": "x", "other/lib.rs": "",
             "app/target/x": "", "app/dist/x": ""}  # fmt: skip
    tree(top, files)
    (top / "app" / "link").symlink_to("new.rs")
    (top / "app" / "new.rs").chmod(0o755)
    for path in top.rglob("*"):
        os.utime(path, (7, 7), follow_symlinks=False)
    if with_git:
        git("init", top)
        git("-C", top, "add", ".gitignore", "app/Cargo.toml", "other")
    machine = machine(cwd=top / "app", env=dict(os.environ))
    found = context(machine, Runner(Console({}), machine.env, Retry()), root=top / "app")
    with reproduce._umask():
        copied = reproduce._copy(found, tmp_path / "b")
    assert copied == (top if with_git else top / "app")
    kept = {".git", ".gitignore", "app/Cargo.toml", "app/link", "app/new.rs", "other/lib.rs"}
    expected = kept if with_git else {"Cargo.toml", "link", "new.rs"}
    assert {
        str(path.relative_to(tmp_path / "b")) for path in (tmp_path / "b").rglob("*") if not path.is_dir()
    } == expected
    app = tmp_path / "b" / ("app" if with_git else "")
    assert (app / "link").is_symlink()
    # As a clone would: what is embedded with its time or its permissions differs.
    assert {path.name: path.stat().st_mode & 0o777 for path in (app / "new.rs", app / "Cargo.toml")} == {
        "new.rs": 0o700,
        "Cargo.toml": 0o600,
    }
    assert (app / "Cargo.toml").stat().st_mtime > 7


def git(*words):
    author = ("-c", "user.name=a", "-c", "user.email=a@example.test", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *author, *words], check=True, capture_output=True)


@pytest.mark.processes
def test_submodules_are_copied(machine, tmp_path):
    library, top = tmp_path / "library", tmp_path / "a"
    tree(library, {"src/a.c": "int a;"})
    tree(top, {"Cargo.toml": ""})
    git("init", library)
    git("-C", library, "add", "src")
    git("-C", library, "commit", "-m", "a")
    git("init", top)
    git("-C", top, "submodule", "add", library, "vendor/library")
    machine = machine(cwd=top, env=dict(os.environ))
    found = context(machine, Runner(Console({}), machine.env, Retry()), root=top)
    assert reproduce._copy(found, tmp_path / "b") == top
    assert (tmp_path / "b" / "vendor" / "library" / "src" / "a.c").read_text() == "int a;"


def test_another_user_has_the_same_toolchains_and_downloads(machine, tmp_path):
    (tmp_path / "home" / ".cargo" / "registry").mkdir(parents=True)
    machine = machine(env={"HOME": str(tmp_path / "home"), "TZ": "UTC"}, cwd=tmp_path)
    found = context(machine, Recorder({"commit": (0, "1700000000 0123\n")}), root=tmp_path)
    env = reproduce._environment(found, tmp_path / "x")
    assert env == {
        **reproduce.ELSEWHERE, "HOME": str(tmp_path / "x/home"), "CARGO_HOME": str(tmp_path / "x/home/cargo"),
        "TMPDIR": str(tmp_path / "x/tmp"), "RUSTUP_HOME": str(tmp_path / "home/.rustup"), "SOURCE_DATE_EPOCH": "1700000000",
    }  # fmt: skip
    assert (tmp_path / "x/home/cargo/registry").resolve() == tmp_path / "home/.cargo/registry"


def test_a_failed_build_is_not_compared(machine, tmp_path, monkeypatch):
    error = BuildError("no", "")
    failed = BuildResult(target=TARGETS["arm64"], status=Status.FAILED, error=error)
    monkeypatch.setattr(reproduce, "build", lambda context, targets: [failed])
    with pytest.raises(BuildError) as caught:
        reproduce.reproduce(context(machine(), Recorder()), (TARGETS["arm64"],))
    assert str(caught.value) == "arm64: failed, so there is nothing to compare"
