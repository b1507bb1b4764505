"""The gate, on a real program of this machine; the runner that would start it only records."""

from dataclasses import replace

import pytest
from elf_files import archive, header, linked, member
from machines import sysroot

from buildlib.binaries import gate
from buildlib.binaries.start import NOT_STARTED, Started
from buildlib.core.errors import Refused
from buildlib.core.targets import TARGETS
from buildlib.elf import read
from buildlib.emulation import sandbox
from buildlib.emulation.baseline import NOT_CHECKED


def started(flag):
    """Started on this machine alone, which has no QEMU."""
    return Started(flag, NOT_CHECKED)


def check(compiled, program, target, **more):
    context, *_ = compiled(**more)
    return gate.check(context, program, read(program), target, ""), context.run.asked


def test_a_program_is_started_with_version_and_then_with_help(compiled, program, native):
    assert check(compiled, program, native)[0] == ([], started("--version"))
    name = program.name
    answers = {f"start {name}": (2, "usage: app")}
    result, commands = check(compiled, program, native, answers=answers)
    assert result == ([], started("--version (exit code 2)"))
    assert [command.split()[-2:] for command in commands] == [[str(program), "--version"], [str(program), "--help"]]


def test_a_program_that_crashes_is_a_mismatch(compiled, program, native):
    answers = {f"start {program.name}": (139, "Segmentation fault")}
    result, commands = check(compiled, program, native, answers=answers)
    assert result == (["crashed when started with --version: Segmentation fault"], NOT_STARTED)
    assert [command.split()[-2:] for command in commands] == [[str(program), "--version"]]


def test_a_program_that_the_kernel_does_not_execute_is_a_mismatch(compiled, program, native):
    """Uploads of workflows lose the mode of files; the other files of the directory are verified all the same."""
    answers = {f"start {program.name}": (126, f"{sandbox.NOT_EXECUTED}Permission denied")}
    assert check(compiled, program, native, answers=answers)[0] == (
        ["cannot be executed: Permission denied (chmod +x)"],
        NOT_STARTED,
    )


def test_a_program_that_exceeds_a_limit_is_a_mismatch(compiled, program, native):
    answers = {f"start {program.name}": (125, f"x\n{sandbox.STOPPED}more than 256 processes")}
    result, _ = check(compiled, program, native, answers=answers)
    assert result == (["stopped when started with --version: more than 256 processes"], NOT_STARTED)


def test_a_machine_that_cannot_isolate_programs_is_a_warning_once(compiled, program, native, capsys):
    answers = {f"start {program.name}": (0, f"{sandbox.NOTICE}Operation not permitted\napp 1.0")}
    context, *_ = compiled(answers=answers)
    for _ in range(2):
        assert gate.check(context, program, read(program), native, "") == ([], started("--version"))
    warning = "warning: programs are started without isolation from this machine: Operation not permitted\n"
    assert capsys.readouterr().err == warning


def test_a_program_is_not_started_unless_asked(compiled, program, native):
    context, *_ = compiled()
    assert gate.check(context, program, read(program), native, "", run=False) == ([], NOT_STARTED)
    assert context.run.asked == []


def test_a_missing_library_is_a_warning(compiled, program, native, capsys):
    output = "app: error while loading shared libraries: libssl.so.3: cannot open shared object file"
    (result, _) = check(compiled, program, native, answers={f"start {program.name}": (127, output)})
    assert result == ([], NOT_STARTED)
    reason = output.partition("libraries: ")[2]
    warning = f"warning: {program.name}: not started, a shared library is missing: {reason}\n"
    assert capsys.readouterr().err == warning


def test_a_program_with_a_mismatch_is_not_started(compiled, program, native):
    result, commands = check(compiled, program, TARGETS["s390x"])
    actual = f"{read(program).machine} ({native.name})"
    assert (result, commands) == (([f"machine: {actual}, expected 22 (s390x)"], NOT_STARTED), [])


MACHINE = 18  # the offset of e_machine
SONAME, NEEDED, TEXTREL = 14, 1, 22


def library(native, *tags):
    """A shared library for this machine that does nothing."""
    data = bytearray(linked((NEEDED, "libc.so.6"), *tags))
    data[MACHINE : MACHINE + 2] = native.elf.machine.to_bytes(2, "little")
    return bytes(data)


@pytest.mark.parametrize("kind", ["cdylib", "bin"])
def test_a_library_is_not_started(compiled, native, tmp_path, kind):
    path = tmp_path / "libx.so"
    path.write_bytes(library(native))
    context, *_ = compiled()
    result = gate.check(context, path, gate.read(path), native, "", kind)
    refusals = ["type: a shared library, expected an executable"] if kind == "bin" else []
    assert (result, context.run.asked) == ((refusals, NOT_STARTED), [])


def test_a_library_must_have_a_soname_of_its_file(compiled, native, tmp_path):
    path = tmp_path / "libx.so"
    path.write_bytes(library(native, (SONAME, "liby.so"), (TEXTREL, 0)))
    assert gate.check(compiled()[0], path, gate.read(path), native, "", "cdylib")[0] == [
        "text relocations: present, expected none: all code, also assembly, position-independent",
        "soname: liby.so, expected libx.so, with a version or without",
    ]
    path.write_bytes(library(native, (SONAME, "libx.so.1")))
    assert gate.check(compiled()[0], path, gate.read(path), native, "", "cdylib") == ([], NOT_STARTED)


def test_an_archive_is_read_and_not_started(compiled, tmp_path):
    path = tmp_path / "libx.a"
    path.write_bytes(archive(member("a.o/", header(183)), member("b.o/", header(62))))
    context, *_ = compiled()
    result = gate.check(context, path, gate.read(path), TARGETS["arm64"], "2.31", "staticlib")
    assert (result, context.run.asked) == ((["machine of b.o: 62 (amd64), expected 183 (arm64)"], NOT_STARTED), [])


def test_an_example_is_started_as_a_program(compiled, program, native):
    context, *_ = compiled()
    assert gate.check(context, program, gate.read(program), native, "", "example") == ([], started("--version"))


def test_all_mismatches_are_one_error():
    gate.refuse(TARGETS["arm64"], [])
    with pytest.raises(Refused) as caught:
        gate.refuse(TARGETS["arm64"], ["app: rpath: /x, expected none", "tool: type: ET_REL, expected an executable"])
    assert caught.value.message == (
        "arm64: the gate refused\n  app: rpath: /x, expected none\n  tool: type: ET_REL, expected an executable"
    )


def test_a_library_that_no_package_has_is_a_problem_if_there_are_packages(compiled, native, tmp_path):
    path = tmp_path / "libx.so"
    path.write_bytes(library(native, (NEEDED, "libssl.so.3"), (NEEDED, "libfoo.so.1"), (NEEDED, "libstdc++.so.6")))
    context, *_ = compiled()
    with_packages = replace(context, host=replace(context.host, sysroots={native.name: sysroot()}))
    assert gate.check(context, path, read(path), native, "", "cdylib")[0] == []
    problem = "needed libraries: libfoo.so.1, expected one of the packages in `libraries`"
    assert gate.check(with_packages, path, read(path), native, "", "cdylib")[0] == [problem]
