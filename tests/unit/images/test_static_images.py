import io
import json
import os
import tarfile
from dataclasses import replace

from image_workspace import GIT, STATIC, add_binary, workspace
from machines import Machine, settings

from buildlib.assembly import oci
from buildlib.core.plan import Status
from buildlib.images import binary_image, static_layouts
from buildlib.process import files

EPOCH = 1700000000


def write(context, tmp_path, tags=()):
    images = binary_image.binary_images(context, STATIC, tags, EPOCH, "abc")
    return static_layouts.write_static(context, images, EPOCH, tmp_path / "out")


def blobs(tmp_path):
    return {path.name for path in (tmp_path / "out" / "a" / "blobs").glob("*/*")}


def test_a_layout_for_all_platforms_and_then_nothing_to_do(tmp_path):
    context = workspace(tmp_path)
    (first,) = write(context, tmp_path)
    assert (first.status, first.platforms, first.tags) == (Status.DONE, ("linux/amd64", "linux/arm/v7"), ("1.2.3",))
    index = json.loads((tmp_path / "out" / "a" / "index.json").read_text())
    assert [(entry["digest"], entry["annotations"]) for entry in index["manifests"]] == [
        (first.digest, {oci.REF_NAME: "1.2.3"})
    ]
    assert write(context, tmp_path) == [replace(first, status=Status.UNCHANGED)]
    assert write(context, tmp_path, ("1.2.3", "latest")) == [replace(first, tags=("1.2.3", "latest"))]
    assert context.run.asked.count("layout a") == 2


def test_a_changed_binary_changes_its_image_and_leaves_no_old_blob(tmp_path):
    context = workspace(tmp_path)
    (first,) = write(context, tmp_path)
    before = blobs(tmp_path)
    add_binary(tmp_path / "dist", "amd64-musl", "a", b"another")
    (second,) = write(context, tmp_path)
    after = blobs(tmp_path)
    assert second.digest != first.digest
    # One platform's layer, configuration and manifest, and the index.
    assert (len(before - after), len(after - before), len(after)) == (4, 4, 7)


def test_a_layout_has_the_files_of_the_workspace(tmp_path):
    context = replace(
        workspace(tmp_path), config=settings(components={"a": {"files": {"c/": "/etc/a"}, "user": "7:8"}})
    )
    (tmp_path / "c").mkdir()
    file = tmp_path / "c" / "a.toml"
    file.write_text("x = 1\n")
    (first,) = write(context, tmp_path)
    layout = tmp_path / "out" / "a"
    (layer, *_) = oci.compressed_layers(
        {digest: p.read_bytes() for digest, p in files.blob_files(layout).items()}
    ).values()
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = {m.name: (oct(m.mode), m.uid, m.gid, m.mtime) for m in tar if m.name.startswith("etc/a")}
        assert tar.extractfile("etc/a/a.toml").read() == b"x = 1\n"
    assert members == {"etc/a": ("0o755", 7, 8, EPOCH), "etc/a/a.toml": ("0o644", 7, 8, EPOCH)}
    file.chmod(0o600)
    os.utime(file, (1, 1))
    assert write(context, tmp_path) == [replace(first, status=Status.UNCHANGED)]
    file.write_text("x = 2\n")
    (second,) = write(context, tmp_path)
    assert (second.status, second.digest == first.digest) == (Status.DONE, False)


def test_a_layout_that_lost_a_blob_is_written_again(tmp_path):
    context = workspace(tmp_path)
    (first,) = write(context, tmp_path)
    before = blobs(tmp_path)
    next((tmp_path / "out" / "a" / "blobs").glob("*/*")).unlink()
    assert write(context, tmp_path) == [first]
    assert blobs(tmp_path) == before


def test_an_index_never_names_a_missing_blob(tmp_path, monkeypatch):
    """Whichever write fails, the index on the disk names blobs on the disk."""
    context = workspace(tmp_path, GIT)
    write(context, tmp_path)
    folder = tmp_path / "out" / "a"
    old = (folder / "index.json").read_bytes()
    write_whole, count = files.write_whole, 0
    changed = replace(context, host=Machine(env={"SOURCE_DATE_EPOCH": "9"}, cache=tmp_path))
    for failing in range(10):
        count = 0

        def write_some(path, data, mode=0o644, limit=failing):
            nonlocal count
            count += 1
            if count > limit:
                raise OSError(28, "No space left on device", str(path))
            write_whole(path, data, mode)

        monkeypatch.setattr(files, "write_whole", write_some)
        images = binary_image.binary_images(changed, STATIC, (), 9, "abc")
        try:
            static_layouts.write_static(changed, images, 9, tmp_path / "out")
        except OSError:
            assert (folder / "index.json").read_bytes() == old
        (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
        index = json.loads(files.blob_path(folder, entry["digest"]).read_bytes())
        manifests = [files.blob_path(folder, manifest["digest"]) for manifest in index["manifests"]]
        assert [path.is_file() for path in manifests] == [True, True]
    assert (folder / "index.json").read_bytes() != old
