import json

from buildlib.assembly import oci


def test_an_index_joins_several_images(tmp_path):
    entries = [{"digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"}}]
    image = oci.with_index(entries, {"sha256:1": tmp_path / "blob"}, {"a": "b"})
    assert json.loads(image.index) == {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": entries,
        "annotations": {"a": "b"},
    }
    assert image.blobs == {"sha256:1": tmp_path / "blob", image.digest: image.index}


def test_the_layout_lists_the_image_under_its_tags():
    image = oci.with_index([], {}, {})
    assert json.loads(oci.layout_index(image, ("1.0", "latest"))) == {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [
            {
                "mediaType": oci.INDEX,
                "digest": image.digest,
                "size": len(image.index),
                "annotations": {oci.REF_NAME: tag},
            }
            for tag in ("1.0", "latest")
        ],
    }
