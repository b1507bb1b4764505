"""Layouts of static binaries, which need neither an engine nor the network."""

import io
import json
import tarfile
from dataclasses import replace

from image_workspace import COMPONENT, EXECUTABLE, PROGRAMS, add_binary, static_workspace
from machines import Machine, settings

from buildlib.core.plan import Status
from buildlib.images import image
from buildlib.images.image import ImageOptions
from buildlib.process import files

PLATFORMS = ("linux/amd64", "linux/arm64")
CHANGED = PROGRAMS["amd64-musl"] + b"changed"


def write(context, tmp_path, tags=()):
    """The result of an image, without what was not started here."""
    (result,) = image.save(context, ImageOptions(targets=EXECUTABLE, tags=tags, compile=False), tmp_path / "out")
    return replace(result, not_started=())


def blobs(tmp_path):
    return {path.name for path in (tmp_path / "out" / "a" / "blobs").glob("*/*")}


def layers(tmp_path):
    found = [path.read_bytes() for path in files.blob_files(tmp_path / "out" / "a").values()]
    return [data for data in found if data.startswith(b"\x1f\x8b")]


def with_files(context):
    return replace(context, config=settings(components={"a": {"files": {"c/": "/etc/a"}, "user": "7:8"}}))


def test_a_layout_for_all_platforms_and_then_nothing_to_do(tmp_path):
    context = static_workspace(tmp_path)
    first = write(context, tmp_path)
    assert (first.status, first.error, first.component) == (Status.DONE, None, COMPONENT.name)
    assert (first.platforms, first.tags, first.where) == (PLATFORMS, ("1.2.3",), str(tmp_path / "out" / "a"))
    index = json.loads((tmp_path / "out" / "a" / "index.json").read_text())
    entries = [(one["digest"], one["annotations"]["org.opencontainers.image.ref.name"]) for one in index["manifests"]]
    assert entries == [(first.digest, "1.2.3")]
    assert write(context, tmp_path) == replace(first, status=Status.UNCHANGED)
    assert write(context, tmp_path, ("1.2.3", "latest")) == replace(first, tags=("1.2.3", "latest"))
    assert context.run.asked.count("layout a") == 2
    assert not any("docker" in line for line in context.run.asked)


def test_each_platform_is_started_where_that_is_possible(tmp_path):
    context = static_workspace(tmp_path)
    (result,) = image.save(context, ImageOptions(targets=EXECUTABLE, compile=False), tmp_path / "out")
    assert [line for line in context.run.asked if line.endswith("/usr/bin/a --version")]
    assert result.not_started == (
        "linux/arm64: QEMU for arm64-musl is not installed (apt-get install qemu-user-static)",
    )


def test_a_changed_binary_changes_its_image_and_leaves_no_old_blob(tmp_path):
    context = static_workspace(tmp_path)
    first, before = write(context, tmp_path), blobs(tmp_path)
    add_binary(tmp_path / "dist", "amd64-musl", "a", CHANGED)
    second, after = write(context, tmp_path), blobs(tmp_path)
    assert second.digest != first.digest
    # One platform's layer of the program, configuration and manifest, and the index.
    assert (len(before - after), len(after - before)) == (4, 4)


def test_a_layout_has_the_files_of_the_workspace(tmp_path):
    context = with_files(static_workspace(tmp_path))
    (tmp_path / "c").mkdir()
    file = tmp_path / "c" / "a.toml"
    file.write_text("x = 1\n")
    first = write(context, tmp_path)
    members = {}
    for data in layers(tmp_path):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found = {m.name.rstrip("/"): (oct(m.mode), m.uid, m.gid, m.mtime) for m in tar}
            members |= {name: facts for name, facts in found.items() if name.startswith("etc/a")}
            assert "etc/a/a.toml" not in found or tar.extractfile("etc/a/a.toml").read() == b"x = 1\n"
    assert members == {"etc/a": ("0o755", 7, 8, 1700000000), "etc/a/a.toml": ("0o644", 7, 8, 1700000000)}
    file.chmod(0o600)
    assert write(context, tmp_path) == replace(first, status=Status.UNCHANGED)
    file.write_text("x = 2\n")
    second = write(context, tmp_path)
    assert (second.status, second.digest == first.digest) == (Status.DONE, False)


def test_layers_are_the_same_from_every_version_of_python(tmp_path):
    write(static_workspace(tmp_path), tmp_path)
    # Of the header: no flags, no time, and no system, which Python 3.11 would name.
    assert {(data[3:8], data[9]) for data in layers(tmp_path)} == {(bytes(5), 255)}


def test_a_layout_that_lost_a_blob_is_written_again(tmp_path):
    context = static_workspace(tmp_path)
    first, before = write(context, tmp_path), blobs(tmp_path)
    next((tmp_path / "out" / "a" / "blobs").glob("*/*")).unlink()
    assert write(context, tmp_path) == first
    assert blobs(tmp_path) == before


def test_an_index_never_names_a_missing_blob(tmp_path, monkeypatch):
    """Whichever write fails, the index on the disk names blobs on the disk."""
    context = static_workspace(tmp_path)
    write(context, tmp_path)
    folder = tmp_path / "out" / "a"
    old = (folder / "index.json").read_bytes()
    write_whole = files.write_whole
    changed = replace(context, host=Machine(env={"SOURCE_DATE_EPOCH": "9"}, cache=tmp_path / "cache"))
    failures = 0
    for limit in range(30):
        count = 0

        def write_some(path, data, mode=0o644, limit=limit):
            nonlocal count
            count += 1
            if count > limit:
                raise OSError(28, "No space left on device", str(path))
            write_whole(path, data, mode)

        monkeypatch.setattr(files, "write_whole", write_some)
        failed = write(changed, tmp_path).error is not None
        failures += failed
        assert ((folder / "index.json").read_bytes() == old) == failed
        (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
        index = json.loads(files.blob_path(folder, entry["digest"]).read_bytes())
        manifests = [files.blob_path(folder, manifest["digest"]) for manifest in index["manifests"]]
        assert [path.is_file() for path in manifests] == [True, True]
    assert 0 < failures < 30
