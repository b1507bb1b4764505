"""Which source provides std, with a runner that records commands and a machine that changes after each of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from machines import ARM64, MUSL, WITH_ZIG, Recorder, context

from buildlib.core.errors import MissingRequirements
from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config
from buildlib.rust import provision
from buildlib.rust.backends.cross import Cross
from buildlib.rust.cargo import Toolset
from buildlib.rust.std import Compiler

RISCV64 = TARGETS["riscv64"]
OFFLINE = "error: could not download file\n  tcp connect error\n  Connection refused (os error 111)"


@pytest.fixture
def probes(monkeypatch):
    """The hosts that the next probes of the machine return; the last one stays."""

    def probes(*hosts):
        remaining = list(hosts)
        monkeypatch.setattr(
            "buildlib.process.context.probe", lambda env, cwd: remaining.pop(0) if len(remaining) > 1 else remaining[0]
        )

    return probes


def with_std(toolchain, *targets):
    return replace(toolchain, stds=toolchain.stds | {target.triple for target in targets})


def test_an_installed_std_runs_no_command(machine, rustup):
    run = Recorder()
    complete = with_std(rustup, ARM64)
    _, compilers = provision.provide_std(context(machine(toolchains=(complete,)), run), (ARM64,))
    assert (compilers, run.asked) == ({ARM64: Compiler(toolchain=complete)}, [])


def test_no_source_is_tried_after_one_that_succeeds(machine, rustup, system, probes):
    run = Recorder()
    complete = with_std(rustup, ARM64)
    probes(machine(tools=["rustup"], toolchains=(complete, system)))
    before = machine(tools=["rustup"], toolchains=(rustup, system))
    _, compilers = provision.provide_std(context(before, run), (ARM64,))
    assert (compilers, run.asked) == ({ARM64: Compiler(toolchain=complete)}, ["std for arm64 from rustup"])


def test_a_network_that_is_down_is_tried_once(machine, rustup, system, probes, capsys):
    run = Recorder({"std for arm64 from rustup": (1, OFFLINE)})
    before = machine(tools=["rustup"], toolchains=(rustup, system))
    first = replace(system, managed=frozenset({ARM64.triple}))
    both = replace(system, managed=frozenset({ARM64.triple, RISCV64.triple}))
    probes(before, *(machine(tools=["rustup"], toolchains=(rustup, built)) for built in (first, both)))
    _, compilers = provision.provide_std(context(before, run), (ARM64, RISCV64))
    assert run.asked == ["std for arm64 from rustup", "std for arm64 from source", "std for riscv64 from source"]
    sysroots = {target: compiler.sysroot for target, compiler in compilers.items()}
    assert sysroots == dict.fromkeys((ARM64, RISCV64), system.managed_root)
    assert "std for arm64 from rustup failed: Connection refused (os error 111)" in capsys.readouterr().err


def test_the_error_names_all_targets_that_no_source_provides(machine, rustup, probes):
    run = Recorder({"std for arm64 from rustup": (1, "error: no"), "std for arm64-musl from rustup": (1, "error: no")})
    host = machine(tools=["rustup"], toolchains=(rustup,))
    probes(host)
    with pytest.raises(MissingRequirements, match="no Rust standard library for arm64, arm64-musl"):
        provision.provide_std(context(host, run), (ARM64, MUSL))


def test_std_is_not_compiled_if_the_caller_excludes_it(machine, system, rustup):
    run = Recorder()
    host = machine(toolchains=(system, with_std(rustup, MUSL)))
    _, compilers = provision.provide_std(context(host, run), (ARM64, MUSL), compiling=False)
    assert (compilers, run.asked) == ({MUSL: Compiler(toolchain=with_std(rustup, MUSL))}, [])


def test_a_dry_run_assumes_that_the_first_source_succeeds(machine, rustup):
    run = Recorder(dry=True)
    host = machine(tools=["rustup"], toolchains=(rustup,))
    _, compilers = provision.provide_std(context(host, run), (ARM64,))
    assert compilers == {ARM64: Compiler(toolchain=rustup)}


def test_gcc_passes_on_its_headers_where_libclang_has_none(machine, rustup):
    host = machine(tools=["aarch64-linux-gnu-gcc"], toolchains=(rustup,), libclang=Path("/wheel"))
    run = Recorder({"gcc's headers": (0, "/usr/lib/gcc-cross/include\n")})
    backend = provision.backends(context(host, run, backend="gcc"), (ARM64,))[ARM64]
    assert backend.headers == "/usr/lib/gcc-cross/include"
    assert run.asked == ["/usr/bin/aarch64-linux-gnu-gcc -print-file-name=include"]


def test_cross_gets_no_compiler_of_this_machine(machine, rustup):
    run = Recorder()
    at = context(machine(tools=["cross"], toolchains=(rustup,), **WITH_ZIG), run, backend="cross")
    _, toolsets = provision.toolsets(at, provision.backends(at, (ARM64,)))
    cross = Cross(why="requested", minimum_glibc="")
    assert (toolsets, run.asked) == ((Toolset(target=ARM64, backend=cross, compiler=None),), [])


def test_the_error_lists_every_missing_requirement_at_once(machine, rustup, tmp_path):
    (tmp_path / "Cargo.lock").write_text('name = "prost-build"\nname = "openssl-sys"\n')
    tables = {"target": {rustup.host: {"linker": "/opt/ld"}}, "build": {"rustc-wrapper": "sccache"}}
    config = cargo_config.resolve([(Path("/w/.cargo/config.toml"), tables)], {}, Path("/w"))
    host = machine(toolchains=(rustup,), cargo_config=config)
    at = context(host, Recorder({"crate graph": (0, json.dumps(GRAPH))}), root=tmp_path, backend="zig")
    with pytest.raises(MissingRequirements) as caught:
        provision.require(provision.requirements(at, provision.backends(at, (ARM64,))), at)
    first, *lines = caught.value.message.splitlines()
    assert first == "missing on this machine:"
    assert [line.split(" (")[0].strip() for line in lines] == [
        "Rust standard library for arm64", "zig", "cargo-zigbuild", "/opt/ld", "sccache", "protoc", "pkg-config",
        "OpenSSL for arm64",
    ]  # fmt: skip


def unit(name, kind, *deps, on=None, mode="build"):
    target = {"kind": [kind], "src_path": f"/c/{name}/build.rs"}
    return {"pkg_id": f"registry+https://x#{name}@1.0.0", "target": target, "platform": on, "mode": mode, "features": [],
            "dependencies": [{"index": index} for index in deps]}  # fmt: skip


GRAPH = {
    "units": [
        unit("app", "custom-build", 1, on=ARM64.triple, mode="run-custom-build"), unit("app", "custom-build", 2),
        unit("prost-build", "lib"),
        unit("openssl-sys", "custom-build", 4, on=ARM64.triple, mode="run-custom-build"), unit("openssl-sys", "custom-build"),
    ]
}  # fmt: skip


def test_a_lock_file_without_known_crates_saves_the_question(machine, rustup, tmp_path):
    (tmp_path / "Cargo.lock").write_text('name = "serde"\nname = "ring"\n')
    run = Recorder()
    at = context(machine(toolchains=(rustup,), **WITH_ZIG), run, root=tmp_path)
    provision.requirements(at, provision.backends(at, (ARM64,)))
    assert run.asked == []


def test_tests_are_compiled_with_more_crates_than_a_build(machine, rustup, tmp_path):
    run = Recorder({"crate graph": (0, json.dumps(GRAPH))})
    at = context(machine(toolchains=(rustup,), **WITH_ZIG), run, root=tmp_path)
    provision.requirements(at, provision.backends(at, (ARM64,)), tests=True)
    assert [question.split()[1] for question in run.asked] == ["test"]


def test_what_is_not_used_of_the_configuration_is_said_once(machine, rustup, capsys):
    config = cargo_config.resolve([], {"RUSTFLAGS": "-Ctarget-cpu=native"}, Path("/w"))
    complete = with_std(rustup, ARM64, RISCV64)
    at = context(machine(toolchains=(complete,), cargo_config=config, **WITH_ZIG), Recorder())
    provision.toolsets(at, provision.backends(at, (ARM64, RISCV64)))
    assert capsys.readouterr().err.count("target-cpu=native (RUSTFLAGS)") == 1
