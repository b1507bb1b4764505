"""Images in a registry: pushed by digest, read back, checked, signed if there is a key, and only then tagged.

A command that ends anywhere in between leaves every tag where it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from buildlib.assembly import index, oci
from buildlib.assembly.assembly import Assembly, Wanted
from buildlib.assembly.spec import ImageResult
from buildlib.builder import buildx
from buildlib.builder.buildx import INPUTS, succeeded
from buildlib.core.errors import BuildError
from buildlib.core.plan import Status
from buildlib.core.targets import Target
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Configuration, Index, Manifest

if TYPE_CHECKING:
    from buildlib.process.context import Context
    from buildlib.signing.images import Attached
    from buildlib.signing.signer import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """Manifests in the registry that no tag needs to point to yet."""

    texts: tuple[str, ...]  # of one index, or of images that have no common index yet
    annotated: bool  # whether the digest of the inputs is an annotation of the index
    images: Mapping[str, str]  # platform -> digest; empty for an index that was checked when it was tagged

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest of each."""
        return tuple(oci.digest(text.encode()) for text in self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Push one component's image: `repository` is the full name, with the registry."""

    assembly: Assembly
    repository: str
    tags: tuple[str, ...]
    signer: Signer | None = None

    def __call__(self) -> ImageResult:
        """Build, check, sign and tag the image. The error of the first step that fails; tags are moved last.

        An image that one of the tags points to, and that has the same inputs, was checked before: nothing is built, uploaded or
        checked again.
        """
        annotations = self.assembly.annotations()
        tagged = {tag: self._manifest(f"{self.repository}:{tag}") for tag in self.tags}
        inputs = "" if self.assembly.fresh else annotations.get(INPUTS, "")
        if same := unchanged(tagged.values(), inputs, self.assembly.image.platforms):
            pushed = Pushed(texts=(same,), annotated=True, images={})
            return self._tag(pushed, tagged, annotations, self._sign(pushed, annotations))
        self.assembly.check_before_push()
        pushed = self._build(annotations)
        self.assembly.check_platforms(self.repository, pushed.images)
        known = all(manifests.index_of(text).images == pushed.images for text in tagged.values())
        self.assembly.check_pushed(self.repository, pushed.images, self._address, known=known)
        if self.signer and not pushed.annotated:
            pushed = self._joined(self.signer, pushed, annotations)
        return self._tag(pushed, tagged, annotations, self._sign(pushed, annotations))

    def show(self) -> None:
        """Show what would be built, uploaded and tagged, in a dry run."""
        self.assembly.show()
        for group in self.assembly.groups:
            self.assembly.build(group, buildx.to_registry(self._address, {}))
        run, digests = self.assembly.context.run, ("DIGEST",) * len(self.assembly.groups)
        if self.signer:
            self.assembly.context.console.note(f"{self.assembly.name}: would be signed with {self.signer.key.name}")
        run(buildx.tag_step(self.assembly.builder, self._address, digests, self.tags, {}))

    def context(self, result: ImageResult) -> str:
        """The pushed image as a build context, for the images that are based on it."""
        return f"docker-image://{self._address}@{result.digest}"

    @property
    def _address(self) -> str:
        """The repository's name for buildx, which may lead through the gateway."""
        return self.assembly.session.name(self.repository)

    def _manifest(self, reference: str) -> str:
        """The manifest that the registry has under a reference, byte for byte; "" if it has none."""
        outcome = self.assembly.read(reference)
        return outcome.stdout if outcome else ""

    def _build(self, annotations: Mapping[str, str]) -> Pushed:
        texts: list[str] = []
        images: dict[str, str] = {}
        annotated = False
        for group in self.assembly.groups:
            # Only an index of several images can be annotated while it is built (BuildKit's rule).
            annotated = len(group) == len(self.assembly.image.targets) > 1
            digest = self._push(group, annotations if annotated else {})
            text = succeeded(self.assembly.read(f"{self.repository}@{digest}")).stdout
            manifest = manifests.read(text, f"{self.repository}@{digest}")
            images |= manifest.images if isinstance(manifest, Index) else {self._platform(digest): digest}
            texts.append(text)
        return Pushed(texts=tuple(texts), annotated=annotated, images=images)

    def _push(self, group: tuple[Target, ...], annotations: Mapping[str, str]) -> str:
        digest = self.assembly.build(group, buildx.to_registry(self._address, annotations))
        if not digest:
            message = f"{self.repository}: docker buildx reported no digest for the pushed image"
            raise BuildError(message, "update Docker and buildx")
        return digest

    def _platform(self, digest: str) -> str:
        """The platform of an image without an index, from its configuration."""
        question = buildx.config_question(self.assembly.builder, f"{self._address}@{digest}")
        answer = succeeded(self.assembly.context.run(question)).stdout
        return manifests.decode(answer, Configuration, f"{self.repository}@{digest}: invalid configuration").oci

    def _joined(self, signer: Signer, pushed: Pushed, annotations: Mapping[str, str]) -> Pushed:
        """The images under one index, which is in the registry and has no tag yet: what a tag will point to can be signed."""
        entries: list[oci.Json] = []
        platforms = {digest: platform for platform, digest in pushed.images.items()}
        for text, digest in zip(pushed.texts, pushed.digests, strict=True):
            entries += index.entries_of(text.encode(), platforms.get(digest, ""))
        joined = index.index(entries, annotations)
        signer.put(self.repository, joined, oci.digest(joined))
        return Pushed(texts=(joined.decode(),), annotated=True, images=pushed.images)

    def _sign(self, pushed: Pushed, annotations: Mapping[str, str]) -> tuple[Attached, ...]:
        """Sign the index and its images, and attach what the settings ask for. The tags are moved after that."""
        if not self.signer:
            return ()
        (text,) = pushed.texts
        context, name = self.assembly.context, self.assembly.name
        return sign(context, self.signer, name, self.repository, text.encode(), annotations, self.assembly.predicates)

    def _tag(
        self, pushed: Pushed, tagged: Mapping[str, str], annotations: Mapping[str, str], attached: Sequence[Attached]
    ) -> ImageResult:  # fmt: skip
        """Move all tags at once that do not point to the image yet."""
        moved = [tag for tag, text in tagged.items() if not _is_same(text, pushed, annotations)]
        if moved:
            # Without a new annotation the index stays the same, byte for byte.
            new = {} if pushed.annotated else annotations
            step = buildx.tag_step(self.assembly.builder, self._address, pushed.digests, moved, new)
            succeeded(self.assembly.context.run(step))
        (first, *_) = self.tags
        text = self._manifest(f"{self.repository}:{first}") if moved else tagged[first]
        done = moved or any(one.added for one in attached)
        return ImageResult(
            component=self.assembly.name, status=Status.DONE if done else Status.UNCHANGED, tags=self.tags,
            platforms=self.assembly.image.platforms, where=self.repository, digest=oci.digest(text.encode()),
            layers=self._layers(pushed.images) if moved else {}, images=manifests.index_of(text).images,
            signed=names_of(attached),
        )  # fmt: skip

    def _layers(self, images: Mapping[str, str]) -> dict[str, tuple[tuple[str, int], ...]]:
        """The layers of each image (platform -> digest), for the history; what cannot be read is left out."""
        found = {}
        for platform, digest in images.items():
            with contextlib.suppress(BuildError):
                manifest = manifests.read(self._manifest(f"{self.repository}@{digest}"), digest)
                if isinstance(manifest, Manifest):
                    found[platform] = manifest.sizes
        return found


def _is_same(text: str, pushed: Pushed, annotations: Mapping[str, str]) -> bool:
    """Whether the manifest `text` of a tag is the pushed index, or one of the same images that says the same of their inputs."""
    if pushed.annotated and pushed.digests == (oci.digest(text.encode()),):
        return True
    index = manifests.index_of(text)
    return bool(pushed.images) and index.images == pushed.images and index.inputs == annotations.get(INPUTS, "")


def unchanged(tagged: Iterable[str], inputs: str, platforms: Iterable[str]) -> str:
    """The text of a tagged index that was made from the same inputs for the same platforms, "" without one.

    No inputs ("") are those that are not known.
    """
    expected = set(platforms)
    for text in tagged:
        found = manifests.index_of(text)
        if inputs and found.inputs == inputs and set(found.images) == expected:
            return text
    return ""


def sign(
    context: Context, signer: Signer, name: str, repository: str, document: bytes, annotations: Mapping[str, str],
    predicates: Callable[[str, Wanted], Iterable[tuple[str, Any]]],
) -> tuple[Attached, ...]:  # fmt: skip
    """Sign an index and its images, and attach what the settings ask for. `name` is the component's."""
    wanted = Wanted(attest=signer.attest, source=signer.source, bases=Index(annotations=dict(annotations)).bases)
    digest = oci.digest(document)
    attached = signer.sign(repository, document, digest, lambda platform: predicates(platform, wanted))
    if any(one.added for one in attached):
        images = f"{len(attached) - 1} platforms" if len(attached) > 2 else "1 platform"
        context.console.note(f"{name}: signed with {signer.key.name}: index and {images}")
    return tuple(attached)


def names_of(attached: Iterable[Attached]) -> tuple[str, ...]:
    """The signatures and attestations that an image has."""
    return tuple(dict.fromkeys(name for one in attached for name in one.names))
