"""Looking at a machine: real files in a temporary folder, stand-ins for rustc."""

import pytest

from buildlib.machine import host, rust_toolchains
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import SearchContext, find_pin

SAYS = "rustc 1.96.0 (ac68faa20 2026-05-25)\ncommit-hash: {commit}\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\n"


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def compiler(tmp_path):
    """A rustc of its own sysroot, as far as the search asks it."""

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
        said = SAYS.format(commit=commit)
        return script(sysroot / "bin" / "rustc", f'[ "$1" = --print ] && echo "{sysroot}" || echo "{said}"')

    return make


def found(tmp_path, env, on_path=None):
    around = SearchContext(env=env, cwd=tmp_path, which=lambda *names: on_path, cache=tmp_path / "cache")
    return rust_toolchains.find_toolchains(around)


@pytest.mark.processes
def test_what_rustc_names_is_the_only_candidate(tmp_path, compiler):
    named = compiler("mine")
    (toolchain,), pin, error = found(tmp_path, {"RUSTC": str(named)}, on_path=str(compiler("other")))
    assert (toolchain.origin, toolchain.rustc, toolchain.cargo) == ("RUSTC", named, named.with_name("cargo"))
    assert (toolchain.key, toolchain.host) == ("1.96.0-c0ffee123", "x86_64-unknown-linux-gnu")
    assert toolchain.stds == {"x86_64-unknown-linux-gnu"} and toolchain.sources is None
    assert (pin, error) == (None, "")


@pytest.mark.processes
def test_rustup_s_real_compiler_is_called_not_its_proxy(tmp_path, compiler):
    real = compiler("toolchains/stable")
    proxy = script(tmp_path / "bin" / "rustc", f'exec {real} "$@"')
    toolchains, _, _ = found(tmp_path, {}, on_path=str(proxy))
    assert (toolchains[0].origin, toolchains[0].rustc) == ("rustup", real)


@pytest.mark.processes
@pytest.mark.parametrize(("version", "belong"), [("1.96.0", True), ("1.63.0", False)])
def test_sources_must_be_of_exactly_this_release(tmp_path, compiler, version, belong):
    named = compiler("mine", sources=version)
    (toolchain,), _, _ = found(tmp_path, {"RUSTC": str(named)})
    assert (toolchain.sources is not None) is belong


@pytest.mark.processes
def test_what_was_built_for_this_very_compiler_is_managed(tmp_path, compiler):
    for commit in ("c0ffee123456", "decade567890"):
        lib = tmp_path / f"cache/sysroots/1.96.0-{commit[:9]}-{rust_toolchains.STD_VERSION}/lib/rustlib/t-{commit}/lib"
        lib.mkdir(parents=True)
        (lib / "libstd-1.rlib").touch()
    (toolchain,), _, _ = found(tmp_path, {"RUSTC": str(compiler("mine"))})
    assert toolchain.managed == {"t-c0ffee123456"}


@pytest.mark.processes
def test_a_rustc_that_fails_says_why(tmp_path):
    broken = script(tmp_path / "rustc", "echo \"error: toolchain '1.80' is not installed\" >&2; exit 1")
    toolchains, _, error = found(tmp_path, {"RUSTC": str(broken)})
    assert (toolchains, error) == ((), "toolchain '1.80' is not installed")


@pytest.mark.parametrize(
    ("name", "text", "channel"),
    [
        ("rust-toolchain.toml", '[toolchain]\nchannel = "1.80"\n', "1.80"),
        ("rust-toolchain", "nightly-2026-01-01\n", "nightly-2026-01-01"),
        ("rust-toolchain", '[toolchain]\nchannel = "stable"\n', "stable"),
        ("rust-toolchain.toml", '[toolchain]\ncomponents = ["clippy"]\n', None),
    ],
)
def test_the_nearest_pin_upwards(tmp_path, name, text, channel):
    (tmp_path / name).write_text(text)
    (tmp_path / "a" / "b").mkdir(parents=True)
    pin = find_pin(tmp_path / "a" / "b")
    assert (pin.channel if pin else None) == channel


def test_linkers_of_cargo_s_files_the_nearest_first(tmp_path):
    inner, home = tmp_path / "w" / "inner", tmp_path / "home"
    for folder, name, linker in (
        (tmp_path / "w" / ".cargo", "config.toml", "tools/ld"),
        (inner / ".cargo", "config", "near-ld"),
        (home, "config.toml", "home-ld"),
    ):
        folder.mkdir(parents=True)
        triple = "t1" if linker == "near-ld" else "t2"
        (folder / name).write_text(f'[target.{triple}]\nlinker = "{linker}"\n[target."cfg(unix)"]\nrustflags = []\n')
    assert host._linkers(host._configured({"CARGO_HOME": str(home)}, inner)) == {
        "t1": "near-ld",
        "t2": str(tmp_path / "w" / "tools/ld"),
    }


def test_the_first_on_path_that_can_be_run(tmp_path):
    script(tmp_path / "b" / "tool", "")
    script(tmp_path / "c" / "tool", "")
    (tmp_path / "a" / "tool").mkdir(parents=True)
    (tmp_path / "b" / "other").write_text("no program")
    machine = Host(machine="x86_64", path=tuple(str(tmp_path / name) for name in ("absent", "a", "b", "c")))
    assert machine.which("no", "tool") == str(tmp_path / "b" / "tool")
    assert machine.which("other") is None
    assert machine.which(str(tmp_path / "c" / "tool")) == str(tmp_path / "c" / "tool")
    assert machine.which(str(tmp_path / "b" / "other")) is None
