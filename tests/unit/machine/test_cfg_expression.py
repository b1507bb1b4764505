"""Keys of cargo's [target] tables, evaluated for triples."""

import pytest

from buildlib.core.targets import TARGETS
from buildlib.machine.cfg_expression import facts, matches

ARM64, MUSL, S390X = (TARGETS[name].triple for name in ("arm64", "riscv64-musl", "s390x"))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cfg(unix)", True),
        ("cfg(windows)", False),
        ("cfg( r#unix )", True),
        ("cfg(true)", True),
        ("cfg(false)", False),
        ('cfg(target_os = "linux")', True),
        ('cfg(target_family="unix")', True),
        ('cfg(target_vendor = "unknown")', True),
        ('cfg(target_arch = "x86_64")', False),
        ('cfg(target_pointer_width = "64")', True),
        ('cfg(all(target_arch = "aarch64", not(target_env = "musl")))', True),
        ('cfg(any(target_arch = "x86_64", target_endian = "big"))', False),
        ("cfg(all())", True),
        ("cfg(any())", False),
        ("cfg(not(any(),))", True),
        # What one argument decides is decided.
        ('cfg(all(target_arch = "x86_64", tokio_unstable))', False),
        ('cfg(any(unix, target_feature = "neon"))', True),
    ],
)
def test_what_a_triple_decides(key, expected):
    assert matches(key, ARM64) is expected


@pytest.mark.parametrize(
    "key",
    [
        'cfg(target_feature = "neon")', "cfg(tokio_unstable)", 'cfg(panic = "unwind")', "cfg(all(unix, x))", "cfg(not(x))",
        ARM64, "unix", "cfg(", "cfg()", "cfg(unix", "cfg(unix))", "cfg(unix windows)", "cfg(all(unix windows))", "cfg(not())",
        "cfg(not(unix, windows))", "cfg(target_os = linux)", 'cfg("linux" = target_os)', "cfg(=)", "cfg($)", "cfg(all(,))",
        f"cfg({'not(' * 5000}unix{')' * 5000})",
    ],
)  # fmt: skip
def test_what_only_rustc_knows_or_is_not_valid(key):
    assert matches(key, ARM64) is None


def test_nothing_is_known_of_other_systems():
    assert facts("aarch64-apple-darwin") == {} and facts("wasm32-unknown-unknown") == {}
    assert matches("cfg(unix)", "aarch64-apple-darwin") is None


def test_the_facts_of_every_target():
    assert {key.removeprefix("target_"): value for key, value in facts(MUSL).items()} == {
        "arch": "riscv64", "pointer_width": "64", "endian": "little", "os": "linux", "env": "musl", "vendor": "unknown",
        "family": "unix",
    }  # fmt: skip
    assert facts(S390X)["target_endian"] == "big"
    for target in TARGETS.values():
        known = facts(target.triple)
        assert known["target_pointer_width"] == str(target.elf.bits)
        assert (known["target_endian"] == "little") is target.elf.little
