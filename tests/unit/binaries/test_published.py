"""Which of the compiled files are published, and libraries through the gate into dist/."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import archive, header, linked, member
from machines import artifact

from buildlib.binaries import build
from buildlib.core.errors import Refused, UsageError
from buildlib.core.plan import Artifact, Status


@pytest.fixture
def plan(compiled):
    return compiled()[1]


def outcome_of(compiled, *artifacts):
    return replace(compiled()[2], artifacts=artifacts)


def test_each_kind_has_its_place(compiled, plan):
    """The paths in cargo's messages are those inside of a container, with the backend cross."""
    made = outcome_of(
        compiled, artifact("/target/x/release/app"), artifact("/target/x/release/examples/demo", "example"),
        artifact("/target/x/release/libk.so", "cdylib"), artifact("/target/x/release/libk.a", "staticlib"),
        artifact("/target/x/release/deps/k-1234", "lib", test=True), artifact("/target/x/release/deps/app-12", "bin", test=True),
        artifact("/target/x/release/deps/bench-12", "bench"),
    )  # fmt: skip
    assert build.published(plan, made) == {
        "app": (plan.folder / "app", "bin"),
        "demo": (plan.folder / "examples" / "demo", "example"),
        "libk.so": (plan.folder / "libk.so", "cdylib"),
        "libk.a": (plan.folder / "libk.a", "staticlib"),
    }
    assert list(build.published(plan, made, lambda one: one.kind == "cdylib")) == ["libk.so"]


def test_two_targets_that_would_be_one_file_are_an_error(compiled, plan):
    made = outcome_of(compiled, artifact("/t/app"), artifact("/t/examples/app", "example"))
    with pytest.raises(UsageError) as caught:
        build.published(plan, made)
    assert (
        caught.value.message == f"{plan.target.name}: two files would be called app: the bin of p and the example of p"
    )
    other = Artifact(path=Path("/t/app"), name="app", kind="bin", manifest=Path("/w/q/Cargo.toml"))
    with pytest.raises(UsageError, match="the bin of p and the bin of q"):
        build.published(plan, outcome_of(compiled, artifact("/t/app"), other))
    assert len(build.published(plan, outcome_of(compiled, artifact("/t/app"), artifact("/t/app")))) == 1
    assert len(build.published(plan, made, lambda one: one.kind == "bin")) == 1


@pytest.fixture
def with_libraries(compiled, tmp_path, native):
    """Return (context, build, outcome) of a program, an example and two libraries; `soname` is that of the shared one."""

    def with_libraries(soname="libk.so.1"):
        data = bytearray(linked((1, "libc.so.6"), (14, soname)))
        data[18:20] = native.elf.machine.to_bytes(2, "little")
        (tmp_path / "out" / "libk.so").write_bytes(bytes(data))
        (tmp_path / "out" / "libk.a").write_bytes(archive(member("k.o/", header(native.elf.machine))))
        (tmp_path / "out" / "examples").mkdir(exist_ok=True)
        (tmp_path / "out" / "examples" / "demo").write_bytes((tmp_path / "out" / "app").read_bytes())
        context, plan, outcome = compiled(selected={"examples": ("demo",), "libraries": ("libk.so", "libk.a")})
        return context, plan, replace(outcome, artifacts=(
            artifact("/t/app"), artifact("/t/examples/demo", "example"), artifact("/t/libk.so", "cdylib"),
            artifact("/t/libk.a", "staticlib"),
        ))  # fmt: skip

    return with_libraries


def test_libraries_and_examples_are_published_beside_the_binaries(with_libraries, native, tmp_path):
    context, plan, outcome = with_libraries()
    result = build._accept(context, plan, outcome)
    assert result.status is Status.DONE
    entries = json.loads((tmp_path / "dist" / "manifest.json").read_text())["binaries"]
    rows = [(each["path"], each.get("kind"), each["started"], each["facts"].get("soname")) for each in entries]
    assert rows == [
        (f"{native.name}/app", None, "--version", None), (f"{native.name}/demo", "example", "--version", None),
        (f"{native.name}/libk.a", "staticlib", "", None), (f"{native.name}/libk.so", "cdylib", "", "libk.so.1"),
    ]  # fmt: skip
    for name, path in (("demo", "examples/demo"), ("libk.so", "libk.so"), ("libk.a", "libk.a")):
        assert (tmp_path / "dist" / native.name / name).read_bytes() == (tmp_path / "out" / path).read_bytes()
    assert [word.rpartition(" ")[2] for word in context.run.asked] == ["--version", "--version"]
    again = with_libraries()
    assert build._accept(*again).status is Status.UNCHANGED and again[0].run.asked == []


def test_a_refused_library_keeps_the_program_out_of_dist(with_libraries, native, tmp_path):
    with pytest.raises(Refused) as caught:
        build._accept(*with_libraries("/opt/libk.so.1"))
    assert caught.value.message == (
        f"{native.name}: the gate refused\n  libk.so: soname: /opt/libk.so.1, expected libk.so, with a version or without"
    )
    assert not (tmp_path / "dist").exists()
