"""`verify IMAGE`: the program of each platform, read out of the image where it lies in its registry, and held against the gate. No
daemon is asked, and nothing is started."""

from __future__ import annotations

import io
import json
import posixpath
import re
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from buildlib.binaries import elf
from buildlib.binaries.verify import Verdict
from buildlib.core.errors import BuildError, NetworkError, UsageError
from buildlib.core.targets import TARGETS, Target
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.http import denial
from buildlib.registry.reference import parse

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")  # where no PATH is set
SHEBANG = re.compile(rb"#!\s*(?P<program>\S+)")
ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
LINKS = 8  # symbolic links that are followed, one after the other


def is_reference(word: str) -> bool:
    """Whether a word of the command line is an image's name, with its tag or digest; a file of that name comes first."""
    try:
        reference = parse(word)
    except UsageError:
        return False
    return bool(reference.tag or reference.digest) and not Path(word).exists()


def verify(context: Context, word: str) -> list[Verdict]:
    """A verdict for each platform of the image. NetworkError or BuildError where the registry does not have it, or does not say."""
    reference = parse(word)
    run = context.run
    client = Client(
        run.budget, run.sleep, lambda title, failure, attempt, wait: run.failed(title, (), failure, attempt, wait),
        bundle=run.env.get("SSL_CERT_FILE", ""), mirrors=context.config.builder.hosts(), login=docker_daemon.login(run.env, context.console.warn),
    )  # fmt: skip
    store = Store(client, reference.registry, reference.repository, reference.version)
    with tempfile.TemporaryDirectory() as folder:
        return [_verdict(context, str(reference), image, Path(folder)) for image in store.images()]


@dataclass(frozen=True)
class Image:
    """One platform's image: its configuration, and its layers, the lowest first."""

    store: Store
    platform: str
    config: Mapping[str, Any]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Store:
    """One repository in its registry."""

    client: Client
    registry: str
    repository: str
    version: str

    def images(self) -> Iterator[Image]:
        """The images of all platforms; attestations are none."""
        told = self._json(f"manifests/{self.version}")
        for entry in told.get("manifests") or ({"digest": self.version, "platform": {}},):
            if entry.get("platform", {}).get("os") == "unknown":
                continue
            manifest = self._json(f"manifests/{entry['digest']}") if "manifests" in told else told
            config = self._json(f"blobs/{manifest['config']['digest']}")
            platform = {
                **{key: config.get(key) for key in ("os", "architecture", "variant")},
                **entry.get("platform", {}),
            }
            name = "/".join(platform[key] for key in ("os", "architecture", "variant") if platform.get(key))
            layers = tuple(layer["digest"] for layer in manifest["layers"])
            yield Image(self, name, config.get("config") or {}, layers)

    def open(self, path: str) -> IO[bytes]:
        """A manifest or a blob."""
        title = f"{self.registry}/{self.repository}"
        request, answer = self.client.reach(
            "GET", self.registry, f"/v2/{self.repository}/{path}", {"Accept": MANIFESTS}
        )
        if answer.failure:
            raise (NetworkError if answer.failure.transient else BuildError)(
                f"{title}: {answer.failure.cause}", answer.failure.help
            )
        if answer.status != 200:
            said = "not found" if answer.status == 404 else denial(answer.response, request.title).cause
            raise BuildError(f"{title}: {path.partition('/')[2]}: {said}")
        return _Stream(self.client.read(request, answer))

    def _json(self, path: str) -> dict[str, Any]:
        try:
            told = json.loads(self.open(path).read())
            return told if isinstance(told, dict) else {}
        except ValueError:
            raise BuildError(f"{self.registry}/{self.repository}: {path}: is no JSON") from None


