"""`verify IMAGE`: read the program of each platform out of an image in its registry, and pass it through the gate.

No daemon is used, and nothing is started.
"""

from __future__ import annotations

import io
import posixpath
import re
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildlib.binaries import elf
from buildlib.binaries.verify import Verdict
from buildlib.core.errors import BuildError, NetworkError, UsageError
from buildlib.core.targets import TARGETS, Target
from buildlib.images import manifests
from buildlib.images.manifests import Configuration, Index, Manifest, Platform, Process
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.http import denial
from buildlib.registry.reference import parse

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# The PATH of images whose configuration sets none.
DEFAULT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SHEBANG = re.compile(rb"#!\s*(?P<program>\S+)")
ZSTD = b"\x28\xb5\x2f\xfd"  # the first bytes of a zstd frame (RFC 8878, 3.1.1)
LINKS = 8  # the longest chain of symbolic links that is followed


def is_reference(word: str) -> bool:
    """Whether a word of the command line names an image with tag or digest. False if a file of that name exists."""
    try:
        reference = parse(word)
    except UsageError:
        return False
    return bool(reference.tag or reference.digest) and not Path(word).exists()


def verify(context: Context, word: str) -> list[Verdict]:
    """A verdict for each platform of the image.

    NetworkError or BuildError if the registry does not return the image, or returns something that is not one.
    """
    reference = parse(word)
    run = context.run
    client = Client(
        run.budget, run.sleep, lambda title, failure, attempt, wait: run.failed(title, (), failure, attempt, wait),
        bundle=run.env.get("SSL_CERT_FILE", ""), mirrors=context.config.builder.hosts(),
        login=docker_daemon.login(run.env, context.console.warn),
    )  # fmt: skip
    repository = Repository(client, reference.registry, reference.repository)
    name = word.removeprefix("docker://")
    try:
        with tempfile.TemporaryDirectory() as folder:
            return [_verdict(context, name, image, Path(folder)) for image in repository.images(reference.version)]
    finally:
        for session in client.sessions.values():
            session.close()


@dataclass(frozen=True)
class Image:
    """The image for one platform."""

    repository: Repository
    platform: Platform
    process: Process
    layers: tuple[str, ...]  # digests, the lowest layer first


@dataclass(frozen=True)
class Repository:
    """A repository in its registry."""

    client: Client
    registry: str
    name: str

    def images(self, version: str) -> Iterator[Image]:
        """The images of all platforms under a tag or digest, without attestations. BuildError if there are none."""
        manifest = self._manifest(version)
        if isinstance(manifest, Manifest):
            yield self._image(manifest, Platform())
            return
        entries = [entry for entry in manifest.manifests if entry.is_image]
        if not entries:
            raise BuildError(f"{self}: {version}: the index contains no image", manifests.HELP)
        for entry in entries:
            manifest = self._manifest(entry.digest)
            if isinstance(manifest, Index):
                raise BuildError(f"{self}: {entry.digest}: an index in an index, expected a manifest", manifests.HELP)
            yield self._image(manifest, entry.platform or Platform())

    def _manifest(self, version: str) -> Index | Manifest:
        return manifests.read(self.open(f"manifests/{version}").read(), f"{self}: {version}")

    def _image(self, manifest: Manifest, platform: Platform) -> Image:
        """The image of a manifest. `platform` is that of the index, which takes precedence over the configuration."""
        digest = manifest.config.digest
        content = self.open(f"blobs/{digest}").read()
        config = manifests.decode(content, Configuration, f"{self}: {digest}: invalid configuration")
        names = ("os", "architecture", "variant")
        merged = Platform(*(getattr(platform, name) or getattr(config, name) for name in names))
        return Image(self, merged, config.config or Process(), tuple(layer.digest for layer in manifest.layers))

    def open(self, path: str) -> io.RawIOBase:
        """The content of a manifest or a blob, read as it arrives. NetworkError or BuildError if the registry does not return it."""
        request, answer = self.client.reach("GET", self.registry, f"/v2/{self.name}/{path}", {"Accept": MANIFESTS})
        if answer.failure:
            error = NetworkError if answer.failure.transient else BuildError
            raise error(f"{self}: {answer.failure.cause}", answer.failure.help)
        if answer.status != 200:
            with answer.received as response:
                reason = "not found" if answer.status == 404 else denial(response, request.title).cause
            raise BuildError(f"{self}: {path.partition('/')[2]}: {reason}")
        return _Stream(str(self), self.client.read(request, answer))

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}"


