"""Climb to a standard library for every target; `setup` and what `doctor` finds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from buildlib import debs, doctor, toolchain, workspace
from buildlib.backends import Backend, pick_backend
from buildlib.config import resolve
from buildlib.console import Console
from buildlib.context import Context
from buildlib.errors import BuildError, Lacking, NetworkError
from buildlib.failures import classify
from buildlib.files import text_of
from buildlib.host import Host, probe
from buildlib.plan import Need, Outcome, Step, Write, apt_install
from buildlib.runner import Dry, Shell
from buildlib.targets import Target
from buildlib.toolchain import Chosen, Rung


def backends(context: Context, targets: tuple[Target, ...]) -> dict[str, Backend]:
    """The backend of each target, by its name."""
    picked = {target.name: pick_backend(context.host, context.config, target, _libc) for target in targets}
    return {name: _with_headers(context, backend) for name, backend in picked.items()}


def _with_headers(context: Context, backend: Backend) -> Backend:
    """A gcc backend that knows gcc's own headers, where libclang is the wheel, which brings none."""
    if backend.name != "gcc" or not backend.gcc or not context.host.libclang:
        return backend
    argv = (backend.gcc, "-print-file-name=include")
    outcome = context.run(Step(title="gcc's headers", argv=argv, stdout="keep", quiet=True))
    return replace(backend, headers=outcome.stdout.strip())


def _libc(target: Target) -> str:
    """The glibc that a GNU cross compiler here links against; it cannot promise an older one."""
    from buildlib.artifacts import libc_version

    for path in (Path(f"/usr/{target.gnu}/lib/libc.so.6"), Path(f"/lib/{target.gnu}/libc.so.6")):
        if path.is_file():
            return libc_version(path)
    return ""


def needs(context: Context, targets: tuple[Target, ...], chosen: dict[str, Backend]) -> tuple[Need, ...]:
    """Everything the build of `targets` wants of this machine."""
    local = tuple(target for target in targets if chosen[target.name].name != "cross")
    return doctor.needs(targets, chosen, _host_tools(context, local))


def _host_tools(context: Context, targets: tuple[Target, ...]) -> dict[str, tuple[str, ...]]:
    """Host tool -> the crates that run it, over all targets; the crate graph is asked for only when the lock file
    names a crate that is known to run something."""
    lock = text_of(context.workspace.lock)
    if not context.host.toolchains or (lock and not workspace.may_need_tools(lock)):
        return {}
    found: dict[str, set[str]] = {}
    for target in targets:
        for tool, crates in _tools_of(context, target, lock).items():
            found.setdefault(tool, set()).update(crates)
    return {tool: tuple(sorted(crates)) for tool, crates in found.items()}


def _tools_of(context: Context, target: Target, lock: str) -> dict[str, tuple[str, ...]]:
    """The same for one target. The answer is kept beside the target folders: in a large workspace the graph takes
    cargo longer than a build that has nothing to do, and it cannot change while lock and manifests do not."""
    features = context.config.features
    manifests = [path.read_text(encoding="utf-8") for path in context.workspace.manifests]
    told = [workspace.knowledge(), target.triple, features, lock, manifests]
    kept = (
        context.workspace.target_dir / "buildlib" / f"tools-{hashlib.sha256(repr(told).encode()).hexdigest()[:16]}.json"
    )
    if lock and (answer := text_of(kept)):
        return json.loads(answer)
    outcome = context.run(workspace.graph(context.host.toolchains[0].cargo, context.workspace, target, features))
    if not outcome:
        failure = classify(outcome.output)
        kind = NetworkError if failure.transient else BuildError
        raise kind(f"cargo cannot resolve the crate graph: {outcome.output.strip()}", failure.cure)
    tools = workspace.tools_for(workspace.read_graph(outcome.stdout))
    if lock:
        context.run(Write(path=kept, text=json.dumps(tools)))
    return tools


def climb(
    context: Context, targets: tuple[Target, ...], *, compiling: bool = True
) -> tuple[Context, dict[str, Chosen]]:
    """The compiler for every target, its std put in place by the first rung that holds. `compiling` False leaves
    out the rung that takes a minute. Lacking names the targets that no rung reached, all at once."""
    chosen: dict[str, Chosen] = {}
    tried: set[str] = set()
    offline = False
    for target in targets:
        while not (found := toolchain.ready(context.host, target)):
            rung = next((r for r in toolchain.rungs(context.host, target) if r.job.name not in tried
                         and not (offline and r.network) and (compiling or not r.job.scratch)), None)  # fmt: skip
            if rung is None:
                break
            tried.add(rung.job.name)
            outcome = _ascend(context, rung)
            if not outcome.ran:
                found = rung.gives  # a dry run: as if it had worked
                break
            # A network that is down for one target is down for the next: no second wait for it.
            offline = offline or (rung.network and not outcome and classify(outcome.output).transient)
            context = context.look_again()
        if found:
            chosen[target.name] = found
    out_of_reach = tuple(target for target in targets if target.name not in chosen)
    if out_of_reach and compiling:
        raise toolchain.lacking(context.host, out_of_reach)
    return context, chosen


