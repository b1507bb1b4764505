"""The gate, on a real program of this machine; the runner that would start it only records."""

import pytest

from buildlib.binaries import gate
from buildlib.binaries.elf import read
from buildlib.core.errors import Refused, UsageError
from buildlib.core.targets import TARGETS


def check(compiled, program, target, **more):
    context, *_ = compiled(**more)
    return gate.check(context, program, read(program), target, ""), context.run.asked


def test_a_program_is_started_with_version_and_then_with_help(compiled, program, native):
    assert check(compiled, program, native)[0] == ([], "--version")
    name = program.name
    answers = {f"start {name}": (2, "usage: app")}
    (mismatches, started), commands = check(compiled, program, native, answers=answers)
    assert (mismatches, started) == ([], "--version (exit code 2)")
    assert commands == [f"{program} --version", f"{program} --help"]


def test_a_program_that_crashes_is_a_mismatch(compiled, program, native):
    answers = {f"start {program.name}": (139, "Segmentation fault")}
    result, commands = check(compiled, program, native, answers=answers)
    assert result == (["crashed when started with --version: Segmentation fault"], "")
    assert commands == [f"{program} --version"]


def test_a_program_that_the_kernel_does_not_execute_is_a_mismatch(compiled, program, native, monkeypatch):
    """Uploads of workflows lose the mode of files; the other files of the directory are verified all the same."""
    context, *_ = compiled()

    def refuse(_):
        raise UsageError(f"{program}: Permission denied", "chmod +x")

    monkeypatch.setattr(type(context.run), "__call__", lambda _, step: refuse(step))
    result = gate.check(context, program, read(program), native, "")
    assert result == (["cannot be executed: Permission denied (chmod +x)"], "")


def test_a_missing_library_is_a_warning(compiled, program, native, capsys):
    output = "app: error while loading shared libraries: libssl.so.3: cannot open shared object file"
    (result, _) = check(compiled, program, native, answers={f"start {program.name}": (127, output)})
    assert result == ([], "")
    warning = f"warning: {program.name}: not started, a shared library is missing: {output}\n"
    assert capsys.readouterr().err == warning


def test_a_program_with_a_mismatch_is_not_started(compiled, program, native):
    (mismatches, started), commands = check(compiled, program, TARGETS["s390x"])
    actual = f"{read(program).machine} ({native.name})"
    assert (mismatches, started, commands) == ([f"machine: {actual}, expected 22 (s390x)"], "", [])


def test_all_mismatches_are_one_error():
    gate.refuse(TARGETS["arm64"], [])
    with pytest.raises(Refused) as caught:
        gate.refuse(TARGETS["arm64"], ["app: rpath: /x, expected none", "tool: type: ET_REL, expected an executable"])
    assert caught.value.message == (
        "arm64: the gate refused\n  app: rpath: /x, expected none\n  tool: type: ET_REL, expected an executable"
    )
