"""The last lines of a command: what it has made, and one command that is useful next.

A command is named only if it works as far as the facts at hand say; nothing is asked for it. They go to stderr: the table on stdout is
the result. After a failure there are none, because an error has its own help.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from buildlib.core.plan import Status
from buildlib.failures.redact import redact_argv, secret_values
from buildlib.process.console import Console

if TYPE_CHECKING:
    from buildlib.assembly.spec import ImageResult
    from buildlib.binaries.build import BuildResult
    from buildlib.binaries.dist import Entry
    from buildlib.binaries.reproduce import Comparison
    from buildlib.binaries.verify import Verdict
    from buildlib.core.requirements import Requirement
    from buildlib.core.targets import Target
    from buildlib.machine.host import Host
    from buildlib.process.context import Context
    from buildlib.signing.signer import Signed
    from buildlib.testing.benches import BenchResult
    from buildlib.testing.tests import TestResult

DRY = ("--dry", "--dry-run", "-R")


def show(console: Console, words: Sequence[str], *, dry: bool = False) -> None:
    """Print the next command, given by its words; after a dry run it is the same one without --dry-run."""
    if dry:
        words = [word for word in redact_argv(sys.argv[1:], secret_values(os.environ)) if word not in DRY]
    if words:
        note(console, f"next: buildlib {shlex.join(words)}")


def note(console: Console, text: str) -> None:
    """Print a line, unless the result is JSON."""
    if not console.as_json:
        console.note(text)


def after_build(context: Context, results: Sequence[BuildResult]) -> None:
    """Say what is in dist/ now, and name the command for images, tests or the gate."""
    console = context.console
    if any(result.error for result in results):
        return
    entries = [(result, entry) for result in results for entry in result.entries]
    if entries:
        note(console, _sizes(context, entries))
    has_programs = any(entry.get("kind", "bin") == "bin" for _, entry in entries)
    show(console, after_binaries(context, [result.target for result in results], has_programs=has_programs),
         dry=context.run.dry)  # fmt: skip


def _sizes(context: Context, entries: Iterable[tuple[BuildResult, Entry]]) -> str:
    """One line about the files of a build: "dist: 2 files, 14.2 MiB (+12.0 KiB), 1 unchanged"."""
    from buildlib.report.tables import change, size

    rows = list(entries)
    total = sum(entry["size"] for _, entry in rows)
    grown = sum(entry["size"] - result.previous_sizes.get(entry["binary"], entry["size"]) for result, entry in rows)
    unchanged = sum(entry["binary"] in result.unchanged for result, entry in rows)
    kept = f", {'all' if unchanged == len(rows) else unchanged} unchanged" if unchanged else ""
    return f"{shown(context.dist)}: {plural(len(rows), 'file')}, {size(total)}{change(total, total - grown)}{kept}"


def after_binaries(context: Context, targets: Sequence[Target], *, has_programs: bool) -> list[str]:
    """The words of the command after binaries of `targets` have been built and checked."""
    if has_programs and (words := image(context, targets)):
        return words
    if can_start(context, targets):
        return ["test", *arches(targets), *selected(context)]
    return ["verify", *([shown(context.dist)] if context.config.origins["dist"] == "flag" else ())]


def image(context: Context, targets: Sequence[Target], components: tuple[str, ...] = ()) -> list[str]:
    """The words of the command that makes images for `targets`, of all components or of these; none where they cannot be made."""
    from buildlib.machine.docker_daemon import has_buildx

    platforms = [target.oci for target in targets]
    if len(set(platforms)) < len(platforms) or context.request.library or context.request.examples:
        return []
    if context.config.engine != "none" and has_buildx(context.host.env):
        output = ["--push"] if context.config.registry else ["--output", "images"]
    elif context.config.images:
        return []
    elif context.config.registry and context.config.engine != "docker" and not _has_dockerfile(context):
        output = ["--push"]  # the default without an engine that answers
    elif _needs_no_docker(context, targets):
        output = ["--output", "images"]
    else:
        return []
    if components:
        context = replace(context, request=replace(context.request, components=components))
    return ["image", *arches(targets), *selected(context), *output]


def _has_dockerfile(context: Context) -> bool:
    from buildlib.images import workspace_dockerfile

    return workspace_dockerfile.is_own(context)


def _needs_no_docker(context: Context, targets: Iterable[Target]) -> bool:
    if not all(target.is_musl for target in targets):
        return False
    from buildlib.images.without_engine import has_more  # images.image takes 0.15 s

    return not has_more(context, tuple(targets))


def after_reproduce(context: Context, comparisons: Sequence[Comparison]) -> None:
    """Say how many files are the same elsewhere, and name the command that checks them."""
    if any(found.difference for found in comparisons):
        return
    if comparisons:
        note(context.console, f"{plural(len(comparisons), 'file')}, all identical")
    show(context.console, ["verify"], dry=context.run.dry)


def after_test(context: Context, results: Sequence[TestResult]) -> None:
    """Say where the reports are, and name the command that builds what was tested."""
    if any(result.error for result in results):
        return
    _reports(context, [f"{one.session}-{one.target.name}" for one in results if not one.planned], "json and .xml")
    show(context.console, build(context, [result.target for result in results]), dry=context.run.dry)


def after_smoke(context: Context, results: Sequence[TestResult]) -> None:
    """Say where the reports are."""
    if any(result.error for result in results):
        return
    _reports(context, [f"{one.session}-{one.target.name}" for one in results if not one.planned], "json and .xml")
    show(context.console, ["report"], dry=context.run.dry)


def after_bench(context: Context, results: Sequence[BenchResult]) -> None:
    """Say where the reports are, and name the command that compares the next counts with these."""
    if any(result.error for result in results):
        return
    _reports(context, [f"bench-{result.target.name}" for result in results if not result.planned], "json")
    words = ["report"]
    if counted := [result.target for result in results if result.counted]:
        baseline = shown(context.reports / f"bench-{counted[0].name}.json")
        words = ["bench", *arches(counted[:1]), *selected(context), "--baseline", baseline]
    show(context.console, words, dry=context.run.dry)


def _reports(context: Context, titles: Sequence[str], endings: str) -> None:
    if titles:
        names = titles[0] if len(titles) == 1 else f"{{{','.join(titles)}}}"
        note(context.console, f"reports: {shown(context.reports / names)}.{endings}")


def after_image(context: Context, results: Sequence[ImageResult], targets: Sequence[Target], output: str) -> None:
    """Name the command that checks, starts or publishes the images. `output` is "push", "load", "save", or "" if they are checked."""
    if any(result.error for result in results):
        return
    console, made = context.console, [result for result in results if result.status in (Status.DONE, Status.UNCHANGED)]
    if kept := sum(result.status is Status.UNCHANGED for result in made):
        note(console, f"{plural(len(made), 'image')}, {'all' if kept == len(made) else kept} unchanged")
    words = ["report"]
    if output == "push" and made:
        words = ["verify", *(f"{result.where}:{result.tags[0]}" for result in made)]
    elif output == "load" and len(made) == 1 and can_start_natively(context, targets):
        note(console, f"next: docker run --rm {shlex.quote(made[0].where)}")
        return
    elif output in ("", "save") and made:
        again = image(context, targets, tuple(result.component for result in made))
        words = words if output == "save" and "--push" not in again else again
    show(console, words, dry=context.run.dry)


def after_verify(context: Context, verdicts: Sequence[Verdict], *, is_dist: bool) -> None:
    """Say how many files or platforms passed, and name the command after a good dist/."""
    if any(verdict.refusals for verdict in verdicts):
        return
    note(context.console, f"{len(verdicts)} passed")
    targets = list(dict.fromkeys(verdict.target for verdict in verdicts if verdict.target))
    if is_dist and context.workspace.components:
        has_programs = any(verdict.kind == "bin" for verdict in verdicts)
        words = after_binaries(context, targets, has_programs=has_programs)
        show(context.console, words if words[0] != "verify" else ["report"])


def after_sign(context: Context, signed: Sequence[Signed]) -> None:
    """Name the command that verifies the signatures."""
    paths = list(dict.fromkeys(one.path.removesuffix("/SHA256SUMS") for one in signed))
    show(context.console, ["verify", *paths, "--key", "cosign.pub"], dry=context.run.dry)


def after_doctor(context: Context, absent: Iterable[Requirement], targets: Sequence[Target], *, named: bool) -> None:
    """Name the command that installs what is missing, or that builds. `named` says whether the command line names the targets."""
    required = [requirement for requirement in absent if requirement.required]
    if not required:
        show(context.console, build(context, targets))
    elif all(can_install(context.host, requirement) for requirement in required):
        show(context.console, ["setup", *(arches(targets) if named else ())])


def after_setup(context: Context, targets: Sequence[Target]) -> None:
    """Say that builds have what they require, whose absence would have been an error, and name the command that builds."""
    if context.workspace.has_rust and not context.run.dry:
        note(context.console, f"builds for {', '.join(target.name for target in targets)} have what they require")
    show(context.console, build(context, targets), dry=context.run.dry)


def can_install(host: Host, requirement: Requirement) -> bool:
    """Whether `setup` has the programs for one of the fixes of a requirement."""
    return any(
        all(host.which(step.argv[0]) for step in fix.steps) and (host.root or not fix.root or host.which("sudo"))
        for fix in requirement.fixes if fix.steps
    )  # fmt: skip


def with_builder(context: Context) -> list[str]:
    """The words of the command that uses the builder, which exists; none where there is nothing to make images of."""
    return ["image"] if context.workspace.components or context.config.images else []


def planned(context: Context, targets: Iterable[Target]) -> list[str]:
    """The words of the command that runs what `plan` has shown."""
    config = context.config
    flags = {"--backend": config.backend, "--glibc": config.glibc}
    chosen = [word for flag, value in flags.items() if config.origins[flag[2:]] == "flag" for word in (flag, value)]
    return ["build", *arches(targets), *selected(context), *chosen]


def build(context: Context, targets: Sequence[Target]) -> list[str]:
    """The words of the command that builds binaries for `targets`; of the report where there are none to build."""
    if not context.workspace.has_rust or not context.workspace.components:
        return ["report"]
    return ["build", *arches(targets), *selected(context)]


def can_start_natively(context: Context, targets: Iterable[Target]) -> bool:
    """Whether this machine starts programs of all targets without emulation."""
    from buildlib.emulation import qemu

    return all(qemu.is_native(context.host, target) for target in targets)


def can_start(context: Context, targets: Iterable[Target]) -> bool:
    """Whether this machine starts programs of all targets, itself or by an emulator."""
    from buildlib.core.requirements import missing
    from buildlib.emulation import qemu

    return not any(missing(qemu.requirements(target), context.host) for target in targets)


def arches(targets: Iterable[Target]) -> list[str]:
    """The option that names these targets."""
    return ["--arch", ",".join(target.name for target in targets)]


def selected(context: Context) -> list[str]:
    """The options of this command that another one about the same packages, binaries and features needs."""
    request, config = context.request, context.config
    libraries = config.libraries if config.origins["libraries"] == "flag" else ()
    features = config.features if config.origins["features"] == "flag" else ()
    lists = {
        "--package": request.packages, "--exclude": request.exclude, "--component": request.components,
        "--example": request.examples,
        "--features": features, "--library": libraries, "--profile": (request.profile,) if request.profile else (),
    }  # fmt: skip
    switches = {
        "--workspace": request.workspace, "--bins": request.bins, "--lib": request.library,
        "--all-features": request.all_features, "--no-default-features": request.no_default_features,
        "--offline": request.offline, "--locked": request.locked, "--frozen": request.frozen,
    }  # fmt: skip
    return [
        *(option for option, is_set in switches.items() if is_set),
        *(word for option, values in lists.items() if values for word in (option, ",".join(values))),
    ]


def plural(count: int, word: str) -> str:
    """A number with its word: "1 file", "2 files"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def shown(path: Path) -> str:
    """A path as a user types it: relative to the current directory if it is below."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
