"""The list of crates in a published program: the same as in its SBOM, and new whenever they are."""

import json
import zlib
from dataclasses import replace

import pytest
from elftools.elf.elffile import ELFFile

from buildlib.binaries import build, dist
from buildlib.binaries.embed import with_crate_lists
from buildlib.core.errors import BuildError, MissingRequirements, NetworkError
from buildlib.core.plan import Job, Status, Step

ID = "path+file:///home/me/w#app@1.0.0"
INDEX = "registry+https://github.com/rust-lang/crates.io-index"


def graph(*crates, name="app", kind="bin"):
    """The answer of cargo for a program that uses these crates, each a name and a version."""
    rows = [(ID, kind, name, range(1, len(crates) + 1))]
    rows += [(f"{INDEX}#{crate}@{version}", "lib", crate, ()) for crate, version in crates]
    units = [{
        "pkg_id": id, "mode": "build", "features": [], "platform": None, "dependencies": [{"index": index} for index in below],
        "target": {"kind": [kind], "crate_types": [kind], "name": name, "src_path": "/nonexistent/src/main.rs"},
    } for id, kind, name, below in rows]  # fmt: skip
    return {
        "crate graph": (0, json.dumps({"version": 1, "roots": [0], "units": units})),
        "commit": (0, "1700000000 0123\n"),
    }


def lock(folder, *crates):
    rows = [f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "{INDEX}"\n' for name, version in crates]
    (folder / "Cargo.lock").write_text("".join(rows))


def embedded(path):
    """What the section of a file has, None without one."""
    with path.open("rb") as stream:
        section = ELFFile(stream).get_section_by_name(".dep-v0")
        return json.loads(zlib.decompress(section.data())) if section else None


def test_a_published_program_has_the_list_of_its_sbom(compiled, native, program, tmp_path):
    lock(tmp_path, ("serde", "1.0.0"))
    context, made, outcome = compiled(answers=graph(("serde", "1.0.0")), sbom=True, embed_sbom=True)
    result = build._accept(context, made, outcome)
    path = tmp_path / "dist" / native.name / "app"
    assert embedded(path) == {"packages": [
        {"name": "app", "version": "1.0.0", "source": "local", "dependencies": [1], "root": True},
        {"name": "serde", "version": "1.0.0", "source": "crates.io"},
    ], "format": 1}  # fmt: skip
    (entry,) = result.entries
    assert (result.status, dist.is_intact(tmp_path / "dist", entry)) == (Status.DONE, True)
    sbom = json.loads(path.with_name("app.cdx.json").read_text())
    assert [component["name"] for component in sbom["components"]] == ["serde"]
    assert sbom["metadata"]["component"]["hashes"][0]["content"] == entry["sha256"]
    assert sum("--unit-graph" in asked for asked in context.run.asked) == 1  # for both
    assert (tmp_path / "out" / "app").read_bytes() == program.read_bytes()  # cargo's own file


def test_another_version_is_another_program_and_the_same_ones_are_unchanged(compiled, native, tmp_path):
    path = tmp_path / "dist" / native.name / "app"
    seen = []
    for version, on in (("1.0.0", True), ("1.0.0", True), ("1.0.1", True), ("1.0.1", False), ("1.0.1", True)):
        lock(tmp_path, ("serde", version))
        result = build._accept(*compiled(answers=graph(("serde", version)), embed_sbom=on))
        found = embedded(path)
        seen.append(
            (
                result.status.value,
                found and found["packages"][1]["version"],
                dist.is_intact(tmp_path / "dist", result.entries[0]),
            )
        )
    assert seen == [
        ("done", "1.0.0", True), ("unchanged", "1.0.0", True), ("done", "1.0.1", True), ("done", None, True), ("done", "1.0.1", True),
    ]  # fmt: skip


def test_cargo_is_asked_with_what_the_compilation_has_of_its_own(compiled):
    asked = {}
    context, made, outcome = compiled(answers=graph(), embed_sbom=True)
    env = {"RUSTC": "/w/tools/rustc", "CARGO_ENCODED_RUSTFLAGS": "--cfg\x1fa", "PATH": "/bin"}
    made = replace(made, job=Job(name="j", steps=(Step(title="compile", argv=("cargo",), env=env),)))
    answer = context.run._answer
    context.run._answer = lambda step, *words: asked.update({step.title: step}) or answer(step, *words)
    build._accept(context, made, outcome)
    assert asked["crate graph"].env == {
        "RUSTC_BOOTSTRAP": "1", "RUSTC": "/w/tools/rustc", "RUSTC_WRAPPER": "", "RUSTC_WORKSPACE_WRAPPER": "",
        "CARGO_ENCODED_RUSTFLAGS": "--cfg\x1fa",
    }  # fmt: skip


def test_an_archive_and_what_the_gate_refuses_stay_as_they_are(compiled, tmp_path):
    context, made, _ = compiled(answers=graph(kind="staticlib"), embed_sbom=True)
    (tmp_path / "out" / "libapp.a").write_bytes(b"!<arch>\n")
    (tmp_path / "out" / "script").write_bytes(b"#!/bin/sh\n")
    files = {name: (tmp_path / "out" / name, kind) for name, kind in (("libapp.a", "staticlib"), ("script", "bin"))}
    assert with_crate_lists(context, made, files, None) == files


def test_a_list_that_cargo_auditable_has_made_stays(compiled, native, tmp_path, capsys):
    build._accept(*compiled(answers=graph(), embed_sbom=True))
    (tmp_path / "out" / "app").write_bytes((tmp_path / "dist" / native.name / "app").read_bytes())
    result = build._accept(*compiled(answers=graph(("serde", "1.0.0")), embed_sbom=True))
    assert result.status is Status.UNCHANGED and len(embedded(tmp_path / "dist" / native.name / "app")["packages"]) == 1
    assert f"  {native.name}: app has a section .dep-v0 already, which stays as it is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answers", "content", "kind", "message"),
    [
        ({"crate graph": (101, "error: no such flag\n")}, None, BuildError,
         "cargo cannot resolve the crate graph: error: no such flag"),
        ({"crate graph": (101, "error: failed to download from `https://x`\n\nCaused by:\n  [6] Could not resolve host: x\n")}, None,
         NetworkError, "cargo cannot resolve the crate graph: error: failed to download from `https://x`\n\nCaused by:\n"
         "  [6] Could not resolve host: x"),
        (graph(name="other"), None, BuildError, "cargo's crate graph does not have it"),
        (graph(), b"\x7fELF" + bytes(60), BuildError, "no ELF header"),
    ],
)  # fmt: skip
def test_what_is_asked_for_and_cannot_be_done_is_an_error(compiled, native, tmp_path, answers, content, kind, message):
    context, made, outcome = compiled(answers=answers, sbom=True, embed_sbom=True)
    if content:
        (tmp_path / "out" / "app").write_bytes(content)
    with pytest.raises(BuildError) as caught:
        build._accept(context, made, outcome)
    assert (type(caught.value), caught.value.message) == (
        kind,
        f"{native.name}: app: cannot embed its crates: {message}",
    )
    assert caught.value.help and not (tmp_path / "dist").exists()


def test_without_a_cargo_of_this_machine_it_is_a_missing_requirement(compiled, native):
    context, made, outcome = compiled(embed_sbom=True)
    context = replace(context, host=replace(context.host, toolchains=()))
    with pytest.raises(
        MissingRequirements, match=f"{native.name}: app: cannot embed its crates: no cargo on this machine"
    ):
        build._accept(context, made, outcome)
