"""The build scripts and procedural macros that a build will run on this machine, and what is compiled into each of them.

Cargo's unit graph is asked, not `cargo metadata`: it follows the packages, features and targets that are selected, and it separates
what is compiled for the target from what is compiled for this machine, as resolver 2 does. With metadata, a vendored OpenSSL among
the build dependencies looks like one of the program.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from buildlib.core.errors import BuildError, NetworkError, NothingToDo, UsageError
from buildlib.core.plan import Outcome, Step, Write
from buildlib.core.targets import Target
from buildlib.core.versions import version as version_numbers
from buildlib.crates.system_deps import declared
from buildlib.failures.classify import classify
from buildlib.machine.selection import cargo_test_flags, package_flags, select_packages
from buildlib.process.context import Context
from buildlib.process.files import read_text

FORMAT = "scripts1"  # of the cached answer
NO_ENV: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A program of the crate graph that runs on this machine during a build: a build script, or a procedural macro.

    `for_host` tells whether its package is compiled for this machine rather than for the target. `crates` are the packages compiled
    into the script itself, its build dependencies, by name with their (newest) version. `system_deps` are names of .pc files in the
    package's metadata.
    """

    package: str
    version: str
    for_host: bool
    features: frozenset[str] = frozenset()
    crates: Mapping[str, str] = field(default_factory=dict)
    system_deps: tuple[str, ...] = ()


def scripts(context: Context, target: Target, *, tests: bool = False) -> tuple[Script, ...]:
    """Return what runs while cargo builds the selection for `target`, or compiles its tests.

    The answer is cached beside the target directories: in a large workspace cargo takes longer for the graph than for a build with
    nothing to do, and the graph cannot change while lock file and manifests stay the same. If cargo has no answer, there is a warning
    and nothing is known: the build itself will fail in the same way, and says why.

    Raises:
        NetworkError: cargo cannot download what the graph needs.
    """
    step = question(context, target, tests=tests)
    lock = read_text(context.workspace.lock)
    manifests = [read_text(member.manifest) for member in context.workspace.members]
    key = [FORMAT, context.host.toolchains[0].key, step.argv[1:], lock, manifests]
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
    cached = context.workspace.target_dir / "buildlib" / f"scripts-{digest}.json"
    if lock and (answer := read_text(cached)):
        return tuple(_from_json(row) for row in json.loads(answer))
    if context.run.dry and not lock:  # cargo would write one
        context.console.warn_once(
            "no Cargo.lock: the programs that build scripts run are not checked; `cargo generate-lockfile` creates one"
        )
        return ()
    outcome = context.run(step)
    if not outcome:
        error = unresolved(outcome)
        if isinstance(error, NetworkError):
            raise error
        context.console.warn(error.message)
        return ()
    found = read_units(json.loads(outcome.stdout), context.host.toolchains[0].host)
    if lock:
        context.run(Write(path=cached, text=json.dumps([_to_json(script) for script in found])))
    return found


def question(context: Context, target: Target, *, tests: bool, env: Mapping[str, str] = NO_ENV) -> Step:
    """Return the step that prints the unit graph. cargo downloads for it what the build needs anyway, and compiles nothing.

    `env` is added to its environment: what the build has of its own.
    """
    request, workspace = context.request, context.workspace
    flags = cargo_test_flags(workspace, request) if tests else _build_flags(context)
    toolchain = context.host.toolchains[0]
    argv = (
        str(toolchain.cargo), "test" if tests else "build", "--unit-graph", "-Zunstable-options", "--target", target.triple, *flags,
        *request.feature_flags(context.config.features), *request.lock_flags(has_lock=workspace.lock.is_file()),
        *takewhile(lambda word: word != "--", request.rest),  # what follows is for test binaries
        # A directory that does not exist, so that cargo stores nothing of what it learns about rustc in this mode.
        "--target-dir", str(workspace.target_dir / "buildlib" / "unit-graph"),
    )  # fmt: skip
    # The wrappers of rustc are no part of the question, and may be missing.
    own = {"RUSTC_BOOTSTRAP": "1", "RUSTC": str(toolchain.rustc), "RUSTC_WRAPPER": "", "RUSTC_WORKSPACE_WRAPPER": ""}
    return Step(title="crate graph", argv=argv, env={**own, **env}, cwd=context.host.cwd, stdout="keep", quiet=True, attempts=10,
                counts="crate")  # fmt: skip


