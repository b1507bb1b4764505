"""`setup`: what it installs, with a runner that records commands and a machine that changes after them."""

from dataclasses import replace

import pytest
from machines import ARM64, WITH_ZIG, Recorder, context

from buildlib.core.errors import MissingRequirements
from buildlib.doctor import fix

LOADER = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"
COMPLETE = {"tools": ["apt-get", "qemu-aarch64-static"], "files": [LOADER]}


@pytest.fixture
def probed(monkeypatch):
    """The host that every further probe of the machine returns."""
    return lambda host: monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: host)


@pytest.fixture
def plain(tmp_path):
    """A workspace whose crates run no host tools."""
    (tmp_path / "Cargo.lock").write_text('name = "serde"\n')
    return tmp_path


def with_std(toolchain):
    return replace(toolchain, stds=toolchain.stds | {ARM64.triple})


def test_a_complete_machine_is_left_alone(machine, rustup, probed, plain):
    host = machine(**COMPLETE, toolchains=(with_std(rustup),), **WITH_ZIG)
    probed(host)
    run = Recorder()
    fix.setup(context(host, run, root=plain), (ARM64,), yes=False)
    assert run.asked == []


def test_missing_packages_are_installed_in_one_step(machine, rustup, probed, plain):
    toolchains = (with_std(rustup),)
    before = machine(tools=["apt-get"], toolchains=toolchains, root=True, **WITH_ZIG)
    probed(machine(**COMPLETE, toolchains=toolchains, root=True, **WITH_ZIG))
    run = Recorder()
    fix.setup(context(before, run, root=plain), (ARM64,), yes=True)
    assert run.asked == [
        "apt-get update",
        "apt-get install --yes --no-install-recommends qemu-user-static libc6-arm64-cross libgcc-s1-arm64-cross",
    ]


def test_nothing_is_installed_without_an_answer(machine, rustup, probed, capsys, plain):
    host = machine(tools=["apt-get"], toolchains=(with_std(rustup),), root=True, **WITH_ZIG)
    probed(host)
    run = Recorder()
    fix.setup(context(host, run, root=plain), (ARM64,), yes=False)  # only checks are missing: a warning
    printed = capsys.readouterr().err
    assert run.asked == []
    assert "warning: nothing was installed" in printed and "--yes" in printed and "still missing: QEMU" in printed
    without_std = machine(tools=["apt-get"], toolchains=(rustup,), **WITH_ZIG)
    with pytest.raises(MissingRequirements, match="nothing was installed"):  # nothing can be built without std
        fix.setup(context(without_std, run, root=plain), (ARM64,), yes=False)


def test_the_distribution_s_rust_is_installed_if_there_is_no_other_source_of_std(
    machine, rustup, system, probed, plain
):
    before = machine(**COMPLETE, toolchains=(rustup,), root=True, **WITH_ZIG)
    probed(machine(**COMPLETE, toolchains=(rustup, system), root=True, **WITH_ZIG))
    run = Recorder({"packages": (100, "")})
    with pytest.raises(MissingRequirements, match="the distribution has no Rust with its sources"):
        fix.setup(context(before, run, root=plain), (ARM64,), yes=True)
    assert run.asked == [
        "apt-get update", "apt-cache show rustc-web cargo-web rust-web-src", "apt-cache show rustc cargo rust-src",
    ]  # fmt: skip
    run = Recorder()
    fix.setup(context(before, run, root=plain), (ARM64,), yes=True)
    assert run.asked[-1] == "apt-get install --yes --no-install-recommends rustc-web cargo-web rust-web-src"
