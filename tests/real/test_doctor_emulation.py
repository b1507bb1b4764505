"""`buildlib doctor` on emulation: handlers of binfmt_misc, versions of QEMU, loaders of other machines."""

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from testbed import buildlib, run, skip_or_fail

BINFMT = Path("/proc/sys/fs/binfmt_misc")
pytestmark = pytest.mark.slow


@contextmanager
def registered(name, flags):
    """Register the handler with other flags, as a script of another tool might."""
    lines = (BINFMT / name).read_text().splitlines()
    entry = dict(line.split(" ", 1) for line in lines if " " in line)

    def escaped(word):
        return "".join(f"\\x{word[at : at + 2]}" for at in range(0, len(word), 2))

    def register(flags):
        if (BINFMT / name).exists():
            (BINFMT / name).write_text("-1")
        magic, mask = escaped(entry["magic"]), escaped(entry["mask"])
        (BINFMT / "register").write_text(f":{name}:M:{entry['offset']}:{magic}:{mask}:{entry['interpreter']}:{flags}")

    register(flags)
    try:
        yield
    finally:
        register(entry["flags:"].strip())


def flags_of(name):
    return (BINFMT / name).read_text().split("flags:")[1].split()[0]


def test_a_handler_without_the_flag_f_is_found_and_fixed(uncompiled):
    requirement = "handler for arm64 with the flag F"
    with registered("qemu-aarch64", "P"):
        assert uncompiled.doctor()[requirement] == (
            "warn",
            "without it QEMU would have to be inside every container",
            ["update-binfmts --disable, then --enable"],
        )
        options = ("doctor", "--fix", "--yes", "--arch", "arm64")
        dry = buildlib("--dry", *options, cwd=uncompiled.root, env=uncompiled.env)
        assert dry.code == 0 and "update-binfmts --disable qemu-aarch64" in dry.err, dry
        assert flags_of("qemu-aarch64") == "P"
        assert f"still missing: {requirement}" not in uncompiled.fix()
        assert "F" in flags_of("qemu-aarch64") and requirement not in uncompiled.doctor()


def test_a_disabled_handler(uncompiled):
    (BINFMT / "qemu-aarch64").write_text("0")
    try:
        assert uncompiled.doctor()["handler for arm64"] == (
            "warn",
            "containers of arm64 start through it",
            [
                "apt-get install qemu-user-static binfmt-support, "
                "or docker run --privileged --rm tonistiigi/binfmt --install arm64"
            ],
        )
    finally:
        (BINFMT / "qemu-aarch64").write_text("1")


def qemu_version(program, env):
    return re.search(r"version ([\d.]+)", run(program, "--version", env=env).out)[1]


def test_an_old_qemu_beside_a_newer_one_is_named_with_what_it_lacks(uncompiled, loong64):
    """Debian 12's QEMU is too old for LoongArch. Containers use the kernel's handler, tests the first QEMU on PATH."""
    name = "qemu-loongarch64-static"
    installed, newer = qemu_version(name, None), qemu_version(name, loong64)
    if not int(installed.split(".")[0]) < 8 <= int(newer.split(".")[0]):
        skip_or_fail("a QEMU before 8.1", "run on Debian 12")
    assert uncompiled.doctor(arch="loong64", env=loong64)["a QEMU that emulates loong64"] == (
        "warn",
        f"QEMU {installed}: 8.1 is the first version that runs it; used for containers",
        [f"qemu-user-static of a newer distribution, in place of {Path(shutil.which(name)).resolve()}"],
    )
    done = buildlib("doctor", "--arch", "loong64", "--json", cwd=uncompiled.root, env=uncompiled.env | loong64)
    assert f"{installed} for containers, {newer} for tests" in [row["have"] for row in json.loads(done.out)]


def test_a_loader_of_another_machine(uncompiled, cross_gcc, tmp_path):
    root = tmp_path / "root"
    loader = root / "lib" / "ld-linux-aarch64.so.1"
    loader.parent.mkdir(parents=True)
    shutil.copy2("/lib64/ld-linux-x86-64.so.2", loader)
    requirement = "a loader of arm64"
    state, why, help_texts = uncompiled.doctor(env={"QEMU_LD_PREFIX": str(root)})[requirement]
    assert state == "warn" and str(loader) in why and "Invalid ELF image for this architecture" in why
    assert help_texts == [
        f"unset QEMU_LD_PREFIX if it names {root}; else apt-get install --reinstall libc6-arm64-cross"
    ]
    # QEMU itself gives this error.
    program = tmp_path / "hello"
    (tmp_path / "hello.c").write_text("int main(void) { return 0; }")
    built = run("aarch64-linux-gnu-gcc", "-o", program, tmp_path / "hello.c")
    assert built.code == 0, built
    failed = run("qemu-aarch64-static", "-L", root, program)
    assert "Invalid ELF image for this architecture" in failed.err, failed
    assert requirement not in uncompiled.doctor()