def unresolved(outcome: Outcome) -> BuildError:
    """Return the error for a question that cargo could not answer."""
    failure = classify(outcome.output)
    message = f"cargo cannot resolve the crate graph: {outcome.output.strip()}"
    return NetworkError(message, failure.help) if failure.transient else BuildError(message, failure.help)


def _build_flags(context: Context) -> tuple[str, ...]:
    """Cargo's words for the selection. If nothing in it can be built, the packages alone: `doctor` works there too."""
    try:
        return (*context.selection.flags, *context.selection.target_flags)
    except (NothingToDo, UsageError):
        return package_flags(context.workspace, select_packages(context.workspace, context.request))


def read_units(graph: Mapping[str, Any], host: str) -> tuple[Script, ...]:
    """Return the scripts in the answer of `question`, in cargo's order; `host` is the triple of this machine.

    Reads the manifests of packages that use system-deps.
    """
    units: Sequence[Mapping[str, Any]] = graph["units"]
    found: list[Script] = []
    for unit in units:
        kind = unit["target"]["kind"]
        if unit["mode"] == "run-custom-build":
            compiled = [units[index] for index in _dependencies(unit) if _is_script(units[index])]
        elif kind == ["proc-macro"] and unit["mode"] == "build":
            compiled = [unit]
        else:
            continue
        name, version = package_id(unit["pkg_id"])
        crates = _linked(units, compiled)
        found.append(Script(
            package=name, version=version, for_host=unit["platform"] is None, features=frozenset(unit["features"]), crates=crates,
            system_deps=declared(Path(unit["target"]["src_path"]), unit["features"], unit["platform"] or host)
            if "system-deps" in crates else (),
        ))  # fmt: skip
    return tuple(found)


def count_host_units(graph: Mapping[str, Any]) -> int:
    """The number of units in the answer of `question` that are compiled or run for this machine itself.

    Cargo prints a message about each, also if it is up to date.
    """
    return sum(unit["platform"] is None and unit["mode"] in ("build", "run-custom-build") for unit in graph["units"])


def _dependencies(unit: Mapping[str, Any]) -> Iterable[int]:
    return (dependency["index"] for dependency in unit["dependencies"])


def _is_script(unit: Mapping[str, Any]) -> bool:
    kind: list[str] = unit["target"]["kind"]
    return kind == ["custom-build"] and unit["mode"] == "build"


def _linked(units: Sequence[Mapping[str, Any]], roots: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The packages whose libraries are compiled into `roots`, directly or through others. Procedural macros are not linked."""
    linked: dict[str, str] = {}
    seen: set[int] = set()
    queue = [index for root in roots for index in _dependencies(root)]
    while queue:
        index = queue.pop()
        unit = units[index]
        if index in seen or unit["mode"] != "build" or unit["target"]["kind"] == ["proc-macro"]:
            continue
        seen.add(index)
        name, release = package_id(unit["pkg_id"])
        linked[name] = max(release, linked.get(name, ""), key=version_numbers)
        queue.extend(_dependencies(unit))
    return dict(sorted(linked.items()))


def package_id(text: str) -> tuple[str, str]:
    """Return name and version of a package ID.

    Since cargo 1.77 it is a URL (the Cargo Book, "Package ID Specifications"), `<source>#name@1.2.3`, or `<source>/name#1.2.3` if the
    source ends with the name; before that "name 1.2.3 (<source>)".
    """
    if text.endswith(")"):
        name, version = text.split(" ")[:2]
        return name, version
    source, _, fragment = text.rpartition("#")
    name, _, version = fragment.rpartition("@")
    return name or source.partition("?")[0].rstrip("/").rpartition("/")[2], version


def _to_json(script: Script) -> list[Any]:
    sets = (sorted(script.features), script.crates, script.system_deps)
    return [script.package, script.version, script.for_host, *sets]


def _from_json(row: list[Any]) -> Script:
    package, version, for_host, features, crates, system_deps = row
    return Script(
        package=package, version=version, for_host=for_host, features=frozenset(features), crates=crates,
        system_deps=tuple(system_deps),
    )  # fmt: skip
