"""The image of a binary without a container engine: made of dist/ and a base image, and checked like any other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from buildlib.assembly import configurations, oci
from buildlib.assembly.assembly import UNTOUCHED
from buildlib.assembly.direct import PlatformImage
from buildlib.assembly.roots import Roots
from buildlib.base_images.pulled import BaseImage
from buildlib.binaries.dist import libraries_of
from buildlib.core.errors import Refused
from buildlib.core.targets import Target
from buildlib.image_gate import findings, manifests, startup
from buildlib.image_gate.check import ImageContent, examine
from buildlib.image_gate.files import Files
from buildlib.image_gate.manifests import Configuration, Descriptor, Process
from buildlib.image_gate.scans import Scans
from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import FileSystem, Layer
from buildlib.image_layers.new_layers import NewLayers
from buildlib.image_layers.users import owner_of
from buildlib.images import stage_layers
from buildlib.images.binary_assembly import check_program
from buildlib.images.binary_image import BinaryImage
from buildlib.images.stage_layers import StageFiles
from buildlib.process.context import Context
from buildlib.process.files import disk_error
from buildlib.registry.blob_cache import BlobCache
from buildlib.registry.blob_copies import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes and checks images of one command, which share what was read of their base images."""

    context: Context
    cache: BlobCache
    scans: Scans
    roots: Roots

    def make(self, image: BinaryImage, target: Target, base: BaseImage | None, epoch: int) -> PlatformImage:
        """The image for one target. Refused if dist/ has changed, or the base image cannot hold what belongs into it."""
        layers: tuple[tuple[Descriptor, Source], ...] = ()
        known = configurations.SCRATCH
        if base:
            opened = (
                (layer, Source(layer.digest, base.repository, self._opener(base, layer))) for layer in base.layers
            )
            layers = tuple(opened)
            known = configurations.read(base.configuration, base.name, len(layers))
        content = [Layer(layer.digest, source.open) for layer, source in layers]
        runtime = image.stage.runtime
        try:
            system = FileSystem(content, [scan.entries for scan in self.scans.of(content)])
            owner = owner_of(system, known.process.user)
            new = NewLayers(system, epoch)
            files = _files(self.context, image, target)
            steps, tars = [], []
            for step in stage_layers.instructions(image.name, image.stage, target, files, epoch, owner):
                tars += [] if step.additions is None else [new.add(step.additions)]
                steps.append((step.text, "" if step.additions is None else oci.digest(tars[-1])))
        except LayerError as error:
            raise Refused(f"{image.name}: {target.oci}: {error}", UNTOUCHED) from None
        return PlatformImage(
            platform=target.oci, base=layers, layers=tuple(map(oci.compressed, tars)),
            configuration=configurations.configuration(known, target.oci, runtime, epoch, steps),
        )  # fmt: skip

    def _opener(self, base: BaseImage, layer: Descriptor) -> Callable[[], BinaryIO]:
        return self.cache.opener(base.repository, layer.digest, layer.size)

    def check(self, image: BinaryImage, target: Target, made: PlatformImage) -> str:
        """Check every file of the image, compare its program with dist/, and start it.

        Returns why it was not started, "" if it was. Refused if a check fails.
        """
        where = f"{image.name}: {target.oci}"
        configuration = manifests.decode(made.configuration, Configuration, where)
        layers = made.content
        result = examine(ImageContent(configuration, layers), target.oci, scans=self.scans)
        if result.findings:
            raise Refused("\n".join(f"{where}: {line}" for line in findings.lines(result.findings)), UNTOUCHED)
        (program,) = image.stage.runtime.entrypoint
        with tempfile.NamedTemporaryFile(dir=self.roots.folder) as copy:
            files = Files(layers, self.scans.of(layers))
            found = files.find(program)
            if found is None or found.node.file is None:
                raise Refused(f"{where}: {program} is not in the image", UNTOUCHED)
            for offset, piece in files.read(found):
                copy.seek(offset)
                copy.write(piece)
            copy.flush()
            check_program(f"{where}: {program}", Path(copy.name), image.entries[target], target)
        process = configuration.config or Process()
        env, folder = startup.environment(process), process.working_dir or "/"
        started = self.roots.start(layers, len(made.base), target, (program, "--version"), env, folder)
        if started.problem:
            raise Refused(f"{where}: does not run: {started.problem}", UNTOUCHED)
        return started.reason


def _files(context: Context, image: BinaryImage, target: Target) -> StageFiles:
    """The files of dist/ and of the workspace. Refused if the program is not the one that passed the gate."""
    entry = image.entries[target]
    path = context.dist / entry["path"]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise disk_error(error) from None
    if oci.digest(data) != f"sha256:{entry['sha256']}":
        raise Refused(f"{path}: not the file that passed the gate", "run `buildlib build`")
    libraries = tuple(context.dist / library["path"] for library in libraries_of(entry))
    return StageFiles(root=context.workspace.root, program=data, libraries=libraries)
