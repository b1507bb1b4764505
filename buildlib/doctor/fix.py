"""`setup` and `doctor --fix`: install what is missing, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from buildlib.builder import builder_commands
from buildlib.core.errors import BuildError, MissingRequirements, NetworkError
from buildlib.core.layers import OWN_SETTINGS, resolve
from buildlib.core.plan import Step
from buildlib.core.requirements import Requirement, apt_install, describe, missing
from buildlib.core.targets import Target
from buildlib.doctor import checks, engine
from buildlib.failures.classify import classify
from buildlib.machine.host import Host, probe
from buildlib.machine.workspace import find_project
from buildlib.process.console import Console
from buildlib.process.context import Context
from buildlib.process.runner import DryRunner, Runner
from buildlib.rust import provision, std
from buildlib.rust.std import DISTRIBUTION_RUST
from buildlib.sysroot import install as sysroots

UPDATE = Step(title="package lists", argv=("apt-get", "update"), attempts=3)


def bootstrap(console: Console, env: Mapping[str, str], cwd: Path, *, dry: bool, yes: bool) -> None:
    """Install Rust on a machine that has none, before anything else, because everything else asks cargo.

    Not for a project without Rust. UsageError outside of a project.
    """
    if find_project(cwd).name == OWN_SETTINGS:
        return
    host = probe(env, cwd)
    if not host.toolchains:
        install_rust(host, (DryRunner if dry else Runner)(console, env, resolve().retry), yes=yes)


def fix(context: Context, targets: tuple[Target, ...], *, yes: bool) -> None:
    """Fix what can be fixed: the requirements of a build, then those of images, which are checked again afterwards.

    MissingRequirements when the user says no, or when something required is still missing.
    """
    if context.workspace.has_rust:
        setup(context, targets, yes=yes)
    absent = missing(checks.image_requirements(context, targets), context.host)
    differing = [requirement for requirement in absent if requirement.what.endswith(engine.AS_CONFIGURED)]
    fixable = [requirement for requirement in absent if any(fix.steps for fix in requirement.fixes)]
    steps = tuple(
        {step.argv: step for requirement in fixable for fix in requirement.fixes for step in fix.steps}.values()
    )
    try:
        if steps:
            confirm(context.host, context.run, "; ".join(step.title for step in steps), yes=yes)
            as_root(context.host, context.run, steps)
        if differing:
            confirm(context.host, context.run, "the builder, recreated without its cache", yes=yes)
            builder_commands.create(context, force=True)
    except BuildError as error:
        context.console.warn(f"{error.message}; help: {error.help}")
    if context.run.dry or not (fixable or differing):
        return
    context = context.refreshed()
    tried = {requirement.what for requirement in (*fixable, *differing)}
    still_absent = missing(checks.image_requirements(context, targets), context.host)
    _report(context, [requirement for requirement in still_absent if requirement.what in tried])


def setup(context: Context, targets: tuple[Target, ...], *, yes: bool) -> None:
    """Install what a build of `targets` needs. Errors as in `fix`."""
    context = sysroots.provide(context, targets)
    chosen = provision.backends(context, targets)
    absent = missing(provision.requirements(context, chosen), context.host)
    for step in own_steps(absent):
        confirm(context.host, context.run, step.title, yes=yes)
        if not context.run(step):
            context.console.warn(f"{step.title}: not installed")
    if names := packages(absent):
        try:
            _apt(context.host, context.run, names, yes=yes)
        except MissingRequirements as error:
            if any(requirement.required for requirement in absent):
                raise
            context.console.warn(f"{error.message}; help: {error.help}")
    local = tuple(target for target, backend in chosen.items() if backend.local)
    context, compilers = provision.provide_std(context, local, compiling=False)
    # What is left must be compiled from rustc's sources; without them, install the distribution's Rust, which brings its own.
    if any(target not in compilers and not _can_compile_std(context, target) for target in local):
        install_rust(context.host, context.run, yes=yes)
    if context.run.dry:
        return
    context = context.refreshed()
    _report(context, missing(provision.requirements(context, chosen), context.host))


def _report(context: Context, absent: Iterable[Requirement]) -> None:
    """Warn of what is still missing; MissingRequirements for what is required."""
    absent = tuple(absent)
    for requirement in absent:
        if not requirement.required:
            help_text = requirement.fixes[0].text
            context.console.warn(f"still missing: {requirement.what} ({requirement.why}); help: {help_text}")
    if required := [requirement for requirement in absent if requirement.required]:
        raise MissingRequirements(f"still missing:\n{describe(required)}")


def _can_compile_std(context: Context, target: Target) -> bool:
    """Whether a source of std for `target` compiles it."""
    return any(source.job.scratch for source in std.sources(context.host, target))


def packages(absent: Iterable[Requirement]) -> tuple[str, ...]:
    """The distribution's packages that the last fix of each requirement installs, each once."""
    steps = (step for requirement in absent for fix in requirement.fixes[-1:] if fix.root for step in fix.steps)
    return tuple(dict.fromkeys(name for step in steps for name in step.argv[4:]))


def own_steps(absent: Iterable[Requirement]) -> tuple[Step, ...]:
    """The steps that install into the user's own environment, without root; each once."""
    steps = (step for requirement in absent for fix in requirement.fixes if not fix.root for step in fix.steps)
    return tuple({step.argv: step for step in steps}.values())


def install_rust(host: Host, run: Runner, *, yes: bool) -> None:
    """Install the distribution's Rust with its sources, for a machine without Rust, or one whose Rust has no std for a target.

    MissingRequirements where the distribution has no such packages.
    """
    _require_apt(host, "Rust with its sources")
    confirm(host, run, "Rust with its sources", yes=yes)
    as_root(host, run, (UPDATE,))
    for names in DISTRIBUTION_RUST:
        if run(Step(title="packages", argv=("apt-cache", "show", *names), stdout="keep", quiet=True)):
            as_root(host, run, (apt_install(*names),))
            return
    raise MissingRequirements("the distribution has no Rust with its sources", "install Rust from https://rustup.rs")


def _apt(host: Host, run: Runner, names: tuple[str, ...], *, yes: bool) -> None:
    _require_apt(host, " ".join(names))
    confirm(host, run, " ".join(names), yes=yes)
    as_root(host, run, (UPDATE, apt_install(*names)))


def confirm(host: Host, run: Runner, what: str, *, yes: bool) -> None:
    """Print what will be installed, and ask, unless `yes` or in CI. MissingRequirements when the answer is no."""
    run.console.note(f"to install: {what}")
    if not (yes or "CI" in host.env or run.dry or run.console.confirm("Install this?")):
        raise MissingRequirements("nothing was installed", "confirm with --yes, or install it yourself")


def _require_apt(host: Host, what: str) -> None:
    if not host.which("apt-get"):
        raise MissingRequirements(f"no apt-get to install {what}", "install it with this system's package manager")


def as_root(host: Host, run: Runner, steps: tuple[Step, ...]) -> None:
    """Run the steps as root. NetworkError or MissingRequirements with the cause for the first that fails."""
    for step in steps:
        outcome = run(privileged(host, step))
        if not outcome:
            failure = classify(outcome.output)
            error = NetworkError if failure.transient else MissingRequirements
            raise error(f"{step.title}: {failure.cause}", failure.help, failure.kind)


def privileged(host: Host, step: Step) -> Step:
    """The step as root: itself, or through sudo, which may ask for a password on the terminal."""
    return step if host.root else replace(step, argv=("sudo", *step.argv), terminal=True)
