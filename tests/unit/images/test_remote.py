"""`verify` for images in an emulated registry."""

import io
import json
import tarfile
import threading

import pytest
from machines import Machine, Recorder, context
from upstream import Upstream, digest

from buildlib.core.errors import BuildError, NetworkError
from buildlib.core.settings import Retry
from buildlib.emulation.exit_stub import exit_program
from buildlib.images import manifests, remote
from buildlib.images.remote import zstd
from buildlib.process.retry import Budget

RETRY = Retry(attempts=3, delay=0.01, max_delay=0.05, total=5.0)
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}


def tar(files, compressed=True):
    """A layer: path -> content, or the target of a symbolic link as a string."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz" if compressed else "w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return data.getvalue()


class Images:
    """The content of the registry."""

    def __init__(self, server):
        self.server = server

    def put(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.server.blobs[digest(data)] = data
        return digest(data)

    def manifest(self, platform, *layers, **config):
        fields = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        config = self.put({**fields, "config": {"Entrypoint": ["/usr/bin/app"], **config}})
        return {"config": {"digest": config}, "layers": [{"digest": self.put(layer)} for layer in layers]}

    def image(self, platform, *layers, **config):
        """The entry of an index."""
        fields = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        return {"digest": self.put(self.manifest(platform, *layers, **config)), "platform": fields}

    def tag(self, name, *images):
        return self.document(name, {"manifests": list(images)})

    def document(self, name, data):
        """A tag that points to this manifest or index."""
        self.server.blobs[name] = data if isinstance(data, bytes) else json.dumps(data).encode()
        return f"{self.server.address}/acme/app:{name}"

    @property
    def repository(self):
        return f"{self.server.address}/acme/app"


@pytest.fixture
def images():
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Images(server)
    server.shutdown()
    server.server_close()


@pytest.fixture
def verify(tmp_path):
    """A function that returns the platform and program, the arch, and the refusals of each verdict."""

    def verify(reference):
        run = Recorder()
        run.env, run.budget = {"HOME": str(tmp_path)}, Budget(RETRY)
        run.sleep, run.failed = lambda _: None, lambda *_: None
        verdicts = remote.verify(context(Machine(), run, root=tmp_path), reference)
        return [(str(v.path).partition(" · ")[2], v.target.name if v.target else "", v.refusals) for v in verdicts]

    return verify


def app(arch, path="usr/bin/app"):
    return tar({path: exit_program(MACHINES[arch])})


def test_the_program_of_each_platform_is_verified(images, verify):
    attestation = {"digest": "sha256:00", "platform": {"os": "unknown", "architecture": "unknown"}}
    entries = [images.image(f"linux/{arch}", app(arch)) for arch in MACHINES]
    verdicts = verify(images.tag("1", *entries, attestation))
    assert verdicts == [(f"linux/{arch} · /usr/bin/app", f"{arch}-musl", ()) for arch in MACHINES]


def test_an_image_without_an_index_has_the_platform_of_its_configuration(images, verify):
    reference = images.document("1", images.manifest("linux/arm64/v8", app("arm64")))
    assert verify(reference) == [("linux/arm64/v8 · /usr/bin/app", "arm64-musl", ())]


def test_an_entry_without_a_platform_has_the_platform_of_its_configuration(images, verify):
    entry = images.image("linux/arm64", app("arm64"))
    expected = [("linux/arm64 · /usr/bin/app", "arm64-musl", ())]
    for platform in ({}, {"platform": None}, {"platform": {}}):
        assert verify(images.tag("1", {"digest": entry["digest"], **platform})) == expected


def test_the_program_of_another_architecture_is_refused(images, verify):
    reference = images.tag("1", images.image("linux/amd64", app("amd64")), images.image("linux/arm64/v8", app("amd64")))
    assert verify(f"docker://{reference}") == [
        ("linux/amd64 · /usr/bin/app", "amd64-musl", ()),
        ("linux/arm64/v8 · /usr/bin/app", "arm64", ("machine: 62 (amd64), expected 183 (arm64)",)),
    ]


def test_a_verdict_names_the_image_as_the_user_does(images, tmp_path):
    run = Recorder()
    run.env, run.budget = {"HOME": str(tmp_path)}, Budget(RETRY)
    run.sleep, run.failed = lambda _: None, lambda *_: None
    reference = images.tag("1", images.image("linux/arm64", app("arm64")))
    (verdict,) = remote.verify(context(Machine(), run, root=tmp_path), f"docker://{reference}")
    assert str(verdict.path) == f"{reference} · linux/arm64 · /usr/bin/app"


@pytest.mark.parametrize(
    ("layers", "config", "path"),
    [
        ([app("arm64")], {}, "/usr/bin/app"),
        ([app("amd64"), app("arm64")], {}, "/usr/bin/app"),  # the topmost layer counts
        ([app("arm64"), tar({"etc/x": b"1"})], {}, "/usr/bin/app"),
        ([tar({"./usr/bin/app": exit_program("aarch64")}, compressed=False)], {}, "/usr/bin/app"),
        ([zstd.compress(tar({"usr/bin/app": exit_program("aarch64")}, compressed=False))], {}, "/usr/bin/app"),
        ([tar({"usr/bin/app": "../lib/app/real", "usr/lib/app/real": exit_program("aarch64")})], {}, "/usr/lib/app/real"),
        ([tar({"opt/x": exit_program("aarch64")})], {"Entrypoint": None, "Cmd": ["x"], "Env": ["PATH=/bin:/opt"]}, "/opt/x"),
        ([app("arm64")], {"Entrypoint": ["./bin/app"], "WorkingDir": "/usr"}, "/usr/bin/app"),
        ([tar({"usr/bin/sh": exit_program("aarch64"), "a.sh": b"#!/bin/sh -e\napp\n"})], {"Entrypoint": ["/a.sh"]}, "/usr/bin/sh"),
    ],
)  # fmt: skip
def test_the_program_is_found_as_a_container_engine_finds_it(images, verify, layers, config, path):
    verdicts = verify(images.tag("1", images.image("linux/arm64", *layers, **config)))
    assert verdicts == [(f"linux/arm64 · {path}", "arm64-musl", ())]


@pytest.mark.parametrize(
    ("layer", "refusal"),
    [
        (app("arm64", "opt/app"), "/usr/bin/app: is not in the image"),
        (tar({"usr/bin/app": "app"}), "/usr/bin/app: a loop of symbolic links, or a chain of more than 8"),
        (tar({"usr/bin/app": b"text"}), "not an ELF file"),
    ],
    ids=["missing", "loop", "text"],
)
def test_an_image_without_the_program_is_refused(images, verify, layer, refusal):
    ((_, arch, refusals),) = verify(images.tag("1", images.image("linux/arm64", layer)))
    assert (arch, refusals) == ("arm64", (refusal,))


@pytest.mark.parametrize(
    "layer",
    [
        b"no tar at all",
        zstd.compress(b"no tar at all"),
        zstd.compress(tar({"usr/bin/app": exit_program("aarch64")}, compressed=False))[:-9],
        b"\x28\xb5\x2f\xfd no frame",
        tar({"usr/bin/app": bytes(9000)})[:60],
    ],
    ids=["text", "zstd-text", "zstd-truncated", "zstd-broken", "gzip-truncated"],
)
def test_a_broken_layer_is_refused(images, verify, layer):
    ((_, _, (refusal,)),) = verify(images.tag("1", images.image("linux/arm64", layer)))
    assert refusal.startswith(f"/usr/bin/app: layer {digest(layer)[:19]} cannot be read: ")
    assert "\n" not in refusal


@pytest.mark.parametrize(
    ("platform", "refusal"),
    [
        ("plan9/arm64", "platform: plan9/arm64, expected one that buildlib knows"),
        ("", "platform: none, expected one that buildlib knows"),
    ],
)
def test_an_unknown_platform_is_refused(images, verify, platform, refusal):
    assert verify(images.tag("1", images.image(platform, app("arm64")))) == [(platform, "", (refusal,))]


@pytest.mark.parametrize("config", [{"Entrypoint": None}, {"Entrypoint": [], "Cmd": []}])
def test_an_image_that_starts_nothing_is_refused(images, verify, config):
    verdicts = verify(images.tag("1", images.image("linux/arm64", app("arm64"), **config)))
    refusal = "program: none, expected Entrypoint or Cmd in the configuration"
    assert verdicts == [("linux/arm64", "arm64", (refusal,))]


HEX = f"sha256:{'0' * 64}"
SCHEMA_1 = {
    "schemaVersion": 1, "name": "acme/app", "tag": "1", "architecture": "amd64", "fsLayers": [{"blobSum": HEX}],
    "history": [{"v1Compatibility": "{}"}], "signatures": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "message", "help_text"),
    [
        (SCHEMA_1, "manifest of schema 1, expected schema 2 or an OCI manifest", manifests.SCHEMA_1_HELP),
        (b"<html>", "invalid manifest: JSON is malformed: invalid character (byte 0)", manifests.HELP),
        (b"\xff", "invalid manifest: JSON is malformed: invalid character (byte 0)", manifests.HELP),
        (b"", "invalid manifest: Input data was truncated", manifests.HELP),
        ([], "invalid manifest: Expected `object`, got `array`", manifests.HELP),
        ({}, "invalid manifest: neither `manifests` nor `config`", manifests.HELP),
        ({"layers": []}, "invalid manifest: neither `manifests` nor `config`", manifests.HELP),
        (
            {"config": {"size": 1}},
            "invalid manifest: Object missing required field `digest` - at `$.config`",
            manifests.HELP,
        ),
        ({"config": HEX}, "invalid manifest: Expected `object | null`, got `str` - at `$.config`", manifests.HELP),
        (
            {"config": {"digest": HEX}, "layers": [{}]},
            "invalid manifest: Object missing required field `digest` - at `$.layers[0]`",
            manifests.HELP,
        ),
        ({"manifests": []}, "the index contains no image", manifests.HELP),
        (
            {"manifests": [{"digest": HEX, "platform": {"os": "unknown", "architecture": "unknown"}}]},
            "the index contains no image",
            manifests.HELP,
        ),
        (
            {"manifests": [{"platform": {"os": "linux", "architecture": "arm64"}}]},
            "invalid manifest: Object missing required field `digest` - at `$.manifests[0]`",
            manifests.HELP,
        ),
        (
            {"manifests": {"digest": HEX}},
            "invalid manifest: Expected `array | null`, got `object` - at `$.manifests`",
            manifests.HELP,
        ),
        (
            {"manifests": [{"digest": HEX, "platform": "linux/arm64"}]},
            "invalid manifest: Expected `object | null`, got `str` - at `$.manifests[0].platform`",
            manifests.HELP,
        ),
    ],
)
def test_a_broken_manifest_is_an_error_in_one_line(images, verify, document, message, help_text):
    with pytest.raises(BuildError) as caught:
        verify(images.document("1", document))
    assert (caught.value.message, caught.value.help) == (f"{images.repository}: 1: {message}", help_text)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"manifests": []}, "an index in an index, expected a manifest"),
        ({}, "invalid manifest: neither `manifests` nor `config`"),
        (SCHEMA_1, "manifest of schema 1, expected schema 2 or an OCI manifest"),
    ],
)
def test_a_broken_manifest_in_an_index_is_an_error(images, verify, manifest, message):
    name = images.put(manifest)
    with pytest.raises(BuildError) as caught:
        verify(images.tag("1", {"digest": name, "platform": {"os": "linux", "architecture": "arm64"}}))
    assert caught.value.message == f"{images.repository}: {name}: {message}"
    assert caught.value.help


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], "Expected `object`, got `array`"),
        (b"", "Input data was truncated"),
        ({"os": 5}, "Expected `str | null`, got `int` - at `$.os`"),
        ({"config": []}, "Expected `object | null`, got `array` - at `$.config`"),
        ({"config": {"Entrypoint": "/app"}}, "Expected `array | null`, got `str` - at `$.config.Entrypoint`"),
        ({"config": {"Cmd": [1]}}, "Expected `str`, got `int` - at `$.config.Cmd[0]`"),
        ({"config": {"Env": {"PATH": "/bin"}}}, "Expected `array | null`, got `object` - at `$.config.Env`"),
        ({"config": {"WorkingDir": 5}}, "Expected `str | null`, got `int` - at `$.config.WorkingDir`"),
    ],
)
def test_a_broken_configuration_is_an_error_in_one_line(images, verify, config, message):
    name = images.put(config)
    with pytest.raises(BuildError) as caught:
        verify(images.document("1", {"config": {"digest": name}, "layers": []}))
    assert caught.value.message == f"{images.repository}: {name}: invalid configuration: {message}"
    assert caught.value.help == manifests.HELP


def test_an_image_that_the_registry_does_not_have_is_an_error(images, verify):
    with pytest.raises(BuildError) as caught:
        verify(f"{images.repository}:none")
    assert caught.value.message == f"{images.repository}: none: not found"


def test_a_registry_that_keeps_failing_is_a_network_error(images, verify):
    reference = images.tag("1", images.image("linux/arm64", app("arm64")))
    images.server.faults = {"manifests": [(503, b"")] * 9}
    with pytest.raises(NetworkError, match="503 Service Unavailable"):
        verify(reference)


def test_a_download_that_keeps_breaking_off_is_a_network_error(images, verify):
    reference = images.tag("1", images.image("linux/arm64", app("arm64")))
    images.server.faults = {"blobs": ["cut"] * 99}
    images.server.ranges = False
    with pytest.raises(NetworkError) as caught:
        verify(reference)
    assert caught.value.message.startswith(f"{images.repository}: ")
    assert caught.value.help == "check the network: buildlib doctor --network"


def test_requests_are_retried(images, verify):
    reference = images.tag("1", images.image("linux/arm64", app("arm64")))
    images.server.faults = {"manifests": ["reset"], "blobs": ["cut"]}
    assert verify(reference) == [("linux/arm64 · /usr/bin/app", "arm64-musl", ())]


@pytest.mark.parametrize(
    ("word", "image"),
    [
        ("ghcr.io/acme/a:1", True), ("docker://debian:12", True), ("127.0.0.1:5000/a/b@sha256:" + "0" * 64, True), ("debian:12", True),
        ("dist", False), ("dist/arm64/app", False), ("./a:b", False), ("ghcr.io/acme/a", False), ("", False),
    ],
)  # fmt: skip
def test_words_that_name_an_image(word, image):
    assert remote.is_reference(word) is image


def test_an_existing_file_takes_precedence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:1").touch()
    assert not remote.is_reference("a:1")
