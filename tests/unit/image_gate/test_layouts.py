"""Images in an OCI layout, verified while they are read."""

import hashlib
import json

import pytest
from gate_images import elf, tar

from buildlib.core.errors import BuildError, Refused
from buildlib.image_gate.check import check
from buildlib.image_gate.layouts import HELP, read_layout


class Layout:
    """A layout in a directory."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)

    def add(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def path(self, descriptor):
        return self.folder / "blobs" / "sha256" / descriptor["digest"].removeprefix("sha256:")

    def image(self, arch, layer, **fields):
        config = self.add({"os": "linux", "architecture": arch, "config": {"Entrypoint": ["/app"]}, **fields})
        return self.add({"config": config, "layers": [layer]})

    def index(self, *entries):
        return self.add({"manifests": list(entries)})["digest"]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "layout")


def entry(descriptor, arch, **more):
    return {**descriptor, "platform": {"os": "linux", "architecture": arch, **more}}


def test_the_images_of_an_index(layout):
    layers = {arch: layout.add(tar({"app": elf(arch)})) for arch in ("amd64", "arm64")}
    index = layout.index(
        entry(layout.image("amd64", layers["amd64"]), "amd64"),
        entry(layout.image("arm64", layers["amd64"]), "arm64", variant="v8"),
        entry(layout.add({}), "unknown", os="unknown"),
    )
    images = read_layout(layout.folder, index)
    shared = [layers["amd64"]["digest"]]
    assert {platform: [layer.digest for layer in image.layers] for platform, image in images.items()} == {
        "linux/amd64": shared, "linux/arm64": shared,
    }  # fmt: skip
    assert {platform: [finding.rule for finding in check(image, platform)] for platform, image in images.items()} == {
        "linux/amd64": [], "linux/arm64": ["architecture"],
    }  # fmt: skip


def test_a_manifest_has_the_platform_of_its_configuration(layout):
    manifest = layout.image("arm", layout.add(tar({"app": elf("arm")})), variant="v7")
    assert list(read_layout(layout.folder, manifest["digest"])) == ["linux/arm/v7"]
    assert list(read_layout(layout.folder, layout.index(manifest))) == ["linux/arm/v7"]


def test_two_images_for_one_platform_are_refused(layout):
    one, two = (layout.image("amd64", layout.add(tar({name: elf("amd64")}))) for name in ("app", "b"))
    index = layout.index(entry(one, "amd64"), entry(two, "amd64"))
    with pytest.raises(Refused) as caught:
        read_layout(layout.folder, index)
    assert caught.value.message == f"{layout.folder}: {index}: linux/amd64: platforms: 2 images, expected one"
    assert list(read_layout(layout.folder, layout.index(entry(one, "amd64"), entry(one, "amd64")))) == ["linux/amd64"]


@pytest.mark.parametrize("what", ["index", "manifest", "configuration", "layer"])
def test_a_changed_blob_is_refused(layout, what):
    layer = layout.add(tar({"app": elf("amd64")}))
    manifest = layout.image("amd64", layer)
    index = layout.index(entry(manifest, "amd64"))
    config = json.loads(layout.path(manifest).read_bytes())["config"]
    blob = {"index": {"digest": index}, "manifest": manifest, "configuration": config, "layer": layer}[what]
    data = layout.path(blob).read_bytes()
    layout.path(blob).write_bytes(data[:-1] + b"~")
    with pytest.raises(Refused) as caught:
        check(read_layout(layout.folder, index)["linux/amd64"], "linux/amd64")
    assert caught.value.message.startswith(f"{layout.folder}: {blob['digest']}: digest mismatch: got sha256:")
    assert caught.value.help == HELP


def test_a_missing_blob_is_an_error(layout):
    layer = layout.add(tar({"app": elf("amd64")}))
    manifest = layout.image("amd64", layer)
    layout.path(layer).unlink()
    with pytest.raises(BuildError) as caught:
        check(read_layout(layout.folder, manifest["digest"])["linux/amd64"], "linux/amd64")
    assert caught.value.message == f"{layout.folder}: {layer['digest']}: not in the layout"


@pytest.mark.parametrize("digest", ["sha256:abc", "md5:00", "../../x", "sha256:../../../etc/passwd"])
def test_a_digest_that_is_none_is_refused(layout, digest):
    with pytest.raises(BuildError):
        read_layout(layout.folder, digest)


def test_an_index_without_images_and_an_index_in_an_index(layout):
    with pytest.raises(BuildError, match="the index contains no image"):
        read_layout(layout.folder, layout.index())
    with pytest.raises(BuildError, match="an index in an index"):
        read_layout(layout.folder, layout.index(entry(layout.add({"manifests": []}), "amd64")))
