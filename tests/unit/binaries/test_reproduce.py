"""What `reproduce` copies, and what it names as the origin of a difference."""

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

HASH = "0123456789abcdef"


def tree(root, files):
    for number, (name, text) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("ROOT", str(root)))
        os.utime(path, (number, number))
    return root


BUILD = {
    f"build/dep-{HASH}/output": "cargo:rustc-link-search=ROOT/build\n",
    f"build/dep-{HASH}/out/made.rs": "1",
    f"build/dep-{HASH}/out/made.o": "object",
    f"deps/libdep-{HASH}.rlib": "dep",
    f"deps/libapp-{HASH}.rlib": "app",
    f"deps/app-{HASH}.d": "ROOT/app",
}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, (reproduce.OWN,)),
        ({f"deps/libapp-{HASH}.rlib": "x"}, ("the crate app",)),
        ({f"deps/libapp-{HASH}.rlib": "x", f"deps/libdep-{HASH}.rlib": "x"}, ("the crate dep",)),
        ({f"build/dep-{HASH}/output": "cargo:rustc-env=USER=x\n"}, ("the build script of dep prints something else",)),
        ({f"build/dep-{HASH}/out/made.o": "x"}, ("the build script of dep writes made.o",)),
        (
            {
                f"build/dep-{HASH}/out/made.o": "x",
                f"build/dep-{HASH}/out/made.rs": "x",
                f"deps/libdep-{HASH}.rlib": "x",
            },
            ("the build script of dep writes made.rs",),
        ),
        (
            {f"build/dep-{HASH}/out/made.rs": "x", f"build/app-{HASH}/out/new": "x"},
            ("the build script of app writes new", "the build script of dep writes made.rs"),
        ),
        ({"deps/libdep-fedcba9876543210.rlib": "dep"}, ("the crate dep",)),
    ],
)
def test_the_origin_of_a_difference(tmp_path, changed, named):
    here = tree(tmp_path / "here", {**BUILD, "deps/libold-fedcba9876543210.rlib": "of an earlier build"})
    there = tree(tmp_path / "somewhere" / "there", {**BUILD, **changed})
    assert reproduce.origins(here, there) == named


@pytest.mark.processes
@pytest.mark.parametrize("with_git", [True, False])
def test_the_sources_are_copied_without_what_was_built(machine, tmp_path, with_git):
    top = tmp_path / "a"
    files = {".gitignore": "/app/target\n/app/dist\n", "app/Cargo.toml": "", "app/new.rs": "x", "other/lib.rs": "",
             "app/target/x": "", "app/dist/x": ""}  # fmt: skip
    tree(top, files)
    (top / "app" / "link").symlink_to("new.rs")
    if with_git:
        subprocess.run(["git", "init", "-q", top], check=True)
        subprocess.run(["git", "-C", top, "add", ".gitignore", "app/Cargo.toml", "other"], check=True)
    machine = machine(cwd=top / "app", env=dict(os.environ))
    found = context(machine, Runner(Console({}), machine.env, Retry()), root=top / "app")
    copied = reproduce._copy(found, tmp_path / "b")
    assert copied == (top if with_git else top / "app")
    kept = {".git", ".gitignore", "app/Cargo.toml", "app/link", "app/new.rs", "other/lib.rs"}
    expected = kept if with_git else {"Cargo.toml", "link", "new.rs"}
    assert {
        str(path.relative_to(tmp_path / "b")) for path in (tmp_path / "b").rglob("*") if not path.is_dir()
    } == expected
    assert (tmp_path / "b" / ("app/link" if with_git else "link")).is_symlink()


def test_another_user_has_the_same_toolchains_and_downloads(machine, tmp_path):
    (tmp_path / "home" / ".cargo" / "registry").mkdir(parents=True)
    machine = machine(env={"HOME": str(tmp_path / "home"), "TZ": "UTC"}, cwd=tmp_path)
    found = context(machine, Recorder({"commit": (0, "1700000000 0123\n")}), root=tmp_path)
    env = reproduce._environment(found, tmp_path / "x")
    assert env == {
        **reproduce.ELSEWHERE, "HOME": str(tmp_path / "x/home"), "CARGO_HOME": str(tmp_path / "x/home/cargo"),
        "RUSTUP_HOME": str(tmp_path / "home/.rustup"), "SOURCE_DATE_EPOCH": "1700000000",
    }  # fmt: skip
    assert (tmp_path / "x/home/cargo/registry").resolve() == tmp_path / "home/.cargo/registry"


def test_a_failed_build_is_not_compared(machine, tmp_path, monkeypatch):
    error = BuildError("no", "")
    failed = BuildResult(target=TARGETS["arm64"], status=Status.FAILED, error=error)
    monkeypatch.setattr(reproduce, "build", lambda context, targets: [failed])
    with pytest.raises(BuildError) as caught:
        reproduce.reproduce(context(machine(), Recorder()), (TARGETS["arm64"],))
    assert str(caught.value) == "arm64: failed, so there is nothing to compare"
