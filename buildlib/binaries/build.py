"""The command `build`: requirements, standard library, then for each target compile, gate, dist/."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

from buildlib.binaries import dist, gate
from buildlib.binaries.embed import with_crate_lists
from buildlib.binaries.linked_crates import LinkedCrates
from buildlib.binaries.parallel import build_all
from buildlib.binaries.provenance import with_provenances
from buildlib.binaries.publishing import publish
from buildlib.binaries.sbom import with_sboms
from buildlib.compiler_cache.scripts import CacheUse, use
from buildlib.compiler_cache.server import serving
from buildlib.core.errors import (
    BuildError,
    CompileFailed,
    Interrupted,
    MissingRequirements,
    NetworkError,
    NothingToDo,
    Refused,
    UsageError,
)
from buildlib.core.plan import Artifact, Outcome, Status
from buildlib.core.requirements import missing
from buildlib.core.targets import Target
from buildlib.elf import sections
from buildlib.failures.classify import classify
from buildlib.machine.selection import left_out
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.process.files import disk_error, read_text
from buildlib.rust import cargo, provision
from buildlib.rust.cargo import Build

ALONE = nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """The result for one target: its entries in the manifest, or the error."""

    target: Target
    status: Status
    entries: tuple[dist.Entry, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)  # what cargo did not compile, and why
    unchanged: frozenset[str] = frozenset()  # the binaries whose bytes dist/ had already
    previous_sizes: Mapping[str, int] = field(default_factory=dict)  # bytes, of the last build with this profile
    error: BuildError | None = None
    folder: Path = Path()  # the directory that cargo wrote them to
    cache: CacheUse = field(default_factory=use)  # of the compiler cache


def plan(context: Context, targets: tuple[Target, ...]) -> tuple[Context, list[Build]]:
    """Return the compilation of each target, and the context after std was installed for them.

    Raises:
        MissingRequirements: lists everything that is missing at once, before anything is compiled.
    """
    selection = context.selection  # what is wrong with it is reported before anything else
    context = provision.with_libraries(context, targets)
    backends = provision.backends(context, targets)
    requirements = provision.requirements(context, backends)
    for absent in missing(requirements, context.host):
        if not absent.required:
            context.console.warn(
                f"no {absent.what}: cannot {absent.why}; help: {absent.fixes[0].text}, or `buildlib setup`"
            )
    provision.require(requirements, context)
    context, toolsets = provision.toolsets(context, backends)
    return context, [
        cargo.build(context.host, context.config, context.workspace, context.request, selection, toolset)
        for toolset in toolsets
    ]


def build(context: Context, targets: tuple[Target, ...]) -> list[BuildResult]:
    """Compile, gate and publish each target; one that fails does not stop the others."""
    _ = context.selection  # a wrong name is reported before anything starts,
    dist.read(context.dist)  # and so is a dist/ that is not a directory
    with context.run.locked(context.workspace.target_dir / "buildlib", "waiting for another build in this workspace"):
        context, builds = plan(context, targets)
        finishing = Lock()  # the gate and dist/ are for one target at a time
        with serving(context, (build.cache for build in builds)):
            results = build_all(context, builds, partial(_build_one, finishing=finishing))
        logs = [read_text(build.cache.log) if build.cache else "" for build in builds]
        return [replace(result, cache=use(log)) for result, log in zip(results, logs, strict=True)]


def _build_one(context: Context, build: Build, finishing: AbstractContextManager[object] = ALONE) -> BuildResult:
    title = f"{build.target.name} · {build.backend.name} ({build.backend.why}) · {build.compiler or 'cross'}"
    with context.console.fold(title):
        try:
            if build.target.is_musl and not build.selection.without_shared_libraries().packages:
                raise NothingToDo(f"{build.target.name}: {', '.join(map(static, build.selection.libraries))}")
            outcome = context.run.job(build.job)
            if not outcome.ran:
                return BuildResult(target=build.target, status=Status.PLANNED)
            if not outcome:
                raise compile_error(build.target, outcome)
            try:
                with finishing:
                    result = _accept(context, build, outcome)
            except OSError as error:
                raise disk_error(error) from None
            _record(context, build, result)
            return result
        except Interrupted:
            raise
        except BuildError as error:
            context.console.error(error)
            return BuildResult(target=build.target, status=status_of(error), error=error)


def _record(context: Context, build: Build, result: BuildResult) -> None:
    """Add the sizes to the history, with those of the sections where something is new."""
    for entry in result.entries:
        facts = {"arch": build.target.name, "name": entry["binary"], "value": entry["size"]}
        if result.status is Status.DONE:
            facts["sections"] = sections.sizes(context.dist / entry["path"])
        context.history("size", **facts)


def _left_out(context: Context, build: Build, files: Collection[str]) -> Mapping[str, str]:
    """What was selected and is not among the compiled `files`, and why. NothingToDo if that is everything."""
    reasons = {component.name: needs(component) for component in build.selection.components}
    reasons |= {name: static(name) for name in build.selection.libraries}
    absent = {name: reason for name, reason in reasons.items() if name not in files}
    if not files:
        raise NothingToDo(f"{build.target.name}: nothing was compiled", "; ".join(absent.values()))
    return _noted(context, absent)


def _noted(context: Context, absent: Mapping[str, str]) -> Mapping[str, str]:
    for reason in absent.values():
        context.console.note(f"left out: {reason}")
    return absent


def predict_left_out(context: Context) -> Mapping[str, str]:
    """The binaries that cargo would leave out, and why, without asking it."""
    selection, features = context.selection, context.config.features
    absent = left_out(context.workspace, selection, context.request, features)
    return {component.name: needs(component) for component in absent}


def without_left_out(context: Context) -> tuple[Context, Mapping[str, str]]:
    """Return the context of the binaries that cargo will compile, and the others, with the reason.

    Raises:
        NothingToDo: there are only others.
    """
    absent = predict_left_out(context)
    kept = without(context, absent)
    if not kept.selection.components:
        raise NothingToDo("nothing would be compiled", "; ".join(absent.values()))
    return kept, _noted(kept, absent)


def without(context: Context, names: Collection[str]) -> Context:
    """Return the context whose request leaves out these binaries."""
    if not names:
        return context
    kept = tuple(f"{one.package}/{one.name}" for one in context.selection.components if one.name not in names)
    return replace(context, request=replace(context.request, components=kept, no_binaries=not kept))


def needs(component: Component) -> str:
    """Return why cargo leaves a binary out, with the flag that changes it: "probe needs --features cli"."""
    return f"{component.name} needs --features {','.join(component.required_features)}"


def static(library: str) -> str:
    """Return why a shared library does not exist for a target whose programs are static."""
    return f"{library} is a shared library, which a static target does not have"


def status_of(error: BuildError) -> Status:
    """Return the status of a result with this error."""
    return Status.REFUSED if isinstance(error, Refused) else Status.FAILED


def compile_error(target: Target, outcome: Outcome) -> BuildError:
    """Return the error for a failed cargo, with the cause if its output has one.

    The output itself has been shown already.
    """
    failure = classify(outcome.output)
    cause = failure.cause.removeprefix("error: ").removeprefix("Error: ")
    if failure.transient:
        return NetworkError(f"{target.name}: {cause}", failure.help, failure.kind)
    # Credentials, certificates and a container engine are this machine's too.
    if failure.fault == "machine" or failure.kind in ("auth", "certificate", "builder"):
        return MissingRequirements(f"{target.name}: {cause}", failure.help, failure.kind)
    # 101 is cargo's code for a failed compilation, but also for a command that it refuses before that.
    if failure.fault == "command" or (failure.kind == "usage" and outcome.code != 101):
        return UsageError(f"{target.name}: {cause}", failure.help)
    if failure.kind == "resource":
        return BuildError(f"{target.name}: {cause}", failure.help, failure.kind)
    message = f"{target.name}: cargo exited with code {outcome.code}"
    # The last line of an output without a known failure may be about anything, unless it says that it is an error.
    stated = failure.kind != "unknown" or failure.cause.lower().startswith("error: ")
    return CompileFailed(f"{message}: {cause}" if cause and stated else message, failure.help, failure.kind)


# --- the gate and dist/ ----------------------------------------------------------------------------------------------------


def published(
    build: Build, outcome: Outcome, selected: Callable[[Artifact], bool] | None = None
) -> dict[str, tuple[Path, str]]:
    """Return the compiled files by the name that each gets in dist/<arch>/: its path, and the kind of cargo's target.

    Tests are left out, and so is what `selected` rejects. The paths in cargo's messages are not used: with the backend cross
    they are those inside of its container.

    Raises:
        UsageError: two targets would be one file.
    """
    files: dict[str, tuple[Path, str]] = {}
    owners: dict[str, Artifact] = {}
    for artifact in outcome.artifacts:
        if artifact.test or artifact.kind not in dist.KINDS or not (selected is None or selected(artifact)):
            continue
        name = artifact.path.name
        owner = owners.setdefault(name, artifact)
        if (owner.kind, owner.manifest) != (artifact.kind, artifact.manifest):
            both = " and ".join(f"the {one.kind} of {one.manifest.parent.name}" for one in (owner, artifact))
            raise UsageError(f"{build.target.name}: two files would be called {name}: {both}", "choose one of them")
        files[name] = (build.folder / ("examples" if artifact.is_example else "") / name, artifact.kind)
    return dict(sorted(files.items()))  # cargo reports first what was ready first, which is not the same each time


def _accept(context: Context, build: Build, outcome: Outcome) -> BuildResult:
    """Gate the compiled files; all of them are published to dist/, or none."""
    files = published(build, outcome, build.selection.includes)
    absent = _left_out(context, build, files)
    crates = LinkedCrates(context, build)
    files = with_crate_lists(context, build, files, crates)
    folder, sysroot = context.dist, context.host.sysroots.get(build.target.name)
    old = dist.read(folder)
    new: list[dist.Entry] = []
    copies: dict[str, Path] = {}
    refusals: list[str] = []
    for name, (path, kind) in files.items():
        entry = dist.unchanged(old, build, path, kind)
        if entry is None or gate.is_due(context, entry, build.target):
            facts = gate.read(path)
            mismatches, started = gate.check(context, path, facts, build.target, build.backend.minimum_glibc, kind)
            refusals += [f"{name}: {mismatch}" for mismatch in mismatches]
            entry = (
                dist.with_start(entry, started) if entry
                else dist.entry(build, name, context.config.profile, facts, started, outcome.seconds, kind)
            )  # fmt: skip
        entry = dist.with_libraries(entry, sysroot)
        libraries = (sysroot.path(library["name"]) for library in dist.libraries_of(entry)) if sysroot else ()
        sources = zip(dist.files_of(entry), (path, *libraries), strict=True)
        copies |= {file["path"]: source for file, source in sources if not _is_published(folder, file)}
        new.append(entry)
    gate.refuse(build.target, refusals)
    status = Status.DONE if copies else Status.UNCHANGED
    new, sboms = with_sboms(context, build, new, crates)
    new, provenances = with_provenances(context, build, new)
    copies |= {**sboms, **provenances}
    if copies or any(entry not in old for entry in new):
        publish(context, new, copies)
    profile = context.config.profile
    return BuildResult(
        target=build.target, status=status, entries=tuple(new), left_out=absent, folder=build.folder,
        unchanged=frozenset(e["binary"] for e in new if not copies.keys() & {file["path"] for file in dist.files_of(e)}),
        previous_sizes={e["binary"]: e["size"] for e in old if (e["arch"], e["profile"]) == (build.target.name, profile)},
    )  # fmt: skip


def _is_published(folder: Path, file: dist.Entry | dist.LibraryEntry) -> bool:
    """Return whether dist/ already has exactly these bytes."""
    path = folder / file["path"]
    if path.is_dir():  # a copy would fail later, with the name of a temporary file
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return dist.is_intact(folder, file)
