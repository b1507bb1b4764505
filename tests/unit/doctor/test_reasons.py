"""Every variable that a build sets has a reason in the report of a bug, and flags have their origin."""

from pathlib import Path

import pytest
from machines import AMD64, ARM64, MUSL, WITH_ZIG, choose, sysroot

from buildlib.core.targets import TARGETS
from buildlib.doctor import reasons
from buildlib.machine import cargo_config
from buildlib.rust.environment import environment
from buildlib.rust.std import Compiler

FILE = Path("/w/.cargo/config.toml")
FLAGS = {"RUSTFLAGS": "-C target-cpu=native --cfg x"}
GCC = ["gcc", "cc", "aarch64-linux-gnu-gcc", "riscv64-linux-gnu-gcc"]


@pytest.mark.parametrize(
    ("backend", "target"),
    [
        *(("zig", target) for target in (AMD64, ARM64, MUSL)),
        *(("gcc", target) for target in (AMD64, ARM64, TARGETS["riscv64"])),
    ],
    ids=str,
)
@pytest.mark.parametrize("with_libraries", [True, False])
def test_every_variable_has_a_reason(machine, rustup, backend, target, with_libraries):
    host = machine(
        tools=GCC, env=FLAGS, cargo_config=cargo_config.resolve([], FLAGS, Path("/w")), toolchains=(rustup,),
        libclang=Path("/libclang"), sysroots={target.name: sysroot()} if with_libraries else {}, **WITH_ZIG,
    )  # fmt: skip
    chosen = choose(host, target, backend=backend)
    env, _ = environment(host, target, chosen, Compiler(toolchain=rustup), Path("/t"))
    assert {name for name in env if not reasons.reason(name, target, chosen)} == {"PATH"}


def test_a_name_means_the_target_or_this_machine(machine):
    def why(name, target):
        host = machine(tools=GCC, **WITH_ZIG)
        return reasons.reason(name, target, choose(host, target, backend="gcc"))

    assert why("CC", ARM64) == "for build scripts that know no other name"
    assert why("CC_aarch64_unknown_linux_gnu", ARM64) == "the compiler of the target"
    assert why("CC_x86_64_unknown_linux_gnu", ARM64) == "for what runs during the build"
    assert why("CC_x86_64_unknown_linux_gnu", AMD64) == "the compiler of the target"
    assert why("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", ARM64) == "the GNU compiler for the target"
    assert why("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", ARM64) == "for what runs during the build"
    assert why("CARGO_PROFILE_RELEASE_LTO", ARM64) == ""


def test_flags_have_their_origin(machine):
    settings = {
        "build": {"rustflags": ["--cfg", "build"]},
        "target": {
            ARM64.triple: {"rustflags": ["--cfg", "a", "-Cx=y"]},
            'cfg(target_feature = "x")': {"rustflags": "-Cz"},
        },
    }
    host = machine(cargo_config=cargo_config.resolve([(FILE, settings)], {}, Path("/w")))
    maybe = '-Cz (target.cfg(target_feature = "x").rustflags in /w/.cargo/config.toml, if rustc says that it applies)'
    assert list(reasons.rustflags(host, ARM64)) == [
        "--cfg a -Cx=y (target.aarch64-unknown-linux-gnu.rustflags in /w/.cargo/config.toml)", maybe,
    ]  # fmt: skip
    assert next(reasons.rustflags(host, AMD64)) == "--cfg build (build.rustflags in /w/.cargo/config.toml)"
    host = machine(cargo_config=cargo_config.resolve([(FILE, settings)], FLAGS, Path("/w")))
    assert list(reasons.rustflags(host, AMD64)) == ["-C target-cpu=native --cfg x (RUSTFLAGS)"]
    assert list(reasons.rustflags(machine(), AMD64)) == []
