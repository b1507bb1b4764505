import pytest

from buildlib.emulation import qemu
from buildlib.core.plan import Outcome, Step
from buildlib.core.targets import TARGETS

ARM64 = TARGETS["arm64"]
LOADER = "/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1"


def test_the_native_arch_needs_no_words(machine):
    assert qemu.runner(machine(machine="aarch64"), ARM64, static=False) == ()
    assert qemu.runner(machine(machine="x86_64"), TARGETS["amd64-musl"], static=True) == ()


def test_qemu_gets_the_target_s_libraries(machine):
    host = machine(tools=["qemu-aarch64", "qemu-aarch64-static"], files=[LOADER])
    assert qemu.runner(host, ARM64, static=False) == (
        "/usr/bin/qemu-aarch64-static",
        "-L",
        "/usr/aarch64-linux-gnu",
    )
    assert qemu.runner(host, ARM64, static=True) == ("/usr/bin/qemu-aarch64-static",)


def test_libraries_in_the_cache_or_where_the_user_says(machine):
    cached = machine(tools=["qemu-aarch64"], files=["/cache/libc/arm64/lib/ld-linux-aarch64.so.1"])
    assert qemu.runner(cached, ARM64, static=False)[1:] == ("-L", "/cache/libc/arm64")
    own = machine(
        tools=["qemu-aarch64"], files=["/own/lib/ld-linux-aarch64.so.1", LOADER], env={"QEMU_LD_PREFIX": "/own"}
    )
    assert qemu.runner(own, ARM64, static=False)[1:] == ("-L", "/own")


def test_where_nothing_can_start_it_nothing_is_claimed(machine):
    assert qemu.runner(machine(), ARM64, static=True) is None
    assert qemu.runner(machine(tools=["qemu-aarch64"]), ARM64, static=False) is None


@pytest.mark.parametrize(
    ("answer", "old"),
    [
        ("qemu-loongarch64 version 7.2.22 (Debian)", True),
        ("qemu-loongarch64 version 8.1.0", False),
        ("version 10.0.1", False),
        ("", False),
    ],
)
def test_a_qemu_that_is_too_old_is_no_reason_to_refuse(answer, old):
    assert bool(qemu.too_old(answer, TARGETS["loong64"])) is old


@pytest.mark.parametrize(
    ("code", "output", "trouble"),
    [
        (0, "", ""),
        (2, "error: unexpected argument '--version'", ""),
        (1, "no configuration", ""),
        (124, "", ""),
        (127, "x: error while loading shared libraries: libssl.so.3: cannot open", ""),
        (127, "qemu-arm: Could not open '/lib/ld-linux-armhf.so.3'", "exit code 127"),
        (126, "cannot execute binary file: Exec format error", "exit code 126"),
        (132, "qemu: uncaught target signal 4 (Illegal instruction) - core dumped", "a crash"),
        (139, "", "a crash (signal 11)"),
    ],
)  # fmt: skip
def test_a_crash_is_told_from_a_program_that_dislikes_the_flag(code, output, trouble):
    said = qemu.start_problem(Outcome(step=Step(title="", argv=("x",)), code=code, seconds=0, output=output))
    assert said.startswith(trouble) and bool(said) is bool(trouble)
