import json
from dataclasses import replace

import pytest
import fake_registry
from machines import settings
from fake_registry import PAIR, after

from buildlib.images import buildx, image
from buildlib.core.errors import UsageError
from buildlib.images.image import ImageOptions
from buildlib.core.plan import Status
from buildlib.core.targets import TARGETS

WITH_BASE = {"registry": "r.test/acme", "components": {"a": {"base": "alpine:3"}}}


@pytest.fixture
def context(tmp_path, monkeypatch):
    """Its image stands on a base, so that a layout needs buildx."""
    made = registry.ready(tmp_path, monkeypatch)()
    made.run.there["alpine:3"] = "{}"
    return replace(made, config=settings(**WITH_BASE))


def kept(context, tmp_path, **more):
    (made,) = image.keep(context, ImageOptions(targets=PAIR, compile=False, **more), tmp_path / "out")
    if made.error:
        raise made.error
    return made


def test_a_layout_that_was_looked_into_then_nothing_to_do(context, tmp_path):
    first = kept(context, tmp_path)
    assert (first.status, first.tags, first.where) == (Status.DONE, ("1.2.3",), str(tmp_path / "out" / "a"))
    assert context.run.titles[3:] == ["build a", "look into a", "start a"]
    (entry,) = json.loads((tmp_path / "out" / "a" / "index.json").read_text())["manifests"]
    blob = (tmp_path / "out" / "a" / "blobs").joinpath(*entry["digest"].split(":"))
    told = json.loads(blob.read_text())
    assert list(buildx.manifests(told)) == ["linux/amd64", "linux/arm/v7"] and buildx.inputs_of(told)
    assert entry["digest"] == first.digest
    # Two platforms' configuration, layer and manifest, and one index: not the one that buildx wrote.
    assert len(list((tmp_path / "out" / "a" / "blobs").glob("*/*"))) == 7
    assert kept(context, tmp_path) == replace(first, status=Status.UNCHANGED)
    assert context.run.titles.count("build a") == 1
    tagged = kept(context, tmp_path, tags=("b",))
    assert (tagged.status, tagged.digest, context.run.titles.count("build a")) == (Status.DONE, first.digest, 1)


def test_a_layout_that_lost_a_blob_is_made_anew(context, tmp_path):
    first = kept(context, tmp_path)
    for blob in (tmp_path / "out" / "a" / "blobs").glob("*/*"):
        if blob.read_text().startswith("layer"):
            blob.unlink()
    again = kept(context, tmp_path)
    assert (again.digest, context.run.titles.count("build a")) == (first.digest, 2)


def test_what_is_refused_leaves_the_layout_as_it_was(context, tmp_path):
    kept(context, tmp_path)
    before = (tmp_path / "out" / "a" / "index.json").read_text()
    context.run.faults["start"] = "ERROR: exit code: 1"
    (made,) = image.keep(context, ImageOptions(targets=PAIR, compile=False, force=True), tmp_path / "out")
    assert (made.status, made.error.code) == (Status.REFUSED, 6)
    assert (tmp_path / "out" / "a" / "index.json").read_text() == before


def test_an_image_is_loaded_after_it_was_looked_into(context):
    (first,) = image.load(context, ImageOptions(targets=PAIR[:1], compile=False))
    assert (first.status, first.where, first.tags) == (Status.DONE, "r.test/acme/a:1.2.3", ("1.2.3",))
    assert context.run.titles[2:] == [
        "build a", "look into a", "start a", "loaded r.test/acme/a:1.2.3", "build a", "loaded r.test/acme/a:1.2.3",
    ]  # fmt: skip
    (again,) = image.load(context, ImageOptions(targets=PAIR[:1], compile=False))
    assert again == replace(first, status=Status.UNCHANGED)


def test_forced_what_is_loaded_is_what_was_looked_into(context):
    image.load(context, ImageOptions(targets=PAIR[:1], compile=False, force=True))
    looked, loaded = [act.argv for act in context.run.acts if act.title == "build a"]
    assert "--no-cache" in looked and "--no-cache" not in loaded
    assert after(loaded, "--tag") == ["r.test/acme/a:1.2.3"]


def test_without_a_registry_the_name_is_the_component_s(context):
    (made,) = image.load(replace(context, config=settings()), ImageOptions(targets=PAIR[:1], tags=("x",), compile=False))
    assert made.where == "a:x"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (ImageOptions(targets=PAIR), "--load takes one platform, not amd64-musl,armv7-musl"),
        (ImageOptions(targets=(TARGETS["arm64"],), attested=("--sbom=true",)), "the Docker daemon takes no attestations"),
    ],
)
def test_what_the_daemon_does_not_take(context, asked, message):
    with pytest.raises(UsageError) as caught:
        image.load(context, asked)
    assert caught.value.message == message
