"""The facts about a machine: real files in a temporary directory, and shell scripts in place of rustc."""

from importlib import metadata
from pathlib import Path

import platformdirs
import pytest

from buildlib.machine import cargo_config, host, rust_toolchains
from buildlib.machine.host import Handler, Host, parse_handler
from buildlib.machine.rust_toolchains import Pin, SearchContext, find_pin

VERSION = (
    "rustc 1.96.0 (ac68faa20 2026-05-25)\ncommit-hash: {commit}\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\n"
)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def compiler(tmp_path):
    """Makes a rustc with its sysroot that answers what the search asks."""

    def make(name, commit="c0ffee123456", sources=""):
        sysroot = tmp_path / name
        rustlib = sysroot / "lib" / "rustlib"
        (rustlib / "x86_64-unknown-linux-gnu" / "lib").mkdir(parents=True)
        (rustlib / "x86_64-unknown-linux-gnu" / "lib" / "libstd-1.rlib").touch()
        if sources:
            (rustlib / "src/rust/library/std").mkdir(parents=True)
            (rustlib / "src/rust/library/std/Cargo.toml").touch()
            (rustlib / "src/rust/src").mkdir()
            (rustlib / "src/rust/src/version").write_text(f"{sources}\n")
        script(sysroot / "bin" / "cargo", "")
        version = VERSION.format(commit=commit)
        return script(sysroot / "bin" / "rustc", f'[ "$1" = --print ] && echo "{sysroot}" || echo "{version}"')

    return make


def search(tmp_path, env, on_path=None):
    named = cargo_config.read({"HOME": str(tmp_path), **env}, tmp_path).rustc
    around = SearchContext(env=env, cwd=tmp_path, which=lambda *names: on_path, cache=tmp_path / "cache", named=named)
    return rust_toolchains.find_toolchains(around)


@pytest.mark.processes
def test_the_compiler_in_the_variable_rustc_is_the_only_one(tmp_path, compiler):
    rustc = compiler("chosen")
    (toolchain,), pin, error = search(tmp_path, {"RUSTC": str(rustc)}, on_path=str(compiler("other")))
    assert (toolchain.origin, toolchain.rustc, toolchain.cargo) == ("RUSTC", rustc, rustc.with_name("cargo"))
    assert (toolchain.key, toolchain.host) == ("1.96.0-c0ffee123", "x86_64-unknown-linux-gnu")
    assert toolchain.stds == {"x86_64-unknown-linux-gnu"} and toolchain.sources is None
    assert (pin, error) == (None, "")


@pytest.mark.processes
@pytest.mark.parametrize(
    ("file", "env", "where"),
    [("fork/bin/rustc", {}, "build.rustc in {}"), ("fork-rustc", {}, "build.rustc in {}"),
     ("", {"CARGO_BUILD_RUSTC": "./fork/bin/rustc"}, "CARGO_BUILD_RUSTC"),
     ("/absent", {"CARGO_BUILD_RUSTC": "fork/bin/rustc"}, "CARGO_BUILD_RUSTC"),
     ("/absent", {"CARGO_BUILD_RUSTC": "/absent", "RUSTC": "fork/bin/rustc"}, "RUSTC")],
)  # fmt: skip
def test_the_compiler_of_cargo_s_configuration_is_the_only_one(tmp_path, compiler, file, env, where):
    """Paths with a slash are relative to the directory that has .cargo, others are on PATH."""
    rustc = compiler("fork")
    path = tmp_path / ".cargo" / "config.toml"
    path.parent.mkdir()
    path.write_text(f'build.rustc = "{file}"\n' if file else "")
    (toolchain,), _, error = search(tmp_path, env, on_path=str(rustc if file == "fork-rustc" else compiler("other")))
    assert (toolchain.rustc, error) == (rustc, "")
    assert toolchain.origin == where.partition(" ")[0]
    rustc.unlink()
    missing = file if file == "fork-rustc" else str(rustc)
    assert search(tmp_path, env) == ((), None, f"{where.format(path)} names {missing}, which does not exist")


@pytest.mark.processes
def test_the_real_compiler_of_rustup_is_called_not_its_proxy(tmp_path, compiler):
    real = compiler("toolchains/stable")
    proxy = script(tmp_path / "bin" / "rustc", f'exec {real} "$@"')
    toolchains, _, _ = search(tmp_path, {}, on_path=str(proxy))
    assert (toolchains[0].origin, toolchains[0].rustc) == ("rustup", real)


