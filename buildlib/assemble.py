"""One component's image through buildx: built, and looked into before anybody finds it under a name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from buildlib import artifacts, buildx, dockerfile, engine, image
from buildlib.buildx import Recipe
from buildlib.context import Context
from buildlib.errors import Refused
from buildlib.failures import classify
from buildlib.image import Wanted
from buildlib.plan import Write
from buildlib.targets import Target
from buildlib.uplink import DIRECT, Uplink

UNTOUCHED = "nothing has its name: tags are where they were"
# Seconds that a program may take to print its version on all platforms. One that crashes under QEMU takes for ever: as the
# first process of its container it is not ended by the signal that QEMU sends itself for it.
START = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What one image is made with. `scratch` is a folder of its own."""

    context: Context
    image: Wanted
    scratch: Path
    epoch: int
    fresh: bool = False  # forget what is cached
    attested: tuple[str, ...] = ()  # flags: --sbom, --provenance
    uplink: Uplink = DIRECT  # how buildx is told to get to the registry

    @property
    def name(self) -> str:
        return self.image.component.name

    @property
    def groups(self) -> list[tuple[Target, ...]]:
        """The targets that one call of buildx serves: those with one C library. With several nodes each target has its own
        call: where buildx merges what nodes have made it moves the tag `latest`, unchecked (seen with 0.13)."""
        if self.context.config.builder["nodes"]:
            return [(target,) for target in self.image.entries]
        ordered = sorted(self.image.entries, key=lambda target: target.is_musl)
        return [tuple(group) for _, group in groupby(ordered, key=lambda target: target.is_musl)]

    def inputs(self) -> str:
        """A digest of all that the image is made from; "" where a Dockerfile of the workspace's own may read what it likes.

        Commit and time are not among them: binaries that are the same need no new image for each commit.
        """
        if image.own_dockerfile(self.context):
            return ""
        part = self.image.part
        dull = ("org.opencontainers.image.created", "org.opencontainers.image.revision")
        labels = {name: value for name, value in part.runtime.labels.items() if name not in dull}
        base = self._base(self.image.entries)
        return _digest(
            dockerfile.BASES, dockerfile.runtime(self.name, part), self._resolved(base), labels, self.attested,
            [(target.name, entry["sha256"]) for target, entry in self.image.entries.items()],
        )  # fmt: skip

    def _base(self, targets: Iterable[Target]) -> str:
        """The base image of these targets; "" for none."""
        default = dockerfile.DEFAULT_BASE if any(not target.is_musl for target in targets) else "scratch"
        base = self.image.part.base or default
        return "" if base == "scratch" else base

    def _resolved(self, base: str) -> str:
        """The digest that the base image has now."""
        if not base:
            return ""
        return _digest(engine.done(self.uplink.read(self.context, base)).stdout)

    @property
    def builder(self) -> str:
        return self.context.config.builder["name"]

    def build(self, targets: tuple[Target, ...], output: str, *more: str) -> str:
        """The image for these targets, handed to `output`; its digest."""
        told = self.scratch / "metadata.json"
        plain = self._recipe(engine.file_of(self.context, self.scratch, self.image.component))
        recipe = replace(
            plain,
            contexts={**plain.contexts, **engine.led(self.context, self.uplink, self._base(targets))},
            labels=self.image.part.runtime.labels,
            args={"LIBC": dockerfile.libc(targets[0]), "COMPILER": "scratch"},
        )
        more = ("--output", output, "--metadata-file", str(told), *(("--no-cache",) if self.fresh else ()), *more)
        step = buildx.build(f"build {self.name}", recipe, self.name, targets, *more, attested=self.attested)
        engine.done(self.context.run(step))
        return json.loads(told.read_text(encoding="utf-8")).get("containerimage.digest", "")

    def _recipe(self, file: Path, contexts: Mapping[str, str] | None = None) -> Recipe:
        """Only a Dockerfile of the workspace's own reads anything but dist/."""
        folder = self.scratch / "context"
        folder.mkdir(parents=True, exist_ok=True)
        own = file.parent == self.context.workspace.root
        return Recipe(
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
        (program,) = self.image.part.runtime.entrypoint
        file = self.scratch / "check" / "Dockerfile"
        by_stage = {dockerfile.stage(target): images[target.oci] for target in self.image.entries}
        self.context.run(Write(path=file, text=dockerfile.check(by_stage, program)))
        recipe = self._recipe(file, contexts or {})
        for group in self.groups:
            out = self.scratch / f"program-{group[0].name}"
            take = ("--output", f"type=local,dest={out}")
            outcome = self.context.run(buildx.build(f"look into {self.name}", recipe, dockerfile.TAKEN, group, *take))
            if f'"{program}": not found' in outcome.output:
                raise Refused(
                    f"{where}: has no {program}", f"copy it there, or set components.{self.name}.program; {UNTOUCHED}"
                )
            engine.done(outcome)
            for target in group:
                # One platform alone gets no folder of its own.
                inside = out / target.oci.replace("/", "_") if len(group) > 1 else out
                self._gate(f"{where}: {target.oci}: {program}", inside / "program", target)
            self._start(where, recipe, group)

    def _gate(self, where: str, program: Path, target: Target) -> None:
        entry = self.image.entries[target]
        facts = artifacts.read(program)
        refusals = [str(refusal) for refusal in artifacts.check(facts, target, entry["floor"])]
        if facts.sha256 != entry["sha256"]:
            refusals.append(f"sha256: is {facts.sha256}, wanted {entry['sha256']}")
        if refusals:
            raise Refused(f"{where}: {'; '.join(refusals)}", UNTOUCHED)

    def _start(self, where: str, recipe: Recipe, group: tuple[Target, ...]) -> None:
        step = buildx.build(f"start {self.name}", recipe, dockerfile.STARTED, group, "--output", "type=cacheonly")
        outcome = self.context.run(replace(step, timeout=START))
        if not outcome and not classify(outcome.output).transient:
            why = f"no end within {START:.0f} s" if outcome.code == 124 else engine.last_line(outcome)
            raise Refused(f"{where}: does not run: {why}", UNTOUCHED)
        engine.done(outcome)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
