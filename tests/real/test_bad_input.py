"""Bad input gets a clear answer, and nothing is lost."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from bed import BUILDLIB, buildlib, path_without, run


def assert_one_line(ran, code, *told):
    """An exit code, every word of `told`, and never a traceback."""
    assert ran.code == code, ran
    assert all(word in ran.err for word in told), ran
    assert "Traceback" not in ran.err + ran.out
    return ran


def test_a_wrong_arch(workspace):
    assert_one_line(buildlib("build", "--arch", "arm65", cwd=workspace("hello")), 2, "arm65", "did you mean arm64?")


def test_an_unknown_setting_names_file_and_nearest_key(workspace):
    project = workspace("hello")
    (project / "buildlib.toml").write_text('archs = ["arm64"]\n')
    assert_one_line(buildlib("build", cwd=project), 2, "buildlib.toml", "'archs'", "did you mean 'arches'?")
    (project / "buildlib.toml").unlink()
    assert_one_line(
        buildlib("build", cwd=project, env={"BUILDLIB_GLIB": "2.31"}), 2, "BUILDLIB_GLIB", "did you mean 'glibc'?"
    )


def test_who_reads_no_further_gets_no_traceback(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\n" + "RUN curl -LO https://a.test/b-amd64.tgz\n" * 2000)
    reading, writing = os.pipe()
    process = subprocess.Popen([BUILDLIB, "lint"], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    told = process.communicate(timeout=60)[1]
    assert process.returncode in (1, 141) and "Traceback" not in told and "Exception" not in told, told


def test_no_manifest_and_a_broken_one(tmp_path, workspace):
    assert_one_line(buildlib("build", cwd=tmp_path), 2, "no Cargo.toml")
    project = workspace("hello")
    (project / "Cargo.toml").write_text("[package\n")
    assert_one_line(buildlib("build", cwd=project), 2, "Cargo.toml")


def test_a_workspace_without_binaries(workspace):
    project = workspace("hello")
    (project / "src" / "main.rs").rename(project / "src" / "lib.rs")
    assert_one_line(buildlib("build", cwd=project), 3, "has no binaries")


def test_a_compile_error_is_cargo_s_own_message_whole_and_dist_is_as_it_was(workspace):
    project = workspace("hello")
    assert buildlib("build", "--arch", "arm64", cwd=project).code == 0
    before = dist_of(project)
    (project / "src" / "main.rs").write_text('fn main() { let answer: u32 = "42"; }\n')
    failed = assert_one_line(buildlib("build", "--arch", "arm64", cwd=project), 101, "error[E0308]: mismatched types")
    assert "expected `u32`, found `&str`" in failed.err and "src/main.rs:1:31" in failed.err
    assert dist_of(project) == before


def dist_of(project):
    return {str(p.relative_to(project)): p.read_bytes() for p in sorted((project / "dist").rglob("*")) if p.is_file()}


def test_a_failed_arch_does_not_keep_the_others_from_dist(workspace):
    project = workspace("hello")
    with (project / "src" / "main.rs").open("a") as source:
        source.write('#[cfg(target_arch = "aarch64")]\ncompile_error!("not on arm64");\n')
    failed = assert_one_line(buildlib("build", "--arch", "arm64,amd64", "--json", cwd=project), 101, "not on arm64")
    assert [(r["arch"], r["status"], r["code"]) for r in json.loads(failed.out)] == [
        ("arm64", "failed", 101),
        ("amd64", "done", 0),
    ]
    assert (project / "dist" / "amd64" / "hello").is_file()


def test_missing_host_tools_are_said_at_once_before_anything_compiles(workspace, tmp_path):
    """Vendored OpenSSL on a machine without Perl and make."""
    project = workspace("hello")
    with (project / "Cargo.toml").open("a") as manifest:
        manifest.write('[build-dependencies]\nopenssl-src = "300"\n')
    (project / "Cargo.lock").unlink()
    env = path_without(tmp_path / "tools", ("perl", "make", "gmake").__contains__)
    said = buildlib("build", "--arch", "arm64", cwd=project, env=env)
    assert_one_line(
        said, 4, "perl (openssl-src runs it): apt-get install perl", "make (openssl-src runs it): apt-get install make"
    )
    assert "Compiling" not in said.err


def test_a_full_disk_leaves_the_old_files_whole(workspace, tmp_path):
    """dist/ on a small file system of its own that is filled up."""
    project, dist = workspace("hello"), tmp_path / "dist"
    dist.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", dist)
    if mounted.code:
        pytest.skip(f"cannot mount a small file system: {mounted.err}")
    try:
        assert buildlib("build", "--arch", "arm64", "--dist", dist, cwd=project).code == 0
        before = {p.name: p.read_bytes() for p in dist.rglob("*") if p.is_file()}
        source = project / "src" / "main.rs"
        source.write_text(source.read_text().replace("squares=", "SQUARES="))
        with (dist / "filler").open("wb") as filler:
            try:
                while True:
                    filler.write(b"x" * 65536)
                    filler.flush()
            except OSError:
                pass
        assert_one_line(
            buildlib("build", "--arch", "arm64", "--dist", dist, cwd=project),
            1,
            "No space left on device",
            "free some space",
        )
        (dist / "filler").unlink()
        assert {p.name: p.read_bytes() for p in dist.rglob("*") if p.is_file()} == before
    finally:
        run("umount", dist)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_in_the_middle(workspace, number):
    project = workspace("hello")
    (project / "build.rs").write_text("fn main() { std::thread::sleep(std::time::Duration::from_secs(120)) }\n")
    process = subprocess.Popen(
        [BUILDLIB, "build", "--arch", "arm64"], cwd=project, stderr=subprocess.PIPE, text=True,
        # A suite that runs in the background inherits SIGINT ignored; a person's shell does not do that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )  # fmt: skip
    script = wait_for(lambda: running("build-script-build", project))
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err, err
    assert not running("build-script-build", project), script
    assert not (project / "dist").exists()


def wait_for(look, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("it never came")


def running(name, folder):
    """The processes of that name that work below `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(name.encode()) and str(folder).encode() in words[0]:
            found.append(entry.name)
    return found


def test_two_at_once_the_second_waits_and_says_so(workspace):
    project = workspace("hello")
    (project / "build.rs").write_text("fn main() { std::thread::sleep(std::time::Duration::from_secs(8)) }\n")
    first = subprocess.Popen([BUILDLIB, "build", "--arch", "arm64"], cwd=project, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: running("build-script-build", project))
    second = buildlib("build", "--arch", "arm64", cwd=project)
    _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert second.code == 0 and "another build is at work here; waiting for it" in second.err, second
    assert "nothing to compile" in second.err, second


def test_spaces_and_letters_of_the_world_in_paths(workspace):
    project = workspace("hello", folder="Übung мир 名前 'quoted'")
    built = buildlib("build", "--arch", "arm64,arm64-musl", cwd=project)
    assert built.code == 0, built
    assert sorted(dist_of(project)) == [
        "dist/SHA256SUMS",
        "dist/arm64-musl/hello",
        "dist/arm64/hello",
        "dist/manifest.json",
    ]


def test_read_only_sources_with_everything_elsewhere(workspace, tmp_path):
    project = workspace("hello")
    argv = ("build", "--arch", "arm64", "--target-dir", tmp_path / "t", "--dist", tmp_path / "d")
    mounted = run("mount", "--bind", "-o", "ro", project, project)
    if mounted.code:
        pytest.skip(f"cannot make a folder read-only for root: {mounted.err}")
    run("mount", "-o", "remount,bind,ro", project)
    try:
        assert run("touch", project / "x").code != 0
        assert_one_line(buildlib("build", "--arch", "arm64", cwd=project), 1, "Read-only file system", "--target-dir")
        built = buildlib(*argv, cwd=project)
        assert built.code == 0 and (tmp_path / "d" / "arm64" / "hello").is_file(), built
    finally:
        run("umount", project)


def test_no_home_no_colour(workspace):
    project = workspace("hello")
    # rustup needs its own HOME to find toolchains; the real cargo and rustc do not.
    env = {"HOME": None, "XDG_CACHE_HOME": None, "NO_COLOR": "1"}
    env |= {"CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))}
    env |= {"RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))}
    built = buildlib("build", "--arch", "arm64", cwd=project, env=env)
    assert built.code == 0 and "\x1b" not in built.err + built.out, built


def test_a_pin_that_cannot_be_had_is_one_line(workspace):
    project = workspace("hello")
    (project / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "1.21.0"\n')
    env = {"RUSTUP_DIST_SERVER": "http://127.0.0.1:9"}
    said = buildlib("build", "--arch", "arm64", cwd=project, env=env)
    assert_one_line(said, 4, "pins Rust 1.21.0, which is not to be had here", "rustup toolchain install 1.21.0")
