"""What is published to dist/, and the errors of a build, with a real program of this machine."""

import json
from dataclasses import replace

import machines
import pytest
from machines import artifact

from buildlib.binaries import build
from buildlib.core.errors import (
    BuildError,
    CompileFailed,
    MissingRequirements,
    NetworkError,
    NothingToDo,
    Refused,
    UsageError,
)
from buildlib.core.plan import Status
from buildlib.core.targets import TARGETS
from buildlib.elf import read
from buildlib.machine.workspace import Component
from buildlib.process import history
from buildlib.process.history import History

APP = Component(name="app", package="app", version="1.0.0")


def accept(compiled):
    return build._accept(*compiled)


def test_a_binary_that_passes_the_gate_is_published_with_its_facts(compiled, program, native, tmp_path):
    result = accept(compiled())
    assert result.status is Status.DONE
    (entry,) = json.loads((tmp_path / "dist" / "manifest.json").read_text())["binaries"]
    facts = read(program)
    assert entry == {
        "arch": native.name, "binary": "app", "path": f"{native.name}/app", "target": native.triple, "backend": "zig",
        "floor": "", "toolchain": "rustc 1.95.0 (rustup)", "profile": "release", "size": facts.size, "sha256": facts.sha256,
        "facts": {
            "machine": facts.machine, "bits": facts.bits, "little": facts.little, "flags": facts.flags, "kind": facts.kind,
            "loader": facts.loader, "glibc": facts.glibc, "needed": list(facts.needed), "rpath": facts.rpath, "arm": facts.arm,
        },
        "started": "--version", "cpu": "not checked", "seconds": 1.5,
    }  # fmt: skip
    assert result.entries == (entry,)
    assert (tmp_path / "dist" / native.name / "app").read_bytes() == program.read_bytes()
    assert (tmp_path / "dist" / "SHA256SUMS").read_text() == f"{facts.sha256}  {native.name}/app\n"


def test_the_same_bytes_are_neither_started_nor_copied_again(compiled):
    accept(compiled())
    again = compiled()
    assert accept(again).status is Status.UNCHANGED
    assert again[0].run.asked == []


def test_the_size_is_recorded_and_that_of_the_sections_where_something_is_new(compiled, program, native, tmp_path):
    for status in (Status.DONE, Status.UNCHANGED):
        context, plan, outcome = compiled()
        result = build._accept(context, plan, outcome)
        assert result.status is status
        build._record(replace(context, history=History(tmp_path / "journal")), plan, result)
    first, second = history.read((tmp_path / "journal").read_text())
    assert {key: second[key] for key in second.keys() - {"run"}} == {
        "command": "", "kind": "size", "arch": native.name, "name": "app", "value": program.stat().st_size,
    }  # fmt: skip
    assert sum(first["sections"].values()) == first["value"] == second["value"]


def test_the_facts_of_the_same_bytes_are_not_read_again(compiled, monkeypatch):
    published = accept(compiled())
    monkeypatch.setattr(build.gate, "read", None)  # which takes longer than all the rest
    assert accept(compiled()).entries == published.entries


def test_other_bytes_in_dist_are_replaced(compiled, program, native, tmp_path):
    accept(compiled())
    in_dist = tmp_path / "dist" / native.name / "app"
    content = program.read_bytes()
    for broken in (content[:-1] + bytes([content[-1] ^ 1]), content + b"x"):
        in_dist.write_bytes(broken)
        assert accept(compiled()).status is Status.DONE
        assert in_dist.read_bytes() == content


def test_a_lower_minimum_glibc_checks_the_same_bytes_again(compiled, tmp_path):
    accept(compiled())
    before = (tmp_path / "dist" / "manifest.json").read_bytes()
    with pytest.raises(Refused, match=r"app: glibc: 2\.\d+, expected 2\.1 or older"):
        accept(compiled(minimum_glibc="2.1"))
    assert (tmp_path / "dist" / "manifest.json").read_bytes() == before


def test_a_binary_of_another_machine_is_not_published(compiled, program, native, tmp_path):
    with pytest.raises(Refused) as caught:
        accept(compiled(TARGETS["s390x"]))
    machine = f"{read(program).machine} ({native.name})"
    assert (caught.value.code, caught.value.help) == (6, "dist/ is unchanged")
    assert caught.value.message == (f"s390x: the gate refused\n  app: machine: {machine}, expected 22 (s390x)")
    assert not (tmp_path / "dist").exists()


def test_entries_without_a_file_are_removed_from_the_manifest(compiled, native, tmp_path):
    accept(compiled())
    (tmp_path / "dist" / native.name / "app").unlink()
    (tmp_path / "out" / "app").rename(tmp_path / "out" / "tool")
    context, plan, outcome = compiled(selected={"components": (replace(APP, name="tool"),)})
    accept((context, plan, replace(outcome, artifacts=(artifact(tmp_path / "out" / "tool"),))))
    paths = [entry["path"] for entry in json.loads((tmp_path / "dist" / "manifest.json").read_text())["binaries"]]
    assert paths == [f"{native.name}/tool"]


def test_a_build_without_any_binary_has_nothing_to_do(compiled):
    context, plan, outcome = compiled()
    with pytest.raises(NothingToDo):
        accept((context, plan, replace(outcome, artifacts=())))


LOCKED = "error: cannot update the lock file /w/Cargo.lock because --locked was passed to prevent this"


