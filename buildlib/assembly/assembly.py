"""One component's image through buildx: what it is built from, and what every kind of image has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib.assembly import oci
from buildlib.assembly.recipe import Recipe
from buildlib.assembly.spec import ImageSpec
from buildlib.builder import buildx
from buildlib.builder.buildx import succeeded
from buildlib.builder.step_times import StepTime
from buildlib.core.errors import BuildError, Refused
from buildlib.core.plan import OciLayout, Outcome, Step
from buildlib.core.targets import Target
from buildlib.elf import Mismatch
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Configuration, Index
from buildlib.process.commit import Source
from buildlib.process.context import Context
from buildlib.process.files import blob_files, blob_path, read_text
from buildlib.registry.session import DIRECT, Session

UNTOUCHED = "no tag was moved and no layout was written"
LAYOUT = "layout-{}"  # the directories in which buildx writes layouts, by number


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """An image in layouts of buildx, one for each of its calls."""

    entries: list[oci.Json]  # for an index, with the platforms of the images; attestations included
    blobs: Mapping[str, Path]
    folders: Mapping[str, Path]  # platform -> layout
    images: Mapping[str, str]  # platform -> digest
    digest: str = ""  # of what all images are under, "" if they are in several layouts

    def joined(self, annotations: Mapping[str, str]) -> oci.Image:
        """The image for all platforms, under one index."""
        return oci.with_index(self.entries, self.blobs, annotations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The attestations that the settings ask for, by name, and what provenances need to know."""

    attest: Collection[str]
    source: Source
    bases: Mapping[str, str]  # base images and their digests


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly(ABC):
    """What one image is built from, and how it is built and checked."""

    context: Context
    image: ImageSpec
    scratch: Path  # a directory for this image alone
    epoch: int  # the time of everything in the image, in seconds since 1970
    fresh: bool = False  # ignore what is cached
    session: Session = DIRECT  # how buildx reaches the registry

    @property
    def name(self) -> str:
        """The name of the component."""
        return self.image.name

    @property
    def builder(self) -> str:
        """The name of the buildx builder."""
        return self.context.config.builder.name

    @property
    def groups(self) -> list[tuple[Target, ...]]:
        """The targets of each call of buildx.

        With several nodes each target has its own call: when buildx merges the results of several nodes, it moves the tag `latest`
        before anything is checked (seen with 0.13).
        """
        return (
            [(target,) for target in self.image.targets] if self.context.config.builder.nodes else [self.image.targets]
        )

    @abstractmethod
    def recipe(self) -> Recipe:
        """What the image of each platform is made from."""

    def annotations(self) -> dict[str, str]:
        """The annotations of the index, which say what the image was made from; without INPUTS if that cannot be known."""
        return self.recipe().annotations

    @abstractmethod
    def build(self, targets: tuple[Target, ...], output: str) -> str:
        """Build the image for these targets. Returns its digest, "" if buildx reports none.

        `output` is the value of --output. The error of `buildx.docker_error` if it fails.
        """

    @abstractmethod
    def check_before_push(self) -> None:
        """Check what can be checked before anything is uploaded. Refused if a check fails."""

    @abstractmethod
    def check_pushed(self, where: str, images: Mapping[str, str], address: str, *, known: bool) -> None:
        """Check the images (platform -> digest) that were pushed to `address`, which messages call `where`. Refused if one fails.

        `known` says whether all tags have these images already.
        """

    @abstractmethod
    def check_layouts(self, layouts: Layouts) -> None:
        """Refused if an image in the layouts fails a check."""

    @abstractmethod
    def predicates(self, platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
        """What is to be attested of the image of a platform, or of the index for "": predicate types and predicates."""

    def checked_layouts(self) -> Layouts:
        """The image, built into layouts in the scratch directory, and checked. Refused if a check fails."""
        layouts = self.built_layouts()
        self.check_platforms(self.name, layouts.images)
        self.check_layouts(layouts)
        return layouts

    def show(self) -> None:
        """Show what would be built, in a dry run."""
        for number, group in enumerate(self.groups):
            self.build(group, buildx.to_layout(self.scratch / LAYOUT.format(number)))

    def built_layouts(self) -> Layouts:
        """The image, built into layouts in the scratch directory."""
        result = Layouts(entries=[], blobs={}, folders={}, images={})
        for number, group in enumerate(self.groups):
            folder = self.scratch / LAYOUT.format(number)
            self.build(group, buildx.to_layout(folder))
            layout = read_layout(folder)
            result = Layouts(
                entries=[*result.entries, *layout.entries], blobs={**result.blobs, **layout.blobs},
                folders={**result.folders, **layout.folders}, images={**result.images, **layout.images},
                digest="" if number else layout.digest,
            )  # fmt: skip
        return result

    def as_context(self) -> str:
        """A build context with the image in layouts, for the images that are based on it."""
        layouts = self.checked_layouts()
        if layouts.digest:
            return f"oci-layout://{self.scratch / LAYOUT.format(0)}@{layouts.digest}"
        image, folder = layouts.joined({}), self.scratch / "joined"
        self.context.run(OciLayout(folder=folder, blobs=image.blobs, index=oci.layout_index(image, ("latest",))))
        return f"oci-layout://{folder}@{image.digest}"

    def read(self, reference: str) -> Outcome:
        """The manifest or index that a registry has under a reference, byte for byte, as the stdout of the outcome."""
        question = buildx.manifest_question(self.builder, self.session.name(reference))
        # The title is shown when it fails: with the name that the user knows.
        return self.session.read(self.context, reference, replace(question, title=f"read {reference}"))

    @property
    def steps(self) -> tuple[StepTime, ...]:
        """How long each step of the Dockerfile ran; () if that was not asked for."""
        return ()

    def build_step(
        self, inputs: buildx.BuildInputs, stage: str, targets: tuple[Target, ...], output: str, *, fresh: bool
    ) -> Step:
        """The step that builds a stage for these targets. `fresh` ignores caches."""
        flags = (
            "--output",
            output,
            "--metadata-file",
            str(self._metadata(targets)),
            *(("--no-cache",) if fresh else ()),
        )
        return buildx.build_step(f"build {self.name}", inputs, stage, targets, *flags)

    def run_build(self, step: Step, targets: tuple[Target, ...]) -> tuple[str, Outcome]:
        """Run what `build_step` returned for these targets. Returns the digest of the image, and the outcome."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        outcome = succeeded(self.context.run(step))
        return buildx.digest_of(read_text(self._metadata(targets))), outcome

    def _metadata(self, targets: tuple[Target, ...]) -> Path:
        return self.scratch / f"metadata-{targets[0].name}.json"

    def check_platforms(self, where: str, platforms: Iterable[str]) -> None:
        """Refused unless the image has exactly the requested platforms. `where` is its name in the message."""
        actual, expected = sorted(platforms), sorted(self.image.platforms)
        if actual != expected:
            mismatch = Mismatch("platforms", ", ".join(actual) or "none", ", ".join(expected))
            raise Refused(f"{where}: {mismatch}", UNTOUCHED)


def read_layout(folder: Path) -> Layouts:
    """The images in a layout of buildx, which writes an index for several platforms, and the manifest alone for one."""
    title = f"{folder.name} of docker buildx"
    text = read_text(folder / "index.json")
    layout = manifests.read(text, title)
    if not isinstance(layout, Index) or len(layout.manifests) != 1:
        raise BuildError(f"{title}: index.json does not name exactly one image", "update Docker and buildx")
    (entry,) = buildx.read_index(text)["manifests"]
    digest, blobs = layout.manifests[0].digest, blob_files(folder)
    text = read_text(blob_path(folder, digest))
    manifest = manifests.read(text, title)
    if isinstance(manifest, Index):
        del blobs[digest]  # the layout's own index, which joins the images
        entries, images = buildx.read_index(text)["manifests"], manifest.images
    else:
        config = read_text(blob_path(folder, manifest.config.digest))
        platform = manifests.decode(config, Configuration, f"{title}: invalid configuration").oci
        descriptor = {key: entry[key] for key in ("mediaType", "digest", "size") if key in entry}
        entries, images = [descriptor | {"platform": oci.platform_of(platform)}], {platform: digest}
    folders = dict.fromkeys(images, folder)
    return Layouts(entries=entries, blobs=blobs, folders=folders, images=images, digest=digest)
