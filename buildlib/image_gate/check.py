"""The gate for any image: whether its layers and its configuration fit the platform that the index states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from buildlib.core.targets import Identity
from buildlib.image_gate import alternatives, loading, machines, startup
from buildlib.image_gate.files import Files, Found
from buildlib.image_gate.findings import Finding
from buildlib.image_gate.machines import Difference, Elf
from buildlib.image_gate.manifests import Configuration, Process
from buildlib.image_gate.patterns import MEMBER, Patterns
from buildlib.image_gate.scans import Scans
from buildlib.image_gate.startup import Problem
from buildlib.image_layers.compression import LayerError
from buildlib.image_layers.file_system import Layer

MOST = 1000  # findings of one image


@dataclass(frozen=True, slots=True)
class ImageContent:
    """An image for one platform: its configuration and its layers, the lowest first. The digests of all of it were verified."""

    configuration: Configuration
    layers: Sequence[Layer]


@dataclass(frozen=True, slots=True)
class Result:
    """What the gate found. `program` is the path of the program that a container runs in the end, "" if none was found."""

    findings: tuple[Finding, ...]
    program: str = ""


def check(
    image: ImageContent, platform: str, *, foreign: Iterable[str] = (), scans: Scans | None = None
) -> tuple[Finding, ...]:
    """Every rule that the image breaks, 1,000 at most; none for a correct image.

    `platform` is the one in the index, as in `Target.oci`. `foreign` are patterns of paths whose files may be for any platform
    (`patterns.Patterns`). With `scans` each layer is read once for all images that share it.
    """
    return examine(image, platform, foreign=foreign, scans=scans).findings


def examine(image: ImageContent, platform: str, *, foreign: Iterable[str] = (), scans: Scans | None = None) -> Result:
    """`check`, with what it found out about the image."""
    expected = machines.identity(platform)
    configured = image.configuration.oci
    findings = []
    if expected is None:
        findings.append(
            Finding(platform=platform, rule="platform", actual=platform or "none", expected="one that buildlib knows")
        )
    if configured != platform:
        findings.append(
            Finding(platform=platform, rule="configuration", actual=configured or "none", expected=platform)
        )
    if expected is None:
        return Result(tuple(findings))
    try:
        files = Files(image.layers, (scans or Scans()).of(image.layers))
        checks = _Checks(files, platform, expected, Patterns(foreign))
        findings += checks.start(image.configuration.config or Process())
        findings += checks.every_file(MOST - len(findings))
    except LayerError as error:
        findings.append(Finding(platform=platform, rule="layers", actual=str(error), expected=""))
        return Result(tuple(findings))
    return Result(tuple(findings), checks.program)


def check_platforms(actual: Iterable[str], requested: Iterable[str] | None = None) -> tuple[Finding, ...]:
    """Whether an index has every requested platform once, and no other; without a request, whether it has each once."""
    counts = Counter(actual)
    expected = set(counts if requested is None else requested)
    missing = [(platform, "not in the index", "an image for it") for platform in sorted(expected - set(counts))]
    others = [(platform, "in the index", "only what was requested") for platform in sorted(set(counts) - expected)]
    twice = [(platform, f"{count} images", "one") for platform, count in sorted(counts.items()) if count > 1]
    return tuple(
        Finding(platform=platform, rule="platforms", actual=is_, expected=wanted)
        for platform, is_, wanted in (*missing, *others, *twice)
    )


class _Checks:
    """The rules for one image."""

    def __init__(self, files: Files, platform: str, expected: Identity, foreign: Patterns) -> None:
        self._files, self._platform, self._expected, self._foreign = files, platform, expected, foreign
        self.program = ""
        self._reported: set[str] = set()

    def start(self, process: Process) -> Iterator[Finding]:
        """What a container starts: that it is there, is for the platform, and finds its loader and its libraries."""
        env = startup.environment(process)
        done: set[tuple[str, Difference]] = set()
        for step in startup.follow(self._files, process):
            if isinstance(step, Problem):
                yield self._finding(step.path, step.difference, step.found)
                return
            self.program = step.path
            elf = step.contents.elf
            if elf is None or self._foreign.match(step.path):
                continue
            if wrong := machines.strict_difference(elf, self._expected, step.path):
                self._reported.add(step.path)
                yield self._finding(step.path, wrong, step)
                continue
            for found, difference in loading.check(self._files, step, self._platform, self._expected, env):
                if (found.path, difference) not in done:
                    done.add((found.path, difference))
                    yield self._finding(found.path, difference, found)

    def every_file(self, most: int) -> Iterator[Finding]:
        """Each ELF file of the image, also in archives, that is for another platform, `most` at most."""
        fitting, others = [], []
        for path, elf, found in self._elf_files():
            wrong = machines.difference(elf, self._expected, path)
            if wrong and not self._foreign.match(path) and not alternatives.is_for_other_system(path):
                others.append((path, wrong, found))
            elif not wrong and self._is_own(elf):
                fitting.append(path)
        known = alternatives.of(fitting) if others else frozenset[str]()
        for path, wrong, found in others:
            if most and path not in self._reported and not alternatives.is_one(path, known):
                most -= 1
                yield self._finding(path, wrong, found)

    def _elf_files(self) -> Iterator[tuple[str, Elf, Found]]:
        for found in self._files.all():
            if found.contents.elf:
                yield found.path, found.contents.elf, found
            for member in found.contents.members:
                yield f"{found.path}{MEMBER}{member.path}", member.elf, found

    def _is_own(self, elf: Elf) -> bool:
        """Whether a file is for the platform itself: code for a device is not, nor what its kernel runs besides."""
        return machines.strict_difference(elf, self._expected) is None

    def _finding(self, path: str, difference: Difference, found: Found | None) -> Finding:
        layer = found.node.file.layer if found and found.node.file else None
        return Finding(
            platform=self._platform, rule=difference.rule, actual=difference.actual, expected=difference.expected, path=path,
            layer=0 if layer is None else layer + 1, digest="" if layer is None else self._files.layers[layer].digest,
        )  # fmt: skip
