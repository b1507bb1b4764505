"""Images in a registry: built by digest, read back, looked into, and only then found under their tags.

A run that ends anywhere in between leaves every tag where it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildlib.core.plan import Outcome, Status
from buildlib.images import buildx, oci
from buildlib.images.buildx import succeeded
from buildlib.images.check import Assembly
from buildlib.images.spec import ImageResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Digests in the registry: of one index with its inputs noted, or of images that no index holds together yet; and every
    platform's image."""

    digests: tuple[str, ...]
    noted: bool
    manifests: Mapping[str, str]  # platform -> digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One component's image on its way into the registry."""

    assembly: Assembly
    repository: str
    tags: tuple[str, ...]

    def __call__(self) -> ImageResult:
        """What is under a tag and was made from the same was looked into before: nothing is built, uploaded or checked."""
        inputs = self.assembly.inputs()
        under = {tag: self._raw(f"{self.repository}:{tag}") for tag in self.tags}
        known = "" if self.assembly.fresh else self._known(under.values(), inputs)
        if known:
            return self._tag(Found(digests=(known,), noted=True, manifests={}), under, inputs)
        found = self._build(inputs)
        self.assembly.read_back(self.repository, found.manifests)
        if any(_images(raw) != found.manifests for raw in under.values()):
            images = {platform: f"{self._there}@{digest}" for platform, digest in found.manifests.items()}
            self.assembly.look_inside(self.repository, images)
        return self._tag(found, under, inputs)

    @property
    def _there(self) -> str:
        """The repository by the name that leads to it."""
        return self.assembly.session.name(self.repository)

    def _known(self, under: Any, inputs: str) -> str:
        """The digest of an index under one of the tags that was made from the same; "" without one."""
        platforms = set(self.assembly.image.platforms)
        for raw in under:
            index = buildx.read_index(raw)
            if inputs and buildx.inputs_of(index) == inputs and set(buildx.manifests(index)) == platforms:
                return oci.digest(raw.encode())
        return ""

    def _raw(self, reference: str) -> str:
        """What the registry has under a reference, byte for byte; "" for what it does not have."""
        asked = self._read(reference)
        return asked.stdout if asked else ""

    def _read(self, reference: str) -> Outcome:
        return self.assembly.read(reference)

    def _build(self, inputs: str) -> Found:
        digests, manifests, noted = [], {}, False
        for group in self.assembly.groups:
            # Only an index of several can have its inputs noted while it is built (BuildKit's rule).
            noted = len(group) == len(self.assembly.image.entries) > 1
            digest = self.assembly.build(group, buildx.to_registry(self._there, inputs if noted else ""))
            reference = f"{self._there}@{digest}"
            index = json.loads(succeeded(self._read(f"{self.repository}@{digest}")).stdout)
            manifests |= buildx.manifests(index) if "manifests" in index else {self._platform(reference): digest}
            digests.append(digest)
        return Found(digests=tuple(digests), noted=noted, manifests=manifests)

    def _platform(self, reference: str) -> str:
        """An image for one platform is no index; its configuration says which."""
        return buildx.platform_of(
            json.loads(succeeded(self.assembly.context.run(buildx.config_question(self.assembly.builder, reference))).stdout)
        )

    def _tag(self, found: Found, under: Mapping[str, str], inputs: str) -> ImageResult:
        """The tags that are not there yet, all at once."""
        moved = [tag for tag, raw in under.items() if not _is(raw, found)]
        if moved:
            # Without anything to note, an index stays what it is, byte for byte.
            noted = "" if found.noted else inputs
            succeeded(self.assembly.context.run(buildx.tag_step(self.assembly.builder, self._there, found.digests, moved, noted)))
        (first, *_) = self.tags
        raw = self._raw(f"{self.repository}:{first}") if moved else under[first]
        return ImageResult(
            component=self.assembly.name, status=Status.DONE if moved else Status.UNCHANGED, tags=self.tags,
            platforms=self.assembly.image.platforms, where=self.repository, digest=oci.digest(raw.encode()),
        )  # fmt: skip


def _images(raw: str) -> dict[str, str]:
    return buildx.manifests(buildx.read_index(raw))


def _is(raw: str, found: Found) -> bool:
    """Whether what is under a tag is what was found: the index itself, or one of the same images."""
    if found.noted and found.digests == (oci.digest(raw.encode()),):
        return True
    return bool(found.manifests) and _images(raw) == found.manifests
