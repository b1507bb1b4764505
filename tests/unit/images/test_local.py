import json
from dataclasses import replace

import fake_registry
import pytest
from fake_registry import values_of
from image_workspace import STATIC
from machines import settings

from buildlib.core.errors import BuildError
from buildlib.core.plan import Status
from buildlib.images import image, manifests
from buildlib.images.image import ImageOptions

WITH_BASE = {"registry": "r.test/acme", "components": {"a": {"base": "alpine:3"}}}


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


def test_a_layout_that_lost_a_blob_is_built_again(context, tmp_path):
    first = save(context, tmp_path)
    for blob in (tmp_path / "out" / "a" / "blobs").glob("*/*"):
        if blob.read_text().startswith("layer"):
            blob.unlink()
    assert save(context, tmp_path) == first
    assert context.run.titles.count("build a") == 2


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
        "build a", "extract program of a", "start a", "inspect r.test/acme/a:1.2.3", "build a", "inspect r.test/acme/a:1.2.3",
    ]  # fmt: skip
    (again,) = image.load(context, ImageOptions(targets=STATIC[:1], compile=False))
    assert again == replace(first, status=Status.UNCHANGED)


def test_with_force_the_loaded_image_is_the_checked_one(context):
    image.load(context, ImageOptions(targets=STATIC[:1], compile=False, force=True))
    checked, loaded = context.run.argvs("build a")
    assert "--no-cache" in checked
    assert "--no-cache" not in loaded
    assert values_of(loaded, "--tag") == ["r.test/acme/a:1.2.3"]


def test_without_a_registry_the_name_is_that_of_the_component(context):
    options = ImageOptions(targets=STATIC[:1], tags=("x",), compile=False)
    (result,) = image.load(replace(context, config=settings()), options)
    assert result.where == "a:x"
