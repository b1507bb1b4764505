"""Which images, secrets and downloads a build from a Dockerfile uses, for each platform. Pure.

A stage counts if the target needs it: through FROM, COPY --from or RUN --mount. Which stages and images these are may depend on the
platform (`FROM base-${TARGETARCH}`), so everything is read once per platform. What the ONBUILD instructions of a base image do is not
known here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from buildlib.base_images import mounts, platforms, stages
from buildlib.base_images.instructions import Instruction, LineFault, syntax_of
from buildlib.base_images.mounts import SCRATCH, RemoteFile, Secret, Ssh
from buildlib.base_images.patterns import SyntaxFault
from buildlib.base_images.stages import File, Graph, Origin, Stage, canonical_name, context_name
from buildlib.core.errors import UsageError
from buildlib.core.targets import TARGETS, suggestion

PLATFORMS = tuple(dict.fromkeys(target.oci for target in TARGETS.values()))
T = TypeVar("T")
Item = TypeVar("Item", Secret, Ssh)
FRONTEND_ARG = "BUILDKIT_SYNTAX"  # a build argument that replaces `# syntax=`


class Image(NamedTuple):
    """What a base is for one platform: its name as users write it, its complete name, and which platform of it is used."""

    name: str
    reference: str
    platform: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An image from elsewhere.

    `images` maps the platforms for which it is used to what it is there. Platforms for which its name is not known are left out:
    `missing` are the ARGs that have no value.
    """

    text: str  # as it is written
    line: int  # of the first instruction that names it
    instruction: str  # FROM, COPY --from, RUN --mount
    title: str  # of the Dockerfile, for messages
    platform: str = ""  # the value of --platform as it is written; "" is the platform that is built
    images: Mapping[str, Image] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether its name is known for every platform."""
        return not self.missing

    @property
    def has_digest(self) -> bool:
        """Whether every name of it has a digest, so that the image never changes."""
        return self.known and all("@" in image.reference for image in self.images.values())

    @property
    def where(self) -> str:
        """File and line."""
        return f"{self.title}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a build uses beside its context."""

    bases: tuple[Base, ...]
    frontend: str  # the complete name of the image that reads the Dockerfile, "" for BuildKit's own
    unpinned: tuple[RemoteFile, ...]
    stages: tuple[str, ...]  # the names of all stages
    secrets: tuple[Secret, ...]  # one for each id
    ssh: tuple[Ssh, ...]  # one for each id


def read(
    text: str, args: Mapping[str, str], target: str = "", *, title: str = "Dockerfile", for_platforms: Iterable[str] = PLATFORMS,
    build_platforms: Mapping[str, str] | None = None, contexts: Collection[str] = (),
) -> Sources:  # fmt: skip
    """Read what a build of the stage `target`, or of the last one, uses.

    Args:
        text: the Dockerfile.
        args: the values of --build-arg.
        target: the name of a stage, "" for the last one.
        title: the name of the file in messages.
        for_platforms: what is built, as in `Target.oci`.
        build_platforms: what builds each of them (BUILDPLATFORM); the platform itself where it is not stated.
        contexts: names of build contexts, which replace the stages and images of these names.

    Raises:
        UsageError: BuildKit would not accept the file, or it has no such stage.
    """
    try:
        file = stages.read(text)
        parts = []
        for platform in map(platforms.normalize, for_platforms):
            build = platforms.normalize((build_platforms or {}).get(platform, platform))
            parts.append(_Reader(file, args, target, title, platform, build, contexts).part())
    except LineFault as fault:
        raise UsageError(f"{title}:{fault.line}: {fault}", fault.help) from None
    syntax = args.get(FRONTEND_ARG, "").strip().partition(" ")[0] or syntax_of(text)
    frontend = canonical_name(syntax)
    if syntax and not frontend:
        raise UsageError(f"{title}: syntax={syntax}: not the name of an image", "write it as docker/dockerfile:1")
    return Sources(
        bases=_merged(base for part in parts for base in part.bases),
        frontend=frontend,
        unpinned=tuple(dict.fromkeys(file for part in parts for file in part.unpinned)),
        stages=tuple(stage.name for stage in file.stages if stage.name),
        secrets=_by_id(secret for part in parts for secret in part.secrets),
        ssh=_by_id(key for part in parts for key in part.ssh),
    )


def _merged(bases: Iterable[Base]) -> tuple[Base, ...]:
    """Each base once, in order of the file, with the images of all platforms."""
    merged: dict[tuple[str, str], Base] = {}
    for base in bases:
        known = merged.setdefault((base.text, base.platform), base)
        first = min(known, base, key=lambda one: one.line)
        merged[base.text, base.platform] = replace(
            first,
            images={**known.images, **base.images},
            missing=tuple(dict.fromkeys((*known.missing, *base.missing))),
        )
    return tuple(sorted(merged.values(), key=lambda base: base.line))


