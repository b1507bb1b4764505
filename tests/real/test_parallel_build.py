"""`buildlib build` for several architectures, which are compiled at the same time."""

import json
import os
import signal
import subprocess
import time

import pytest
from machines import is_running
from testbed import BUILDLIB, as_in_a_shell, buildlib, run

QEMU = {"arm64": ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"),
        "armv7": ("qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf")}  # fmt: skip
# Records when each crate was compiled, its name, and whether it is for this machine.
COUNTER = """\
#!/bin/bash
case " $* " in *" --crate-name ___ "*) exec "$@" ;; *" --crate-name "*) ;; *) exec "$@" ;; esac
case " $* " in *" --target "*) kind=target ;; *) kind=host ;; esac
begin=$(date +%s%N); "$@"; code=$?
echo "$begin $(date +%s%N) $kind $3" >> "$COUNTS"
exit $code
"""


@pytest.fixture
def counted(tmp_path):
    """Variables that record each rustc, and what reads the record: the most at once, and the crates for this machine."""
    wrapper, counts = tmp_path / "wrapper", tmp_path / "counts"
    wrapper.write_text(COUNTER)
    wrapper.chmod(0o755)

    def read():
        lines = [line.split() for line in counts.read_text().splitlines()]
        counts.unlink()
        events = [(int(begin), 1) for begin, *_ in lines] + [(int(end), -1) for _, end, *_ in lines]
        running = most = 0
        for _, change in sorted(events):
            running += change
            most = max(most, running)
        return most, sorted(name for *_, kind, name in lines if kind == "host")

    return {"RUSTC_WRAPPER": str(wrapper), "COUNTS": str(counts)}, read


def test_the_bytes_for_an_arch_do_not_depend_on_the_others(workspace, qemu, tmp_path):
    arches = workspace("arches")
    both = buildlib("build", "--arch", "arm64,armv7", cwd=arches)
    assert both.code == 0, both
    for arch, output in (("arm64", "aarch64 42 false\n"), ("armv7", "arm 42 true\n")):
        assert run(*QEMU[arch], arches / "dist" / arch / "app").out == output
        alone = ("--target-dir", tmp_path / arch, "--dist", tmp_path / "dist")
        assert buildlib("build", "--arch", arch, *alone, cwd=arches).code == 0
        assert (tmp_path / "dist" / arch / "app").read_bytes() == (arches / "dist" / arch / "app").read_bytes()
    again = buildlib("build", "--arch", "arm64,armv7", cwd=arches)
    assert again.code == 0 and again.err.count("nothing to compile") == 2, again


def test_one_that_does_not_compile_stops_no_other_and_is_named(workspace, qemu):
    arches = workspace("arches")
    failed = buildlib("build", "--arch", "armv7,arm64", "--features", "broken", "--json", cwd=arches)
    cause = "there is no version for this architecture"
    message = f"armv7: cargo exited with code 101: app/src/main.rs:2:1: error: {cause}"
    assert failed.code == 101 and failed.err.count(f"\nerror: {message}\n") == 1, failed
    rows = [
        (row["arch"], row["status"], [error["message"] for error in row["errors"]]) for row in json.loads(failed.out)
    ]
    assert rows == [("armv7", "failed", [message]), ("arm64", "done", [])]
    assert run(*QEMU["arm64"], arches / "dist" / "arm64" / "app").out == "aarch64 42 false\n"
    assert not (arches / "dist" / "armv7").exists()
    assert run("sha256sum", "--check", "SHA256SUMS", cwd=arches / "dist").code == 0
    parts = {part.partition(" ")[0]: part for part in failed.err.split("▸ ")[1:]}
    assert cause in parts["armv7"] and "could not compile `app`" in parts["armv7"], failed
    assert cause not in parts["arm64"] and "could not compile" not in parts["arm64"], failed


def test_all_of_them_have_one_limit_and_host_crates_are_compiled_once(workspace, counted):
    arches, (env, read) = workspace("arches"), counted
    host = ["build_script_build", "helper", "macros"]
    built = buildlib("build", "--arch", "arm64,armv7,riscv64", "--jobs", "2", cwd=arches, env=env)
    assert built.code == 0 and "ignoring" not in built.err, built
    most, crates = read()
    assert (most, crates) == (2, host)
    one_more = buildlib("build", "--arch", "arm64-musl", cwd=arches, env=env)
    assert one_more.code == 0 and read()[1] == [], one_more
    # A change is compiled once as well, by the first that needs it.
    with (arches / "macros" / "src" / "lib.rs").open("a") as source:
        source.write("// changed\n")
    changed = buildlib("build", "--arch", "arm64,armv7", "--jobs", "1", cwd=arches, env=env)
    assert changed.code == 0 and read() == (1, ["macros"]), changed
    assert buildlib("build", "--arch", "riscv64,armv7", cwd=arches, env=env).code == 0 and read()[1] == []


def test_targets_of_gcc_share_what_is_compiled_for_this_machine(workspace, counted, qemu, cross_gcc):
    """Each has a cross compiler of its own."""
    arches, (env, read) = workspace("arches"), counted
    built = buildlib("build", "--arch", "arm64,armv7", "--backend", "gcc", cwd=arches, env=env)
    assert built.code == 0 and read()[1] == ["build_script_build", "helper", "macros"], built
    for arch, output in (("arm64", "aarch64 42 false\n"), ("armv7", "arm 42 true\n")):
        assert run(*QEMU[arch], arches / "dist" / arch / "app").out == output


def test_the_jobserver_of_a_make_is_the_limit(workspace, counted):
    """make gives its first job a token without writing it: an empty pipe allows one compiler at a time."""
    arches, (env, read) = workspace("arches"), counted
    for arch in ("arm64", "arm64,armv7"):
        ends = os.pipe()
        flags = {"MAKEFLAGS": f" -j1 --jobserver-auth={ends[0]},{ends[1]}"}
        built = subprocess.run(
            (BUILDLIB, "build", "--arch", arch), cwd=arches, env=os.environ | env | flags, pass_fds=ends, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert built.returncode == 0 and "failed to connect" not in built.stderr, built.stderr
        assert read()[0] == 1
        for end in ends:
            os.close(end)


def test_ctrl_c_ends_all_of_them(workspace, tmp_path):
    arches = workspace("arches")
    process = subprocess.Popen(
        (BUILDLIB, "build", "--arch", "arm64,armv7", "--jobs", "2"), cwd=arches, env=os.environ | {"ARCHES_WAIT": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=as_in_a_shell,  # noqa: PLW1509
    )  # fmt: skip
    files = [tmp_path / "aarch64", tmp_path / "arm"]
    deadline = time.monotonic() + 600
    while not all(file.exists() and file.read_text() for file in files):  # both build scripts run at the same time
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.splitlines()[-1]) == (130, "error: interrupted"), err
    assert [is_running(int(file.read_text())) for file in files] == [False, False]
    assert not (arches / "dist").exists()
