"""The main flow: needs, std, then per arch compile -> gate -> dist/."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from buildlib import artifacts, cargo, dist, doctor, emulation, provision
from buildlib.artifacts import Facts, Refusal
from buildlib.cargo import Build
from buildlib.context import Context
from buildlib.errors import BuildError, CompileFailed, Lacking, NetworkError, NothingToDo, Refused, UsageError
from buildlib.failures import classify
from buildlib.files import holding, text_of
from buildlib.plan import Outcome, Status
from buildlib.targets import TARGETS, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one target."""

    target: Target
    status: Status
    entries: tuple[dist.Entry, ...] = ()
    error: BuildError | None = None


def plan(context: Context, targets: tuple[Target, ...], components: tuple[str, ...]) -> tuple[Context, list[Build]]:
    """Every target's compile, after the machine was found fit for it. Lacking lists all that is missing at once."""
    wanted = context.workspace.pick(components)
    chosen_backends = provision.backends(context, targets)
    absent = doctor.missing(provision.needs(context, targets, chosen_backends), context.host)
    for need in absent:
        if not need.must:
            context.console.warn(f"no {need.what}: cannot {need.why}; cure: {need.cures[0].text}, or `buildlib setup`")
    if must := [need for need in absent if need.must]:
        raise Lacking(f"this machine lacks:\n{doctor.describe(must)}")
    local = tuple(target for target in targets if chosen_backends[target.name].name != "cross")
    context, chosen = provision.climb(context, local)
    builds = [
        cargo.build(context.host, context.config, context.workspace, target, chosen_backends[target.name],
                    chosen.get(target.name), wanted)
        for target in targets
    ]  # fmt: skip
    return context, builds


def build(context: Context, targets: tuple[Target, ...], components: tuple[str, ...]) -> list[Result]:
    """Compile, gate and publish; a target that fails does not keep the others from it."""
    context.workspace.pick(components)  # a wrong word is said before anything starts
    with contextlib.ExitStack() as stack:
        if not context.run.dry:
            lock = context.workspace.target_dir / "buildlib"
            stack.enter_context(
                holding(lock, lambda: context.console.note("another build is at work here; waiting for it"))
            )
        context, builds = plan(context, targets, components)
        return [_one(context, build) for build in builds]


def _one(context: Context, build: Build) -> Result:
    title = f"{build.target.name} · {build.backend.name} ({build.backend.why}) · {build.chosen or 'cross'}"
    with context.console.fold(title):
        try:
            outcome = context.run.job(build.job)
            if not outcome.ran:
                return Result(target=build.target, status=Status.PLANNED)
            if not outcome:
                raise compile_error(build.target, outcome)
            result = _accept(context, build, outcome)
            for entry in result.entries:
                context.journal("size", arch=build.target.name, name=entry["binary"], value=entry["size"])
            return result
        except BuildError as error:
            context.console.explain(error)
            return Result(target=build.target, status=status_of(error), error=error)


def status_of(error: BuildError) -> Status:
    """What became of what ended with this error."""
    return Status.REFUSED if isinstance(error, Refused) else Status.FAILED


def compile_error(target: Target, outcome: Outcome) -> BuildError:
    """cargo's own message was shown whole; this is the line under it."""
    failure = classify(outcome.output)
    if failure.transient or failure.kind == "resource":
        kind = NetworkError if failure.transient else BuildError
        return kind(f"{target.name}: {failure.cause}", failure.cure)
    if failure.kind == "usage" and outcome.code != 101:  # 101 is cargo's own code for what does not compile
        return UsageError(f"{target.name}: {failure.cause.removeprefix('error: ')}", failure.cure)
    hint = "run `cargo update --workspace`, then look at Cargo.lock" if "--locked" in failure.cause else ""
    return CompileFailed(f"{target.name}: cargo ended with {outcome.code}", hint)


# --- the gate, and dist/ -----------------------------------------------------------------------------------


def _accept(context: Context, build: Build, outcome: Outcome) -> Result:
    """Gate what was compiled; all of it gets into dist/, or none."""
    files = {path.name: build.folder / path.name for path in outcome.executables}
    if not files:
        raise NothingToDo(
            f"{build.target.name}: no binary was compiled", "their required-features are off; say --features"
        )
    folder = context.dist
    old = dist.entries(text_of(folder / "manifest.json"))
    new: list[dist.Entry] = []
    copies: dict[str, Path] = {}
    refusals: list[str] = []
    for name, path in files.items():
        facts = artifacts.read(path)
        entry = dist.unchanged(old, build, name, facts.sha256)
        if entry is None:
            found, started = gate(context, path, facts, build.target, build.backend.floor)
            refusals += [f"{name}: {refusal}" for refusal in found]
            entry = dist.entry(build, name, context.config.profile, facts, started, outcome.seconds)
        if not _holds(folder / entry["path"], facts):
            copies[entry["path"]] = path
        new.append(entry)
    refuse(build.target, refusals)
    if copies or any(entry not in old for entry in new):
        publish(context, new, copies)
    return Result(target=build.target, status=Status.DONE if copies else Status.UNCHANGED, entries=tuple(new))