@pytest.mark.processes
@pytest.mark.parametrize(("version", "accepted"), [("1.96.0", True), ("1.63.0", False)])
def test_sources_must_be_of_exactly_this_release(tmp_path, compiler, version, accepted):
    rustc = compiler("chosen", sources=version)
    (toolchain,), _, _ = search(tmp_path, {"RUSTC": str(rustc)})
    assert (toolchain.sources is not None) is accepted


@pytest.mark.processes
def test_std_that_was_built_for_exactly_this_compiler_is_managed(tmp_path, compiler):
    for commit in ("c0ffee123456", "decade567890"):
        lib = tmp_path / f"cache/sysroots/1.96.0-{commit[:9]}-{rust_toolchains.STD_VERSION}/lib/rustlib/t-{commit}/lib"
        lib.mkdir(parents=True)
        (lib / "libstd-1.rlib").touch()
    (toolchain,), _, _ = search(tmp_path, {"RUSTC": str(compiler("chosen"))})
    assert toolchain.managed == {"t-c0ffee123456"}


@pytest.mark.processes
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo \"error: toolchain '1.80' is not installed\" >&2; exit 1", "toolchain '1.80' is not installed"),
        ("exit 3", "{rustc} exited with code 3"),
    ],
)
def test_the_reason_why_a_compiler_cannot_be_used(tmp_path, text, reason):
    broken = script(tmp_path / "rustc", text)
    toolchains, _, error = search(tmp_path, {"RUSTC": str(broken)})
    assert (toolchains, error) == ((), reason.format(rustc=broken))


def test_a_compiler_that_does_not_exist_is_left_out_unless_it_was_named(tmp_path, monkeypatch):
    def run(argv, **_):
        raise FileNotFoundError(argv[0])

    monkeypatch.setattr(rust_toolchains.subprocess, "run", run)
    assert search(tmp_path, {}) == ((), None, "")
    assert search(tmp_path, {"RUSTC": "/absent/rustc"}) == ((), None, "RUSTC names /absent/rustc, which does not exist")


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        ("", ["/r/rustc", "/usr/bin/rustc"]),
        ("stable-x86_64-unknown-linux-gnu", ["/r/rustc", "/usr/bin/rustc"]),  # as rustup's cargo sets it
        ("nightly", ["/r/rustc"]),
    ],
)
def test_a_toolchain_that_rustup_is_told_to_use_has_no_substitute(tmp_path, monkeypatch, chosen, asked):
    (tmp_path / "settings.toml").write_text('default_toolchain = "stable-x86_64-unknown-linux-gnu"\n')
    started = []
    monkeypatch.setattr(rust_toolchains, "_toolchain", lambda around, rustc, *_: started.append(rustc) or "")
    search(tmp_path, {"RUSTUP_HOME": str(tmp_path), "RUSTUP_TOOLCHAIN": chosen}, on_path="/r/rustc")
    assert sorted(started) == asked


@pytest.mark.parametrize(
    ("name", "text", "channel"),
    [
        ("rust-toolchain.toml", '[toolchain]\nchannel = "1.80"\n', "1.80"),
        ("rust-toolchain", "nightly-2026-01-01\n", "nightly-2026-01-01"),
        ("rust-toolchain", '[toolchain]\nchannel = "stable"\n', "stable"),
        ("rust-toolchain.toml", '[toolchain]\ncomponents = ["clippy"]\n', None),
        ("rust-toolchain.toml", "toolchain = 1\n", None),
        ("rust-toolchain.toml", "[toolchain]\nchannel = 1.80\n", None),
    ],
)
def test_the_nearest_pin_in_a_directory_and_above_it(tmp_path, name, text, channel):
    (tmp_path / name).write_text(text)
    (tmp_path / "a" / "b").mkdir(parents=True)
    pin = find_pin(tmp_path / "a" / "b")
    assert (pin.channel if pin else None) == channel


def test_a_pin_by_directory(tmp_path):
    (tmp_path / "rust-toolchain.toml").write_text('[toolchain]\npath = "/opt/fork"\n')
    pin = find_pin(tmp_path)
    assert pin == Pin(file=tmp_path / "rust-toolchain.toml", folder=Path("/opt/fork"))
    assert str(pin) == "the toolchain /opt/fork"


