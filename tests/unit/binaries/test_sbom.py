"""The SBOM beside a file in dist/: when cargo is asked for it, and when it is written, kept and removed."""

import json

from buildlib.binaries import build, dist, verify
from buildlib.binaries.dist import with_document
from buildlib.binaries.linked_crates import LinkedCrates
from buildlib.binaries.sbom import with_sboms
from buildlib.core.plan import Status

GRAPH = json.dumps({"version": 1, "roots": [0], "units": [{
    "pkg_id": "path+file:///w#app@1.0.0", "mode": "build", "features": [], "dependencies": [], "platform": None,
    "target": {"kind": ["bin"], "crate_types": ["bin"], "name": "app", "src_path": "/w/src/main.rs"},
}]})  # fmt: skip
ANSWERS = {"crate graph": (0, GRAPH), "commit": (0, "1700000000 0123\n")}
QUESTION = "--unit-graph"


def accept(compiled):
    """The result, and how often cargo was asked for the graph."""
    context, _, _ = compiled
    return build._accept(*compiled), sum(QUESTION in asked for asked in context.run.asked)


def test_a_published_file_has_one(compiled, native, tmp_path):
    result, asked = accept(compiled(answers=ANSWERS, sbom=True))
    path = tmp_path / "dist" / native.name / "app.cdx.json"
    (entry,) = dist.read(tmp_path / "dist")
    assert (result.status, asked, result.entries) == (Status.DONE, 1, (entry,))
    assert entry["sbom"]["path"] == f"{native.name}/app.cdx.json" and dist.is_intact(tmp_path / "dist", entry["sbom"])
    found = json.loads(path.read_text())
    assert found["metadata"]["component"]["hashes"][0]["content"] == entry["sha256"]
    assert found["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    assert (tmp_path / "dist" / "SHA256SUMS").read_text().splitlines() == [
        f"{entry['sha256']}  {native.name}/app", f"{entry['sbom']['sha256']}  {native.name}/app.cdx.json",
    ]  # fmt: skip


def test_cargo_is_asked_again_only_where_it_is_missing_or_changed(compiled, native, tmp_path):
    accept(compiled(answers=ANSWERS, sbom=True))
    path = tmp_path / "dist" / native.name / "app.cdx.json"
    text = path.read_text()
    assert accept(compiled(answers=ANSWERS, sbom=True))[1] == 0
    for damage in (path.unlink, lambda: path.write_text("{}")):
        damage()
        result, asked = accept(compiled(answers=ANSWERS, sbom=True))
        assert (result.status, asked, path.read_text()) == (Status.UNCHANGED, 1, text)


def test_it_is_removed_when_it_is_switched_off(compiled, native, tmp_path):
    accept(compiled(answers=ANSWERS, sbom=True))
    result, asked = accept(compiled())
    assert (result.status, asked) == (Status.UNCHANGED, 0)
    assert [path.name for path in (tmp_path / "dist" / native.name).iterdir()] == ["app"]
    assert "sbom" not in dist.read(tmp_path / "dist")[0]


def test_without_an_answer_of_cargo_there_is_a_warning_and_none(compiled, native, tmp_path, capsys):
    result, _ = accept(compiled(answers={"crate graph": (101, "error: no network\n")}, sbom=True))
    assert result.status is Status.DONE and "sbom" not in result.entries[0]
    assert (
        f"warning: {native.name}: no SBOM: cargo cannot resolve the crate graph: error: no network"
        in capsys.readouterr().err
    )


def test_a_changed_one_is_found(compiled, native, tmp_path):
    made = compiled(answers=ANSWERS, sbom=True)
    accept(made)
    (tmp_path / "dist" / native.name / "app.cdx.json").write_text("{}")
    (verdict,) = verify.verify(made[0], [tmp_path / "dist"])
    assert verdict.refusals == (f"{native.name}/app.cdx.json: missing or changed",)


def test_an_entry_cannot_name_another_file_as_its_own(compiled, tmp_path):
    accept(compiled(answers=ANSWERS, sbom=True))
    manifest = tmp_path / "dist" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("app.cdx.json", "../../secret.cdx.json"))
    assert dist.read(tmp_path / "dist") == []


def test_the_sbom_of_an_unchanged_file_stays_when_another_file_is_new(compiled, native, tmp_path):
    accept(compiled(answers=ANSWERS, sbom=True))
    (old,) = dist.read(tmp_path / "dist")
    other = {**old, "binary": "other", "path": f"{native.name}/other"}
    del other["sbom"]
    context, made, _ = compiled(answers={**ANSWERS, "crate graph": (0, GRAPH.replace('"app"', '"other"'))}, sbom=True)
    entries, files = with_sboms(context, made, [old, other], LinkedCrates(context, made))
    assert files == {f"{native.name}/other.cdx.json": made.folder / "sbom" / "other.cdx.json"}
    assert entries == [old, with_document(other, "sbom", files[f"{native.name}/other.cdx.json"])]


def test_a_damaged_one_is_not_listed_where_cargo_has_no_answer(compiled, native, tmp_path):
    accept(compiled(answers=ANSWERS, sbom=True))
    (tmp_path / "dist" / native.name / "app.cdx.json").write_text("{}")
    context, made, _ = compiled(answers={"crate graph": (101, "error: no network\n")}, sbom=True)
    ((entry,), files) = with_sboms(context, made, dist.read(tmp_path / "dist"), LinkedCrates(context, made))
    assert ("sbom" in entry, files) == (False, {})