def unpack(context: Context, targets: tuple[Target, ...]) -> None:
    """QEMU and the targets' C libraries into the cache, as far as they are not there and apt has them."""
    for target in targets:
        for parcel in debs.parcels(context.host, target):
            asked = context.run(debs.question(parcel))
            names = debs.files(asked.stdout) if asked else ()
            if not names or parcel not in debs.parcels(context.host, target):
                continue  # no such package, or an earlier one has brought it
            with context.console.fold(f"{' '.join(parcel.packages)} into {parcel.into}"):
                outcome = context.run.job(debs.unpack(context.host, parcel, names))
                if not outcome:
                    context.console.note(f"not to be had this way: {classify(outcome.output).cause}")


def _ascend(context: Context, rung: Rung) -> Outcome:
    with context.console.fold(rung.job.name):
        outcome = context.run.job(rung.job)
        if not outcome:
            cause = classify(outcome.output).cause or f"exit code {outcome.code}"
            context.console.note(f"not to be had this way: {cause}")
        return outcome


def bootstrap(console: Console, env: Mapping[str, str], cwd: Path, *, dry: bool, yes: bool) -> None:
    """Rust itself, on a machine that has none: everything else asks cargo."""
    host = probe(env, cwd)
    if not host.toolchains:
        install_rust(host, (Dry if dry else Shell)(console, env, resolve().retry), yes=yes)


def setup(context: Context, targets: tuple[Target, ...], *, yes: bool) -> None:
    """Install what a build of `targets` lacks here, and nothing else. Lacking when the person says no, or when
    something that must be there is still missing afterwards."""
    chosen = backends(context, targets)
    before = doctor.missing(needs(context, targets, chosen), context.host)
    for step in doctor.own_steps(before):
        agree(context.host, context.run, step.title, yes=yes)
        if not context.run(step):
            context.console.warn(f"{step.title}: not done")
    if packages := doctor.packages(before):
        try:
            _apt(context.host, context.run, packages, yes=yes)
        except Lacking as error:
            if any(need.must for need in before):
                raise
            context.console.warn(f"{error.message}; {error.cure}")  # and below, what is left out
    context, have = climb(context, targets, compiling=False)
    # What is left must be built from sources; without them, the distribution's Rust brings its own.
    if any(t.name not in have and not _compiles(context, t) for t in targets if chosen[t.name].name != "cross"):
        install_rust(context.host, context.run, yes=yes)
    if context.run.dry:
        return
    context = context.look_again()
    after = doctor.missing(needs(context, targets, chosen), context.host)
    for need in after:
        if not need.must:
            context.console.warn(f"still no {need.what}; cure: {need.cures[0].text}")
    if must := [need for need in after if need.must]:
        raise Lacking(f"still missing:\n{doctor.describe(must)}")


def _compiles(context: Context, target: Target) -> bool:
    return any(rung.job.scratch for rung in toolchain.rungs(context.host, target))


def install_rust(host: Host, run: Shell, *, yes: bool) -> None:
    """The distribution's Rust with its sources: what a machine gets that has none, or none that rustup can help."""
    _has_apt(host, "Rust with its sources")
    agree(host, run, "Rust with its sources", yes=yes)
    as_root(host, run, (_UPDATE,))
    for names in doctor.DISTRIBUTION_RUST:
        if run(Step(title="packages", argv=("apt-cache", "show", *names), stdout="keep", quiet=True)):
            as_root(host, run, (apt_install(*names),))
            return
    raise Lacking("the distribution has no Rust with its sources", "install Rust from https://rustup.rs")


def _apt(host: Host, run: Shell, packages: tuple[str, ...], *, yes: bool) -> None:
    _has_apt(host, " ".join(packages))
    agree(host, run, " ".join(packages), yes=yes)
    as_root(host, run, (_UPDATE, apt_install(*packages)))


_UPDATE = Step(title="package lists", argv=("apt-get", "update"), attempts=3)


def agree(host: Host, run: Shell, what: str, *, yes: bool) -> None:
    """Say what will be installed, and ask where somebody can answer. Lacking when the answer is no."""
    run.console.note(f"to install: {what}")
    if not (yes or "CI" in host.env or run.dry or run.console.agree("Install this?")):
        raise Lacking("nothing was installed", "say --yes, or install it yourself")


def _has_apt(host: Host, what: str) -> None:
    if not host.which("apt-get"):
        raise Lacking(f"this system has no apt-get to install {what}", "install it by the system's own means")


def as_root(host: Host, run: Shell, steps: tuple[Step, ...]) -> None:
    """The steps as root, the first that fails is an error."""
    for step in steps:
        outcome = run(doctor.privileged(host, step))
        if not outcome:
            failure = classify(outcome.output)
            kind = NetworkError if failure.transient else Lacking
            raise kind(f"{step.title}: {failure.cause}", failure.cure)
