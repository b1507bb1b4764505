"""What the images of one command share that are made without an engine: connections, base images, and what was read of them."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildlib.assembly.assembly import Wanted
from buildlib.assembly.direct import DirectImage
from buildlib.assembly.direct_tasks import DirectAssembly
from buildlib.assembly.recipe import Recipe
from buildlib.assembly.roots import Roots
from buildlib.base_images import pulled
from buildlib.base_images.pulled import BaseImage, BaseIndex
from buildlib.builder.buildx import INPUTS
from buildlib.core.targets import Target
from buildlib.image_gate.scans import Scans
from buildlib.images import contents
from buildlib.images.binary_assembly import base_of, predicates, recipe_of
from buildlib.images.binary_image import BinaryImage
from buildlib.images.direct_image import Maker
from buildlib.process.context import Context
from buildlib.registry.blob_cache import BlobCache
from buildlib.registry.blob_copies import BlobCopies
from buildlib.registry.client import Client
from buildlib.registry.session import open_client

LAYERS = "layers"  # the directory of base images' layers in the user's cache


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What the images of one command share. Threads share it."""

    context: Context
    client: Client
    maker: Maker
    epoch: int  # the time of everything in the images, in seconds since 1970
    fresh: bool  # make, check and upload what is unchanged as well
    copies: BlobCopies = field(default_factory=BlobCopies)
    _bases: dict[str, BaseIndex] = field(default_factory=dict)
    _images: dict[tuple[str, str], BaseImage] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def base(self, name: str) -> BaseIndex:
        """What the registry has under the name of a base image now, asked once. Errors as of `pulled.index`."""
        with self._lock:
            if name not in self._bases:
                self._bases[name] = pulled.index(self.client, name)
            return self._bases[name]

    def assembly(self, image: BinaryImage) -> DirectBinary:
        """How an image is made and checked."""
        return DirectBinary(
            context=self.context, image=image, client=self.client, copies=self.copies, fresh=self.fresh, workshop=self
        )

    def base_image(self, image: BinaryImage, target: Target) -> BaseImage | None:
        """The base image for a target, None for none. Errors as of `pulled.images`."""
        name = base_of(image, (target,))
        if not name:
            return None
        base = self.base(name)
        with self._lock:
            if (name, target.oci) not in self._images:
                wanted = [one.oci for one in image.targets if base_of(image, (one,)) == name]
                found = pulled.images(base, name, wanted)
                self._images.update({(name, platform): one for platform, one in found.items()})
            return self._images[name, target.oci]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectBinary(DirectAssembly):
    """How the image of a binary is made and checked without an engine."""

    image: BinaryImage
    workshop: Workshop

    def recipe(self) -> Recipe:
        """What the image is made from, as for the same image through buildx."""
        files = contents.contents(self.context.workspace.root, self.name, self.image.stage)
        return recipe_of(self.image, lambda base: self.workshop.base(base).digest, files)

    def checked(self, annotations: Mapping[str, str]) -> tuple[DirectImage, tuple[str, ...]]:
        """The image for all targets, and for each one that was not started why. Refused if a check fails."""
        made, not_started, shop = [], [], self.workshop
        for target in self.image.targets:
            one = shop.maker.make(self.image, target, shop.base_image(self.image, target), shop.epoch)
            if reason := shop.maker.check(self.image, target, one):
                not_started.append(f"{target.oci}: {reason}")
                self.context.console.warn(f"{self.name}: {target.oci}: not started: {reason}")
            made.append(one)
        # Without its inputs in the index, an image that was not started is not taken for a checked one by the next command.
        kept = {name: value for name, value in annotations.items() if name != INPUTS or not not_started}
        return DirectImage(images=tuple(made), annotations=kept), tuple(not_started)

    def predicates(self, platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
        """The SBOM of the program for a platform, and what the image was made of."""
        return predicates(self.context, self.image, platform, wanted)


@contextmanager
def workshop(context: Context, epoch: int, *, fresh: bool) -> Iterator[Workshop]:
    """Open the connections and directories that images need."""
    scans = Scans()
    with open_client(context) as client, tempfile.TemporaryDirectory(prefix="buildlib-") as folder:
        cache = BlobCache(context.host.cache / LAYERS)
        maker = Maker(context=context, cache=cache, scans=scans, roots=Roots(context, scans, Path(folder)))
        yield Workshop(context=context, client=client, maker=maker, epoch=epoch, fresh=fresh)
        cache.prune()
