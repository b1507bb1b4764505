"""`verify IMAGE`: pass the image of each platform in a registry through the gate.

No daemon is used, and nothing is started. All content is verified against its digest before it is used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from buildlib import elf
from buildlib.binaries.verify import Verdict
from buildlib.core.errors import BuildError, UsageError
from buildlib.core.layers import FLAG
from buildlib.core.targets import TARGETS, Target
from buildlib.elf import Facts
from buildlib.image_gate import findings, manifests
from buildlib.image_gate.check import ImageContent, check_platforms, examine
from buildlib.image_gate.files import Files
from buildlib.image_gate.manifests import Configuration, Descriptor, Index, Manifest, Platform
from buildlib.image_gate.scans import Scans
from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import Layer
from buildlib.process.context import Context
from buildlib.registry.content import Repository, repository_of
from buildlib.registry.reference import parse
from buildlib.registry.session import client_for


def is_reference(word: str) -> bool:
    """Whether a word of the command line names an image with tag or digest. False if a file of that name exists."""
    try:
        reference = parse(word)
    except UsageError:
        return False
    return bool(reference.tag or reference.digest) and not Path(word).exists()


INDEX = "index"  # the kind of the verdict about an index
# What else is demanded: of a digest in a repository, given the SHA-256 of the image's program ("" if unknown), and whether it is an
# image and not an index. Returns refusals.
Demand = Callable[[Repository, str, str, bool], Iterable[str]]


def verify(context: Context, word: str, demand: Demand | None = None) -> list[Verdict]:
    """A verdict for each platform of the image, and with a `demand` one for its index.

    An image that is called as one of the settings' images may contain the files for other platforms that these list.

    Raises:
        NetworkError, BuildError: The registry does not return the image, or returns something that is not one.
        Refused: It returns something else than a digest says.
    """
    reference = parse(word)
    client, scans = client_for(context), Scans()
    name = word.removeprefix("docker://")
    configured = context.config.images.get(reference.repository.rpartition("/")[2])
    foreign = configured.foreign if configured else ()
    with closing(client):
        repository = repository_of(client, reference)
        digest, document = repository.named(reference)
        images = list(_images(repository, reference.version, digest, document))
        repeated = {finding.platform: finding.line for finding in check_platforms(_distinct(images))}
        verdicts = [_verdict(context, name, image, foreign, scans) for image in images]
        verdicts = [
            replace(verdict, refusals=(repeated[image.platform.oci], *verdict.refusals))
            if image.platform.oci in repeated
            else verdict
            for verdict, image in zip(verdicts, images, strict=True)
        ]
        if demand is None:
            return verdicts
        demanded = [(verdict, image.digest) for verdict, image in zip(verdicts, images, strict=True)]
        if digest not in {image.digest for image in images}:
            index = Verdict(path=Path(f"{name} · index"), target=None, facts=None, refusals=(), kind=INDEX)
            demanded.insert(0, (index, digest))
        return [_with_demand(verdict, demand, repository, digest) for verdict, digest in demanded]


def _with_demand(verdict: Verdict, demand: Demand, repository: Repository, digest: str) -> Verdict:
    program = verdict.facts.sha256 if verdict.facts else ""
    return replace(verdict, refusals=(*verdict.refusals, *demand(repository, digest, program, verdict.kind != INDEX)))


@dataclass(frozen=True)
class Image:
    """The image for one platform, which is that of the index; without one, that of the configuration."""

    repository: Repository
    digest: str
    platform: Platform
    configuration: Configuration
    layers: tuple[Descriptor, ...]  # the lowest layer first


def _distinct(images: Iterable[Image]) -> list[str]:
    """The platforms of the images, each as often as it has images with different digests. Windows has one for each release."""
    return [platform for platform, _ in {(i.platform.oci, i.digest) for i in images if i.platform.os != "windows"}]


def _images(repository: Repository, version: str, digest: str, document: bytes) -> Iterator[Image]:
    """The images of all platforms in the document under a tag or digest, without attestations. BuildError if there are none."""
    manifest = manifests.read(document, f"{repository}: {version}")
    if isinstance(manifest, Manifest):
        yield _image(repository, digest, manifest, None)
        return
    entries = [entry for entry in manifest.manifests if entry.is_image]
    if not entries:
        raise BuildError(f"{repository}: {version}: the index contains no image", manifests.HELP)
    for entry in entries:
        document = repository.manifest(entry.digest, entry.size)
        manifest = manifests.read(document, f"{repository}: {entry.digest}")
        if isinstance(manifest, Index):
            raise BuildError(f"{repository}: {entry.digest}: an index in an index, expected a manifest", manifests.HELP)
        yield _image(repository, entry.digest, manifest, entry.platform)


def _image(repository: Repository, digest: str, manifest: Manifest, platform: Platform | None) -> Image:
    """The image of a manifest. `platform` is that of the index, which may lack any field."""
    config_digest = manifest.config.digest
    content = repository.document(config_digest, manifest.config.size)
    config = manifests.decode(content, Configuration, f"{repository}: {config_digest}: invalid configuration")
    stated = platform or Platform()
    # An entry without a platform, and an image without an index, have that of the configuration.
    merged = (
        stated
        if stated.os and stated.architecture
        else Platform(*(getattr(stated, name) or getattr(config, name) for name in ("os", "architecture", "variant")))
    )
    return Image(repository, digest, merged, config, manifest.layers)


def _verdict(context: Context, reference: str, image: Image, foreign: tuple[str, ...], scans: Scans) -> Verdict:
    target = next((target for target in TARGETS.values() if target.oci == image.platform.oci), None)
    name = f"{reference} · {image.platform}"
    with tempfile.TemporaryDirectory() as folder:
        layers = [
            Layer(layer.digest, _download(image.repository, layer, Path(folder, f"layer-{number}")))
            for number, layer in enumerate(image.layers)
        ]
        result = examine(ImageContent(image.configuration, layers), image.platform.oci, foreign=foreign, scans=scans)
        refusals = findings.lines(result.findings)
        if not target or not result.program:
            return Verdict(path=Path(name), target=target, facts=None, refusals=refusals)
        facts = _facts(layers, scans, result.program, Path(folder, "program"))
    if facts:
        guess = elf.guess(facts)
        # Two targets have the same platform: amd64, and amd64-musl for static binaries.
        target = guess if guess and guess.oci == target.oci else target
        if not any(finding.path == result.program for finding in result.findings):
            refusals += _own_requirements(context, result.program, facts, target)
    return Verdict(path=Path(f"{name} · {result.program}"), target=target, facts=facts, refusals=refusals)


def _own_requirements(context: Context, program: str, facts: Facts, target: Target) -> tuple[str, ...]:
    """What the gate for binaries finds in a program of this workspace; in another one only its glibc, if --glibc was given.

    A distribution links its programs with its own glibc, which is beside them in the image.
    """
    is_own = program.rpartition("/")[2] in {component.name for component in context.workspace.components}
    is_asked = context.config.origins.get("glibc") == FLAG
    mismatches = elf.check(facts, target, context.config.glibc) if is_own or is_asked else ()
    return tuple(str(mismatch) for mismatch in mismatches if is_own or mismatch.field == "glibc")


def _facts(layers: list[Layer], scans: Scans, program: str, file: Path) -> Facts | None:
    """What is in a program of the image, None if it cannot be read."""
    try:
        files = Files(layers, scans.of(layers))
        found = files.find(program)
        if found is None or found.node.file is None:
            return None
        _write(file, files.read(found))
        return elf.read(file)
    except (elf.Unreadable, LayerError):
        return None


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
