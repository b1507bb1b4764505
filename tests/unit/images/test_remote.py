"""Images in a registry that is played: what each platform's program is, and what it should be."""

import io
import json
import tarfile
import threading

import pytest
from machines import Machine, Recorder, context
from upstream import Upstream, digest

from buildlib.images import remote
from buildlib.core.settings import Retry
from buildlib.core.errors import BuildError, NetworkError
from buildlib.images.remote import zstd
from buildlib.process.retry import Budget
from buildlib.emulation.exit_stub import exit_program

RETRY = Retry(attempts=3, delay=0.01, max_delay=0.05, total=5.0)
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64"}


def tar(files, compressed=True):
    """A layer: path -> content, or what it links to as a string."""
    told = io.BytesIO()
    with tarfile.open(fileobj=told, mode="w:gz" if compressed else "w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    return told.getvalue()


class Shelf:
    """What the registry has."""

    def __init__(self, server):
        self.server = server

    def put(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.server.blobs[digest(data)] = data
        return digest(data)

    def image(self, platform, *layers, **config):
        os_, arch, *variant = platform.split("/")
        told = {"os": os_, "architecture": arch, "config": {"Entrypoint": ["/usr/bin/app"], **config}}
        manifest = {"config": {"digest": self.put(told)}, "layers": [{"digest": self.put(layer)} for layer in layers]}
        return {
            "digest": self.put(manifest),
            "platform": {"os": os_, "architecture": arch, **({"variant": variant[0]} if variant else {})},
        }

    def tag(self, name, *images):
        self.server.blobs[name] = json.dumps({"manifests": list(images)}).encode()
        return f"{self.server.address}/acme/app:{name}"


@pytest.fixture
def shelf():
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Shelf(server)
    server.shutdown()
    server.server_close()


@pytest.fixture
def look(tmp_path):
    def look(reference):
        run = Recorder()
        run.env, run.budget, run.sleep, run.failed = (
            {"HOME": str(tmp_path)},
            Budget(RETRY),
            lambda _: None,
            lambda *_: None,
        )
        found = remote.verify(context(Machine(), run, root=tmp_path), reference)
        return [(str(v.path).partition(" · ")[2], v.target.name if v.target else "", v.refusals) for v in found]

    return look


def app(arch, path="usr/bin/app"):
    return tar({path: exit_program(MACHINES[arch])})


def test_each_platform_s_program_is_read_and_right(shelf, look):
    attestation = {"digest": "sha256:00", "platform": {"os": "unknown", "architecture": "unknown"}}
    images = [shelf.image(f"linux/{arch}", app(arch)) for arch in MACHINES]
    told = look(shelf.tag("1", *images, attestation))
    assert told == [(f"linux/{arch} · /usr/bin/app", f"{arch}-musl", ()) for arch in MACHINES]


def test_a_mixed_image_is_found(shelf, look):
    reference = shelf.tag("1", shelf.image("linux/amd64", app("amd64")), shelf.image("linux/arm64/v8", app("amd64")))
    (_, _, none), (_, row, refusals) = look(f"docker://{reference}")
    assert none == () and row == "arm64" and refusals[0] == "machine: is 62 (amd64), wanted 183 (arm64)"


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
        ([tar({"usr/bin/sh": exit_program("aarch64"), "run.sh": b"#!/bin/sh -e\nexec app\n"})], {"Entrypoint": ["/run.sh"]}, "/usr/bin/sh"),
    ],
)  # fmt: skip
def test_a_program_is_found_as_a_shell_would(shelf, look, layers, config, path):
    told = look(shelf.tag("1", shelf.image("linux/arm64", *layers, **config)))
    assert told == [(f"linux/arm64 · {path}", "arm64-musl", ())]


@pytest.mark.parametrize(
    ("image", "refusal"),
    [
        (("linux/arm64", app("arm64", "opt/app")), "/usr/bin/app: is not in the image"),
        (("linux/arm64", tar({"usr/bin/app": "app"})), "/usr/bin/app: its links lead nowhere"),
        (("linux/arm64", b"no tar at all"), "/usr/bin/app: layer sha256:"),
        (("linux/arm64", zstd.compress(b"no tar at all")), "/usr/bin/app: layer sha256:"),
        (
            ("linux/arm64", zstd.compress(tar({"usr/bin/app": exit_program("aarch64")}, compressed=False))[:-9]),
            "/usr/bin/app: layer sha256:",
        ),
        (("linux/arm64", b"\x28\xb5\x2f\xfd of nobody's"), "/usr/bin/app: layer sha256:"),
        (("linux/arm64", tar({"usr/bin/app": bytes(9000)})[:60]), "/usr/bin/app: layer sha256:"),
        (("plan9/arm64", app("arm64")), "platform: plan9/arm64 is none that is known"),
        (("linux/arm64", tar({"usr/bin/app": b"text"})), "is not an ELF file"),
    ],
    ids=["elsewhere", "circle", "broken", "zstd", "cut", "nobody", "gzip", "unknown", "text"],
)
def test_what_cannot_be_read_is_refused(shelf, look, image, refusal):
    ((_, _, (told,)),) = look(shelf.tag("1", shelf.image(*image)))
    assert refusal.split(":")[-1].strip() in told or told.startswith(refusal)


def test_an_image_without_a_program(shelf, look):
    ((_, _, told),) = look(shelf.tag("1", shelf.image("linux/arm64", app("arm64"), Entrypoint=None)))
    assert told == ("has no program to start",)


def test_what_the_registry_does_not_have(shelf, look):
    with pytest.raises(BuildError, match=r"acme/app: none: not found"):
        look(f"{shelf.server.address}/acme/app:none")
    shelf.server.faults = {"manifests": [503] * 9}
    with pytest.raises((NetworkError, BuildError)):
        look(f"{shelf.server.address}/acme/app:1")


def test_requests_are_tried_again(shelf, look):
    reference = shelf.tag("1", shelf.image("linux/arm64", app("arm64")))
    shelf.server.faults = {"manifests": ["reset"], "blobs": ["cut"]}
    assert look(reference) == [("linux/arm64 · /usr/bin/app", "arm64-musl", ())]


@pytest.mark.parametrize(
    ("word", "image"),
    [
        ("ghcr.io/acme/a:1", True), ("docker://debian:12", True), ("127.0.0.1:5000/a/b@sha256:" + "0" * 64, True), ("debian:12", True),
        ("dist", False), ("dist/arm64/app", False), ("./a:b", False), ("ghcr.io/acme/a", False), ("", False),
    ],
)  # fmt: skip
def test_what_is_an_image_on_the_command_line(word, image):
    assert remote.is_reference(word) is image


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:1").touch()
    assert not remote.is_reference("a:1")
