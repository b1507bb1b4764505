"""The climb, with a runner that records what it is asked for and a machine that changes under it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from machines import ARM64, MUSL, WITH_ZIG, Recorder, context

from buildlib.rust import provision
from buildlib.core.errors import MissingRequirements, NetworkError
from buildlib.core.targets import TARGETS
from buildlib.rust.std import Compiler

RISCV64 = TARGETS["riscv64"]
OFFLINE = "error: could not download file\n  tcp connect error\n  Connection refused (os error 111)"


@pytest.fixture
def then(monkeypatch):
    """What the next looks at the machine find, the last one for good."""

    def looks(*hosts):
        left = list(hosts)
        monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: left.pop(0) if len(left) > 1 else left[0])

    return looks


def with_std(toolchain, *targets):
    return replace(toolchain, stds=toolchain.stds | {target.triple for target in targets})


def test_what_is_there_asks_nothing(machine, rustup):
    run = Recorder()
    have = with_std(rustup, ARM64)
    _, chosen = provision.climb(context(machine(toolchains=(have,)), run), (ARM64,))
    assert (chosen, run.asked) == ({"arm64": Compiler(toolchain=have)}, [])


def test_the_first_rung_that_holds_ends_the_climb(machine, rustup, system, then):
    run = Recorder()
    have = with_std(rustup, ARM64)
    then(machine(tools=["rustup"], toolchains=(have, system)))
    _, chosen = provision.climb(context(machine(tools=["rustup"], toolchains=(rustup, system)), run), (ARM64,))
    assert (chosen, run.asked) == ({"arm64": Compiler(toolchain=have)}, ["std for arm64 from rustup"])


def test_a_network_that_is_down_is_asked_once(machine, rustup, system, then, capsys):
    run = Recorder({"std for arm64 from rustup": (1, OFFLINE)})
    before = machine(tools=["rustup"], toolchains=(rustup, system))
    first = replace(system, managed=frozenset({ARM64.triple}))
    both = replace(system, managed=frozenset({ARM64.triple, RISCV64.triple}))
    hosts = (machine(tools=["rustup"], toolchains=(rustup, built)) for built in (first, both))
    then(before, *hosts)
    _, chosen = provision.climb(context(before, run), (ARM64, RISCV64))
    assert run.asked == ["std for arm64 from rustup", "std for arm64 from source", "std for riscv64 from source"]
    assert {name: c.sysroot for name, c in chosen.items()} == dict.fromkeys(("arm64", "riscv64"), system.managed_root)
    assert "not to be had this way: Connection refused (os error 111)" in capsys.readouterr().err


def test_targets_out_of_reach_are_named_together(machine, rustup, then):
    run = Recorder({"std for arm64 from rustup": (1, "error: no"), "std for arm64-musl from rustup": (1, "error: no")})
    host = machine(tools=["rustup"], toolchains=(rustup,))
    then(host)
    with pytest.raises(MissingRequirements, match="no Rust standard library for arm64, arm64-musl"):
        provision.climb(context(host, run), (ARM64, MUSL))


def test_a_dry_run_takes_the_first_rung_for_granted(machine, rustup):
    run = Recorder(dry=True)
    host = machine(tools=["rustup"], toolchains=(rustup,))
    _, chosen = provision.climb(context(host, run), (ARM64,))
    assert chosen == {"arm64": Compiler(toolchain=rustup)}


# --- host tools -------------------------------------------------------------------------------------------

GRAPH = {
    "packages": [{"id": "a", "name": "app"}, {"id": "p", "name": "prost-build"}],
    "workspace_members": ["a"],
    "resolve": {
        "nodes": [
            {"id": "a", "deps": [{"pkg": "p", "dep_kinds": [{"kind": "build"}]}], "features": []},
            {"id": "p", "deps": [], "features": []},
        ]
    },
}


def tools(where, run, host):
    return provision._host_tools(context(host, run, root=where), (ARM64, RISCV64))


def test_the_graph_is_asked_once_a_target_and_kept_until_the_lock_changes(machine, rustup, tmp_path):
    host, run = machine(toolchains=(rustup,)), Recorder({"crate graph": (0, json.dumps(GRAPH))})
    lock = tmp_path / "Cargo.lock"
    lock.write_text('name = "prost-build"\n')
    manifest = tmp_path / "Cargo.toml"
    manifest.write_text("[package]\n")
    for asked in (2, 2):
        assert {name: tuple(crates) for name, crates in tools(tmp_path, run, host).items()} == {
            "protoc": ("prost-build",)
        }
        assert len(run.asked) == asked
    lock.write_text('name = "prost-build"\nname = "other"\n')
    tools(tmp_path, run, host)
    assert len(run.asked) == 4
    manifest.write_text("[package]\n[features]\n")
    tools(tmp_path, run, host)
    assert len(run.asked) == 6


def test_a_lock_without_known_crates_saves_the_graph(machine, rustup, tmp_path):
    run = Recorder()
    (tmp_path / "Cargo.lock").write_text('name = "serde"\n')
    assert tools(tmp_path, run, machine(toolchains=(rustup,))) == {} and run.asked == []


def test_a_graph_that_the_network_denies_is_a_network_error(machine, rustup, tmp_path):
    run = Recorder({"crate graph": (101, "error: failed to download\n  Could not resolve host: index")})
    with pytest.raises(NetworkError) as caught:
        tools(tmp_path, run, machine(toolchains=(rustup,)))
    assert caught.value.code == 5


# --- setup ------------------------------------------------------------------------------------------------

LOADER = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"
COMPLETE = {"tools": ["apt-get", "qemu-aarch64-static"], "files": [LOADER]}


@pytest.fixture
def plain(tmp_path):
    """A workspace whose crates run nothing."""
    (tmp_path / "Cargo.lock").write_text('name = "serde"\n')
    return tmp_path


def test_setup_touches_nothing_where_nothing_is_missing(machine, rustup, then, plain):
    host = machine(**COMPLETE, toolchains=(with_std(rustup, ARM64),), **WITH_ZIG)
    then(host)
    run = Recorder()
    provision.setup(context(host, run, root=plain), (ARM64,), yes=False)
    assert run.asked == []


def test_setup_installs_what_is_missing_as_one_step(machine, rustup, then, plain):
    have = (with_std(rustup, ARM64),)
    before = machine(tools=["apt-get"], toolchains=have, root=True, **WITH_ZIG)
    then(machine(**COMPLETE, toolchains=have, root=True, **WITH_ZIG))
    run = Recorder()
    provision.setup(context(before, run, root=plain), (ARM64,), yes=True)
    assert run.asked == [
        "apt-get update",
        "apt-get install --yes --no-install-recommends qemu-user-static libc6-arm64-cross libgcc-s1-arm64-cross",
    ]


def test_nobody_to_ask_is_no(machine, rustup, then, capsys, plain):
    host = machine(tools=["apt-get"], toolchains=(with_std(rustup, ARM64),), root=True, **WITH_ZIG)
    then(host)
    run = Recorder()
    provision.setup(context(host, run, root=plain), (ARM64,), yes=False)  # only the check is missing: a warning
    told = capsys.readouterr().err
    assert run.asked == [] and "warning: nothing was installed; say --yes" in told and "still no QEMU" in told
    with pytest.raises(MissingRequirements, match="nothing was installed"):  # without std there is no build
        provision.setup(
            context(machine(tools=["apt-get"], toolchains=(rustup,), **WITH_ZIG), run, root=plain), (ARM64,), yes=False
        )


def test_without_any_way_to_std_setup_brings_the_distribution_s_rust(machine, rustup, system, then, plain):
    bare = machine(**COMPLETE, toolchains=(rustup,), root=True, **WITH_ZIG)
    then(machine(**COMPLETE, toolchains=(rustup, system), root=True, **WITH_ZIG))
    run = Recorder({"packages": (100, "")})
    with pytest.raises(MissingRequirements, match="the distribution has no Rust with its sources"):
        provision.setup(context(bare, run, root=plain), (ARM64,), yes=True)
    assert run.asked == [
        "apt-get update", "apt-cache show rustc-web cargo-web rust-web-src", "apt-cache show rustc cargo rust-src",
    ]  # fmt: skip
    run = Recorder()
    provision.setup(context(bare, run, root=plain), (ARM64,), yes=True)
    assert run.asked[-1] == "apt-get install --yes --no-install-recommends rustc-web cargo-web rust-web-src"


def test_gcc_tells_its_headers_where_libclang_brings_none(machine, rustup):
    host = machine(tools=["aarch64-linux-gnu-gcc"], toolchains=(rustup,), libclang=Path("/wheel"))
    run = Recorder({"gcc's headers": (0, "/usr/lib/gcc-cross/include\n")})
    backend = provision.backends(context(host, run, backend="gcc"), (ARM64,))["arm64"]
    assert backend.headers == "/usr/lib/gcc-cross/include"
    assert run.asked == ["/usr/bin/aarch64-linux-gnu-gcc -print-file-name=include"]
