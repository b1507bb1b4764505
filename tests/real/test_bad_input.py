"""Invalid input gives a clear error, and no existing file is lost."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from testbed import BUILDLIB, as_in_a_shell, assert_error, buildlib, path_without, run

LONG_BUILD = "fn main() { std::thread::sleep(std::time::Duration::from_secs(120)) }\n"


def files_in_dist(project):
    paths = [path for path in sorted((project / "dist").rglob("*")) if path.is_file()]
    return {str(path.relative_to(project)): path.read_bytes() for path in paths}


def test_an_unknown_architecture(workspace):
    failed = buildlib("build", "--arch", "arm65", cwd=workspace("hello"))
    assert_error(failed, 2, "unknown architecture 'arm65'", "did you mean arm64?")


def test_an_unknown_setting_names_its_source_and_the_nearest_key(workspace):
    project = workspace("hello")
    (project / "buildlib.toml").write_text('archs = ["arm64"]\n')
    in_file = buildlib("build", cwd=project)
    assert_error(in_file, 2, "buildlib.toml: unknown setting 'archs'", "did you mean 'arches'?")
    (project / "buildlib.toml").unlink()
    in_environment = buildlib("build", cwd=project, env={"BUILDLIB_GLIB": "2.31"})
    assert_error(in_environment, 2, "environment: unknown setting 'BUILDLIB_GLIB'", "did you mean 'BUILDLIB_GLIBC'?")


def test_a_closed_output_pipe_gives_no_traceback(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\n" + "RUN curl -LO https://a.test/b-amd64.tgz\n" * 2000)
    reading, writing = os.pipe()
    process = subprocess.Popen([BUILDLIB, "lint"], cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode in (1, 141) and "Traceback" not in stderr and "Exception" not in stderr, stderr


def test_no_manifest(tmp_path):
    failed = buildlib("build", cwd=tmp_path)
    assert_error(failed, 2, f"no Cargo.toml in {tmp_path} or above it", "run in the directory of a Rust workspace")


def test_an_invalid_manifest(workspace):
    project = workspace("hello")
    (project / "Cargo.toml").write_text("[package\n")
    failed = buildlib("build", cwd=project)
    message = """unclosed table, expected `]`
 --> Cargo.toml:1:9
  |
1 | [package
  |         ^"""
    assert_error(failed, 2, message, "fix Cargo.toml")


def test_a_workspace_without_binaries(workspace):
    project = workspace("hello")
    (project / "src" / "main.rs").rename(project / "src" / "lib.rs")
    failed = buildlib("build", cwd=project)
    help_text = "add a [[bin]] or src/main.rs; `buildlib test` compiles and tests its libraries"
    assert_error(failed, 3, "no binaries in hello", help_text)


def test_a_compile_error_shows_cargo_s_whole_message_and_leaves_dist_unchanged(workspace):
    project = workspace("hello")
    assert buildlib("build", "--arch", "arm64", cwd=project).code == 0
    before = files_in_dist(project)
    (project / "src" / "main.rs").write_text('fn main() { let answer: u32 = "42"; }\n')
    failed = buildlib("build", "--arch", "arm64", cwd=project)
    assert_error(failed, 101, "arm64: cargo exited with code 101: src/main.rs:1:31: error[E0308]: mismatched types", "")
    for part in ("error[E0308]: mismatched types\n", "expected `u32`, found `&str`", "src/main.rs:1:31"):
        assert part in failed.err, failed
    assert files_in_dist(project) == before


def test_a_failed_architecture_does_not_keep_the_others_from_dist(workspace):
    project = workspace("hello")
    with (project / "src" / "main.rs").open("a") as source:
        source.write('#[cfg(target_arch = "aarch64")]\ncompile_error!("not on arm64");\n')
    failed = buildlib("build", "--arch", "arm64,amd64", "--json", cwd=project)
    assert failed.code == 101 and "error: not on arm64\n" in failed.err, failed
    lines = len((project / "src" / "main.rs").read_text().splitlines())
    error = f"arm64: cargo exited with code 101: src/main.rs:{lines}:1: error: not on arm64"
    assert f"error: {error}\n" in failed.err, failed
    results = [(result["arch"], result["status"], result["code"], result["error"]) for result in json.loads(failed.out)]
    assert results == [("arm64", "failed", 101, error), ("amd64", "done", 0, None)]
    assert (project / "dist" / "amd64" / "hello").is_file()


def test_missing_host_tools_are_reported_before_anything_compiles(workspace, tmp_path):
    """Vendored OpenSSL on a machine without Perl and make."""
    project = workspace("hello")
    with (project / "Cargo.toml").open("a") as manifest:
        manifest.write('[build-dependencies]\nopenssl-src = "300"\n')
    (project / "Cargo.lock").unlink()
    (project / "build.rs").write_text("fn main() {\n    openssl_src::Build::new().build();\n}\n")
    env = path_without(tmp_path / "tools", ("perl", "make", "gmake").__contains__)
    failed = buildlib("build", "--arch", "arm64", cwd=project, env=env)
    message = """missing on this machine:
  perl (openssl-src runs it for hello): apt-get install perl
  make (openssl-src runs it for hello): apt-get install make"""
    assert_error(failed, 4, message, "")
    assert "  + " not in failed.err


def test_a_full_disk_leaves_the_existing_files_whole(workspace, tmp_path):
    """dist/ is on a small file system of its own, which is then filled."""
    project, dist = workspace("hello"), tmp_path / "dist"
    dist.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", dist)
    if mounted.code:
        pytest.skip(f"cannot mount a small file system: {mounted.err}")
    argv = ("build", "--arch", "arm64", "--dist", dist)
    try:
        assert buildlib(*argv, cwd=project).code == 0
        before = {path.name: path.read_bytes() for path in dist.rglob("*") if path.is_file()}
        source = project / "src" / "main.rs"
        source.write_text(source.read_text().replace("squares=", "SQUARES="))
        fill_disk(dist / "filler")
        failed = buildlib(*argv, cwd=project)
        message = re.compile(rf"{re.escape(str(dist))}/.*: No space left on device")
        assert_error(failed, 1, message, "free some space, or write elsewhere: --dist, --target-dir")
        (dist / "filler").unlink()
        assert {path.name: path.read_bytes() for path in dist.rglob("*") if path.is_file()} == before
    finally:
        run("umount", dist)


def fill_disk(file):
    """Write to `file` until the disk is full."""
    with file.open("wb") as filler:
        try:
            while True:
                filler.write(b"x" * 65536)
                filler.flush()
        except OSError:
            pass


@pytest.mark.parametrize(
    ("number", "code", "message"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_a_build_and_its_processes(workspace, number, code, message):
    project = workspace("hello")
    (project / "build.rs").write_text(LONG_BUILD)
    process = subprocess.Popen(
        [BUILDLIB, "build", "--arch", "arm64"], cwd=project, stderr=subprocess.PIPE, text=True,
        preexec_fn=as_in_a_shell,  # noqa: PLW1509
    )  # fmt: skip
    scripts = wait_until(lambda: running("build-script-build", project))
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert stderr.endswith(f"\nerror: {message}\n") and "Traceback" not in stderr, stderr
    assert running("build-script-build", project) == [], scripts
    assert not (project / "dist").exists()


def wait_until(condition, seconds=120):
    """The first true result of `condition`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"the condition was not met within {seconds} s")


