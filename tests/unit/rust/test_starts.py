"""Whether zig and cargo-zigbuild start."""

from dataclasses import replace

import pytest
from machines import Recorder, context

from buildlib.core.errors import UsageError
from buildlib.core.requirements import describe, missing
from buildlib.rust import starts
from buildlib.rust.backends.gcc import Gcc
from buildlib.rust.backends.zig import Zig

ZIG = Zig(why="", minimum_glibc="2.31")
VERSIONS = {"zig": (0, "0.17.1\n"), "cargo-zigbuild": (0, "cargo-zigbuild 0.24.1\n")}


@pytest.fixture
def at(machine, tmp_path):
    """A context with real files as zig and cargo-zigbuild."""

    def at(run):
        for name in ("zig", "cargo-zigbuild"):
            if not (tmp_path / name).exists():
                (tmp_path / name).touch()
        host = machine(zig=tmp_path / "zig", zigbuild=tmp_path / "cargo-zigbuild", cache=tmp_path / "cache")
        return context(host, run)

    return at


def absent(context, backend=ZIG):
    return missing(starts.requirements(context, [backend]), context.host)


def test_what_has_started_once_is_not_started_again_until_its_file_changes(at, tmp_path):
    run = Recorder(VERSIONS)
    assert absent(at(run)) == () == absent(at(run))
    assert run.asked == [f"{tmp_path}/zig version", f"{tmp_path}/cargo-zigbuild --version"]
    (tmp_path / "zig").write_text("changed")
    assert absent(at(run)) == () and len(run.asked) == 3


def test_the_cause_is_in_the_requirement_and_is_asked_for_again(at, tmp_path):
    run = Recorder(
        VERSIONS | {"zig": (127, "zig: error while loading shared libraries: libx.so: cannot open shared object file")}
    )
    (requirement,) = absent(at(run))
    assert describe([requirement]) == (
        f"  a zig that starts ({tmp_path}/zig: zig: error while loading shared libraries: libx.so: cannot open shared object file):"
        " pip install --force-reinstall --no-cache-dir 'cargo-zigbuild>=0.24,<0.25' 'ziglang>=0.17,<0.18'"
    )
    assert requirement.required
    assert len(absent(at(run))) == 1 and run.asked.count(f"{tmp_path}/zig version") == 2


def test_another_program_of_that_name_is_no_zig(at):
    assert [one.why.partition(": ")[2] for one in absent(at(Recorder()))] == [
        "prints no version for `version`", "prints no version for `--version`",
    ]  # fmt: skip


def test_a_file_that_the_system_cannot_execute(at, tmp_path):
    class Refusing(Recorder):
        def __call__(self, action):
            raise UsageError(f"{action.argv[0]}: Exec format error", "it is not a program for this machine")

    assert [one.why for one in absent(at(Refusing()))] == [
        f"{tmp_path}/zig: Exec format error", f"{tmp_path}/cargo-zigbuild: Exec format error",
    ]  # fmt: skip


def test_nothing_is_started_for_other_backends_or_without_the_files(at, tmp_path):
    run = Recorder()
    assert absent(at(run), Gcc(why="", minimum_glibc="")) == ()
    bare = replace(at(run), host=at(run).host)
    (tmp_path / "zig").unlink()
    (tmp_path / "cargo-zigbuild").unlink()
    assert absent(bare) == () and run.asked == []
