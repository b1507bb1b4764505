import json
from dataclasses import replace
from pathlib import Path

import fake_registry
import pytest
from image_workspace import STATIC
from machines import settings

from buildlib.assembly import oci
from buildlib.core.errors import BuildError
from buildlib.core.plan import Status
from buildlib.image_gate import manifests
from buildlib.images import image
from buildlib.images.image import ImageOptions

WITH_BASE = {"engine": "docker", "registry": "r.test/acme", "components": {"a": {"base": "alpine:3"}}}


@pytest.fixture
def context(tmp_path, monkeypatch):
    """The image has a base image, so that a layout needs buildx."""
    context = fake_registry.prepare(tmp_path, monkeypatch)()
    context.run.manifests["alpine:3"] = "{}"
    return replace(context, config=settings(**WITH_BASE))


def save(context, tmp_path, targets=STATIC, **options):
    """The result of one image. Its error is raised."""
    (result,) = image.save(context, ImageOptions(targets=targets, compile=False, **options), tmp_path / "out")
    if result.error:
        raise result.error
    return result


def test_a_layout_is_checked_and_then_there_is_nothing_to_do(context, tmp_path):
    first = save(context, tmp_path)
    assert (first.status, first.tags, first.where) == (Status.DONE, ("1.2.3",), str(tmp_path / "out" / "a"))
    assert context.run.titles[3:] == ["build a", "extract program of a", "start a"]
    (entry,) = json.loads((tmp_path / "out" / "a" / "index.json").read_text())["manifests"]
    blob = (tmp_path / "out" / "a" / "blobs").joinpath(*entry["digest"].split(":"))
    index = manifests.index_of(blob.read_text())
    assert list(index.images) == ["linux/amd64", "linux/arm/v7"]
    assert index.inputs
    assert entry["digest"] == first.digest
    # Two platforms' configuration, layer and manifest, and one index: not the one that buildx wrote.
    assert len(list((tmp_path / "out" / "a" / "blobs").glob("*/*"))) == 7
    assert save(context, tmp_path) == replace(first, status=Status.UNCHANGED)
    assert context.run.titles.count("build a") == 1
    assert save(context, tmp_path, tags=("b",)) == replace(first, tags=("b",))
    assert context.run.titles.count("build a") == 1


def test_a_layout_for_one_platform(context, tmp_path):
    first = save(context, tmp_path, targets=STATIC[1:])
    (entry,) = json.loads((tmp_path / "out" / "a" / "index.json").read_text())["manifests"]
    blob = (tmp_path / "out" / "a" / "blobs").joinpath(*entry["digest"].split(":"))
    (image_entry,) = json.loads(blob.read_text())["manifests"]
    assert image_entry["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}
    assert set(image_entry) == {"mediaType", "digest", "size", "platform"}
    assert save(context, tmp_path, targets=STATIC[1:]) == replace(first, status=Status.UNCHANGED)


@pytest.mark.parametrize("start", ["layer", '{"schemaVersion"', '{"os"', '{"annotations"'])
@pytest.mark.parametrize("damage", [Path.unlink, lambda blob: blob.write_text(blob.read_text() + " ")])
def test_a_layout_with_a_missing_or_damaged_blob_is_built_again(context, tmp_path, start, damage):
    first = save(context, tmp_path)
    (blob, *_) = (b for b in (tmp_path / "out" / "a" / "blobs").glob("*/*") if b.read_text().startswith(start))
    before = blob.read_text()
    damage(blob)
    assert save(context, tmp_path) == first
    assert (context.run.titles.count("build a"), blob.read_text()) == (2, before)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifests": [{}]}', '{"manifests": [{"digest": "sha256:0"}]}'])
def test_a_broken_layout_is_built_again(context, tmp_path, text):
    first = save(context, tmp_path)
    (tmp_path / "out" / "a" / "index.json").write_text(text)
    assert save(context, tmp_path) == first
    assert context.run.titles.count("build a") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "layout-0 of docker buildx: invalid manifest: Input data was truncated"),
        ("{}", "layout-0 of docker buildx: invalid manifest: neither `manifests` nor `config`"),
        ('{"manifests": []}', "layout-0 of docker buildx: index.json does not name exactly one image"),
        (
            '{"manifests": [{"size": 1}]}',
            "layout-0 of docker buildx: invalid manifest: Object missing required field `digest` - at `$.manifests[0]`",
        ),
        (
            '{"manifests": [{"digest": "sha256:0"}]}',
            "layout-0 of docker buildx: invalid manifest: Input data was truncated",
        ),
    ],
)
def test_a_broken_layout_of_buildx_is_an_error(context, tmp_path, text, message):
    write = context.run._write_layout

    def write_broken(folder, platforms):
        write(folder, platforms)
        (folder / "index.json").write_text(text)

    context.run._write_layout = write_broken
    with pytest.raises(BuildError) as caught:
        save(context, tmp_path)
    assert caught.value.message == message
    assert caught.value.help
    assert not (tmp_path / "out" / "a").exists()


