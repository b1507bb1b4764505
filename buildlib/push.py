"""Images in a registry: built by digest, read back, looked into, and only then found under their tags.

A run that ends anywhere in between leaves every tag where it was.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from buildlib import artifacts, builder, dockerfile, image, oci
from buildlib.context import Context
from buildlib.dist import Entry
from buildlib.errors import BuildError, NetworkError, Refused, UsageError
from buildlib.failures import classify
from buildlib.image import Made
from buildlib.oci import Runtime
from buildlib.plan import Outcome, Status, Step, Write, words
from buildlib.targets import Target
from buildlib.workspace import Component


def push(
    context: Context, targets: tuple[Target, ...], components: tuple[str, ...], tags: tuple[str, ...],
    *, compile: bool = True, force: bool = False,
) -> list[Made]:  # fmt: skip
    """Every component's image for all `targets`, in the registry of the settings; none in a dry run. The images are made
    side by side, on one builder. Refused when an image is not what was asked for: its tags are where they were."""
    if not context.config.registry:
        raise UsageError("no registry to push to", "say --registry HOST/PATH, or set `registry`")
    runtimes = image.prepare(context, targets, components, tags, compile=compile)
    if context.run.dry:
        return []
    epoch, revision = image.commit(context)
    with tempfile.TemporaryDirectory() as scratch:
        ensure(context, Path(scratch), force=force)
        jobs = [
            _Image(
                context=context, component=component, targets=targets, scratch=Path(scratch) / component.name, epoch=epoch,
                runtime=replace(how, labels=image.labels(component, epoch, revision)),
                tags=tags or (component.version, "latest"), builder=context.config.builder["name"],
            )
            for component, how in runtimes.items()
        ]  # fmt: skip
        with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
            return list(pool.map(_Image.publish, jobs))


def ensure(context: Context, scratch: Path, *, force: bool) -> None:
    """The builder of the settings is there. One that differs is an error that says in what, or made anew with `force`."""
    wanted = builder.wanted(context.config)
    asked = context.run(builder.question())
    if not asked:
        raise BuildError(
            f"docker buildx: {last_line(asked)}", "install Docker and buildx, or use --output with -musl arches"
        )
    told = builder.find(asked.stdout, wanted.name)
    differs = builder.drift(told, wanted) if told else ()
    if differs and not force:
        listed = "".join(f"\n  {line}" for line in differs)
        raise BuildError(f"builder {wanted.name} is another one:{listed}", "make it anew with --force; its cache goes")
    if differs:
        done(context.run(builder.remove(wanted.name)))
    if differs or not told:
        for act in builder.create(wanted, scratch):
            done(context.run(act))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    context: Context
    component: Component
    targets: tuple[Target, ...]
    scratch: Path
    runtime: Runtime
    epoch: int
    tags: tuple[str, ...]
    builder: str

    @property
    def repository(self) -> str:
        return f"{self.context.config.registry}/{self.component.name}"

    @property
    def platforms(self) -> tuple[str, ...]:
        return tuple(target.oci for target in self.targets)

    def publish(self) -> Made:
        """Build, read back, look inside, tag; what is under all tags already was looked into before."""
        entries = image.gated(self.context, self.component, self.targets)
        found = self._build()
        self._read_back(found)
        moved = [tag for tag in self.tags if not self._is_at(tag, found)]
        if moved:
            self._look_inside(found, entries)
            done(self.context.run(tag_step(self.repository, found, moved)))
        return Made(
            component=self.component.name, status=Status.DONE if moved else Status.UNCHANGED, platforms=self.platforms,
            tags=self.tags, where=self.repository, digest=found,
        )  # fmt: skip

    def _build(self) -> str:
        base = image.base(self.context, self.component, self.targets)
        text = dockerfile.render(self.component.name, self.runtime, base, self.targets)
        file, told = self.scratch / "Dockerfile", self.scratch / "metadata.json"
        self.context.run(Write(path=file, text=text))
        output = f"type=image,name={self.repository},push-by-digest=true,push=true,rewrite-timestamp=true,oci-mediatypes=true"
        step = self._buildx(
            f"build {self.component.name}", file, "--output", output, "--metadata-file", str(told),
            "--build-context", f"binaries={self.context.dist}",
            *words("--label", (f"{name}={value}" for name, value in self.runtime.labels.items())),
        )  # fmt: skip
        done(self.context.run(step))
        return json.loads(told.read_text(encoding="utf-8"))["containerimage.digest"]

    def _buildx(self, title: str, file: Path, *more: str) -> Step:
        context = self.scratch / "context"  # empty: whatever is needed comes as a build context
        context.mkdir(parents=True, exist_ok=True)
        argv = (
            "docker", "buildx", "build", "--builder", self.builder, "--platform", ",".join(self.platforms),
            "--file", str(file), "--provenance=false", "--progress", "plain", *more, str(context),
        )  # fmt: skip
        return Step(title=title, argv=argv, env={"SOURCE_DATE_EPOCH": str(self.epoch)}, attempts=10, held=True)

    def _read_back(self, found: str) -> None:
        """What is there is for every platform that was asked for, and no other."""
        reference = f"{self.repository}@{found}"
        told = json.loads(done(self.context.run(raw(reference))).stdout)
        if "manifests" not in told:  # an image for one platform is no index; its configuration says which
            told = {"manifests": [{"platform": json.loads(done(self.context.run(configured(reference))).stdout)}]}
        have, want = sorted(platforms_of(told)), sorted(self.platforms)
        if have != want:
            raise Refused(
                f"{self.repository}: has {', '.join(have) or 'no platform'}, wanted {', '.join(want)}", UNTOUCHED
            )

    def _is_at(self, tag: str, found: str) -> bool:
        """Whether the tag names this image already. An image for one platform was put into an index by the tagging."""
        asked = self.context.run(raw(f"{self.repository}:{tag}"))
        if not asked:
            return False
        inside = [entry.get("digest") for entry in json.loads(asked.stdout).get("manifests", ())]
        return oci.digest(asked.stdout.encode()) == found or inside == [found]

    def _look_inside(self, found: str, entries: Mapping[Target, Entry]) -> None:
        """The program in the image of every platform passes the gate, is the very file that is in dist/, and starts there."""
        (program,) = self.runtime.entrypoint
        file, out = self.scratch / "check" / "Dockerfile", self.scratch / "out"
        self.context.run(Write(path=file, text=dockerfile.check(f"{self.repository}@{found}", program)))
        take = ("--target", dockerfile.TAKEN, "--output", f"type=local,dest={out}")
        done(self.context.run(self._buildx(f"look into {self.component.name}", file, *take)))
        for target, entry in entries.items():
            # One platform alone gets no folder of its own.
            inside = out / target.oci.replace("/", "_") / "program" if len(entries) > 1 else out / "program"
            facts = artifacts.read(inside)
            refusals = [str(refusal) for refusal in artifacts.check(facts, target, entry["floor"])]
            if facts.sha256 != entry["sha256"]:
                refusals.append(f"sha256: is {facts.sha256}, wanted {entry['sha256']}")
            if refusals:
                raise Refused(f"{self.repository}: {target.oci}: {program}: {'; '.join(refusals)}", UNTOUCHED)
        start = ("--target", dockerfile.STARTED, "--output", "type=cacheonly")
        step = self._buildx(f"start {self.component.name}", file, *start)
        outcome = self.context.run(replace(step, timeout=START))
        if not outcome and not classify(outcome.output).transient:
            why = f"no end within {START:.0f} s" if outcome.code == 124 else last_line(outcome)
            raise Refused(f"{self.repository}: does not run: {why}", UNTOUCHED)
        done(outcome)


UNTOUCHED = "the tags are where they were"
# Seconds that a program may take to print its version on all platforms. One that crashes under QEMU takes for ever: as the
# first process of its container it is not ended by the signal that QEMU sends itself for it.
START = 60.0


def raw(reference: str) -> Step:
    """The question for a manifest or index, as the registry has it."""
    argv = ("docker", "buildx", "imagetools", "inspect", "--raw", reference)
    return Step(title=f"read {reference}", argv=argv, stdout="keep", quiet=True, attempts=5)


def configured(reference: str) -> Step:
    """The question for the configuration of an image for one platform."""
    argv = ("docker", "buildx", "imagetools", "inspect", "--format", "{{json .Image}}", reference)
    return Step(title=f"configuration of {reference}", argv=argv, stdout="keep", quiet=True, attempts=5)


def tag_step(repository: str, found: str, tags: Iterable[str]) -> Step:
    """Moves the tags, all of them, to what has this digest."""
    names = words("--tag", (f"{repository}:{tag}" for tag in tags))
    argv = ("docker", "buildx", "imagetools", "create", *names, f"{repository}@{found}")
    return Step(title=f"tag {repository}", argv=argv, attempts=10, held=True)


def platforms_of(index: Mapping) -> list[str]:
    """The platforms of an index; attestations say unknown/unknown, and are none."""
    found = []
    for entry in index.get("manifests", ()):
        platform = entry.get("platform", {})
        name = "/".join(platform[key] for key in ("os", "architecture", "variant") if platform.get(key))
        if platform.get("os") != "unknown":
            found.append("linux/arm64" if name == "linux/arm64/v8" else name)
    return found


def done(outcome: Outcome) -> Outcome:
    """The outcome, when it is one of success."""
    if outcome:
        return outcome
    failure = classify(outcome.output)
    kind = NetworkError if failure.transient else BuildError
    title = outcome.step.title if isinstance(outcome.step, Step) else "docker"
    raise kind(f"{title}: {failure.cause or last_line(outcome)}", failure.cure)


def last_line(outcome: Outcome) -> str:
    """What a tool said last, without buildx's `ERROR: `."""
    lines = [line for line in outcome.output.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else f"exit code {outcome.code}"
