"""Images that stay on this machine, built by buildx: as OCI image layouts, or in the Docker daemon."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from buildlib.builder import buildx
from buildlib.builder.buildx import INPUTS, succeeded
from buildlib.core.errors import BuildError, Refused
from buildlib.core.plan import Status, Step, Write
from buildlib.images import manifests, oci, oci_layouts
from buildlib.images.check import Assembly
from buildlib.images.manifests import Configuration, Index, Manifest
from buildlib.images.spec import ImageResult
from buildlib.process.files import blob_files, blob_path, read_text
from buildlib.registry.reference import parse

LAYOUT = "layout-{}"  # the directories in which buildx writes layouts, by number


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """Write one component's image as a layout in its own directory below `output`."""

    assembly: Assembly
    output: Path

    def __call__(self) -> ImageResult:
        """Build and check the image, unless the layout already contains one that was made from the same inputs."""
        inputs, folder = self.assembly.inputs_digest(), self.output / self.assembly.name
        saved = None if self.assembly.fresh else _saved(folder, inputs)
        image = saved or build_and_check(self.assembly, inputs)
        return oci_layouts.write(self.assembly.context, self.assembly.image, image, self.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load one component's image, for one platform, into the Docker daemon."""

    assembly: Assembly
    repository: str

    def __call__(self) -> ImageResult:
        """Build and check the image, then load that very image under all tags.

        Refused if the daemon then has another one under a tag.
        """
        image, folder = build_and_check(self.assembly), self.assembly.scratch / LAYOUT.format(0)
        names = [f"{self.repository}:{tag}" for tag in self.assembly.image.tags]
        before = [self._id(name) for name in names]
        (entry,) = buildx.read_index(image.index.decode())["manifests"]
        manifest = manifests.read(read_text(blob_path(folder, entry["digest"])), folder.name)
        assert isinstance(manifest, Manifest)  # of the only platform
        layers, complete = [layer.digest for layer in manifest.layers], {name: str(parse(name)) for name in names}
        for name, text in oci.loadable(entry, manifest.config.digest, layers, complete).items():
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
        )  # fmt: skip

    def _id(self, name: str) -> str:
        """The daemon's ID of the image called `name`, "" without one."""
        argv = ("docker", "image", "inspect", "--format", "{{.Id}}", name)
        outcome = self.assembly.context.run(Step(title=f"inspect {name}", argv=argv, stdout="keep", quiet=True))
        return outcome.stdout.strip() if outcome else ""


def build_and_check(assembly: Assembly, inputs: str = "") -> oci.Image:
    """The image for all platforms, built into layouts in the scratch directory, checked, and joined under one index.

    `inputs` becomes an annotation of the index. Refused if a check fails.
    """
    entries: list[oci.Json] = []
    blobs: dict[str, bytes | Path] = {}
    images: dict[str, str] = {}
    contexts: dict[str, str] = {}
    for number, group in enumerate(assembly.groups):
        folder = assembly.scratch / LAYOUT.format(number)
        assembly.build(group, buildx.to_layout(folder))
        layout = _read_layout(folder)
        entries += layout.entries
        blobs |= {digest: path for digest, path in blob_files(folder).items() if digest != layout.index}
        for platform, digest in layout.images.items():
            images[platform] = f"built-{platform.replace('/', '-')}"
            contexts[images[platform]] = f"oci-layout://{folder}@{digest}"
    assembly.check_platforms(assembly.name, images)
    assembly.check_programs(assembly.name, images, contexts)
    return oci.with_index(entries, blobs, {INPUTS: inputs} if inputs else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    entries: list[oci.Json]  # for an index, with the platforms of the images; attestations included
    images: dict[str, str]  # platform -> digest
    index: str = ""  # the digest of the layout's own index, which joins the images; "" without one


def _read_layout(folder: Path) -> _Layout:
    """The images in a layout of buildx, which writes an index for several platforms, and the manifest alone for one."""
    title = f"{folder.name} of docker buildx"
    text = read_text(folder / "index.json")
    layout = manifests.read(text, title)
    if not isinstance(layout, Index) or len(layout.manifests) != 1:
        raise BuildError(f"{title}: index.json does not name exactly one image", "update Docker and buildx")
    (entry,) = buildx.read_index(text)["manifests"]
    digest = layout.manifests[0].digest
    text = read_text(blob_path(folder, digest))
    manifest = manifests.read(text, title)
    if isinstance(manifest, Index):
        return _Layout(entries=buildx.read_index(text)["manifests"], images=manifest.images, index=digest)
    config = read_text(blob_path(folder, manifest.config.digest))
    platform = manifests.decode(config, Configuration, f"{title}: invalid configuration").oci
    descriptor = {key: entry[key] for key in ("mediaType", "digest", "size") if key in entry}
    return _Layout(entries=[descriptor | {"platform": oci.platform_of(platform)}], images={platform: digest})


def _saved(folder: Path, inputs: str) -> oci.Image | None:
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
