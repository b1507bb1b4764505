"""`verify IMAGE` with documents and layers of any content: verdicts or an error, in bounded memory, and nothing is left on the disk.

Digests and sizes are right, so that the content is looked at: what they are wrong about is refused before (test_remote.py).
"""

import gzip
import hashlib
import io
import json
import re
import resource
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import ClassVar

import pytest
import requests
from gate_images import elf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import Machine, Recorder, context

from buildlib.binaries.verify import Verdict
from buildlib.core.errors import BuildError
from buildlib.core.settings import Retry
from buildlib.emulation.exit_stub import exit_program
from buildlib.image_gate import remote
from buildlib.image_layers.compression import zstd
from buildlib.process.retry import Budget
from buildlib.registry.http import Answer, Request


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Client:
    """Stands for the registry client: `blobs` maps tags and digests to content."""

    blobs: ClassVar[dict] = {}

    def __init__(self, *_, **__):
        pass

    def close(self):
        pass

    def reach(self, method, registry, path, headers):
        name = path.rpartition("/")[2]
        response = requests.Response()
        response.status_code, response.raw = (200 if name in self.blobs else 404), io.BytesIO(self.blobs.get(name, b""))
        return Request(method=method, host=registry, path=path, headers=headers), Answer(response)

    def read(self, _, answer):
        while chunk := answer.received.raw.read(5000):
            yield chunk


def verify(tag, root):
    """The verdicts for a tag of `Client.blobs`."""
    run = Recorder()
    run.env, run.budget = {"HOME": str(root)}, Budget(Retry())
    run.sleep, run.failed = lambda _: None, lambda *_: None
    return remote.verify(context(Machine(), run, root=root), f"r.test/a:{tag}")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch, tmp_path):
    """The emulated registry, and a directory for temporary files that has to be empty afterwards."""
    monkeypatch.setattr(remote, "client_for", Client)
    monkeypatch.setattr(Client, "blobs", {})
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []


def outcome(root):
    """Verify the tag `1`: a verdict or an error of one line."""
    try:
        verdicts = verify("1", root)
    except BuildError as error:
        assert "\n" not in error.message
        return error
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    return verdicts


