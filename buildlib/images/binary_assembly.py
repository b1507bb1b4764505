"""The image of a binary of the workspace: built from dist/, and checked before a tag points to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from buildlib import elf
from buildlib.assembly import oci
from buildlib.assembly.assembly import UNTOUCHED, Assembly, Layouts, Wanted
from buildlib.assembly.predicates import of_binary
from buildlib.assembly.recipe import Recipe, hashed
from buildlib.binaries.dist import Entry, files_of, libraries_of
from buildlib.builder import buildx
from buildlib.builder.buildx import BuildInputs, succeeded
from buildlib.core.errors import Refused
from buildlib.core.plan import CopyFiles, Write
from buildlib.core.targets import Target
from buildlib.elf import Mismatch
from buildlib.emulation import qemu
from buildlib.failures.classify import classify
from buildlib.images import contents, dockerfile, workspace_dockerfile
from buildlib.images.binary_image import BinaryImage
from buildlib.images.contents import Content
from buildlib.process.context import Context

# Seconds in which a program must print its version on all platforms. A program that crashes under QEMU never ends: QEMU sends itself
# the signal of the crash, which does not end it, because it is the first process of its container.
START = 60.0
# Labels that change with every commit. Binaries that did not change need no new image for a new commit.
VOLATILE_LABELS = ("org.opencontainers.image.created", "org.opencontainers.image.revision")


def base_of(image: BinaryImage, targets: Iterable[Target]) -> str:
    """The name of the base image for these targets, "" for none."""
    default = dockerfile.DEFAULT_BASE if any(not target.is_musl for target in targets) else "scratch"
    base = image.stage.base or default
    return "" if base == "scratch" else base


def recipe_of(image: BinaryImage, digest_of: Callable[[str], str], files: Iterable[Content]) -> Recipe:
    """What the image of each platform is made from, without commit and time. `digest_of` returns the digest of a base image."""
    stage = image.stage
    labels = {name: value for name, value in stage.runtime.labels.items() if name not in VOLATILE_LABELS}
    common = (dockerfile.BASES, dockerfile.runtime(image.name, stage), labels, contents.inputs(files))
    names = dict.fromkeys(base for target in image.targets if (base := base_of(image, (target,))))
    bases = {base: digest_of(base) for base in names}
    inputs = {
        target.oci: hashed(
            *common, bases.get(base_of(image, (target,)), ""), [file["sha256"] for file in files_of(entry)]
        )
        for target, entry in image.entries.items()
    }
    return Recipe(inputs=inputs, bases=bases)


def predicates(context: Context, image: BinaryImage, platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
    """The SBOM of the program for a platform, and what the image was made of; "" is the index."""
    entries = {target.oci: entry for target, entry in image.entries.items()}
    return of_binary(context, image.name, entries, platform, wanted)


def check_program(where: str, program: Path, entry: Entry, target: Target) -> None:
    """Refused unless a program that was taken out of an image passes the gate, and is the file in dist/. `where` is its name."""
    facts = elf.read(program)
    mismatches = list(elf.check(facts, target, entry["floor"]))
    if facts.sha256 != entry["sha256"]:
        mismatches.append(Mismatch("sha256", facts.sha256, entry["sha256"]))
    if mismatches:
        raise Refused(f"{where}: {'; '.join(map(str, mismatches))}", UNTOUCHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryAssembly(Assembly):
    """How the image of a binary is built and checked."""

    image: BinaryImage

    @property
    def groups(self) -> list[tuple[Target, ...]]:
        """The targets of each call of buildx: those with the same C library, each alone with several nodes."""
        if self.context.config.builder.nodes:
            return [(target,) for target in self.image.targets]
        ordered = sorted(self.image.targets, key=lambda target: target.is_musl)
        return [tuple(group) for _, group in groupby(ordered, key=lambda target: target.is_musl)]

    def recipe(self) -> Recipe:
        """What the image of each platform is made from, without commit and time.

        Nothing is known if the workspace has its own Dockerfile, which may read any file.
        """
        if workspace_dockerfile.is_own(self.context):
            return Recipe()
        return recipe_of(self.image, lambda base: oci.digest(succeeded(self.read(base)).stdout.encode()), self._files())

    def predicates(self, platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
        """The SBOM of the program for a platform, and what the image was made of."""
        return predicates(self.context, self.image, platform, wanted)

    def _files(self) -> tuple[Content, ...]:
        """The files of the workspace that the image contains."""
        return contents.contents(self.context.workspace.root, self.name, self.image.stage)

    def build(self, targets: tuple[Target, ...], output: str) -> str:
        """Build the image for these targets, and return its digest."""
        inputs = self._inputs(workspace_dockerfile.file_of(self.context, self.scratch, self.image.component))
        if inputs.context != self.context.workspace.root:  # with its own Dockerfile everything in it can be read
            self.context.run(contents.build_context(self._files(), inputs.context, self.epoch))
        binaries = self._binaries(targets)
        self.context.run(binaries)
        base = workspace_dockerfile.base_context(self.context, self.session, base_of(self.image, targets))
        args = {"LIBC": dockerfile.libc_suffix(targets[0]), "COMPILER": "scratch"}
        labels = self.image.stage.runtime.labels
        contexts = {"binaries": str(binaries.folder), **base}
        inputs = replace(inputs, contexts=contexts, labels=labels, args=args)
        return self.run_build(self.build_step(inputs, self.name, targets, output, fresh=self.fresh), targets)[0]

    def _binaries(self, targets: Iterable[Target]) -> CopyFiles:
        """The action that copies from dist/ what the image needs, with the image's time.

        The files in dist/ have a time of this clone. BuildKit keeps times that are older than SOURCE_DATE_EPOCH, and an image would
        have those of a clone. The workspace's own Dockerfile may read any file of these targets.
        """
        dist, files = self.context.dist, list[tuple[Path, str, int]]()
        if workspace_dockerfile.is_own(self.context):
            found = (*dist.glob("*"), *(path for target in targets for path in (dist / target.name).rglob("*")))
            files += [(path, str(path.relative_to(dist)), contents.mode(path)) for path in found if path.is_file()]
        else:
            entries = [entry for target, entry in self.image.entries.items() if target in targets]
            files += [(dist / entry["path"], entry["path"], 0o755) for entry in entries]
            libraries = [library["path"] for entry in entries for library in libraries_of(entry)]
            files += [(dist / path, path, 0o644) for path in libraries]
        return CopyFiles(folder=self.scratch / "binaries", files=tuple(files), modified=self.epoch)

    def _inputs(self, file: Path, contexts: Mapping[str, str] | None = None) -> BuildInputs:
        """The inputs of a build with the Dockerfile `file`; only the workspace's own Dockerfile reads all of the workspace."""
        empty = self.scratch / "context"
        empty.mkdir(parents=True, exist_ok=True)
        own = file.parent == self.context.workspace.root
        return BuildInputs(
            builder=self.builder, file=file, context=file.parent if own else empty, epoch=self.epoch, contexts=contexts or {},
        )  # fmt: skip

    def check_before_push(self) -> None:
        """Nothing: the builder pulls what was pushed, of which it has every layer."""

    def check_pushed(self, where: str, images: Mapping[str, str], address: str, *, known: bool) -> None:
        """Check the program of every platform in the registry, unless that was done when the tags were moved there."""
        if known:
            return
        self.check_programs(where, {platform: f"{address}@{digest}" for platform, digest in images.items()})

    def check_layouts(self, layouts: Layouts) -> None:
        """Check the program of every platform in the layouts."""
        names = {platform: f"built-{platform.replace('/', '-')}" for platform in layouts.images}
        contexts = {
            names[platform]: f"oci-layout://{layouts.folders[platform]}@{digest}"
            for platform, digest in layouts.images.items()
        }
        self.check_programs(self.name, names, contexts)

    def check_programs(self, where: str, images: Mapping[str, str], contexts: Mapping[str, str] | None = None) -> None:
        """Refused unless the program of every platform passes the gate, is the file in dist/, and starts in the image.

        `images` maps a platform to the reference of its image, which may be one of the build contexts `contexts`.
        """
        (program,) = self.image.stage.runtime.entrypoint
        file = self.scratch / "check" / "Dockerfile"
        by_platform = {dockerfile.platform_key(target): images[target.oci] for target in self.image.entries}
        self.context.run(Write(path=file, text=dockerfile.check_dockerfile(by_platform, program)))
        inputs = self._inputs(file, contexts)
        for group in self.groups:
            out = self._export(where, program, inputs, group)
            for target in group:
                # BuildKit creates no directory per platform if there is only one platform.
                folder = out / target.oci.replace("/", "_") if len(group) > 1 else out
                check_program(
                    f"{where}: {target.oci}: {program}", folder / "program", self.image.entries[target], target
                )
            self._start(where, inputs, group)

    def _export(self, where: str, program: str, inputs: BuildInputs, group: tuple[Target, ...]) -> Path:
        """Export the program of each image. Returns the directory with a directory per platform."""
        out = self.scratch / f"program-{group[0].name}"
        title, output = f"extract program of {self.name}", ("--output", f"type=local,dest={out}")
        outcome = self.context.run(buildx.build_step(title, inputs, dockerfile.PROGRAM_STAGE, group, *output))
        if f'"{program}": not found' in outcome.output:
            help_text = f"copy it there, or set components.{self.name}.program; {UNTOUCHED}"
            raise Refused(f"{where}: {program} is not in the image", help_text)
        succeeded(outcome)
        return out

    def _start(self, where: str, inputs: BuildInputs, group: tuple[Target, ...]) -> None:
        step = buildx.build_step(
            f"start {self.name}", inputs, dockerfile.START_STAGE, group, "--output", "type=cacheonly"
        )
        outcome = self.context.run(replace(step, timeout=START))
        if not outcome and not classify(outcome.output).transient:
            late = f"did not exit within {START:.0f} s" if outcome.code == 124 else ""
            reason = late or qemu.not_loaded(outcome) or outcome.last.removeprefix("ERROR: ")
            raise Refused(f"{where}: does not run: {reason}", UNTOUCHED)
        succeeded(outcome)
