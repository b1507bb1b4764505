"""`verify IMAGE`: read the program of each platform out of an image in its registry, and pass it through the gate.

No daemon is used, and nothing is started. All content is verified against its digest before it is used.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from buildlib import elf
from buildlib.binaries.verify import Verdict
from buildlib.core.errors import BuildError, UsageError
from buildlib.core.targets import TARGETS, Target
from buildlib.images import manifests
from buildlib.images.manifests import Configuration, Descriptor, Index, Manifest, Platform, Process
from buildlib.machine import docker_daemon
from buildlib.process.context import Context
from buildlib.registry.client import Client
from buildlib.registry.content import Repository
from buildlib.registry.layers import file_system
from buildlib.registry.layers.compression import LayerError
from buildlib.registry.layers.file_system import FileSystem, Layer, Node
from buildlib.registry.reference import parse

# The PATH of images whose configuration sets none.
DEFAULT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
SHEBANG = re.compile(rb"#![ \t]*(?P<program>[^\s\0]+)")
# The kernel's limits: bytes of a script (BINPRM_BUF_SIZE), and interpreters that are scripts themselves (exec_binprm in fs/exec.c).
SHEBANG_SIZE, SCRIPTS = 256, 5


def is_reference(word: str) -> bool:
    """Whether a word of the command line names an image with tag or digest. False if a file of that name exists."""
    try:
        reference = parse(word)
    except UsageError:
        return False
    return bool(reference.tag or reference.digest) and not Path(word).exists()


def verify(context: Context, word: str) -> list[Verdict]:
    """A verdict for each platform of the image.

    Raises:
        NetworkError, BuildError: The registry does not return the image, or returns something that is not one.
        Refused: It returns something else than a digest says.
    """
    reference = parse(word)
    run = context.run
    client = Client(
        run.budget, run.sleep, lambda title, failure, attempt, wait: run.failed(title, (), failure, attempt, wait),
        bundle=run.env.get("SSL_CERT_FILE", ""), mirrors=context.config.builder.hosts(),
        login=docker_daemon.login(run.env, context.console.warn),
    )  # fmt: skip
    with closing(client):
        images = _images(Repository(client, reference.registry, reference.repository), reference.version)
        return [_verdict(context, word.removeprefix("docker://"), image) for image in images]


@dataclass(frozen=True)
class Image:
    """The image for one platform."""

    repository: Repository
    platform: Platform
    process: Process
    layers: tuple[Descriptor, ...]  # the lowest layer first


def _images(repository: Repository, version: str) -> Iterator[Image]:
    """The images of all platforms under a tag or digest, without attestations. BuildError if there are none."""
    manifest = _manifest(repository, version)
    if isinstance(manifest, Manifest):
        yield _image(repository, manifest, Platform())
        return
    entries = [entry for entry in manifest.manifests if entry.is_image]
    if not entries:
        raise BuildError(f"{repository}: {version}: the index contains no image", manifests.HELP)
    for entry in entries:
        manifest = _manifest(repository, entry.digest, entry.size)
        if isinstance(manifest, Index):
            raise BuildError(f"{repository}: {entry.digest}: an index in an index, expected a manifest", manifests.HELP)
        yield _image(repository, manifest, entry.platform or Platform())


def _manifest(repository: Repository, version: str, size: int | None = None) -> Index | Manifest:
    return manifests.read(repository.manifest(version, size), f"{repository}: {version}")


def _image(repository: Repository, manifest: Manifest, platform: Platform) -> Image:
    """The image of a manifest. `platform` is that of the index, which takes precedence over the configuration."""
    digest = manifest.config.digest
    content = repository.document(digest, manifest.config.size)
    config = manifests.decode(content, Configuration, f"{repository}: {digest}: invalid configuration")
    merged = Platform(*(getattr(platform, name) or getattr(config, name) for name in ("os", "architecture", "variant")))
    return Image(repository, merged, config.config or Process(), manifest.layers)


def _verdict(context: Context, reference: str, image: Image) -> Verdict:
    words = (*(image.process.entrypoint or ()), *(image.process.cmd or ()))
    expected = next((target for target in TARGETS.values() if target.oci == image.platform.oci), None)
    name = Path(f"{reference} · {image.platform}")
    refusal = "" if words else "program: none, expected Entrypoint or Cmd in the configuration"
    if not expected:
        refusal = f"platform: {str(image.platform) or 'none'}, expected one that buildlib knows"
    if not expected or refusal:
        return Verdict(path=name, target=expected, facts=None, refusals=(refusal,))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "program"
        try:
            path = extract(image, words[0], file)
        except (LookupError, LayerError) as error:
            return Verdict(path=name, target=expected, facts=None, refusals=(f"{words[0]}: {error}",))
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


def extract(image: Image, word: str, file: Path) -> str:
    """Write the program that `word` starts in the image to `file`, and return its path in the image.

    For a script it is the interpreter instead. Layers are downloaded beside `file`. LookupError if the program is not in the image,
    LayerError if the image cannot be read.
    """
    layers = [
        Layer(layer.digest, _download(image.repository, layer, file.with_name(f"layer-{number}")))
        for number, layer in enumerate(image.layers)
    ]
    return file_system.ask(layers, lambda files: _program(image.process, word, files, file))


def _download(repository: Repository, layer: Descriptor, file: Path) -> Callable[[], BinaryIO]:
    """A function that opens a layer, and that downloads and verifies it when it is called first."""

    def open_layer() -> BinaryIO:
        if not file.exists():
            _write(file, ((None, chunk) for chunk in repository.blob(layer.digest, layer.size)))
        return file.open("rb")

    return open_layer


def _write(file: Path, pieces: Iterable[tuple[int | None, bytes]]) -> None:
    """Write pieces at their offsets, those without one after the piece before."""
    try:
        with file.open("wb") as stream:
            for offset, piece in pieces:
                if offset is not None:
                    stream.seek(offset)
                stream.write(piece)
            stream.truncate()  # a hole at the end
    except OSError as error:
        help_text = "free some space, or let TMPDIR name a directory with more"
        raise BuildError(f"{file.parent.parent}: {error.strerror}", help_text) from None


def _program(process: Process, word: str, files: FileSystem, file: Path) -> str:
    """Write the program to `file`, and return its path."""
    env = dict(line.partition("=")[::2] for line in process.env or ())
    folders = env["PATH"].split(":") if env.get("PATH") else DEFAULT_PATH
    working_dir = posixpath.join("/", process.working_dir or "/")
    candidates = [word] if "/" in word else [posixpath.join(folder, word) for folder in folders]
    path, node = _executable(files, [posixpath.join(working_dir, candidate) for candidate in candidates])
    for _ in range(SCRIPTS + 1):
        _write(file, files.read(node))
        with file.open("rb") as stream:
            script = SHEBANG.match(stream.read(SHEBANG_SIZE))
        if not script:
            return path
        interpreter = posixpath.join(working_dir, script["program"].decode("utf-8", "surrogateescape"))
        path, node = _executable(files, [interpreter], f"its interpreter {interpreter} ")
    raise LookupError(f"a script with more than {SCRIPTS} interpreters that are scripts")


def _executable(files: FileSystem, paths: list[str], title: str = "") -> tuple[str, Node]:
    """The first of `paths` that can be started: its path without links, and what it is. LookupError if none can."""
    reason = "is not in the image"
    for path in paths:
        found = files.find(path)
        if found and found[1].is_executable:
            return found
        if found:
            reason = "is not executable" if found[1].file else f"is not a file ({found[1].kind})"
    raise LookupError(f"{title}{reason}")