@pytest.mark.parametrize(
    ("output", "kind", "code", "message"),
    [
        ("error[E0308]: mismatched types", CompileFailed, 101, "cargo exited with code 101: error[E0308]: mismatched types"),
        (LOCKED, UsageError, 2, LOCKED.removeprefix("error: ")),
        ("error: target `a` in package `p` requires the features: `cli`", UsageError, 2,
         "target `a` in package `p` requires the features: `cli`"),
        ("error: package ID specification `x` did not match any packages", UsageError, 2,
         "package ID specification `x` did not match any packages"),
        ("error: unexpected argument '--x' found", UsageError, 2, "unexpected argument '--x' found"),
        ("error: failed to download\n  Could not resolve host: index", NetworkError, 5, "Could not resolve host: index"),
        ("error: could not write: No space left on device (os error 28)", BuildError, 1,
         "could not write: No space left on device (os error 28)"),
        ("error: rustup could not choose a version of cargo to run", MissingRequirements, 4,
         "rustup could not choose a version of cargo to run"),
        ("error: linker `clang` not found\nerror: could not compile `a` (bin)", MissingRequirements, 4, "linker `clang` not found"),
        ("Error: Failed to find zig\n\nCaused by:\n    cannot find binary path", MissingRequirements, 4,
         "Failed to find zig: cannot find binary path"),
        ("error: failed to download\n\nCaused by:\n  [60] SSL peer certificate was not OK", MissingRequirements, 4,
         "[60] SSL peer certificate was not OK"),
        ("error: failed to download from `https://crates.acme.test/a`\n\nCaused by:\n  failed to get 200 response, got 401",
         MissingRequirements, 4, "failed to get 200 response, got 401"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", MissingRequirements, 4,
         "ERROR: Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
    ],
)  # fmt: skip
def test_the_error_of_a_failed_cargo_depends_on_its_output(compiled, output, kind, code, message):
    _, plan, outcome = compiled()
    error = build.compile_error(plan.target, replace(outcome, code=2 if "argument" in output else 101, output=output))
    assert (type(error), error.code, error.message) == (kind, code, f"{plan.target.name}: {message}")
    assert bool(error.help) is ("E0308" not in output)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("error: failed to join paths\n\nCaused by:\n  path segment contains separator `:`",
         ": failed to join paths: path segment contains separator `:`"),
        ("Error: Failed to collect `zig cc` options\n\nCaused by:\n  x", ": Failed to collect `zig cc` options: x"),
        ("thread started\nbye", ""),
    ],
)  # fmt: skip
def test_the_error_of_an_unknown_failure_has_the_line_that_says_it_is_one(compiled, output, cause):
    _, plan, outcome = compiled()
    error = build.compile_error(plan.target, replace(outcome, code=1, output=output))
    assert error.message == f"{plan.target.name}: cargo exited with code 1{cause}"


# --- a dist/ that cannot be used --------------------------------------------------------------------------------------------------

# Not UTF-8, not JSON, of another type, deeper than Python recurses, a path outside of dist/.
BROKEN = [b"\xff\xfe", b"", b"{", b"null", b"[1]", b'{"schema": 1, "binaries": {"a": 1}}', b"[" * 100_000,
          b'{"schema": 1, "binaries": [' + b"[" * 100_000,
          b'{"schema": 1, "binaries": [{"arch": "..", "binary": "x", "path": "../x"}]}']  # fmt: skip


@pytest.mark.parametrize("manifest", BROKEN, ids=lambda manifest: manifest[:30].decode(errors="replace"))
def test_a_broken_manifest_is_replaced(compiled, native, tmp_path, manifest):
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "manifest.json").write_bytes(manifest)
    assert accept(compiled()).status is Status.DONE
    paths = [entry["path"] for entry in json.loads((tmp_path / "dist" / "manifest.json").read_text())["binaries"]]
    assert paths == [f"{native.name}/app"]


def failed(compiled, capsys):
    """The error of a build of the one target, which is printed in one line."""
    context, plan, outcome = compiled()
    context.run.job = lambda job: outcome
    result = build._build_one(context, plan)
    assert result.status is Status.FAILED and result.error.code == 1
    assert f"error: {result.error.message}\n" in capsys.readouterr().err
    return result.error.message


def test_dist_that_is_a_file_is_one_error_before_anything_is_compiled(compiled, tmp_path, capsys):
    (tmp_path / "dist").write_text("")
    message = f"{tmp_path}/dist: a file, expected a directory"
    assert failed(compiled, capsys) == message
    context, *_ = compiled()
    with pytest.raises(BuildError) as caught:
        build.build(replace(context, workspace=machines.workspace(APP, root=context.workspace.root)), ())
    assert caught.value.message == message
    assert context.run.asked == []


def test_a_directory_in_the_place_of_a_binary_is_one_error(compiled, native, tmp_path, capsys):
    place = tmp_path / "dist" / native.name / "app"
    place.mkdir(parents=True)
    assert failed(compiled, capsys) == f"{place}: Is a directory"
    assert list(place.iterdir()) == [] and not (tmp_path / "dist" / "manifest.json").exists()


def test_a_directory_in_the_place_of_the_manifest_is_one_error(compiled, tmp_path, capsys):
    place = tmp_path / "dist" / "manifest.json"
    place.mkdir(parents=True)
    assert failed(compiled, capsys) == f"{place}: Is a directory"


def test_a_file_in_the_place_of_the_directory_of_an_arch_is_one_error(compiled, native, tmp_path, capsys):
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / native.name).write_text("")
    assert failed(compiled, capsys) == f"{tmp_path}/dist/{native.name}: File exists"
