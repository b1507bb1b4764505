"""One component's image through buildx: built, and looked into before anybody finds it under a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from buildlib.binaries import elf
from buildlib.core.errors import Refused
from buildlib.core.plan import Outcome, Write
from buildlib.core.targets import Target
from buildlib.failures.classify import classify
from buildlib.images import buildx, dockerfile, workspace_dockerfile
from buildlib.images.buildx import BuildInputs, succeeded
from buildlib.images.spec import ImageSpec
from buildlib.process.context import Context
from buildlib.registry.session import DIRECT, Session

UNTOUCHED = "nothing has its name: tags are where they were"
# Seconds that a program may take to print its version on all platforms. One that crashes under QEMU takes for ever: as the
# first process of its container it is not ended by the signal that QEMU sends itself for it.
START = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What one image is made with. `scratch` is a folder of its own."""

    context: Context
    image: ImageSpec
    scratch: Path
    epoch: int
    fresh: bool = False  # forget what is cached
    attestations: tuple[str, ...] = ()  # flags: --sbom, --provenance
    session: Session = DIRECT  # how buildx reaches the registry

    @property
    def name(self) -> str:
        return self.image.component.name

    @property
    def groups(self) -> list[tuple[Target, ...]]:
        """The targets that one call of buildx serves: those with one C library. With several nodes each target has its own
        call: where buildx merges what nodes have made it moves the tag `latest`, unchecked (seen with 0.13)."""
        if self.context.config.builder.nodes:
            return [(target,) for target in self.image.entries]
        ordered = sorted(self.image.entries, key=lambda target: target.is_musl)
        return [tuple(group) for _, group in groupby(ordered, key=lambda target: target.is_musl)]

    def inputs(self) -> str:
        """A digest of all that the image is made from; "" where a Dockerfile of the workspace's own may read what it likes.

        Commit and time are not among them: binaries that are the same need no new image for each commit.
        """
        if workspace_dockerfile.is_own(self.context):
            return ""
        part = self.image.stage
        dull = ("org.opencontainers.image.created", "org.opencontainers.image.revision")
        labels = {name: value for name, value in part.runtime.labels.items() if name not in dull}
        base = self._base(self.image.entries)
        return _digest(
            dockerfile.BASES, dockerfile.runtime(self.name, part), self._resolved(base), labels, self.attestations,
            [(target.name, entry["sha256"]) for target, entry in self.image.entries.items()],
        )  # fmt: skip

    def _base(self, targets: Iterable[Target]) -> str:
        """The base image of these targets; "" for none."""
        default = dockerfile.DEFAULT_BASE if any(not target.is_musl for target in targets) else "scratch"
        base = self.image.stage.base or default
        return "" if base == "scratch" else base

    def _resolved(self, base: str) -> str:
        """The digest that the base image has now."""
        if not base:
            return ""
        return _digest(succeeded(self.read(base)).stdout)

    def read(self, reference: str) -> Outcome:
        """What a registry has under a reference, byte for byte, as the stdout of the outcome."""
        question = buildx.manifest_question(self.builder, self.session.name(reference))
        return self.session.read(self.context, reference, question)

    @property
    def builder(self) -> str:
        return self.context.config.builder.name

    def build(self, targets: tuple[Target, ...], output: str, *more: str) -> str:
        """The image for these targets, handed to `output`; its digest."""
        told = self.scratch / "metadata.json"
        plain = self._recipe(workspace_dockerfile.file_of(self.context, self.scratch, self.image.component))
        recipe = replace(
            plain,
            contexts={**plain.contexts, **workspace_dockerfile.base_context(self.context, self.session, self._base(targets))},
            labels=self.image.stage.runtime.labels,
            args={"LIBC": dockerfile.libc_suffix(targets[0]), "COMPILER": "scratch"},
        )
        more = ("--output", output, "--metadata-file", str(told), *(("--no-cache",) if self.fresh else ()), *more)
        step = buildx.build_step(f"build {self.name}", recipe, self.name, targets, *more, attested=self.attestations)
        succeeded(self.context.run(step))
        return json.loads(told.read_text(encoding="utf-8")).get("containerimage.digest", "")

    def _recipe(self, file: Path, contexts: Mapping[str, str] | None = None) -> BuildInputs:
        """Only a Dockerfile of the workspace's own reads anything but dist/."""
        folder = self.scratch / "context"
        folder.mkdir(parents=True, exist_ok=True)
        own = file.parent == self.context.workspace.root
        return BuildInputs(
            builder=self.builder, file=file, context=file.parent if own else folder, epoch=self.epoch,
            contexts={"binaries": str(self.context.dist)} if contexts is None else contexts,
        )  # fmt: skip

    def read_back(self, where: str, found: Iterable[str]) -> None:
        """What was made is for every platform that was asked for, and no other."""
        have, want = sorted(found), sorted(self.image.platforms)
        if have != want:
            raise Refused(f"{where}: has {', '.join(have) or 'no platform'}, wanted {', '.join(want)}", UNTOUCHED)

    def look_inside(self, where: str, images: Mapping[str, str], contexts: Mapping[str, str] | None = None) -> None:
        """The program in the image of every platform passes the gate, is the very file that is in dist/, and starts there.

        `images` maps a platform to the reference of its image, which may be one of the build contexts `contexts`.
        """
        (program,) = self.image.stage.runtime.entrypoint
        file = self.scratch / "check" / "Dockerfile"
        by_stage = {dockerfile.platform_key(target): images[target.oci] for target in self.image.entries}
        self.context.run(Write(path=file, text=dockerfile.check_dockerfile(by_stage, program)))
        recipe = self._recipe(file, contexts or {})
        for group in self.groups:
            out = self.scratch / f"program-{group[0].name}"
            take = ("--output", f"type=local,dest={out}")
            outcome = self.context.run(buildx.build_step(f"look into {self.name}", recipe, dockerfile.PROGRAM_STAGE, group, *take))
            if f'"{program}": not found' in outcome.output:
                raise Refused(
                    f"{where}: has no {program}", f"copy it there, or set components.{self.name}.program; {UNTOUCHED}"
                )
            succeeded(outcome)
            for target in group:
                # One platform alone gets no folder of its own.
                inside = out / target.oci.replace("/", "_") if len(group) > 1 else out
                self._gate(f"{where}: {target.oci}: {program}", inside / "program", target)
            self._start(where, recipe, group)

    def _gate(self, where: str, program: Path, target: Target) -> None:
        entry = self.image.entries[target]
        facts = elf.read(program)
        refusals = [str(refusal) for refusal in elf.check(facts, target, entry["floor"])]
        if facts.sha256 != entry["sha256"]:
            refusals.append(f"sha256: is {facts.sha256}, wanted {entry['sha256']}")
        if refusals:
            raise Refused(f"{where}: {'; '.join(refusals)}", UNTOUCHED)

    def _start(self, where: str, recipe: BuildInputs, group: tuple[Target, ...]) -> None:
        step = buildx.build_step(f"start {self.name}", recipe, dockerfile.START_STAGE, group, "--output", "type=cacheonly")
        outcome = self.context.run(replace(step, timeout=START))
        if not outcome and not classify(outcome.output).transient:
            why = f"no end within {START:.0f} s" if outcome.code == 124 else buildx.last_line(outcome)
            raise Refused(f"{where}: does not run: {why}", UNTOUCHED)
        succeeded(outcome)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
