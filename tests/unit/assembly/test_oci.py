import hashlib
import io
import json
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from buildlib.assembly import oci

RUNTIME = oci.Runtime(
    entrypoint=("/usr/bin/a",),
    ports=(80,),
    health=("a", "--health"),
    env={"B": "2", "A": "1"},
    volumes=("/var/lib/a",),
    labels={"org.opencontainers.image.title": "a"},
)
PLATFORMS = ("linux/amd64", "linux/arm/v7")


def build(binary=b"binary", epoch=7, compressed=None):
    layers = {platform: oci.root_layer(RUNTIME, binary + platform.encode(), {}, epoch) for platform in PLATFORMS}
    return oci.image(layers, RUNTIME, epoch, compressed or {})


def read(image, descriptor):
    data = image.blobs[descriptor["digest"]]
    assert descriptor["size"] == len(data)
    return json.loads(data)


def test_every_blob_is_named_by_its_digest_and_reached_from_the_index():
    image = build()
    assert all(digest == f"sha256:{hashlib.sha256(data).hexdigest()}" for digest, data in image.blobs.items())
    assert image.blobs[image.digest] == image.index
    index = json.loads(image.index)
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm", "variant": "v7"},
    ]
    reached = {image.digest}
    for entry in index["manifests"]:
        manifest = read(image, entry)
        (layer,) = manifest["layers"]
        config = read(image, manifest["config"])
        compressed = image.blobs[layer["digest"]]
        assert config["rootfs"]["diff_ids"] == [oci.digest(oci.gzip.decompress(compressed))]
        assert compressed[4:10] == b"\0\0\0\0\0\xff"  # no time, and no system: the same from all versions of Python
        assert {k: config[k] for k in entry["platform"]} == entry["platform"]
        reached |= {entry["digest"], layer["digest"], manifest["config"]["digest"]}
    assert reached == set(image.blobs)


def test_the_configuration_describes_the_container():
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
    runtime = oci.Runtime(entrypoint=("/a",), command=("--x", "y z"), user="7:8", workdir="/srv")
    config = oci.configuration("linux/arm64", "sha256:0", runtime, 0)["config"]
    assert [config[key] for key in ("Cmd", "User", "WorkingDir")] == [["--x", "y z"], "7:8", "/srv"]


def members_of(layer):
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {i.name: (i.type, oct(i.mode), i.uid, i.gid, i.mtime, i.size) for i in tar.getmembers()}


def test_the_layer_has_the_program_its_user_and_its_directories():
    runtime = oci.Runtime(entrypoint=("/usr/bin/a",), volumes=("/var/lib/a", "/data"))
    members = members_of(oci.root_layer(runtime, b"elf", {}, 7))
    folder, file = tarfile.DIRTYPE, tarfile.REGTYPE
    assert members == {
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
    assert list(members) == sorted(members)


def test_files_and_their_directories_belong_to_the_user():
    """A directory that the image has anyway keeps its owner, and a file of the user's replaces one of the image."""
    runtime = oci.Runtime(entrypoint=("/bin/a",), user="7:8", workdir="/srv/x", volumes=("/srv",))
    owned = {
        "/etc": None,
        "/etc/passwd": (b"root", 0o644),
        "/opt/a/conf": None,
        "/opt/a/conf/run": (b"#!", 0o755),
        f"/opt/{'long' * 70}": (b"", 0o644),
    }
    members = members_of(oci.root_layer(runtime, b"elf", owned, 7))
    folder, file = tarfile.DIRTYPE, tarfile.REGTYPE
    assert members == {
        "bin": (folder, "0o755", 0, 0, 7, 0),
        "bin/a": (file, "0o755", 0, 0, 7, 3),
        "etc": (folder, "0o755", 0, 0, 7, 0),
        "etc/group": (file, "0o644", 0, 0, 7, 27),
        "etc/passwd": (file, "0o644", 7, 8, 7, 4),
        "opt": (folder, "0o755", 0, 0, 7, 0),
        "opt/a": (folder, "0o755", 0, 0, 7, 0),
        "opt/a/conf": (folder, "0o755", 7, 8, 7, 0),
        "opt/a/conf/run": (file, "0o755", 7, 8, 7, 2),
        f"opt/{'long' * 70}": (file, "0o644", 7, 8, 7, 0),
        "srv": (folder, "0o755", 7, 8, 7, 0),
        "srv/x": (folder, "0o755", 0, 0, 7, 0),
        "tmp": (folder, "0o1777", 0, 0, 7, 0),
    }


@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_the_same_input_gives_the_same_image(binary, epoch):
    image = build(binary, epoch)
    assert image == build(binary, epoch)
    assert image == build(binary, epoch, oci.compressed_layers(image.blobs))
    assert image.digest != build(binary + b"x", epoch).digest


def test_a_compressed_layer_is_not_compressed_again():
    image = build()
    tar = oci.root_layer(RUNTIME, b"binarylinux/amd64", {}, 7)
    compressed = oci.compressed_layers(image.blobs)
    assert len(compressed) == 2
    assert oci.gzip.decompress(compressed[oci.digest(tar)]) == tar
    assert b"stand-in" in build(compressed={oci.digest(tar): b"stand-in"}).blobs.values()


@given(st.dictionaries(st.text(max_size=9), st.binary(max_size=60), max_size=4))
def test_blobs_of_other_tools_are_skipped(blobs):
    assert oci.compressed_layers({**blobs, "x": b'{"layers":[{}],"config":{"digest":"x"}}'}) == {}
    assert oci.compressed_layers({**blobs, "x": b"[" * 100_000}) == {}


def test_a_damaged_layer_is_not_used():
    blobs = dict(build().blobs)
    for digest, data in blobs.items():
        if not data.startswith(b"{"):
            blobs[digest] = data[:-1]
    assert oci.compressed_layers(blobs) == {}


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
    image = build()
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