class _Stream(io.RawIOBase):
    """Makes a file of the chunks of a download. It cannot seek. NetworkError if the download breaks off."""

    def __init__(self, title: str, chunks: Iterator[bytes]) -> None:
        self._title, self._chunks, self._rest = title, chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` as far as the next chunk reaches. Returns the number of bytes, 0 at the end."""
        while not self._rest:
            chunk = self._next()
            if chunk is None:
                return 0
            self._rest = chunk
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._rest))
        view[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def _next(self) -> bytes | None:
        try:
            return next(self._chunks, None)
        except OSError as error:
            raise NetworkError(f"{self._title}: {error}", "check the network: buildlib doctor --network") from None


def _verdict(context: Context, reference: str, image: Image, folder: Path) -> Verdict:
    words = (*(image.process.entrypoint or ()), *(image.process.cmd or ()))
    expected = next((target for target in TARGETS.values() if target.oci == image.platform.oci), None)
    name = Path(f"{reference} · {image.platform}")
    if not expected:
        refusal = f"platform: {str(image.platform) or 'none'}, expected one that buildlib knows"
        return Verdict(path=name, target=None, facts=None, refusals=(refusal,))
    if not words:
        refusal = "program: none, expected Entrypoint or Cmd in the configuration"
        return Verdict(path=name, target=expected, facts=None, refusals=(refusal,))
    try:
        path, data = program(image, words[0])
    except LookupError as error:
        return Verdict(path=name, target=expected, facts=None, refusals=(f"{words[0]}: {error}",))
    file = folder / "program"
    file.write_bytes(data)
    return _gate(context, Path(f"{name} · {path}"), file, expected)


def _gate(context: Context, name: Path, file: Path, expected: Target) -> Verdict:
    """Check the facts of the program, as the gate does; `expected` is a target for the platform of the image."""
    try:
        facts = elf.read(file)
    except BuildError as error:
        return Verdict(path=name, target=expected, facts=None, refusals=(error.message.removeprefix(f"{file}: "),))
    guess = elf.guess(facts)
    # Two targets have the same platform: amd64, and amd64-musl for static binaries.
    target = guess if guess and guess.oci == expected.oci else expected
    mismatches = elf.check(facts, target, context.config.glibc)
    return Verdict(path=name, target=target, facts=facts, refusals=tuple(map(str, mismatches)))


# --- the program in an image -------------------------------------------------------------------------------------------------


def program(image: Image, word: str) -> tuple[str, bytes]:
    """The program that `word` starts in the image: its path and its content.

    For a script it returns the interpreter instead. LookupError if the program is not in the image.
    """
    env = dict(line.partition("=")[::2] for line in image.process.env or ())
    folders = env["PATH"].split(":") if env.get("PATH") else DEFAULT_PATH
    candidates = [word] if "/" in word else [posixpath.join(folder, word) for folder in folders]
    working_dir = posixpath.join("/", image.process.working_dir or "/")
    path, data = _file(image, [posixpath.normpath(posixpath.join(working_dir, candidate)) for candidate in candidates])
    script = SHEBANG.match(data)
    return _file(image, [script["program"].decode("utf-8", "replace")]) if script else (path, data)


def _file(image: Image, paths: list[str]) -> tuple[str, bytes]:
    """Path and content of the first of `paths` that the image contains. Links are followed."""
    for _ in range(LINKS):
        entry = _find(image, paths)
        if entry is None:
            raise LookupError("is not in the image")
        path, link, data = entry
        if not link:
            return path, data
        paths = [posixpath.normpath(posixpath.join(posixpath.dirname(path), link))]
    raise LookupError(f"a loop of symbolic links, or a chain of more than {LINKS}")


def _layer(stream: io.RawIOBase) -> tarfile.TarFile:
    """Open a layer: a tar file, compressed with gzip or zstd or not compressed. It can be read only once, in order."""
    buffered = io.BufferedReader(stream)
    if buffered.peek(len(ZSTD))[: len(ZSTD)] == ZSTD:
        return tarfile.open(fileobj=zstd.ZstdFile(buffered), mode="r|")
    return tarfile.open(fileobj=buffered, mode="r|*")


def _find(image: Image, paths: list[str]) -> tuple[str, str, bytes] | None:
    """Path, link target ("" for a file) and content of the first of `paths` in the topmost layer that has one."""
    names = [path.lstrip("/") for path in paths]
    # /bin may be a link to /usr/bin.
    names += [f"usr/{name}" for name in names if name.startswith(("bin/", "sbin/"))]
    for digest in reversed(image.layers):
        entries: dict[str, tuple[str, str, bytes]] = {}
        try:
            with _layer(image.repository.open(f"blobs/{digest}")) as layer:
                for entry in layer:
                    name = posixpath.normpath(entry.name).lstrip("/")
                    if name in names and (entry.issym() or entry.islnk()):
                        entries[name] = (f"/{name}", entry.linkname if entry.issym() else f"/{entry.linkname}", b"")
                    elif name in names and entry.isfile():
                        stream = layer.extractfile(entry)
                        entries[name] = (f"/{name}", "", stream.read() if stream else b"")
        except (tarfile.TarError, zlib.error, zstd.ZstdError, EOFError) as error:
            raise LookupError(f"layer {digest[:19]} cannot be read: {error}") from None
        if entries:
            return next(entries[name] for name in names if name in entries)
    return None
