"""One component's image through buildx: built, and checked before a tag points to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from buildlib import elf
from buildlib.binaries.dist import files_of
from buildlib.builder import buildx
from buildlib.builder.buildx import BuildInputs, succeeded
from buildlib.core.errors import Refused
from buildlib.core.plan import Outcome, Write
from buildlib.core.targets import Target
from buildlib.elf import Mismatch
from buildlib.emulation import qemu
from buildlib.failures.classify import classify
from buildlib.images import contents, dockerfile, workspace_dockerfile
from buildlib.images.contents import Content
from buildlib.images.spec import ImageSpec
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.registry.session import DIRECT, Session

UNTOUCHED = "no tag was moved and no layout was written"
# Seconds in which a program must print its version on all platforms. A program that crashes under QEMU never ends: QEMU sends itself
# the signal of the crash, which does not end it, because it is the first process of its container.
START = 60.0
# Labels that change with every commit. Binaries that did not change need no new image for a new commit.
VOLATILE_LABELS = ("org.opencontainers.image.created", "org.opencontainers.image.revision")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What one image is built from, and how it is built and checked."""

    context: Context
    image: ImageSpec
    scratch: Path  # a directory for this image alone
    epoch: int  # the time of everything in the image, in seconds since 1970
    fresh: bool = False  # ignore what is cached
    attestations: tuple[str, ...] = ()  # flags: --sbom, --provenance
    session: Session = DIRECT  # how buildx reaches the registry

    @property
    def name(self) -> str:
        """The name of the component."""
        return self.image.component.name

    @property
    def builder(self) -> str:
        """The name of the buildx builder."""
        return self.context.config.builder.name

    @property
    def groups(self) -> list[tuple[Target, ...]]:
        """The targets of each call of buildx: those with the same C library.

        With several nodes each target has its own call: when buildx merges the results of several nodes, it moves the tag `latest`
        before anything is checked (seen with 0.13).
        """
        if self.context.config.builder.nodes:
            return [(target,) for target in self.image.entries]
        ordered = sorted(self.image.entries, key=lambda target: target.is_musl)
        return [tuple(group) for _, group in groupby(ordered, key=lambda target: target.is_musl)]

    def inputs_digest(self) -> str:
        """A digest of everything that the image is made from, without commit and time.

        "" if the workspace has its own Dockerfile, which may read any file.
        """
        if workspace_dockerfile.is_own(self.context):
            return ""
        stage = self.image.stage
        labels = {name: value for name, value in stage.runtime.labels.items() if name not in VOLATILE_LABELS}
        base, entries = self._base(self.image.entries), self.image.entries.items()
        binaries = [(target.name, [file["sha256"] for file in files_of(entry)]) for target, entry in entries]
        return _digest(
            dockerfile.BASES, dockerfile.runtime(self.name, stage), self._base_digest(base), labels, self.attestations,
            contents.inputs(self._files()), binaries,
        )  # fmt: skip

    def _files(self) -> tuple[Content, ...]:
        """The files of the workspace that the image contains."""
        return contents.contents(self.context.workspace.root, self.name, self.image.stage)

    def _base(self, targets: Iterable[Target]) -> str:
        """The base image for these targets, "" for none."""
        default = dockerfile.DEFAULT_BASE if any(not target.is_musl for target in targets) else "scratch"
        base = self.image.stage.base or default
        return "" if base == "scratch" else base

    def _base_digest(self, base: str) -> str:
        """A digest of the manifest that the base image has now, "" without a base image."""
        return _digest(succeeded(self.read(base)).stdout) if base else ""

    def read(self, reference: str) -> Outcome:
        """The manifest or index that a registry has under a reference, byte for byte, as the stdout of the outcome."""
        question = buildx.manifest_question(self.builder, self.session.name(reference))
        # The title is shown when it fails: with the name that the user knows.
        return self.session.read(self.context, reference, replace(question, title=f"read {reference}"))

    def build(self, targets: tuple[Target, ...], output: str, *more: str) -> str:
        """Build the image for these targets. Returns its digest, "" if buildx reports none.

        `output` is the value of --output. The error of `buildx.docker_error` if it fails.
        """
        metadata = self.scratch / f"metadata-{targets[0].name}.json"
        inputs = self._inputs(workspace_dockerfile.file_of(self.context, self.scratch, self.image.component))
        if inputs.context != self.context.workspace.root:  # with its own Dockerfile everything in it can be read
            self.context.run(contents.build_context(self._files(), inputs.context, self.epoch))
        base = workspace_dockerfile.base_context(self.context, self.session, self._base(targets))
        args = {"LIBC": dockerfile.libc_suffix(targets[0]), "COMPILER": "scratch"}
        labels = self.image.stage.runtime.labels
        inputs = replace(inputs, contexts={**inputs.contexts, **base}, labels=labels, args=args)
        flags = ("--output", output, "--metadata-file", str(metadata), *(("--no-cache",) if self.fresh else ()), *more)
        title = f"build {self.name}"
        step = buildx.build_step(title, inputs, self.name, targets, *flags, attestations=self.attestations)
        succeeded(self.context.run(step))
        return buildx.digest_of(read_text(metadata))

    def _inputs(self, file: Path, contexts: Mapping[str, str] | None = None) -> BuildInputs:
        """The inputs of a build with the Dockerfile `file`; only the workspace's own Dockerfile reads all of the workspace."""
        empty = self.scratch / "context"
        empty.mkdir(parents=True, exist_ok=True)
        own = file.parent == self.context.workspace.root
        return BuildInputs(
            builder=self.builder, file=file, context=file.parent if own else empty, epoch=self.epoch,
            contexts={"binaries": str(self.context.dist)} if contexts is None else contexts,
        )  # fmt: skip

    def check_platforms(self, where: str, platforms: Iterable[str]) -> None:
        """Refused unless the image has exactly the requested platforms. `where` is its name in the message."""
        actual, expected = sorted(platforms), sorted(self.image.platforms)
        if actual != expected:
            mismatch = Mismatch("platforms", ", ".join(actual) or "none", ", ".join(expected))
            raise Refused(f"{where}: {mismatch}", UNTOUCHED)

    def check_programs(self, where: str, images: Mapping[str, str], contexts: Mapping[str, str] | None = None) -> None:
        """Refused unless the program of every platform passes the gate, is the file in dist/, and starts in the image.

        `images` maps a platform to the reference of its image, which may be one of the build contexts `contexts`.
        """
        (program,) = self.image.stage.runtime.entrypoint
        file = self.scratch / "check" / "Dockerfile"
        by_platform = {dockerfile.platform_key(target): images[target.oci] for target in self.image.entries}
        self.context.run(Write(path=file, text=dockerfile.check_dockerfile(by_platform, program)))
        inputs = self._inputs(file, contexts or {})
        for group in self.groups:
            out = self._export(where, program, inputs, group)
            for target in group:
                # BuildKit creates no directory per platform if there is only one platform.
                folder = out / target.oci.replace("/", "_") if len(group) > 1 else out
                self._gate(f"{where}: {target.oci}: {program}", folder / "program", target)
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

    def _gate(self, where: str, program: Path, target: Target) -> None:
        entry = self.image.entries[target]
        facts = elf.read(program)
        mismatches = list(elf.check(facts, target, entry["floor"]))
        if facts.sha256 != entry["sha256"]:
            mismatches.append(Mismatch("sha256", facts.sha256, entry["sha256"]))
        if mismatches:
            raise Refused(f"{where}: {'; '.join(map(str, mismatches))}", UNTOUCHED)

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


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
