"""An image from a Dockerfile of the project: built into layouts, checked there, and only then uploaded."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from buildlib.assembly.assembly import UNTOUCHED, Assembly, Layouts, Wanted
from buildlib.assembly.predicates import of_dockerfile
from buildlib.assembly.recipe import Recipe, hashed
from buildlib.builder.buildx import BuildInputs
from buildlib.builder.emulation_limit import EmulationLimit
from buildlib.builder.progress import vertexes_of, with_progress
from buildlib.builder.step_times import StepTime, native_platforms, step_times
from buildlib.core.cases import FAILED
from buildlib.core.errors import Refused
from buildlib.core.plan import Outcome, words
from buildlib.core.targets import Target
from buildlib.elf import Mismatch, digest
from buildlib.failures.redact import redact
from buildlib.image_gate import check as gate
from buildlib.image_gate.check import ImageContent
from buildlib.image_gate.findings import lines
from buildlib.image_gate.layouts import read_layout
from buildlib.image_gate.scans import Scans
from buildlib.images import dockerfile_image
from buildlib.images.dockerfile_image import DockerfileImage
from buildlib.machine import build_context
from buildlib.smoke.layout import run_layout


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileAssembly(Assembly):
    """How an image from a Dockerfile is built and checked.

    `own` maps references of the Dockerfile to build contexts, which have the images of other components; `bases` maps all others to
    the digests that the registries have.
    """

    image: DockerfileImage
    own: Mapping[str, str]
    bases: Mapping[str, str]
    own_images: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  # references of `own` -> platform -> digest
    built: list[Layouts] = field(default_factory=list)  # at most one
    measured: list[StepTime] = field(default_factory=list)
    scans: Scans = field(default_factory=Scans)  # of layers, which images share

    def recipe(self) -> Recipe:
        """What the image of each platform is made from, and the base images.

        The inputs are not known if the Dockerfile downloads files that it does not pin: those may change.
        """
        if self.image.sources.unpinned:
            return Recipe(bases=self.bases)
        common = (digest(self.image.file), self._context_digest(), msgspec.to_builtins(self.image.settings))
        inputs = {platform: hashed(*common, platform, self._bases_of(platform)) for platform in self.image.platforms}
        return Recipe(inputs=inputs, bases=self.bases)

    def _bases_of(self, platform: str) -> list[tuple[str, str]]:
        """The images that the one of a platform is based on, the frontend included, and their digests."""
        sources = self.image.sources
        names = {base.images[platform].name for base in sources.bases if platform in base.images} | {sources.frontend}
        own = {name: self.own_images.get(name, {}).get(platform, "") for name in self.own}
        return sorted((name, one) for name, one in {**self.bases, **own}.items() if name in names)

    def predicates(self, platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
        """What the image was made of. There is no SBOM: buildlib knows what cargo links, not what a Dockerfile installs."""
        return of_dockerfile(self.context, self.name, self.image.file, platform, wanted)

    def _context_digest(self) -> str:
        """A digest of the build context without what this and other commands record there."""
        written, folder = self.context.records, self.image.folder
        if inside := build_context.not_ignored(folder, self.image.file, written):
            name = inside[0].relative_to(folder.resolve())
            help_text = f"add it to {build_context.IGNORE_FILE}"
            self.context.console.warn(f"{self.name}: the context has {name}, which buildlib writes; help: {help_text}")
        return build_context.digest(folder, self.image.file, written)

    def build(self, targets: tuple[Target, ...], output: str) -> str:
        """Build the image for these targets. Caches are ignored only once: what is uploaded is what was checked."""
        first, target = not self.built, self.image.settings.target
        step = self.build_step(self._inputs(), target, targets, output, fresh=self.fresh and first)
        digest, outcome = self.run_build(with_progress(step, self._limit(targets)), targets)
        if first:  # later everything is cached
            self.measured.extend(self._step_times(outcome, targets))
        return digest

    @property
    def steps(self) -> tuple[StepTime, ...]:
        """How long each step of the Dockerfile ran."""
        return tuple(self.measured)

    def _step_times(self, outcome: Outcome, targets: tuple[Target, ...]) -> tuple[StepTime, ...]:
        run, natively = self.context.run, native_platforms(self.context.host.machine, self.context.config)
        secret = run.secrets()
        return step_times(
            vertexes_of(outcome), natively.__contains__, platform=targets[0].oci,
            clean=lambda title: redact(run.translate(title), secret),
        )  # fmt: skip

    def _limit(self, targets: tuple[Target, ...]) -> EmulationLimit | None:
        seconds = self.context.config.builder.emulation_limit
        natively = native_platforms(self.context.host.machine, self.context.config)
        if not seconds or natively.issuperset(target.oci for target in targets):
            return None
        from buildlib.lint.emulated import run_compilers  # loads a grammar

        compiles = run_compilers(self.image.file, self.image.file.read_bytes())
        return EmulationLimit(
            seconds=seconds, runs_natively=natively.__contains__, compiles=compiles, platform=targets[0].oci
        )

    def _inputs(self) -> BuildInputs:
        settings, sources, through = self.image.settings, self.image.sources, self.session
        # Through the gateway every request for a base image is retried.
        names = [] if through.direct else [name for name in self.bases if name != sources.frontend]
        pulled = {name: f"docker-image://{through.name(name)}" for name in names}
        # Makes an index of one platform too, and has BuildKit name the platform of each step.
        args = {"BUILDKIT_MULTI_PLATFORM": "1"}
        if sources.frontend and not through.direct:
            args["BUILDKIT_SYNTAX"] = through.name(sources.frontend)
        args |= {name: dockerfile_image.argument(value) for name, value in settings.build_args.items()}
        network = () if settings.network == "default" else ("--network", settings.network)
        allowed = ("--allow", "network.host") if settings.network == "host" else ()
        return BuildInputs(
            builder=self.builder, file=self.image.file, context=self.image.folder, contexts={**pulled, **self.own}, args=args,
            epoch=self.epoch,
            more=(*words("--secret", self.image.secrets), *words("--ssh", settings.ssh), *network, *allowed),
        )  # fmt: skip

    def check_before_push(self) -> None:
        """Build the image into layouts and check it: another tool may have tagged the same one, or the settings promise more now."""
        self.checked_layouts()

    def check_pushed(self, where: str, images: Mapping[str, str], address: str, *, known: bool) -> None:
        """Refused unless the registry has the images that were checked."""
        checked = self._once().images
        for platform, actual in images.items():
            if actual != checked[platform]:
                raise Refused(f"{where}: {platform}: {Mismatch('digest', actual, checked[platform])}", UNTOUCHED)

    def checked_layouts(self) -> Layouts:
        """The image in layouts, built and checked once."""
        if not self.built:
            self._check(self._once())
        return self._once()

    def check_layouts(self, layouts: Layouts) -> None:
        """Every file of every platform passes the gate, and a container of each does what the settings promise."""
        began, console = time.monotonic(), self.context.console
        with console.busy(f"{self.name} · check every file"):
            self._refuse(
                f"{platform}: {line}"
                for platform, content in self._contents(layouts).items()
                for line in lines(gate.check(content, platform, foreign=self.image.settings.foreign, scans=self.scans))
            )
        console.note(
            f"{self.name}: every file fits its platform ({time.monotonic() - began:.1f} s); starting a container of each"
        )
        began = time.monotonic()
        expected = dockerfile_image.expectation(self.name, self.image.settings)
        by_platform = {target.oci: target for target in self.image.targets}
        for folder in dict.fromkeys(layouts.folders.values()):
            inside = [platform for platform, other in layouts.folders.items() if other == folder]
            images = {by_platform[platform]: layouts.images[platform] for platform in inside}
            with console.busy(f"{self.name} · start containers"):
                suites = run_layout(self.context, folder, images, expected)
            self._refuse(
                f"{target.oci}: {case.name}: {case.detail}"
                for target, suite in suites.items()
                for case in suite.cases if case.result == FAILED
            )  # fmt: skip
        console.note(f"{self.name}: started on {', '.join(layouts.images)} ({time.monotonic() - began:.1f} s)")

    def _contents(self, layouts: Layouts) -> dict[str, ImageContent]:
        """The image of each platform in the index. Its configuration may state another one, which the gate finds."""
        return {
            platform: next(iter(read_layout(layouts.folders[platform], digest).values()))
            for platform, digest in layouts.images.items()
        }

    def _refuse(self, problems: Iterable[str]) -> None:
        """Raise Refused if there are any."""
        if found := [f"{self.name}: {problem}" for problem in problems]:
            raise Refused("\n".join(found), UNTOUCHED)

    def _once(self) -> Layouts:
        if not self.built:
            self.built.append(self.built_layouts())
        return self.built[0]

    def _check(self, layouts: Layouts) -> None:
        self.check_platforms(self.name, layouts.images)
        self.check_layouts(layouts)