def refuse(target: Target, refusals: Sequence[str]) -> None:
    """Refused, when there is anything to refuse."""
    if refusals:
        raise Refused(f"{target.name}: the gate refused\n  " + "\n  ".join(refusals), "dist/ is as it was")


def publish(context: Context, new: Iterable[dist.Entry], copies: Mapping[str, Path]) -> None:
    """Gated binaries into dist/, beside those that are there; `copies` maps an entry's path to the file that it is."""
    folder = context.dist
    with holding(folder, lambda: context.console.note(f"{folder} is in use, waiting")):
        old = [e for e in dist.entries(text_of(folder / "manifest.json")) if (folder / e["path"]).is_file()]
        context.run(dist.publish(folder, context.workspace.root / "Cargo.toml", old, new, copies))


def gate(context: Context, path: Path, facts: Facts, target: Target, floor: str) -> tuple[list[Refusal], str]:
    """What is wrong with the file, and what was run to see it start ("" when nothing here could run it)."""
    found = list(artifacts.check(facts, target, floor))
    words = emulation.runner(context.host, target, static=not facts.loader)
    if found or words is None:
        return found, ""
    if words and target.qemu_since and (reason := _too_old(context, words, target)):
        context.console.warn(f"{path.name}: not started, {reason}")
        return [], ""
    return _start(context, path, words)


def _start(context: Context, path: Path, words: tuple[str, ...]) -> tuple[list[Refusal], str]:
    said = ""
    with tempfile.TemporaryDirectory() as nowhere:
        for flag in ("--version", "--help"):
            outcome = context.run(emulation.start(words, path.absolute(), flag, Path(nowhere)))
            if trouble := emulation.trouble(outcome):
                return [Refusal("start", trouble, f"{flag} to run")], ""
            if emulation.NO_LIBRARY in outcome.output:
                context.console.warn(f"{path.name}: not started, a library is not here: {outcome.output.strip()}")
                return [], ""
            if outcome:
                return [], flag
            said = said or f"{flag} (exit code {outcome.code})"
    return [], said


def _too_old(context: Context, words: tuple[str, ...], target: Target) -> str:
    return emulation.too_old(context.run(emulation.version(words)).stdout, target)


def _holds(path: Path, facts: Facts) -> bool:
    """Whether `path` already has these very bytes."""
    try:
        return path.stat().st_size == facts.size and artifacts.digest(path) == facts.sha256
    except FileNotFoundError:
        return False


# --- verify ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says of one file."""

    path: Path
    target: Target | None
    facts: Facts | None
    refusals: tuple[str, ...]
    started: str = ""


def verify(context: Context, paths: Iterable[Path]) -> list[Verdict]:
    """The gate alone, on files and folders. A folder with a manifest is held against it: every file it names must be
    there, with that digest, for that arch and floor. NothingToDo when there is nothing to read."""
    verdicts: list[Verdict] = []
    for path in paths:
        if path.is_dir():
            verdicts += _verify_folder(context, path)
        elif path.is_file():
            verdicts.append(_verify_file(context, path, _arch_of(path), context.config.glibc))
        else:
            raise BuildError(f"{path}: no such file or folder")
    if not verdicts:
        raise NothingToDo("no binaries to verify", "run `buildlib build` first")
    return verdicts


def _verify_folder(context: Context, folder: Path) -> list[Verdict]:
    listed = dist.entries(text_of(folder / "manifest.json"))
    found = []
    for entry in listed:
        path = folder / entry["path"]
        if not path.is_file():
            found.append(
                Verdict(path=path, target=None, facts=None, refusals=("file: is missing, wanted by manifest.json",))
            )
            continue
        verdict = _verify_file(context, path, TARGETS.get(entry["arch"]), entry["floor"])
        if verdict.facts and verdict.facts.sha256 != entry["sha256"]:
            told = f"sha256: is {verdict.facts.sha256}, wanted {entry['sha256']}"
            verdict = Verdict(path=path, target=verdict.target, facts=verdict.facts, refusals=(*verdict.refusals, told))
        found.append(verdict)
    known = {folder / entry["path"] for entry in listed}
    strangers = (path for path in sorted(folder.rglob("*")) if path.is_file() and path not in known and _is_elf(path))
    return found + [_verify_file(context, path, _arch_of(path), context.config.glibc) for path in strangers]


def _arch_of(path: Path) -> Target | None:
    """The arch that a path speaks of: dist/<arch>/<binary>."""
    return TARGETS.get(path.absolute().parent.name)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _verify_file(context: Context, path: Path, target: Target | None, floor: str) -> Verdict:
    try:
        facts = artifacts.read(path)
    except BuildError as error:
        return Verdict(path=path, target=target, facts=None, refusals=(error.message.removeprefix(f"{path}: "),))
    target = target or artifacts.guess(facts)
    if target is None:
        return Verdict(
            path=path, target=None, facts=facts, refusals=(f"machine: is {facts.machine}, wanted one that is known",)
        )
    found, started = gate(context, path, facts, target, floor)
    return Verdict(path=path, target=target, facts=facts, refusals=tuple(map(str, found)), started=started)
