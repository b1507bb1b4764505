"""Images that stay on this machine, through buildx: as OCI image layouts, or in the Docker daemon."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib.core.plan import Status, Step, words
from buildlib.images import buildx, dockerfile, oci, oci_layouts
from buildlib.images.check import Assembly
from buildlib.images.spec import ImageResult
from buildlib.process.files import blob_files, blob_path, read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """One component's image on its way into a layout below `output`."""

    assembly: Assembly
    output: Path

    def __call__(self) -> ImageResult:
        inputs, folder = self.assembly.inputs(), self.output / self.assembly.name
        kept = None if self.assembly.fresh else _kept(folder, inputs)
        return oci_layouts.write(
            self.assembly.context, self.assembly.image, kept or checked(self.assembly, inputs), self.output
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One component's image, for one platform, on its way into the Docker daemon."""

    assembly: Assembly
    repository: str

    def __call__(self) -> ImageResult:
        checked(self.assembly)
        names = tuple(f"{self.repository}:{tag}" for tag in self.assembly.image.tags)
        before = [self._loaded(name) for name in names]
        (group,) = self.assembly.groups
        # What was looked into comes from the builder's cache; made anew it would be another image.
        replace(self.assembly, fresh=False).build(group, buildx.TO_ENGINE, *words("--tag", names))
        after = [self._loaded(name) for name in names]
        return ImageResult(
            component=self.assembly.name, status=Status.UNCHANGED if before == after else Status.DONE, where=names[0],
            tags=self.assembly.image.tags, platforms=self.assembly.image.platforms, digest=after[0],
        )  # fmt: skip

    def _loaded(self, name: str) -> str:
        """The daemon's digest of the image of that name, "" without one."""
        argv = ("docker", "image", "inspect", "--format", "{{.Id}}", name)
        asked = self.assembly.context.run(Step(title=f"loaded {name}", argv=argv, stdout="keep", quiet=True))
        return asked.stdout.strip() if asked else ""


def checked(assembly: Assembly, inputs: str = "") -> oci.Image:
    """The image for all platforms, made in layouts in the scratch folder, looked into, and held together by one index."""
    entries: list[oci.Json] = []
    blobs: dict[str, bytes | Path] = {}
    images: dict[str, str] = {}
    contexts: dict[str, str] = {}
    for number, group in enumerate(assembly.groups):
        folder = assembly.scratch / f"layout-{number}"
        assembly.build(group, buildx.to_layout(folder))
        found, unused = _entries(folder)
        entries += found
        blobs |= {digest: path for digest, path in blob_files(folder).items() if digest != unused}
        for target in group:
            if digest := buildx.manifests({"manifests": found}).get(target.oci):
                name = f"made-{dockerfile.platform_key(target)}"
                images[target.oci], contexts[name] = name, f"oci-layout://{folder}@{digest}"
    assembly.read_back(assembly.name, buildx.manifests({"manifests": entries}))
    assembly.look_inside(assembly.name, images, contexts)
    return oci.held(entries, blobs, {buildx.INPUTS: inputs} if inputs else {})


def _entries(folder: Path) -> tuple[list[oci.Json], str]:
    """The images of a layout that buildx wrote, each with its platform, and the digest of the index around them, if any."""
    (entry,) = json.loads(read_text(folder / "index.json"))["manifests"]
    told = _blob(folder, entry["digest"])
    if "manifests" in told:
        return told["manifests"], entry["digest"]
    config = _blob(folder, told["config"]["digest"])
    platform = oci.platform_of(buildx.platform_of(config))
    return [{key: entry[key] for key in ("mediaType", "digest", "size")} | {"platform": platform}], ""


def _blob(folder: Path, digest: str) -> Mapping[str, Any]:
    return buildx.read_index(read_text(blob_path(folder, digest)))


def _kept(folder: Path, inputs: str) -> oci.Image | None:
    """The image of a layout that was made from the same, and is whole."""
    for entry in buildx.read_index(read_text(folder / "index.json")).get("manifests", ()):
        text = read_text(blob_path(folder, entry["digest"]))
        index = buildx.read_index(text)
        whole = all(_is_whole(folder, made["digest"]) for made in index.get("manifests", ()))
        if inputs and whole and buildx.inputs_of(index) == inputs:
            return oci.Image(digest=entry["digest"], blobs=blob_files(folder) | {entry["digest"]: text.encode()})
    return None


def _is_whole(folder: Path, manifest: str) -> bool:
    """Whether all that a manifest names is there."""
    told = _blob(folder, manifest)
    names = [part["digest"] for part in (told.get("config"), *told.get("layers", ())) if part]
    return bool(names) and all(blob_path(folder, name).is_file() for name in names)