class _Stream(io.RawIOBase):
    """Chunks as a file that is read from the beginning to the end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = chunk
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _verdict(context: Context, reference: str, image: Image, folder: Path) -> Verdict:
    words = [*(image.config.get("Entrypoint") or ()), *(image.config.get("Cmd") or ())]
    row = next((target for target in TARGETS.values() if target.oci == image.platform.removesuffix("/v8")), None)
    name = Path(f"{reference} · {image.platform}")
    if not words or row is None:
        refusal = "has no program to start" if row else f"platform: {image.platform} is none that is known"
        return Verdict(path=name, target=row, facts=None, refusals=(refusal,))
    try:
        path, data = program(image, words[0])
    except LookupError as error:
        return Verdict(path=name, target=row, facts=None, refusals=(f"{words[0]}: {error}",))
    file = folder / "program"
    file.write_bytes(data)
    return _gate(context, Path(f"{name} · {path}"), file, row)


def _gate(context: Context, name: Path, file: Path, row: Target) -> Verdict:
    try:
        facts = elf.read(file)
    except BuildError as error:
        return Verdict(path=name, target=row, facts=None, refusals=(error.message.removeprefix(f"{file}: "),))
    found = elf.guess(facts)
    target = found if found and found.oci == row.oci else row  # a static binary has a row of its own
    refusals = elf.check(facts, target, context.config.glibc)
    return Verdict(path=name, target=target, facts=facts, refusals=tuple(map(str, refusals)))


def program(image: Image, word: str) -> tuple[str, bytes]:
    """The program that a word starts in the image: its path, and what is in it. A script's is the interpreter. LookupError where
    it is not there."""
    env = dict(line.partition("=")[::2] for line in image.config.get("Env") or ())
    folders = env["PATH"].split(":") if env.get("PATH") else FOLDERS
    named = [word] if "/" in word else [posixpath.join(folder, word) for folder in folders]
    wanted = [posixpath.normpath(posixpath.join("/", image.config.get("WorkingDir") or "/", path)) for path in named]
    path, data = _file(image, wanted)
    script = SHEBANG.match(data)
    return _file(image, [script["program"].decode("utf-8", "replace")]) if script else (path, data)


def _file(image: Image, wanted: list[str]) -> tuple[str, bytes]:
    """The first of these files that is in the image, its links followed."""
    for _ in range(LINKS):
        found = _look(image, wanted)
        if found is None:
            raise LookupError("is not in the image")
        path, link, data = found
        if not link:
            return path, data
        wanted = [posixpath.normpath(posixpath.join(posixpath.dirname(path), link))]
    raise LookupError("its links lead nowhere")


def _layer(stream: IO[bytes]) -> tarfile.TarFile:
    """A layer, which is a tar file that gzip, zstd or nothing has made smaller, read from its beginning to its end."""
    buffered = io.BufferedReader(stream)  # type: ignore[arg-type]
    if buffered.peek(len(ZSTD))[: len(ZSTD)] == ZSTD:
        return tarfile.open(fileobj=zstd.ZstdFile(buffered), mode="r|")
    return tarfile.open(fileobj=buffered, mode="r|*")


def _look(image: Image, wanted: list[str]) -> tuple[str, str, bytes] | None:
    """Path, what it links to, and content of one of these files, as the topmost layer has it. /bin may be /usr/bin."""
    names = [path.lstrip("/") for path in wanted]
    names += [f"usr/{name}" for name in names if name.startswith(("bin/", "sbin/"))]
    for digest in reversed(image.layers):
        told: dict[str, tuple[str, str, bytes]] = {}
        try:
            with _layer(image.store.open(f"blobs/{digest}")) as layer:
                for entry in layer:
                    name = posixpath.normpath(entry.name).lstrip("/")
                    if name in names and (entry.issym() or entry.islnk()):
                        told[name] = (f"/{name}", entry.linkname if entry.issym() else f"/{entry.linkname}", b"")
                    elif name in names and entry.isfile():
                        stream = layer.extractfile(entry)
                        told[name] = (f"/{name}", "", stream.read() if stream else b"")
        except (tarfile.TarError, zlib.error, zstd.ZstdError, EOFError) as error:
            raise LookupError(f"layer {digest[:19]} cannot be read: {error}") from None
        if told:
            return next(told[name] for name in names if name in told)
    return None