def test_a_runner_of_the_user_s_is_one_for_the_target_not_for_this_machine_too():
    arm64, amd64 = "aarch64-unknown-linux-gnu", "x86_64-unknown-linux-gnu"
    tables = {
        arm64: {"runner": "qemu"}, "cfg(unix)": {"runner": "sudo -E"}, 'cfg(target_arch = "riscv64")': {"runner": ["spike", "-x"]},
    }  # fmt: skip
    config = cargo_config.resolve([(Path("/w/.cargo/config.toml"), {"target": tables})], {}, Path("/w"))
    riscv64 = {"riscv64gc-unknown-linux-gnu", "riscv64gc-unknown-linux-musl"}
    assert host._runners(config, amd64) == {arm64, *riscv64}


def test_build_scripts_see_the_variables_of_cargo_s_configuration():
    config = cargo_config.resolve([(Path("/w/.cargo/config.toml"), {"env": {"A": "1", "B": "2"}})], {}, Path("/w"))
    assert Host(machine="x86_64", env={"B": "mine"}, cargo_config=config).script_env == {"A": "1", "B": "mine"}


def test_the_fields_of_a_handler():
    text = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: PF\noffset 0\nmagic 7f45\n"
    assert parse_handler("qemu-aarch64", text) == Handler(
        name="qemu-aarch64", interpreter="/usr/libexec/qemu-binfmt/aarch64-binfmt-P", flags="PF", enabled=True
    )
    assert parse_handler("x", "disabled\nflags: \n") == Handler(name="x", interpreter="", flags="", enabled=False)


def test_the_handlers_of_binfmt_misc(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "BINFMT", tmp_path)
    assert Host(machine="x86_64").handlers is None
    for name in ("status", "register", "qemu-arm"):
        (tmp_path / name).write_text("enabled\n")
    assert Host(machine="x86_64").handlers == {
        "qemu-arm": Handler(name="qemu-arm", interpreter="", flags="", enabled=True)
    }


def test_the_free_space_where_a_directory_would_be_created(tmp_path):
    machine = Host(machine="x86_64")
    assert machine.free(tmp_path / "a" / "b") > 0
    assert machine.free(Path("/proc/absent")) is None, "/proc has no blocks at all"


def test_the_first_executable_file_on_path(tmp_path):
    script(tmp_path / "b" / "tool", "")
    script(tmp_path / "c" / "tool", "")
    (tmp_path / "a" / "tool").mkdir(parents=True)
    (tmp_path / "b" / "other").write_text("not executable")
    machine = Host(machine="x86_64", path=tuple(str(tmp_path / name) for name in ("absent", "a", "b", "c")))
    assert machine.which("no", "tool") == str(tmp_path / "b" / "tool")
    assert machine.which("other") is None
    assert machine.which(str(tmp_path / "c" / "tool")) == str(tmp_path / "c" / "tool")
    assert machine.which(str(tmp_path / "b" / "other")) is None


@pytest.mark.parametrize(
    "env",
    [
        {}, {"XDG_CACHE_HOME": "/x/cache"}, {"XDG_CACHE_HOME": " "}, {"HOME": "/x/home"},
        {"HOME": "/x/home", "XDG_CACHE_HOME": "relative"},
    ],
)  # fmt: skip
def test_the_cache_is_where_platformdirs_has_it(env, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert host.cache_folder() == platformdirs.user_cache_path("buildlib", appauthor=False)


@pytest.mark.parametrize("name", ["msgspec", "cargo-zigbuild", "buildlib-absent"])
def test_the_version_of_a_distribution_is_that_of_its_metadata(name):
    try:
        expected = metadata.version(name)
    except metadata.PackageNotFoundError:
        expected = ""
    assert host._version(name) == expected


def test_the_first_directory_with_a_distribution_decides(tmp_path, monkeypatch):
    for number in (1, 2):
        (tmp_path / str(number) / f"some_tool-{number}.0.dist-info").mkdir(parents=True)
    (tmp_path / "0" / "some_tool_more-9.dist-info").mkdir(parents=True)
    monkeypatch.setattr(host.sys, "path", [str(tmp_path / name) for name in ("absent", "0", "1", "2")])
    assert host._version("some-tool") == "1.0"
