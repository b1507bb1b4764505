"""`verify` for images in an emulated registry."""

import errno
import hashlib
import io
import json
import re
import tarfile
import tempfile
from dataclasses import replace

import gate_images
import msgspec
import pytest
from machines import Machine, Recorder, context, workspace
from upstream import Upstream, digest

from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.core.image_settings import Image
from buildlib.core.settings import Retry
from buildlib.emulation.exit_stub import exit_program
from buildlib.image_gate import manifests, remote
from buildlib.image_layers import compression
from buildlib.image_layers.compression import zstd
from buildlib.machine.workspace import Component
from buildlib.process.retry import Budget

RETRY = Retry(attempts=3, delay=0.01, max_delay=0.05, total=5.0)
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}


def tar(files, compressed=True, mode=0o755):
    """A layer: path -> content, or the target of a symbolic link as a string. Directories have entries, as BuildKit writes them."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz" if compressed else "w") as archive:
        folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
        for folder in sorted(folders - {".", ""}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode = mode
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

    def descriptor(self, data):
        name = self.put(data)
        return {"digest": name, "size": len(self.server.blobs[name])}

    def manifest(self, platform, *layers, **config):
        fields = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        config = self.descriptor({**fields, "config": {"Entrypoint": ["/usr/bin/app"], **config}})
        return {"config": config, "layers": [self.descriptor(layer) for layer in layers]}

    def image(self, platform, *layers, **config):
        """The entry of an index."""
        fields = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        return {**self.descriptor(self.manifest(platform, *layers, **config)), "platform": fields}

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
    with Upstream() as server:
        yield Images(server)


def plain(refusal):
    """A refusal without the digest of the layer."""
    return re.sub(r"^(layer \d+) \(sha256:[0-9a-f]{12}\): ", r"\1: ", refusal)


@pytest.fixture
def verify(tmp_path):
    """A function that returns the platform and program, the arch, and the refusals of each verdict, without the digests of layers."""

    def verify(reference):
        run = Recorder()
        run.env, run.budget = {"HOME": str(tmp_path)}, Budget(RETRY)
        run.sleep, run.failed = lambda _: None, lambda *_: None
        verdicts = remote.verify(context(Machine(), run, root=tmp_path), reference)
        return [
            (str(v.path).partition(" · ")[2], v.target.name if v.target else "", tuple(map(plain, v.refusals)))
            for v in verdicts
        ]

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
        ("linux/arm64/v8 · /usr/bin/app", "arm64", ("layer 1: /usr/bin/app: architecture: x86-64, expected AArch64",)),
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
        ([tar({"bin": "usr/bin", "usr/bin/sh": exit_program("aarch64"), "a.sh": b"#!/bin/sh -e\napp\n"})],
         {"Entrypoint": ["/a.sh"]}, "/usr/bin/sh"),
    ],
)  # fmt: skip
def test_the_program_is_found_as_a_container_engine_finds_it(images, verify, layers, config, path):
    verdicts = verify(images.tag("1", images.image("linux/arm64", *layers, **config)))
    assert verdicts == [(f"linux/arm64 · {path}", "arm64-musl", ())]


EXECUTABLE = "expected an executable file"
NO_PROGRAM = f"/usr/bin/app: program: neither an ELF file nor a script, {EXECUTABLE}"
NOTHING = b""  # the content of a whiteout
BASE = tar(
    {"usr/bin/sh": exit_program("aarch64"), "usr/bin/app": exit_program("aarch64"), "bin": "usr/bin", "opt/x/y": b"y"}
)


@pytest.mark.parametrize(
    ("layers", "config", "result"),
    [
        ([tar({"usr/bin/.wh.app": NOTHING})], {}, f"/usr/bin/app: program: not in the image, {EXECUTABLE}"),
        ([tar({"usr/.wh.bin": NOTHING})], {}, f"/usr/bin/app: program: not in the image, {EXECUTABLE}"),
        ([tar({"usr/bin/.wh..wh..opq": NOTHING})], {}, f"/usr/bin/app: program: not in the image, {EXECUTABLE}"),
        ([tar({"usr/bin/.wh..wh..opq": NOTHING, "usr/bin/app": b"text"})], {}, f"layer 2: {NO_PROGRAM}"),
        ([tar({"usr/bin/.wh.app": NOTHING}), app("arm64")], {}, "/usr/bin/app"),
        ([tar({"usr/bin/app": "../../bin/sh"})], {}, "/usr/bin/sh"),
        ([tar({"usr/bin/app": "/../../../bin/sh"})], {}, "/usr/bin/sh"),
        ([tar({"opt/app": exit_program("aarch64")}), tar({"usr/bin/app": "/opt/app"})], {}, "/opt/app"),
        ([tar({"usr/bin/app": "/none"})], {}, f"/usr/bin/app: program: not in the image, {EXECUTABLE}"),
        ([], {"Entrypoint": ["/bin/app"]}, "/usr/bin/app"),
        ([], {"Entrypoint": ["app"]}, "/usr/bin/app"),
        ([], {"Entrypoint": ["../bin/app"], "WorkingDir": "/opt/x"}, f"../bin/app: program: not in the image, {EXECUTABLE}"),
        ([], {"Entrypoint": ["../../bin/app"], "WorkingDir": "/opt/x"}, "/usr/bin/app"),
        ([], {"Entrypoint": ["/opt"]}, f"/opt: program: a directory, {EXECUTABLE}"),
        ([], {"Entrypoint": [""]}, f"program: a directory, {EXECUTABLE}"),
        ([], {"Entrypoint": ["/"]}, f"/: program: a directory, {EXECUTABLE}"),
        ([tar({"usr/bin/app": exit_program("aarch64")}, mode=0o644)], {}, f"/usr/bin/app: program: not executable, {EXECUTABLE}"),
        ([tar({"usr/sbin/sh": b"text"}, mode=0o644)], {"Entrypoint": ["sh"]}, "/usr/bin/sh"),
        ([tar({"usr/bin/app": b"#!/opt/sh\n"})], {}, f"layer 2: /usr/bin/app: interpreter: /opt/sh not in the image, {EXECUTABLE}"),
        ([tar({"usr/bin/app": b"#! bin/sh\n"})], {}, "/usr/bin/sh"),
        ([tar({"usr/bin/app": b"#!/usr/bin/b\n", "usr/bin/b": b"#!/bin/sh"})], {}, "/usr/bin/sh"),
        ([tar({"usr/bin/app": b"#!/usr/bin/app\n"})], {},
         "layer 2: /usr/bin/app: interpreter: more than 5 scripts, expected an ELF file"),
        ([tar({"usr/bin/app": b"#!\n"})], {}, f"layer 2: {NO_PROGRAM}"),
        ([tar({"usr/bin/app": b"#!" + b" " * 300 + b"/bin/sh"})], {}, f"layer 2: {NO_PROGRAM}"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_the_program_is_the_one_that_a_container_starts(images, verify, layers, config, result):
    """Whiteouts, links across layers, the search in PATH, scripts. `result` is its path, or the refusal."""
    ((where, arch, refusals),) = verify(images.tag("1", images.image("linux/arm64", BASE, *layers, **config)))
    if ":" not in result:
        assert (where, arch, refusals) == (f"linux/arm64 · {result}", "arm64-musl", ())
    else:
        assert refusals == (result,)


def test_every_layer_is_read_for_the_gate(images, verify):
    layers = [BASE, tar({"etc/x": b"x"}), app("arm64"), tar({"var/lib/.wh.y": NOTHING})]
    verify(images.tag("1", images.image("linux/arm64", *layers)))
    assert [images.server.asked[f"GET /v2/acme/app/blobs/{digest(layer)}"] for layer in layers] == [1, 1, 1, 1]


def test_each_layer_is_downloaded_once(images, verify):
    layers = [tar({f"etc/{number}": b"x"}) for number in range(8)]
    verify(images.tag("1", images.image("linux/arm64", BASE, *layers, Entrypoint=["none"])))
    assert {images.server.asked[f"GET /v2/acme/app/blobs/{digest(layer)}"] for layer in (BASE, *layers)} == {1}


def test_an_image_that_decompresses_without_end_is_refused(images, verify, monkeypatch):
    monkeypatch.setattr(compression, "FREE", 1 << 20)
    layer = tar({"a": bytes(50 << 20)})
    ((_, _, (refusal,)),) = verify(images.tag("1", images.image("linux/arm64", layer)))
    assert refusal == (
        f"layers: layer {digest(layer)[:19]} cannot be read: "
        f"decompresses to more than {(1 << 20) + 100 * len(layer)} bytes, 100 times its size"
    )


def test_a_full_disk_is_an_error(images, verify, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(remote.Path, "open", full)
    with pytest.raises(BuildError) as caught:
        verify(images.tag("1", images.image("linux/arm64", app("arm64"))))
    assert caught.value.message == f"{tempfile.gettempdir()}: No space left on device"
    assert caught.value.help == "free some space, or let TMPDIR name a directory with more"


# --- content that is not what its digest says ---------------------------------------------------------------------------------


def change(images, name, change):
    """Let the registry return something else for a digest."""
    images.server.blobs[name] = changed = change(images.server.blobs[name])
    return f"{images.repository}@{name}: digest mismatch: got {digest(changed)}, expected {name}"


def refused(verify, reference):
    with pytest.raises(Refused) as caught:
        verify(reference)
    assert caught.value.code == 6
    return caught.value.message


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("what", ["layer", "configuration", "manifest", "index"])
def test_other_content_under_a_digest_is_refused(images, verify, what, sized):
    """The same size, so that only the digest shows it."""
    layer = app("arm64")
    manifest = images.manifest("linux/arm64", layer)
    for descriptor in (manifest["config"], *manifest["layers"]) if not sized else ():
        del descriptor["size"]
    entry = images.descriptor(manifest) | {"platform": {"os": "linux", "architecture": "arm64"}}
    top = images.put({"manifests": [entry]})
    names = {
        "layer": digest(layer),
        "configuration": manifest["config"]["digest"],
        "manifest": entry["digest"],
        "index": top,
    }
    message = change(images, names[what], lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    assert refused(verify, f"{images.repository}@{top}") == message


def test_a_swapped_manifest_is_refused(images, verify):
    """Both are images of the same repository."""
    one, two = images.image("linux/arm64", app("arm64")), images.image("linux/amd64", app("amd64"))
    message = change(images, one["digest"], lambda _: images.server.blobs[two["digest"]])
    for descriptor in (one, {**one, "size": two["size"]}):
        assert refused(verify, images.tag("1", descriptor)) in (
            message, f"{images.repository}@{one['digest']}: {two['size']} bytes, expected {one['size']}",
        )  # fmt: skip


def test_another_size_than_the_manifest_says_is_refused(images, verify):
    manifest = images.manifest("linux/arm64", app("arm64"))
    manifest["layers"][0]["size"] += 1
    name, size = manifest["layers"][0]["digest"], manifest["layers"][0]["size"]
    assert refused(verify, images.document("1", manifest)) == (
        f"{images.repository}@{name}: {size - 1} bytes, expected {size}"
    )


@pytest.mark.parametrize("name", [f"md5:{'0' * 32}", f"blake3:{'0' * 64}", "sha256:abc"])
def test_a_digest_that_cannot_be_verified_is_refused(images, verify, name):
    manifest = images.manifest("linux/arm64", app("arm64"))
    manifest["layers"][0]["digest"] = name
    expected = f"{images.repository}@{name}: digest {name!r}, expected sha256 or sha512 in hex digits"
    assert refused(verify, images.document("1", manifest)) == expected


def test_a_digest_of_the_registry_for_a_tag_is_verified(images, verify):
    reference = images.tag("1", images.image("linux/arm64", app("arm64")))
    data = images.server.blobs["1"]
    images.server.faults = {"/manifests/1": [(200, data, {"Docker-Content-Digest": HEX})]}
    assert refused(verify, reference) == f"{reference}: digest mismatch: got {digest(data)}, expected {HEX}"


HEX = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("layer", "refusal"),
    [
        (app("arm64", "opt/app"), f"/usr/bin/app: program: not in the image, {EXECUTABLE}"),
        (
            tar({"usr/bin/app": "app"}),
            f"/usr/bin/app: program: a loop of symbolic links, or a chain of more than 40, {EXECUTABLE}",
        ),
        (tar({"usr/bin/app": b"text"}), f"layer 1: {NO_PROGRAM}"),
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
    assert refusal.startswith(f"layers: layer {digest(layer)[:19]} cannot be read: ")
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
    assert caught.value.message == f"{images.repository}:none: not found"


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
    assert caught.value.message.startswith(f"{images.repository}@sha256:")
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


# --- the gate for any image -----------------------------------------------------------------------------------------------------


def verdicts_of(reference, tmp_path, *components, **config):
    """Path and refusals of each verdict in a workspace with these components."""
    run = Recorder()
    run.env, run.budget = {"HOME": str(tmp_path)}, Budget(RETRY)
    run.sleep, run.failed = lambda _: None, lambda *_: None
    of = context(Machine(), run, root=tmp_path)
    of = replace(
        of, config=msgspec.structs.replace(of.config, **config), workspace=workspace(*components, root=tmp_path)
    )
    return [(str(v.path).partition(" · ")[2], v.refusals) for v in remote.verify(of, reference)]


def service(arch="arm64", **files):
    """A service of Python on a distribution whose glibc is new, with an RPATH as some of its libraries have."""
    python = with_version(gate_images.program(arch, rpath="/usr/lib/python"), "GLIBC_2.38")
    programs = {"usr/bin/python3": python, "usr/bin/env": python, "srv/app.py": b"#!/usr/bin/env python3\n"}
    return tar(gate_images.runtime(arch) | programs | files)


def with_version(data, version):
    """The same file; `elf.facts` is asked for its versions."""
    VERSIONS[hashlib.sha256(data).hexdigest()] = version.removeprefix("GLIBC_")
    return data


VERSIONS = {}


@pytest.fixture
def versions(monkeypatch):
    """Stands for the version sections of ELF files: pyelftools reads the file, and the version is what `with_version` says."""
    read = remote.elf.read

    def with_glibc(path):
        facts = read(path)
        return replace(facts, glibc=VERSIONS.get(facts.sha256, facts.glibc))

    monkeypatch.setattr(remote.elf, "read", with_glibc)


PYTHON = {"Entrypoint": ["/srv/app.py"]}


def test_a_service_of_python_is_accepted_whatever_its_interpreter_needs(images, tmp_path, versions):
    reference = images.tag("1", images.image("linux/arm64", service(), **PYTHON))
    expected = [("linux/arm64 · /usr/bin/python3", ())]
    assert verdicts_of(reference, tmp_path) == expected
    # The setting is for the binaries of the workspace.
    assert verdicts_of(reference, tmp_path, glibc="2.31") == expected


def test_the_flag_glibc_is_for_the_program_of_any_image(images, tmp_path, versions):
    reference = images.tag("1", images.image("linux/arm64", service(), **PYTHON))
    settings = {"glibc": "2.31", "origins": {"glibc": "flag"}}
    assert verdicts_of(reference, tmp_path, **settings) == [
        ("linux/arm64 · /usr/bin/python3", ("glibc: 2.38, expected 2.31 or older",))
    ]


def test_a_program_of_the_workspace_meets_its_requirements(images, tmp_path, versions):
    app = with_version(gate_images.program("arm64", runpath="/opt"), "GLIBC_2.38")
    reference = images.tag("1", images.image("linux/arm64", tar(gate_images.runtime("arm64") | {"usr/bin/app": app})))
    ((_, refusals),) = verdicts_of(reference, tmp_path, Component(name="app", package="app", version="1"), glibc="2.31")
    assert refusals == (
        "glibc: 2.38, expected 2.31 or older", "rpath: /opt, expected none", "alignment of segments: 4096, expected 65536 or more",
    )  # fmt: skip
    assert verdicts_of(reference, tmp_path) == [("linux/arm64 · /usr/bin/app", ())]


def test_every_file_of_every_layer_is_checked(images, verify):
    layers = [app("arm64"), tar({"usr/lib/x.so": gate_images.elf("amd64")})]
    assert verify(images.tag("1", images.image("linux/arm64", *layers))) == [
        (
            "linux/arm64 · /usr/bin/app",
            "arm64-musl",
            ("layer 2: /usr/lib/x.so: architecture: x86-64, expected AArch64",),
        )
    ]


def test_files_for_other_platforms_that_the_settings_list(images, tmp_path):
    layers = [app("arm64"), tar({"usr/lib/firmware/x": gate_images.elf("amd64")})]
    reference = images.tag("1", images.image("linux/arm64", *layers))
    listed = {"app": Image(dockerfile="Dockerfile", context=".", foreign=("/usr/lib/firmware/**",))}
    assert [bool(refusals) for _, refusals in verdicts_of(reference, tmp_path, images=listed)] == [False]
    assert [bool(refusals) for _, refusals in verdicts_of(reference, tmp_path, images={"other": listed["app"]})] == [
        True
    ]


def test_a_layer_of_several_platforms_is_read_once(images, verify):
    shared = tar({"etc/x": b"x", "usr/share/y": b"y"})
    reference = images.tag("1", *(images.image(f"linux/{arch}", shared, app(arch)) for arch in ("amd64", "arm64")))
    assert [refusals for _, _, refusals in verify(reference)] == [(), ()]
    assert images.server.asked[f"GET /v2/acme/app/blobs/{digest(shared)}"] == 1


def test_two_images_for_one_platform_are_refused(images, verify):
    one, two = images.image("linux/arm64", app("arm64")), images.image("linux/arm64/v8", app("arm64"), tar({"x": b"x"}))
    refusal = ("platforms: 2 images, expected one",)
    assert verify(images.tag("1", one, two)) == [
        ("linux/arm64 · /usr/bin/app", "arm64-musl", refusal), ("linux/arm64/v8 · /usr/bin/app", "arm64-musl", refusal),
    ]  # fmt: skip
    assert [refusals for _, _, refusals in verify(images.tag("2", one, one))] == [(), ()]


def test_the_configuration_must_be_for_the_platform_of_the_index(images, verify):
    entry = images.image("linux/amd64", app("arm64")) | {"platform": {"os": "linux", "architecture": "arm64"}}
    assert verify(images.tag("1", entry)) == [
        ("linux/arm64 · /usr/bin/app", "arm64-musl", ("configuration: linux/amd64, expected linux/arm64",))
    ]
