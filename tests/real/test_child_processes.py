"""Tests that start programs of the target, in every way in which the kernel and buildlib let them, compared with the host.

Each run is in namespaces of its own, whose binfmt_misc has the handler that the case needs, or none: nothing of the machine changes.
"""

import json
import os
import platform
import re
import shutil

import pytest
from testbed import BUILDLIB, HERE, assert_error, buildlib, run

from buildlib.core.targets import TARGETS, native
from buildlib.emulation.binfmt import magic

pytestmark = [pytest.mark.qemu, pytest.mark.usefixtures("qemu", "namespaces")]
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere"}
HANDLERS = "/proc/sys/fs/binfmt_misc"
ISOLATED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"""
mount -t binfmt_misc binfmt_misc {HANDLERS} || exit 99
[ -z "$HANDLER" ] || printf %s "$HANDLER" > {HANDLERS}/register || exit 99
[ -z "$NO_NAMESPACES" ] || echo 0 > /proc/sys/user/max_user_namespaces || exit 99
exec "$@"
""", "sh")  # fmt: skip
BINFMT, BOTH, PRIVATE, LAUNCHERS = "binfmt", "binfmt and launchers", "private binfmt", "launchers"
# A test binary that starts itself, and a program that does: launchers stand in for other programs.
NOT_BY_LAUNCHERS = {"itself", "grandchild"}


@pytest.fixture(scope="module")
def namespaces():
    """Namespaces in which binfmt_misc can be mounted: Linux 6.7, and no policy against them."""
    done = run(*ISOLATED, "true")
    if done.code:
        pytest.skip(f"no binfmt_misc in a user namespace: {done.err}")


def handler(arch):
    """The line that registers QEMU for an arch, as Debian's qemu-user-static does."""
    digits = ("".join(f"\\x{byte:02x}" for byte in part) for part in magic(TARGETS[arch]))
    return f":qemu:M::{':'.join(digits)}:{shutil.which(f'qemu-{TARGETS[arch].qemu}-static')}:PF"


def environment(way, arch):
    """The variables of ISOLATED for the machine on which this is the first way that works."""
    return {
        "HANDLER": handler(arch) if way in (BINFMT, BOTH) else "",
        "NO_NAMESPACES": "" if way == PRIVATE else "1",
    }


@pytest.fixture(scope="module")
def run_tests(tmp_path_factory):
    """Runs the tests of the workspace `children` on a machine with one way; returns the result of the command and its report."""
    root = tmp_path_factory.mktemp("children") / "work space"
    shutil.copytree(HERE / "workspaces" / "children", root)

    def run_tests(way, *words, arch="arm64", env=None, root=root):
        merged = {"RUST_BACKTRACE": "0", **NO_DOCKER, **environment(way, arch), **(env or {})}
        done = run(*ISOLATED, BUILDLIB, "test", "--arch", arch, "--", *words, cwd=root, env=merged)
        report = json.loads((root / "target" / "buildlib" / "reports" / f"test-{arch}.json").read_text())
        assert not list(root.rglob(".emulated")), done
        return done, report

    run_tests.root = root
    return run_tests


@pytest.fixture(scope="module")
def on_the_host(run_tests):
    """The names of the tests that pass with plain cargo on this machine, which are all."""
    done = run("cargo", "test", "--workspace", cwd=run_tests.root, env={"CARGO_TARGET_DIR": "target/host"})
    assert done.code == 0, done
    return sorted(re.findall(r"^test (.+) \.\.\. ok$", done.out, re.MULTILINE))


def names(report, result="passed"):
    """The tests with this result, apart from the harness of its own, which has no names."""
    cases = [case for suite in report["suites"] for case in suite["cases"]]
    return sorted(case["name"] for case in cases if case["result"] == result and case["name"] != "custom")


def ran_on(report):
    """Where each suite ran: on the host, or "" for the target."""
    return [(suite["name"], suite.get("ran_on", "")) for suite in report["suites"]]


@pytest.mark.parametrize("way", [BOTH, PRIVATE])
def test_all_tests_pass_that_pass_on_the_host(run_tests, on_the_host, way):
    done, report = run_tests(way)
    assert (done.code, report["child_processes"]) == (0, way), done
    assert report["ran_on"]["machine"] == "aarch64"
    assert names(report) == on_the_host
    assert [name for name, place in ran_on(report) if place == "host"] == ["macros", "doc-tests"]
    assert "arm64: on the host, for which cargo compiles proc macros: macros, doc-tests\n" in done.out, done
    assert ("custom", "") in ran_on(report) and len(names(report)) > 25