def running(name, folder):
    """The processes whose program has this name and whose working directory is below `folder`."""
    processes = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(name.encode()) and str(folder).encode() in words[0]:
            processes.append(entry.name)
    return processes


def test_of_two_builds_at_once_the_second_waits(workspace, tmp_path):
    project = workspace("hello")
    (project / "build.rs").write_text(
        f'fn main() {{ while !std::path::Path::new("{tmp_path}/go").exists() '
        "{ std::thread::sleep(std::time::Duration::from_millis(50)) } }\n"
    )
    argv = [BUILDLIB, "build", "--arch", "arm64"]
    with subprocess.Popen(argv, cwd=project, stderr=subprocess.PIPE, text=True) as first:
        wait_until(lambda: running("build-script-build", project))
        with subprocess.Popen(argv, cwd=project, stderr=subprocess.PIPE, text=True) as second:
            waiting = []
            for line in second.stderr:
                waiting.append(line)
                if "waiting" in line:
                    break
            (tmp_path / "go").touch()
            rest = second.communicate(timeout=120)[1]
        first_stderr = first.communicate(timeout=120)[1]
    assert first.returncode == 0, first_stderr
    assert second.returncode == 0 and "nothing to compile" in rest, (waiting, rest)
    holder = f"(buildlib build --arch arm64, process {first.pid})"
    assert waiting[-1] == f"  waiting for another build in this workspace {holder}\n"


def test_paths_with_spaces_quotes_and_non_ascii_letters(workspace):
    project = workspace("hello", folder="Übung мир 名前 'quoted'")
    built = buildlib("build", "--arch", "arm64,arm64-musl", cwd=project)
    assert built.code == 0, built
    assert sorted(files_in_dist(project)) == [
        "dist/SHA256SUMS",
        "dist/arm64-musl/hello",
        "dist/arm64-musl/hello.cdx.json",
        "dist/arm64/hello",
        "dist/arm64/hello.cdx.json",
        "dist/manifest.json",
    ]


def test_read_only_sources_with_all_output_elsewhere(workspace, tmp_path):
    project = workspace("hello")
    mounted = run("mount", "--bind", "-o", "ro", project, project)
    if mounted.code:
        pytest.skip(f"cannot make a directory read-only for root: {mounted.err}")
    run("mount", "-o", "remount,bind,ro", project)
    try:
        assert run("touch", project / "x").code != 0
        failed = buildlib("build", "--arch", "arm64", cwd=project)
        message = re.compile(rf"{re.escape(str(project))}/.*: Read-only file system")
        assert_error(failed, 1, message, "the directory is read-only: write elsewhere with --dist, --target-dir")
        elsewhere = ("--target-dir", tmp_path / "target", "--dist", tmp_path / "dist")
        built = buildlib("build", "--arch", "arm64", *elsewhere, cwd=project)
        assert built.code == 0 and (tmp_path / "dist" / "arm64" / "hello").is_file(), built
    finally:
        run("umount", project)


def test_without_a_home_directory_and_without_colour(workspace):
    project = workspace("hello")
    # rustup finds its toolchains below HOME. The real cargo and rustc do not need it.
    env = {"HOME": None, "XDG_CACHE_HOME": None, "NO_COLOR": "1"}
    env |= {"CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))}
    env |= {"RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))}
    built = buildlib("build", "--arch", "arm64", cwd=project, env=env)
    assert built.code == 0 and "\x1b" not in built.err + built.out, built


def test_a_pinned_toolchain_that_is_not_available(workspace):
    project = workspace("hello")
    (project / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "1.21.0"\n')
    failed = buildlib("build", "--arch", "arm64", cwd=project, env={"RUSTUP_DIST_SERVER": "http://127.0.0.1:9"})
    message = f"{project}/rust-toolchain.toml pins Rust 1.21.0, which is not installed"
    help_text = "rustup toolchain install 1.21.0 --target aarch64-unknown-linux-gnu; or set RUSTC to another compiler"
    assert_error(failed, 4, message, help_text)