def test_a_refused_image_leaves_the_layout_as_it_was(context, tmp_path):
    save(context, tmp_path)
    before = (tmp_path / "out" / "a" / "index.json").read_text()
    context.run.faults["start"] = "ERROR: exit code: 1"
    (result,) = image.save(context, ImageOptions(targets=STATIC, compile=False, force=True), tmp_path / "out")
    assert (result.status, result.error.code) == (Status.REFUSED, 6)
    assert (tmp_path / "out" / "a" / "index.json").read_text() == before


def test_an_image_is_checked_and_then_loaded(context):
    (first,) = image.load(context, ImageOptions(targets=STATIC[:1], compile=False))
    assert (first.status, first.where, first.tags) == (Status.DONE, "r.test/acme/a:1.2.3", ("1.2.3",))
    assert context.run.titles[2:] == [
        "build a", "extract program of a", "start a", "inspect r.test/acme/a:1.2.3", "load a", "inspect r.test/acme/a:1.2.3",
    ]  # fmt: skip
    (again,) = image.load(context, ImageOptions(targets=STATIC[:1], compile=False))
    assert again == replace(first, status=Status.UNCHANGED)


@pytest.mark.parametrize("force", [False, True])
def test_exactly_the_checked_image_is_loaded(context, force):
    """One build: what the layout contains is checked, and loaded."""
    options = ImageOptions(targets=STATIC[:1], tags=("1", "2"), compile=False, force=force)
    (result,) = image.load(context, options)
    (built,) = context.run.argvs("build a")
    assert ("--no-cache" in built) == force
    archive = context.run.archive
    blobs = {f"blobs/{oci.digest(data).replace(':', '/')}" for data in archive.values()}
    assert set(archive) - {"oci-layout", "index.json", "manifest.json"} <= blobs
    (item,) = json.loads(archive["manifest.json"])
    first, second = json.loads(archive["index.json"])["manifests"]
    manifest = json.loads(archive[f"blobs/{first['digest'].replace(':', '/')}"])
    assert item == {
        "Config": f"blobs/{manifest['config']['digest'].replace(':', '/')}",
        "RepoTags": ["r.test/acme/a:1", "r.test/acme/a:2"],
        "Layers": [f"blobs/{layer['digest'].replace(':', '/')}" for layer in manifest["layers"]],
    }
    assert [entry.pop("annotations") for entry in (first, second)] == [
        {"io.containerd.image.name": f"r.test/acme/a:{tag}", "org.opencontainers.image.ref.name": tag} for tag in "12"
    ]
    assert first == second
    assert result.digest == manifest["config"]["digest"]


def test_the_image_store_of_containerd_knows_images_by_their_manifest(context):
    context.run.store = "containerd"
    (result,) = image.load(replace(context, config=settings()), ImageOptions(targets=STATIC[:1], compile=False))
    (entry,) = json.loads(context.run.archive["index.json"])["manifests"]
    assert (result.digest, result.where) == (entry["digest"], "a:1.2.3")
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/a:1.2.3"


@pytest.mark.parametrize("loaded", ["", f"sha256:{'0' * 64}"])
def test_a_daemon_that_then_has_another_image_is_refused(context, loaded):
    context.run._load = lambda _: context.run.loaded.update({"r.test/acme/a:1.2.3": loaded}) or ""
    (result,) = image.load(context, ImageOptions(targets=STATIC[:1], compile=False))
    assert (result.status, result.error.code) == (Status.REFUSED, 6)
    assert result.error.message.startswith(
        f"r.test/acme/a:1.2.3: the daemon has {loaded or 'no image'}, expected sha256:"
    )


def test_an_image_that_the_daemon_does_not_load_is_an_error(context):
    context.run.faults["load a"] = "open /var/lib/docker/x: no space left on device"
    (result,) = image.load(context, ImageOptions(targets=STATIC[:1], compile=False))
    assert (result.status, result.error.code) == (Status.FAILED, 1)
    assert "no space left on device" in result.error.message


def test_without_a_registry_the_name_is_that_of_the_component(context):
    options = ImageOptions(targets=STATIC[:1], tags=("x",), compile=False)
    (result,) = image.load(replace(context, config=settings()), options)
    assert result.where == "a:x"