def _by_id(items: Iterable[Item]) -> tuple[Item, ...]:
    """The first of each id; required if one of them is."""
    found: dict[str, Item] = {}
    for item in items:
        first = found.setdefault(item.id, item)
        if item.required and not first.required:
            found[item.id] = replace(first, required=True)
    return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What a build for one platform uses."""

    bases: tuple[Base, ...]
    unpinned: tuple[RemoteFile, ...]
    secrets: tuple[Secret, ...]
    ssh: tuple[Ssh, ...]


class _Reader:
    """Reads a Dockerfile for one platform."""

    def __init__(
        self,
        file: File,
        args: Mapping[str, str],
        target: str,
        title: str,
        platform: str,
        build: str,
        contexts: Collection[str],
    ) -> None:
        self.file, self.args, self.title, self.platform, self.build = file, args, title, platform, build
        last = file.stages[-1]
        self.values = stages.values_for(file, args, target or last.name, platform, build)
        self.graph = Graph(file, self.values, contexts)
        if target and target.lower() not in self.graph.names:
            names = self.graph.names
            help_text = suggestion(target.lower(), names) if names else "name a stage with FROM image AS name"
            raise UsageError(f"{title}: no stage {target!r}", help_text)
        self.target = self.graph.names[target.lower()] if target else last.number

    def part(self) -> _Part:
        environments: dict[int, dict[str, str]] = {}
        unpinned: list[RemoteFile] = []
        secrets: list[Secret] = []
        keys: list[Ssh] = []
        for stage in self.graph.reachable(self.target, executed=True):
            parent = self.graph.parents[stage.number]
            environment = environments[stage.number] = {} if parent is None else dict(environments[parent])
            for instruction in () if self.graph.is_replaced(stage) else self.graph.instructions(stage):
                self._declare(instruction, environment)
                if instruction.name == "ADD":
                    unpinned += self._checked(mounts.unpinned, instruction, environment)
                elif instruction.name == "RUN":
                    ids, agents = self._checked(mounts.secrets_and_keys, instruction, environment)
                    secrets, keys = secrets + ids, keys + agents
        bases = tuple(self._bases(self.graph.reachable(self.target, executed=False)))
        return _Part(bases=bases, unpinned=tuple(unpinned), secrets=tuple(secrets), ssh=tuple(keys))

    def _checked(
        self,
        function: Callable[[Instruction, Mapping[str, str], str], T],
        instruction: Instruction,
        values: Mapping[str, str],
    ) -> T:
        try:
            return function(instruction, values, self.file.escape)
        except LineFault:
            raise
        except SyntaxFault as fault:
            raise LineFault(instruction.line, f"{instruction.name}: {fault}") from None

    def _declare(self, instruction: Instruction, environment: dict[str, str]) -> None:
        """Add the variables of ARG or ENV to those of a stage."""
        if instruction.name not in ("ARG", "ENV"):
            return
        before = environment if instruction.name == "ARG" else dict(environment)  # ENV A=1 B=$A does not see the new A
        for name, value in instruction.pairs(self.file.escape):
            if instruction.name == "ARG" and name in self.args:
                environment[name] = self.args[name]
            elif value is not None:
                environment[name] = self.file.expand(value, before, instruction.line).text
            elif name in self.values.known:
                environment[name] = self.values.known[name]

    def _bases(self, reachable: Collection[Stage]) -> Iterator[Base]:
        """The images of all stages that are used. BuildKit also reads the names of the others, and fails if one has no value."""
        for stage, word in zip(self.file.stages, self.graph.words, strict=True):
            if self.graph.parents[stage.number] is not None or self.graph.is_replaced(stage):
                continue
            platform = self._platform(stage)
            base = self._base(
                Origin(line=stage.line, instruction="FROM", text=stage.base, image=word.text), stage.platform, platform,
                self.values.missed(word),
            )  # fmt: skip
            if base and (stage in reachable or not base.known):
                yield base
        for stage in reachable:
            for origin in self.graph.origins(stage):
                if origin.stage is None and (base := self._base(origin, "", self.platform, ())):
                    yield base

    def _base(self, origin: Origin, written: str, platform: str, missing: tuple[str, ...]) -> Base | None:
        """The base that an instruction names; None for `scratch` and for a build context."""
        name = origin.image
        if name == SCRATCH or (name and context_name(name) in self.graph.contexts):
            return None
        reference = canonical_name(name)
        if not reference and not missing:
            what = f"{origin.instruction} {origin.text}" + (f" ({name!r})" if name != origin.text else "")
            raise LineFault(
                origin.line,
                f"{what}: not the name of an image",
                "write it as debian:trixie-slim or ghcr.io/acme/app:1.0",
            )
        base = Base(
            text=origin.text, line=origin.line, instruction=origin.instruction, title=self.title, platform=written
        )
        if not reference:
            return replace(base, missing=missing)
        return replace(base, images={self.platform: Image(name, reference, platform)})

    def _platform(self, stage: Stage) -> str:
        """The platform of a stage's image."""
        if not stage.platform:
            return self.platform
        word = self.file.expand(stage.platform, self.values.known, stage.line)
        try:
            return platforms.parse(word.text, self.build)
        except ValueError:
            missing = self.values.missed(word)
            cause = f"{', '.join(missing)} has no value" if missing else f"{word.text!r} is not a platform"
            raise LineFault(stage.line, f"--platform={stage.platform}: {cause}", "write it as linux/arm64") from None
