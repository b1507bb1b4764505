import hashlib
import io
import json
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from buildlib.images import oci

RUNTIME = oci.Runtime(
    entrypoint=("/usr/bin/a",),
    ports=(80,),
    health=("a", "--health"),
    env={"B": "2", "A": "1"},
    volumes=("/var/lib/a",),
    labels={"org.opencontainers.image.title": "a"},
)
PLATFORMS = ("linux/amd64", "linux/arm/v7")


def made(binary=b"binary", epoch=7, packed=None):
    layers = {
        platform: oci.root("/usr/bin/a", binary + platform.encode(), ("/var/lib/a",), epoch) for platform in PLATFORMS
    }
    return oci.image(layers, RUNTIME, epoch, packed or {})


def read(image, descriptor):
    data = image.blobs[descriptor["digest"]]
    assert descriptor["size"] == len(data)
    return json.loads(data)


def test_every_name_in_the_tree_is_a_digest_of_what_is_there():
    image = made()
    assert all(digest == f"sha256:{hashlib.sha256(data).hexdigest()}" for digest, data in image.blobs.items())
    index = json.loads(image.blobs[image.digest])
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
    ]
    reached = {image.digest}
    for entry in index["manifests"]:
        manifest = read(image, entry)
        (layer,) = manifest["layers"]
        config = read(image, manifest["config"])
        packed = image.blobs[layer["digest"]]
        assert config["rootfs"]["diff_ids"] == [oci.digest(oci.gzip.decompress(packed))]
        assert {k: config[k] for k in entry["platform"]} == entry["platform"]
        reached |= {entry["digest"], layer["digest"], manifest["config"]["digest"]}
    assert reached == set(image.blobs)


def test_the_configuration_says_how_it_runs():
    config = oci.configuration("linux/arm64", "sha256:0", RUNTIME, 86_400)
    assert config == {
        "created": "1970-01-02T00:00:00Z",
        "os": "linux",
        "architecture": "arm64",
        "config": {
            "User": "65532:65532",
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "B=2"],
            "Entrypoint": ["/usr/bin/a"],
            "WorkingDir": "/",
            "Labels": {"org.opencontainers.image.title": "a"},
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/var/lib/a": {}},
            "Healthcheck": {
                "Test": ["CMD", "a", "--health"],
                "Interval": 10**10,
                "Timeout": 5 * 10**9,
                "StartPeriod": 30 * 10**9,
                "Retries": 3,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]},
        "history": [{"created": "1970-01-02T00:00:00Z", "created_by": "buildlib"}],
    }


def test_the_layer_has_the_program_its_user_and_its_folders():
    with tarfile.open(fileobj=io.BytesIO(oci.root("/usr/bin/a", b"elf", ("/var/lib/a", "/data"), 7))) as tar:
        told = {i.name: (i.type, oct(i.mode), i.uid, i.gid, i.mtime, i.size) for i in tar.getmembers()}
    folder, file = tarfile.DIRTYPE, tarfile.REGTYPE
    assert told == {
        "data": (folder, "0o755", 65532, 65532, 7, 0),
        "etc": (folder, "0o755", 0, 0, 7, 0),
        "etc/group": (file, "0o644", 0, 0, 7, 27),
        "etc/passwd": (file, "0o644", 0, 0, 7, 71),
        "tmp": (folder, "0o1777", 0, 0, 7, 0),
        "usr": (folder, "0o755", 0, 0, 7, 0),
        "usr/bin": (folder, "0o755", 0, 0, 7, 0),
        "usr/bin/a": (file, "0o755", 0, 0, 7, 3),
        "var": (folder, "0o755", 0, 0, 7, 0),
        "var/lib": (folder, "0o755", 0, 0, 7, 0),
        "var/lib/a": (folder, "0o755", 65532, 65532, 7, 0),
    }
    assert list(told) == sorted(told)


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_the_same_input_is_the_same_image(binary, epoch):
    image = made(binary, epoch)
    assert image == made(binary, epoch)
    assert image == made(binary, epoch, oci.packed_layers(image.blobs))
    assert image.digest != made(binary + b"x", epoch).digest


def test_a_layer_that_is_packed_already_is_not_packed_again():
    image = made()
    tar = oci.root("/usr/bin/a", b"binarylinux/amd64", ("/var/lib/a",), 7)
    packed = oci.packed_layers(image.blobs)
    assert len(packed) == 2 and oci.gzip.decompress(packed[oci.digest(tar)]) == tar
    odd = made(packed={oci.digest(tar): b"stands for it"})
    assert b"stands for it" in odd.blobs.values()


@given(st.dictionaries(st.text(max_size=9), st.binary(max_size=60), max_size=4))
def test_blobs_of_anybody_are_passed_over(blobs):
    assert oci.packed_layers({**blobs, "x": b'{"layers":[{}],"config":{"digest":"x"}}'}) == {}


def test_a_layer_that_was_damaged_is_not_used():
    blobs = dict(made().blobs)
    for digest, data in blobs.items():
        if not data.startswith(b"{"):
            blobs[digest] = data[:-1]
    assert oci.packed_layers(blobs) == {}


def test_several_images_are_held_together_by_one_index(tmp_path):
    entries = [{"digest": "sha256:1", "platform": {"os": "linux", "architecture": "amd64"}}]
    image = oci.held(entries, {"sha256:1": tmp_path / "blob"}, {"a": "b"})
    index = json.loads(image.blobs[image.digest])
    assert (index["manifests"], index["annotations"], index["mediaType"]) == (entries, {"a": "b"}, oci.INDEX)
    assert set(image.blobs) == {"sha256:1", image.digest}


def test_the_layout_names_the_image_by_its_tags():
    image = made()
    index = json.loads(oci.layout_index(image, ("1.0", "latest")))
    assert [(m["digest"], m["annotations"]) for m in index["manifests"]] == [
        (image.digest, {oci.REF_NAME: "1.0"}),
        (image.digest, {oci.REF_NAME: "latest"}),
    ]
