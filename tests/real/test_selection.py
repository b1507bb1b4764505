"""What cargo takes by default and what it leaves out, in a workspace with a case of each (workspaces/members)."""

import ctypes
import json
import platform
import re
import shutil

import pytest
from testbed import HERE, assert_error, buildlib, run


@pytest.fixture(scope="module")
def members(tmp_path_factory, qemu):
    """The workspace, which the tests of this module compile."""
    return shutil.copytree(HERE / "workspaces" / "members", tmp_path_factory.mktemp("members") / "workspace")


def built(members, *options, cwd=None):
    """The files that `build --arch arm64` reports, and the reasons for what it left out."""
    result = buildlib("build", "--arch", "arm64", "--json", *options, cwd=cwd or members)
    assert result.code == 0, result
    (arm64,) = json.loads(result.out)
    for entry in arm64["binaries"]:
        assert (members / "dist" / entry["path"]).stat().st_size == entry["size"]
        assert entry["facts"]["machine"] == 183
    return sorted(entry["binary"] for entry in arm64["binaries"]), arm64["left_out"]


def test_the_default_members_are_built_and_what_needs_a_feature_is_reported(members):
    assert built(members) == (["app"], ["app-admin needs --features admin"])
    assert built(members, "--features", "admin") == (["app", "app-admin"], [])
    assert built(members, "--all-features", "-p", "app", "--bin", "app-admin") == (["app-admin"], [])


def test_in_the_folder_of_a_member_that_member_is_built(members):
    assert built(members, cwd=members / "agent") == (["healthcheck"], [])
    refused = buildlib("build", "--arch", "arm64", cwd=members / "firmware")
    assert_error(
        refused, 101, re.compile(r"arm64: cargo exited with code 101: .*"), re.compile(r".*"),
    )  # fmt: skip
    assert "firmware has no operating system" in refused.err


def test_a_binary_that_needs_a_feature_is_a_usage_error_if_it_is_requested(members):
    refused = buildlib("build", "--arch", "arm64", "--component", "app-admin", cwd=members)
    message = re.compile(r"arm64: .*target `app-admin` in package `app` requires the features: `admin`")
    assert_error(refused, 2, message, re.compile(r".*--features.*"))


def test_two_binaries_of_one_name_are_an_error_before_anything_is_compiled(members):
    choose = "choose one with --package agent or --package broker, or as --component agent/healthcheck"
    for command in (["build"], ["plan"], ["image", "--arch", "arm64-musl", "--output", "images"]):
        refused = buildlib(*command, "-p", "agent", "-p", "broker", cwd=members)
        assert_error(refused, 2, "two binaries are called 'healthcheck', in agent and broker", choose)
        assert "cargo-zigbuild" not in refused.err
    for package in ("agent", "broker"):
        assert built(members, "--component", f"{package}/healthcheck") == (["healthcheck"], [])
        program = members / "dist" / "arm64" / "healthcheck"
        shown = run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", program)
        assert shown.out == f"healthcheck of {package}\n", shown


def test_libraries_and_examples_are_built_on_request(members):
    assert built(members, "--lib") == (["libkey.a", "libkey.so"], [])
    assert built(members, "-p", "app", "--example", "demo") == (["demo"], [])
    assert buildlib("verify", cwd=members).code == 0
    native = buildlib("build", "--lib", cwd=members)
    assert native.code == 0, native
    arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    assert ctypes.CDLL(str(members / "dist" / arch / "libkey.so")).key_of(1) == 128


def test_a_static_target_has_no_shared_library(members):
    result = buildlib("build", "--lib", "--arch", "arm64-musl", "--json", cwd=members)
    assert result.code == 0, result
    (musl,) = json.loads(result.out)
    assert [entry["binary"] for entry in musl["binaries"]] == ["libkey.a"]
    assert musl["left_out"] == ["libkey.so is a shared library, which a static target does not have"]


def test_a_package_without_programs_names_what_there_is(members):
    lone = buildlib("build", "-p", "key", cwd=members)
    assert_error(lone, 3, "no binaries in key", "--lib builds libkey.so, libkey.a")


def test_plan_shows_what_build_would_do(members):
    planned = json.loads(buildlib("plan", "--arch", "arm64", "--json", cwd=members).out)
    assert [(one["binaries"], one["left_out"]) for one in planned] == [(["app"], ["app-admin needs --features admin"])]


def test_tests_are_those_of_the_default_members(members):
    result = buildlib("test", "--arch", "arm64", "--json", cwd=members)
    assert result.code == 0, result
    (arm64,) = json.loads(result.out)
    cases = [case["name"] for suite in arm64["suites"] for case in suite["cases"]]
    assert sorted(cases) == ["app_is_tested", "key_is_tested"]


def test_words_after_two_dashes_are_cargo_s(members):
    result = buildlib(
        "build",
        "--arch",
        "arm64",
        "-p",
        "app",
        "-j",
        "1",
        "-vv",
        "--",
        "--config",
        "profile.release.opt-level=1",
        cwd=members,
    )
    assert result.code == 0 and "-C opt-level=1" in result.err, result


def test_the_exit_code_is_that_of_the_first_arch_that_failed(members):
    """The reasons differ: what the gate refuses is 6, what does not compile 101."""
    library = members / "key" / "src" / "lib.rs"
    text = library.read_text()
    library.write_text(f'{text}\n#[cfg(target_arch = "arm")]\ncompile_error!("not for 32 bits");\n')
    try:
        failed = buildlib("build", "--lib", "--arch", "armv7,arm64", "--json", cwd=members)
        assert (failed.code, [one["code"] for one in json.loads(failed.out)]) == (101, [101, 0])
    finally:
        library.write_text(text)