def encoded(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def store(value):
    """Store content, and return its descriptor."""
    data = encoded(value)
    Client.blobs[digest(data)] = data
    return {"digest": digest(data), "size": len(data)}


def layer(*members):
    """A tar file of (name, content, type, link)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content, kind, link in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode, entry.size = kind, link, 0o755, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


PROGRAM = exit_program("aarch64")
LAYER = layer(
    ("usr", b"", tarfile.DIRTYPE, ""),
    ("usr/bin", b"", tarfile.DIRTYPE, ""),
    ("usr/bin/app", PROGRAM, tarfile.REGTYPE, ""),
    ("usr/bin/link", b"", tarfile.SYMTYPE, "/usr/bin/app"),
    ("usr/bin/hard", b"", tarfile.LNKTYPE, "usr/bin/app"),
    ("usr/bin/device", b"", tarfile.CHRTYPE, ""),
    ("usr/" + "long/" * 50 + "name", b"x" * 600, tarfile.REGTYPE, ""),
    ("usr/bin/.wh.old", b"", tarfile.REGTYPE, ""),
    ("usr/.wh..wh..opq", b"", tarfile.REGTYPE, ""),
)
CONFIG = {
    "os": "linux",
    "architecture": "arm64",
    "variant": "v8",
    "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]},
    "config": {"Entrypoint": ["/usr/bin/app"], "Cmd": ["x"], "Env": ["PATH=/bin:/usr/bin"], "WorkingDir": "/usr"},
}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            -1,
            0,
            2**63,
            10**40,
            "",
            "/",
            "..",
            "\0",
            "\ud800",
            "\x1b[31m\n",
            "sha256:",
            "md5:00",
            "linux",
            "app",
            "a" * 300,
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def changed(draw, value):
    """A document in which up to three values are replaced, or some bytes of its JSON."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(0, 3))):
        place = value
        while True:
            keys = list(range(len(place))) if isinstance(place, list) else list(place)
            key = draw(st.sampled_from(keys)) if keys else None
            if key is None or not isinstance(place[key], dict | list) or draw(st.booleans()):
                break
            place = place[key]
        if key is not None:
            place[key] = draw(VALUES)
    data = bytearray(json.dumps(value).encode())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@ONCE
@given(st.data())
def test_any_documents(stand_in, data):
    config = store(data.draw(changed(CONFIG)))
    manifest = {
        "schemaVersion": 2,
        "config": config,
        "layers": [store(gzip.compress(LAYER))],
        "annotations": {"a": "b"},
    }
    entry = store(data.draw(changed(manifest))) | {"platform": {"os": "linux", "architecture": "arm64"}}
    Client.blobs["1"] = data.draw(changed({"schemaVersion": 2, "manifests": [entry, entry], "annotations": None}))
    outcome(stand_in)


@ONCE
@given(st.one_of(changed({"schemaVersion": 2, "manifests": []}), st.binary(max_size=200), VALUES.map(encoded)))
def test_any_document_under_a_tag(stand_in, data):
    Client.blobs["1"] = data
    assert isinstance(outcome(stand_in), BuildError)


@st.composite
def damaged(draw, data):
    """Bytes with some of them changed, removed or repeated; in tar headers mostly with a right checksum."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        start = place // 512 * 512
        action = draw(st.sampled_from(["byte", "byte", "byte", "cut", "remove", "repeat"]))
        if action == "cut":
            del data[place:]
        elif action == "remove":
            del data[start : start + 512]
        elif action == "repeat":
            data[start:start] = data[start : start + 512]
        elif data:
            data[place] = draw(st.sampled_from([0, 32, 47, 46, 48, 55, 128, 255, *b"xgLKS0123456=\n"]))
            if draw(st.booleans()) and len(data) >= start + 512:
                data[start + 148 : start + 156] = b" " * 8
                data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


COMPRESS = st.sampled_from([lambda data: data, gzip.compress, zstd.compress])


def tag(layers, word="/usr/bin/app"):
    config = store({**CONFIG, "config": {**CONFIG["config"], "Entrypoint": [word]}})
    Client.blobs["1"] = encoded({"schemaVersion": 2, "config": config, "layers": [store(data) for data in layers]})


@ONCE
@given(
    st.lists(st.tuples(COMPRESS, st.one_of(damaged(LAYER), st.just(LAYER))), min_size=1, max_size=3),
    st.sampled_from(["/usr/bin/app", "app", "link", "/usr/bin/hard", "device", "/bin/none", "../x"]),
)
def test_any_layers(stand_in, layers, word):
    tag([compress(data) for compress, data in layers], word)
    assert not isinstance(outcome(stand_in), BuildError)  # a verdict


@ONCE
@given(st.sampled_from([gzip.compress(LAYER), zstd.compress(LAYER)]).flatmap(damaged), st.binary(max_size=300))
def test_any_compressed_layers(stand_in, data, other):
    tag([other, data])
    assert not isinstance(outcome(stand_in), BuildError)


MEMBERS = st.tuples(
    st.lists(
        st.sampled_from(["usr", "bin", "app", "..", ".", "", ".wh.app", ".wh..wh..opq", "ä", "x" * 90]),
        min_size=1,
        max_size=4,
    ).map("/".join),
    st.sampled_from([b"", PROGRAM, b"#!/bin/app\n", b"x" * 600]),
    st.sampled_from(
        [
            tarfile.REGTYPE,
            tarfile.DIRTYPE,
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.FIFOTYPE,
            tarfile.CHRTYPE,
            b"7",
            b"S",
        ]
    ),
    st.sampled_from(
        [
            "",
            "/",
            "..",
            "app",
            "../usr",
            "/usr/bin/app",
            "bin/../app",
            "x" * 150,
            "/proc/self/exe",
            "../../../../etc/passwd",
        ]
    ),
)


@ONCE
@given(st.lists(st.lists(MEMBERS, max_size=5).map(lambda members: layer(*members)), min_size=1, max_size=4))
def test_layers_of_any_files(stand_in, layers):
    tag(layers)
    assert not isinstance(outcome(stand_in), BuildError)


# --- memory -----------------------------------------------------------------------------------------------------------------------

LIMIT = 1 << 30  # bytes of address space, of which the interpreter and its modules take 0.3
BOMBS = {
    "gzip of zeros": "gzip.compress(bytes(1 << 20)) * 3000",
    "zstd of zeros": "zstd.compress(bytes(1 << 30))",
    "a file of 3 GiB": "gzip.compress(header('usr/bin/app', 3 << 30)) + gzip.compress(bytes(1 << 20)) * 3072",
    "a header of 3 GiB": "gzip.compress(header('x', 3 << 30, b'x')) + gzip.compress(bytes(1 << 20)) * 3072",
    "names of 1 MiB": "gzip.compress(header('x', 1 << 20, b'L') + b'a' * (1 << 20) + header('b', 0)) * 3000",
    "100,000 directories": "b''.join(header(f'{n}', 0, b'5') for n in range(100_000))",
    "deep directories": "b''.join(header(f'{n}/' + 'a/' * 40 + 'b', 0) for n in range(8_000))",
    "links to links": "b''.join(header(f'l{n}', 0, b'2', f'l{n + 1}/' + 'x/' * 40) for n in range(8_000))",
    "an opaque directory again and again": (
        "header('d', 0, b'5') + b''.join(header(f'd/{n}', 0) + header('d/.wh..wh..opq', 0) for n in range(5_000))"
    ),
    "a zip bomb in a jar": "member('a.jar', fuzz.zip_file(('b.jar', fuzz.zip_file(('x', bytes(500 << 20))))))",
    "a jar of 150,000 names": "member('a.jar', fuzz.zip_file(*((f'{n}', b'x' * 60) for n in range(150_000))))",
    "a jar whose directory has 100 MiB": "member('a.jar', b'PK' + bytes(100 << 20) + fuzz.end_of_zip(100 << 20))",
    "a library of 300 MiB": "gzip.compress(header('x.so', 300 << 20) + fuzz.ELF) + gzip.compress(bytes(1 << 20)) * 300",
}


def zip_file(*files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def end_of_zip(size):
    """The end of a zip file whose directory has this many bytes."""
    return struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0)


ELF = elf("arm", "libx.so")
ELF += bytes(512 - len(ELF) % 512)


SCRIPT = """
import gzip, resource, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import test_remote_fuzz as fuzz
from test_remote_fuzz import zstd

def header(name, size, flag=b"0", link=""):
    block = bytearray(512)
    for place, value in ((0, name.encode()[:100]), (100, b"755"), (124, b"%o" % size), (156, flag), (157, link.encode()[:100])):
        block[place : place + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\\0 " % sum(block)
    return bytes(block)

def member(name, data):
    return header(name, len(data)) + data + bytes(-len(data) % 512)

fuzz.remote.client_for = fuzz.Client
fuzz.tag([{layer}])
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
(verdict,) = fuzz.outcome(Path(sys.argv[1]))
print(verdict.refusals[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.processes
@pytest.mark.parametrize("name", BOMBS)
def test_memory_is_bounded(stand_in, name):
    """In a process of its own with little address space: each of these is refused, and none ends with a MemoryError."""
    script = SCRIPT.format(paths=[*sys.path, str(Path(__file__).parent)], layer=BOMBS[name], limit=LIMIT)
    done = subprocess.run([sys.executable, "-c", script, stand_in], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    refusal, _ = done.stdout.splitlines()
    assert re.match(r"/usr/bin/app: program: |layers: layer sha256:[0-9a-f]{12} cannot be read: ", refusal), done
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != LIMIT
