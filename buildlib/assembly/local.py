"""Images that stay on this machine, built by buildx: as OCI image layouts, or in the Docker daemon."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from buildlib.assembly import oci, oci_layouts
from buildlib.assembly.assembly import LAYOUT, Assembly
from buildlib.assembly.spec import ImageResult
from buildlib.builder.buildx import INPUTS, succeeded
from buildlib.core.errors import BuildError, Refused
from buildlib.core.plan import Status, Step, Write
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Manifest
from buildlib.process.files import blob_files, blob_path, read_text
from buildlib.registry.reference import parse
from buildlib.smoke.archive import loadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Write one component's image as a layout in its own directory below `output`."""

    assembly: Assembly
    output: Path

    def __call__(self) -> ImageResult:
        """Build and check the image, unless the layout already contains one that was made from the same inputs."""
        annotations, folder = self.assembly.annotations(), self.output / self.assembly.name
        known = None if self.assembly.fresh else saved(folder, annotations.get(INPUTS, ""))
        image = known or self.assembly.checked_layouts().joined(annotations)
        return oci_layouts.write(self.assembly.context, self.assembly.image, image, self.output)

    def context(self, result: ImageResult) -> str:
        """The image as a build context, for the images that are based on it."""
        return f"oci-layout://{result.where}@{result.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Build and check an image that is not published: one that only has to be checked, or is the base of others."""

    assembly: Assembly

    def __call__(self) -> ImageResult:
        """Build and check the image."""
        layouts, image = self.assembly.checked_layouts(), self.assembly.image
        joined = layouts.joined({})
        return ImageResult(
            component=image.name, status=Status.DONE, platforms=image.platforms, digest=layouts.digest or joined.digest,
            layers=oci_layouts.layers(joined.index, joined.blobs), images=layouts.images,
        )  # fmt: skip

    def context(self, _: ImageResult) -> str:
        """The image as a build context, for the images that are based on it."""
        return self.assembly.as_context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load one component's image, for one platform, into the Docker daemon."""

    assembly: Assembly
    repository: str

    def __call__(self) -> ImageResult:
        """Build and check the image, then load that very image under all tags.

        Refused if the daemon then has another one under a tag.
        """
        layouts, folder = self.assembly.checked_layouts(), self.assembly.scratch / LAYOUT.format(0)
        names = [f"{self.repository}:{tag}" for tag in self.assembly.image.tags]
        before = [self._id(name) for name in names]
        (entry,) = layouts.entries
        manifest = manifests.read(read_text(blob_path(folder, entry["digest"])), folder.name)
        assert isinstance(manifest, Manifest)  # of the only platform
        layers, complete = [layer.digest for layer in manifest.layers], {name: str(parse(name)) for name in names}
        for name, text in loadable(entry, manifest.config.digest, layers, complete).items():
            self.assembly.context.run(Write(path=folder / name, text=text))
        archive = shutil.make_archive(str(folder), "tar", folder)
        argv = ("docker", "load", "--quiet", "--input", archive)
        succeeded(self.assembly.context.run(Step(title=f"load {self.assembly.name}", argv=argv, attempts=5, held=True)))
        # The classic store knows an image by its configuration, which names its layers, containerd's by its manifest.
        checked, after = (manifest.config.digest, entry["digest"]), [self._id(name) for name in names]
        for name, loaded in zip(names, after, strict=True):
            if loaded not in checked:
                raise Refused(f"{name}: the daemon has {loaded or 'no image'}, expected {' or '.join(checked)}")
        return ImageResult(
            component=self.assembly.name, status=Status.UNCHANGED if before == after else Status.DONE, where=names[0],
            tags=self.assembly.image.tags, platforms=self.assembly.image.platforms, digest=after[0],
            layers={self.assembly.image.platforms[0]: manifest.sizes},
        )  # fmt: skip

    def context(self, _: ImageResult) -> str:
        """The image as a build context, for the images that are based on it."""
        return self.assembly.as_context()

    def _id(self, name: str) -> str:
        """The daemon's ID of the image called `name`, "" without one."""
        argv = ("docker", "image", "inspect", "--format", "{{.Id}}", name)
        outcome = self.assembly.context.run(Step(title=f"inspect {name}", argv=argv, stdout="keep", quiet=True))
        return outcome.stdout.strip() if outcome else ""


def saved(folder: Path, inputs: str) -> oci.Image | None:
    """The complete image in a layout that was made from the same inputs, if there is one."""
    for entry in manifests.index_of(read_text(folder / "index.json")).manifests:
        text = read_text(blob_path(folder, entry.digest))
        index = manifests.index_of(text)
        if not inputs or index.inputs != inputs or oci.digest(text.encode()) != entry.digest:
            continue
        if all(_is_complete(folder, image.digest) for image in index.manifests):
            return oci.Image(index=text.encode(), blobs=blob_files(folder) | {entry.digest: text.encode()})
    return None


def _is_complete(folder: Path, digest: str) -> bool:
    """Whether the layout contains a manifest and everything that it refers to, undamaged."""
    try:
        manifest = manifests.read(read_text(blob_path(folder, digest)), digest)
    except BuildError:
        return False
    blobs = (manifest.config, *manifest.layers) if isinstance(manifest, Manifest) else ()
    return bool(blobs) and all(oci_layouts.is_intact(folder, blob) for blob in (digest, *(b.digest for b in blobs)))
