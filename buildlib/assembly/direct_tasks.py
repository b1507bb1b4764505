"""What becomes of an image that no container engine makes: pushed, saved as a layout, or only checked.

The counterparts of `push.Push` and of `local`. A name is given to an image after everything else: a tag, or a layout's index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildlib.assembly import direct, local, oci, oci_layouts
from buildlib.assembly.assembly import Wanted
from buildlib.assembly.direct import DirectImage
from buildlib.assembly.push import names_of, sign, unchanged
from buildlib.assembly.recipe import Recipe
from buildlib.assembly.spec import ImageResult, ImageSpec, PushedPart
from buildlib.builder.buildx import INPUTS
from buildlib.core.plan import Status
from buildlib.process.context import Context
from buildlib.registry.blob_copies import BlobCopies
from buildlib.registry.client import Client
from buildlib.registry.content import Repository, repository_of
from buildlib.registry.reference import parse

if TYPE_CHECKING:
    from buildlib.builder.step_times import StepTime
    from buildlib.signing.images import Attached
    from buildlib.signing.signer import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectAssembly(ABC):
    """What one image is made from, and how it is made and checked. `fresh` makes what is unchanged as well."""

    context: Context
    image: ImageSpec
    client: Client
    copies: BlobCopies
    fresh: bool

    @property
    def name(self) -> str:
        """The name of the component."""
        return self.image.name

    @property
    def steps(self) -> tuple[StepTime, ...]:
        """The steps of a Dockerfile, of which there are none."""
        return ()

    @abstractmethod
    def recipe(self) -> Recipe:
        """What the image is made from."""

    def annotations(self) -> dict[str, str]:
        """The annotations of the index, which say what the image is made from."""
        return self.recipe().annotations

    @abstractmethod
    def checked(self, annotations: Mapping[str, str]) -> tuple[DirectImage, tuple[str, ...]]:
        """The image for all platforms, and for each one that was not started why. Refused if a check fails."""

    @abstractmethod
    def predicates(self, platform: str, wanted: Wanted) -> Iterable[tuple[str, Any]]:
        """What attestations say of the image for a platform, "" for the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectPush:
    """Push one image: `repository` is the full name, with the registry."""

    assembly: DirectAssembly
    repository: str
    tags: tuple[str, ...]
    signer: Signer | None = None

    def __call__(self) -> ImageResult:
        """Make, check, upload, sign and tag the image, in this order. The error of the first step that fails; tags are moved last.

        An image that one of the tags points to, and that has the same inputs, was checked before: only its tags are moved.
        """
        repository = repository_of(self.assembly.client, parse(self.repository))
        annotations = self.assembly.annotations()
        tagged = {tag: direct.tagged(repository, tag) for tag in self.tags}
        inputs = "" if self.assembly.fresh else annotations[INPUTS]
        if same := unchanged(tagged.values(), inputs, self.assembly.image.platforms):
            return self._move(repository, tagged, same.encode(), annotations)
        made, not_started = self.assembly.checked(annotations)
        direct.upload(repository, made, self.assembly.copies)
        return self._move(repository, tagged, made.index, annotations, made.sizes, not_started)

    def _move(
        self, repository: Repository, tagged: Mapping[str, str], index: bytes, annotations: Mapping[str, str],
        layers: Mapping[str, tuple[tuple[str, int], ...]] | None = None, not_started: tuple[str, ...] = (),
    ) -> ImageResult:  # fmt: skip
        attached = self._sign(index, annotations)
        moved = [tag for tag, text in tagged.items() if text.encode() != index]
        direct.move_tags(repository, index, moved)
        done = moved or any(one.added for one in attached)
        return ImageResult(
            component=self.assembly.name, status=Status.DONE if done else Status.UNCHANGED, platforms=self.assembly.image.platforms,
            tags=self.tags, where=self.repository, digest=oci.digest(index), layers=(layers or {}) if moved else {},
            not_started=not_started, signed=names_of(attached),
        )  # fmt: skip

    def _sign(self, index: bytes, annotations: Mapping[str, str]) -> tuple[Attached, ...]:
        if not self.signer:
            return ()
        context, name = self.assembly.context, self.assembly.name
        return sign(context, self.signer, name, self.repository, index, annotations, self.assembly.predicates)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectPushPart(DirectPush):
    """Push one image for some of its platforms, without a tag: the counterpart of `push_part.PushPart`."""

    def __call__(self) -> ImageResult:
        """Make, check and upload the images. The error of the first step that fails."""
        recipe = self.assembly.recipe()
        made, not_started = self.assembly.checked({})
        direct.upload(repository_of(self.assembly.client, parse(self.repository)), made, self.assembly.copies)
        # Without its inputs, an image that was not started is not taken for a checked one by the next command.
        recipe = replace(recipe, inputs={}) if not_started else recipe
        return ImageResult(
            component=self.assembly.name, status=Status.DONE, platforms=self.assembly.image.platforms, where=self.repository,
            digest=made.digest, layers=made.sizes, not_started=not_started,
            images={one.platform: oci.digest(one.manifest) for one in made.images},
            part=PushedPart(digests=(made.digest,), recipe=recipe),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectSave:
    """Write one image as a layout in its own directory below `output`."""

    assembly: DirectAssembly
    output: Path

    def __call__(self) -> ImageResult:
        """Make, check and write the image, unless the layout already contains one that was made from the same inputs."""
        annotations = self.assembly.annotations()
        known = None if self.assembly.fresh else local.saved(self.output / self.assembly.name, annotations[INPUTS])
        made, not_started = (None, ()) if known else self.assembly.checked(annotations)
        data = made.layout() if made else known
        assert data is not None
        result = oci_layouts.write(self.assembly.context, self.assembly.image, data, self.output)
        return replace(result, not_started=not_started)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCheck:
    """Make and check one image, and publish nothing."""

    assembly: DirectAssembly

    def __call__(self) -> ImageResult:
        """Make and check the image."""
        made, not_started = self.assembly.checked({})
        return ImageResult(
            component=self.assembly.name, status=Status.DONE, platforms=self.assembly.image.platforms, digest=made.digest,
            layers=made.sizes, not_started=not_started,
        )  # fmt: skip


DirectTask = DirectPush | DirectSave | DirectCheck
