"""The rustflags of a workspace, for a target that is not this machine."""

from pathlib import Path

import pytest
from machines import AMD64, ARM64, MUSL

from buildlib.core.errors import UsageError
from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config
from buildlib.machine.cargo_config import Value
from buildlib.rust import user_flags
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig

ZIG, GCC = Zig(why="", minimum_glibc="2.31"), Gcc(why="", minimum_glibc="")
FILE = Path("/w/.cargo/config.toml")


@pytest.fixture
def host(machine, rustup):
    """A machine with this configuration of cargo's."""

    def host(table=None, **env):
        config = cargo_config.resolve([(FILE, table or {})], env, Path("/w"))
        return machine(toolchains=(rustup,), cargo_config=config)

    return host


def build(*flags):
    return {"build": {"rustflags": list(flags)}}


def test_codegen_options_in_all_their_spellings():
    words = ["-C", "a=1", "-Cb_c=2", "--codegen", "d=3", "--codegen=e", "--cfg", "x", "-C", "f=4=5", "-C"]
    flags = tuple(Value(word, "RUSTFLAGS") for word in words)
    found = [(option.name, option.value, option.first, option.last) for option in user_flags.options(flags)]
    assert found == [("a", "1", 0, 1), ("b-c", "2", 2, 2), ("d", "3", 3, 4), ("e", "", 5, 5), ("f", "4=5", 8, 9)]


def test_the_cpu_of_this_machine_is_left_out_for_other_arches(host):
    native = host(build("-C", "target-cpu=native", "--cfg", "x"))
    assert user_flags.replacement(native, ARM64, ZIG) == ("--cfg", "x") == user_flags.replacement(native, ARM64, GCC)
    assert user_flags.replacement(native, AMD64, ZIG) is None
    assert user_flags.replacement(native, TARGETS["amd64-musl"], ZIG) is None
    assert [str(drop) for drop in user_flags.dropped(native, MUSL, ZIG)] == [
        "target-cpu=native (build.rustflags in /w/.cargo/config.toml) means the CPU of this machine"
    ]
    assert user_flags.replacement(host(RUSTFLAGS="-Ctarget-cpu=native"), ARM64, ZIG) == ()


@pytest.mark.parametrize(
    ("cpu", "arches"),
    [
        ("x86-64-v3", {"amd64", "386"}), ("znver4", {"amd64", "386"}), ("skylake-avx512", {"amd64", "386"}),
        ("neoverse-n1", {"arm64", "armv7"}), ("cortex-a72", {"arm64", "armv7"}), ("apple-m1", {"arm64", "armv7"}),
        ("sifive-u74", {"riscv64"}), ("pwr9", {"ppc64le"}), ("z15", {"s390x"}),
        ("generic", {"amd64", "386", "arm64", "armv7", "riscv64", "ppc64le", "s390x"}),
    ],
)  # fmt: skip
def test_a_cpu_of_another_architecture_is_left_out(host, cpu, arches):
    machine = host(build(f"-Ctarget-cpu={cpu}"))
    names = ("amd64", "386", "arm64", "armv7", "riscv64", "ppc64le", "s390x")
    assert {name for name in names if user_flags.replacement(machine, TARGETS[name], ZIG) is None} == arches


def test_what_names_a_linker_is_left_out_where_zig_links(host):
    flags = ("-Clinker=clang", "-C", "link-arg=-fuse-ld=mold", "-Clinker-flavor=ld.lld")
    assert user_flags.replacement(host(build(*flags)), ARM64, ZIG) == ("-C", "link-arg=-fuse-ld=mold")
    assert user_flags.replacement(host(build("-Clinker-flavor=gcc")), ARM64, ZIG) is None
    # For gcc, a linker of all targets is this machine's; one of the target's own table is the target's.
    assert user_flags.replacement(host(build("-Clinker=clang")), ARM64, GCC) == ()
    own = {"target": {ARM64.triple: {"rustflags": ["-Clinker=clang"]}}}
    assert user_flags.replacement(host(own), ARM64, GCC) is None


def test_flags_of_which_only_rustc_knows_whether_they_apply_cannot_be_separated(host):
    table = {**build("-Ctarget-cpu=native"), "target": {'cfg(target_feature = "neon")': {"rustflags": ["-Cx"]}}}
    with pytest.raises(UsageError) as caught:
        user_flags.replacement(host(table), ARM64, ZIG)
    assert (caught.value.message, caught.value.help) == (
        "target-cpu=native (build.rustflags in /w/.cargo/config.toml) means the CPU of this machine, and cannot be left out for"
        " arm64, because target.cfg(target_feature = \"neon\").rustflags in /w/.cargo/config.toml may apply as well",
        "move it to [target.x86_64-unknown-linux-gnu] of the same file",
    )  # fmt: skip
    assert user_flags.replacement(host({"target": table["target"]}), ARM64, ZIG) is None


def test_the_linkers_that_flags_name(host):
    triple = AMD64.triple
    table = {
        "target": {
            triple: {"linker": "clang", "rustflags": ["-C", "link-arg=-fuse-ld=mold", "-Clink-args=-a --ld-path=/l/ld"]}
        }
    }
    assert list(user_flags.fast_linkers(host(table), triple)) == ["mold", "/l/ld"]
    assert user_flags.fast_linkers(host(table), ARM64.triple) == {}
    assert user_flags.chosen_linker(host(table), triple).text == "clang"
    table["target"][triple]["rustflags"].append("-Clinker=gcc")
    assert user_flags.chosen_linker(host(table), triple) == Value("gcc", str(FILE), f"target.{triple}.rustflags")