def test_launchers_start_all_but_what_starts_itself(run_tests, on_the_host):
    done, report = run_tests(LAUNCHERS)
    assert report["child_processes"] == LAUNCHERS, done
    failed = names(report, "failed")
    assert set(failed) == NOT_BY_LAUNCHERS
    assert sorted(names(report) + failed) == on_the_host
    message = re.compile("arm64: starts::.+ failed; starts::.+ failed")
    assert_error(
        done, 7, message, re.compile("a test started a program of arm64, and this kernel has no handler for it: .+")
    )


def test_nextest_gives_the_same_results(run_tests, on_the_host, nextest):
    done, report = run_tests(PRIVATE, env=nextest)
    assert (done.code, "nextest run" in done.err) == (0, True), done
    assert names(report) == on_the_host
    assert sorted(name for name, place in ran_on(report) if place == "host") == ["doc-tests", "macros"]


@pytest.mark.parametrize("way", [LAUNCHERS, PRIVATE])
def test_a_build_directory_and_a_profile_of_the_workspace(run_tests, tmp_path, way):
    """Test binaries are elsewhere than their programs."""
    root = shutil.copytree(HERE / "workspaces" / "children", tmp_path / "workspace")
    (root / ".cargo").mkdir()
    (root / ".cargo" / "config.toml").write_text('[build]\nbuild-dir = "elsewhere"\n')
    done, report = run_tests(way, "--profile", "quick", "-p", "tool", root=root)
    assert set(names(report, "failed")) == (NOT_BY_LAUNCHERS if way == LAUNCHERS else set()), done
    assert len(names(report)) >= 18, done
    assert list(root.glob("elsewhere/aarch64-unknown-linux-gnu/quick/deps/starts-*")), done


@pytest.mark.parametrize(("arch", "way"), [("armv7", PRIVATE), ("riscv64", LAUNCHERS), ("arm64-musl", BINFMT)])
def test_other_architectures(run_tests, arch, way):
    """A handler needs no libraries for a static program, which loads none."""
    done, report = run_tests(way, "-p", "tool", "--", "--skip", "loads_a_library", arch=arch)
    assert report["child_processes"] == way, done
    assert set(names(report, "failed")) == (NOT_BY_LAUNCHERS if way == LAUNCHERS else set()), done


def test_without_emulation_nothing_is_needed(run_tests, on_the_host):
    arch = native(platform.machine()).name
    done = buildlib("test", "--arch", arch, cwd=run_tests.root, env=NO_DOCKER)
    report = json.loads((run_tests.root / "target" / "buildlib" / "reports" / f"test-{arch}.json").read_text())
    assert (done.code, report["emulator"], names(report)) == (0, "", on_the_host), done
    assert "child_processes" not in report and {place for _, place in ran_on(report)} == {""}


def test_tests_can_be_compiled_alone(run_tests):
    done, report = run_tests(PRIVATE, "--no-run")
    assert (done.code, report["suites"], "\nerror:" in done.err) == (0, [], False), done


WHO = """
use std::os::unix::fs::MetadataExt;

#[test]
fn files_belong_to_the_user() {
    std::fs::write(NEW, "x").unwrap();
    let user = std::fs::metadata("/proc/self").unwrap().uid();
    assert_eq!((user, user), (std::fs::metadata("tests/who.rs").unwrap().uid(), std::fs::metadata(NEW).unwrap().uid()));
}
"""


def test_users_stay_who_they_are(run_tests, tmp_path):
    """In the private namespace, files of the user belong to the user, and new ones do outside."""
    root = shutil.copytree(HERE / "workspaces" / "children", tmp_path / "workspace")
    new = tmp_path / "new"
    (root / "tool" / "tests" / "who.rs").write_text(f"const NEW: &str = {json.dumps(str(new))};\n{WHO}")
    done, _ = run_tests(PRIVATE, "-p", "tool", "--test", "who", root=root)
    assert done.code == 0, done
    assert new.stat().st_uid == os.geteuid()


@pytest.mark.slow
@pytest.mark.extended
@pytest.mark.parametrize("way", [BOTH, PRIVATE, LAUNCHERS])
def test_own_tests_of_hexyl(run_tests, published_crate, way):
    """56 tests, of which 41 start the program; each of them passes on the host."""
    done, report = run_tests(way, root=published_crate("hexyl", "0.17.0"))
    assert (done.code, len(names(report)), report["child_processes"]) == (0, 56, way), done
