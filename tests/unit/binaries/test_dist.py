import json
from pathlib import Path

from buildlib.binaries import dist

DIST = Path("/w/dist")


def entry(arch, binary, sha256="aa", minimum_glibc="2.31"):
    return {"arch": arch, "binary": binary, "path": f"{arch}/{binary}", "sha256": sha256, "floor": floor}


def test_new_entries_replace_their_own_and_leave_the_others():
    old = [entry("arm64", "a"), entry("armv7", "a")]
    new = [entry("arm64", "a", "bb"), entry("arm64", "b", "cc")]
    act = dist.publish(DIST, Path("/w/Cargo.toml"), old, new, {"arm64/b": Path("/t/b")})
    assert act.as_old_as == Path("/w/Cargo.toml")
    assert act.copies == ((Path("/t/b"), DIST / "arm64/b"),)
    manifest, sums = act.writes
    assert (manifest.path, sums.path) == (DIST / "manifest.json", DIST / "SHA256SUMS")
    assert json.loads(manifest.text) == {"schema": 1, "buildlib": dist.__version__, "binaries": [*new, old[1]]}
    assert sums.text == "bb  arm64/a\ncc  arm64/b\naa  armv7/a\n"
    assert dist.entries(manifest.text) == [*new, old[1]]


def test_a_manifest_that_is_none_of_ours_counts_as_empty():
    for text in ("", "{", "[]", "null", '{"schema": 99, "binaries": []}', '{"binaries": []}'):
        assert dist.entries(text) == []
