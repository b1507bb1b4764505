"""The container engine: the builder, made, shown and removed; and the compile that runs in it."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import buildlib
from buildlib import artifacts, build, builder, buildx, dist, dockerfile, image, uplink
from buildlib.builder import Builder
from buildlib.buildx import Recipe
from buildlib.context import Context
from buildlib.errors import BuildError, CompileFailed, Lacking, NetworkError, NothingToDo, Refused, UsageError
from buildlib.failures import classify
from buildlib.files import holding, text_of
from buildlib.plan import Outcome, Step, Write, words
from buildlib.targets import Target
from buildlib.uplink import Uplink
from buildlib.workspace import Component

WITHOUT = "install Docker and buildx; or --output with -musl arches, which needs neither"


# --- the builder ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The builder that is wanted, and what is there."""

    wanted: Builder
    there: bool
    differs: tuple[str, ...]


def inspect(context: Context) -> State:
    """The builder as the settings want it, and as it is. Lacking without Docker or buildx."""
    wanted = builder.wanted(context.config)
    try:
        asked = context.run(builder.question())
    except Lacking as error:
        raise Lacking(error.message, WITHOUT) from None
    if not asked:
        # docker without the plugin says what it does not know, and then a page of help.
        (cause, *_) = (line for line in (*asked.output.splitlines(), f"exit code {asked.code}") if line.strip())
        raise Lacking(f"docker buildx: {cause}", WITHOUT)
    told = builder.find_builder(asked.stdout, wanted.name)
    return State(wanted=wanted, there=told is not None, differs=builder.drift(told, wanted) if told else ())


def create(context: Context, *, force: bool) -> State:
    """The builder of the settings is there. One that differs is an error that says in what, or made anew with `force`; what
    could not be made whole is taken away again."""
    name = context.config.builder["name"]
    with holding(
        context.host.cache / "builders", lambda: context.console.note(f"builder {name}: waiting for another run")
    ):
        found = inspect(context)
        if found.differs and not force:
            listed = "".join(f"\n  {line}" for line in found.differs)
            raise BuildError(f"builder {name} is another one:{listed}", "make it anew with --force; its cache goes")
        if found.differs:
            done(context.run(builder.remove(name)))
        if found.differs or not found.there:
            _make(context, found.wanted)
        return found


def _make(context: Context, wanted: Builder) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for act in builder.create(wanted, Path(scratch)):
                done(context.run(act))
        except BaseException:
            context.run(replace(builder.remove(wanted.name), quiet=True))
            raise


def remove(context: Context) -> None:
    """Takes the builder of the settings away, with its cache. NothingToDo when it is not there."""
    found = inspect(context)
    if not found.there:
        raise NothingToDo(f"no builder is called {found.wanted.name!r}")
    done(context.run(builder.remove(found.wanted.name)))


# --- compiling in a container ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """How the compile in a container runs: `network` is "host" where that was asked for, `fresh` forgets what is cached."""

    network: str = ""
    fresh: bool = False


def compile(
    context: Context,
    targets: tuple[Target, ...],
    components: tuple[str, ...],
    revision: str,
    epoch: int,
    inside: Inside,
) -> None:
    """The stage `binaries` for each target, gated again on this machine, in dist/. CompileFailed when cargo fails in it."""
    names = tuple(component.name for component in context.workspace.pick(components))
    with tempfile.TemporaryDirectory() as scratch, uplink.opened(context, uplink.foresee(context)) as way:
        recipe = _recipe(context, names, revision, epoch, Path(scratch))
        recipe = replace(recipe, contexts={**recipe.contexts, **led(context, way, context.config.builder["compiler"])})
        for target in targets:
            with context.console.fold(f"{target.name} · in a container"):
                out = Path(scratch) / target.name
                step = _step(context, recipe, target, out, inside)
                outcome = context.run(step)
                if not outcome:
                    raise _compile_error(target, outcome)
                if outcome.ran:
                    _accept(context, target, names, out)


def led(context: Context, way: Uplink, base: str) -> dict[str, str]:
    """The build context that makes a base image found by the name that leads to it; none for none, and where BuildKit goes there
    straight. What a Dockerfile of the workspace's own begins with is not known."""
    if not base or way.direct or image.own_dockerfile(context):
        return {}
    return {base: f"docker-image://{way.name(base)}"}


def _recipe(context: Context, names: tuple[str, ...], revision: str, epoch: int, scratch: Path) -> Recipe:
    config = context.config
    settings = {"PROFILE": config.profile, "GLIBC": config.glibc, "FEATURES": ",".join(config.features)}
    args = {f"BUILDLIB_{name}": value for name, value in settings.items() if value}
    return Recipe(
        builder=config.builder["name"], file=file_of(context, scratch), context=context.workspace.root, epoch=epoch,
        contexts={"buildlib": str(Path(buildlib.__file__).parent)},
        args={"COMPONENT": ",".join(names), "SOURCE_COMMIT": revision, "WORKSPACE": _name(context.workspace.root)} | args,
        more=secrets(context),
    )  # fmt: skip


def _name(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def file_of(context: Context, scratch: Path, only: Component | None = None) -> Path:
    """The workspace's own Dockerfile, or one made from the settings in `scratch`: of all components, or of one."""
    if image.own_dockerfile(context):
        return context.workspace.root / dockerfile.NAME
    for act in files(context, scratch, only):
        context.run(act)
    return scratch / dockerfile.NAME


def files(context: Context, folder: Path, only: Component | None = None) -> tuple[Write, ...]:
    """The Dockerfile of all components, or of one, and what it is to ignore."""
    ours = [
        path for path in (context.workspace.target_dir, context.dist) if path.is_relative_to(context.workspace.root)
    ]
    ignored = dockerfile.ignored(str(path.relative_to(context.workspace.root)) for path in ours)
    file = folder / dockerfile.NAME
    return (
        Write(path=file, text=image.dockerfile_text(context, only)),
        Write(path=file.with_name(f"{file.name}.dockerignore"), text=ignored),
    )


def write(context: Context) -> tuple[Write, ...]:
    """The files of the workspace's own. UsageError where there is a Dockerfile that somebody wrote, or changed."""
    if image.own_dockerfile(context):
        raise UsageError(
            f"{dockerfile.NAME} is there, and is another one",
            "compare it with `buildlib dockerfile`, or remove it first",
        )
    file, ignored = files(context, context.workspace.root)
    made = (file,) if ignored.path.exists() else (file, ignored)
    for act in made:
        context.run(act)
    return made


def secrets(context: Context) -> tuple[str, ...]:
    """Flags that hand in what this machine trusts and where its pip looks; nothing of it stays in a layer."""
    env, home = context.host.env, context.host.env.get("HOME", "/")
    bundles = (env.get("SSL_CERT_FILE", ""), dockerfile.CERTIFICATES, "/etc/pki/tls/certs/ca-bundle.crt")
    settings = (
        env.get("PIP_CONFIG_FILE", ""),
        f"{home}/.config/pip/pip.conf",
        f"{home}/.pip/pip.conf",
        "/etc/pip.conf",
    )
    found = {
        name: next((path for path in paths if path and context.host.exists(Path(path))), "")
        for name, paths in (("certificates", bundles), ("pip", settings))
    }
    return words("--secret", (f"id={name},src={path}" for name, path in found.items() if path))


def _step(context: Context, recipe: Recipe, target: Target, out: Path, inside: Inside) -> Step:
    recipe = replace(recipe, args={**recipe.args, "LIBC": dockerfile.libc(target)})
    more = (
        "--output", f"type=local,dest={out}", *_cache(context, target),
        *(("--network", "host", "--allow", "network.host") if inside.network == "host" else ()),
        *(("--no-cache",) if inside.fresh else ()),
    )  # fmt: skip
    return replace(buildx.build(f"compile {target.name}", recipe, "binaries", (target,), *more), held=False)


def _cache(context: Context, target: Target) -> tuple[str, ...]:
    """A cache outside the builder, one for each arch: a run for one arch does not throw away what another has left."""
    where = context.config.builder["cache"]
    if where == "registry":
        reference = f"type=registry,ref={image.registry(context)}/buildcache:{target.name}"
        return ("--cache-from", reference, "--cache-to", f"{reference},mode=max")
    if where:
        folder = context.workspace.root / where / target.name
        return ("--cache-from", f"type=local,src={folder}", "--cache-to", f"type=local,dest={folder},mode=max")
    return ()


def _compile_error(target: Target, outcome: Outcome) -> BuildError:
    """The container's buildlib said it all, and was shown; its exit code is ours."""
    found = re.findall(r"did not complete successfully: exit code: (\d+)", outcome.output)
    kinds = {kind.code: kind for kind in (CompileFailed, Refused, NetworkError, Lacking)}
    if found and int(found[-1]) in kinds:
        return kinds[int(found[-1])](f"{target.name}: the compile in the container ended with {found[-1]}", "see above")
    return error_of(outcome)


def _accept(context: Context, target: Target, names: tuple[str, ...], out: Path) -> None:
    """What came out of the stage passes this machine's gate, and gets into dist/."""
    entries = [
        e for e in dist.entries(text_of(out / "manifest.json")) if e["arch"] == target.name and e["binary"] in names
    ]
    if missing := set(names) - {entry["binary"] for entry in entries}:
        raise Refused(f"{target.name}: the stage `binaries` has no {', '.join(sorted(missing))}", "see above")
    refusals, accepted = [], []
    for entry in entries:
        path = out / entry["path"]
        facts = artifacts.read(path)
        found, started = build.gate(context, path, facts, target, entry["floor"])
        refusals += [f"{entry['binary']}: {refusal}" for refusal in found]
        accepted.append({**entry, "size": facts.size, "sha256": facts.sha256, "started": started})
    build.refuse(target, refusals)
    build.publish(context, accepted, {entry["path"]: out / entry["path"] for entry in accepted})


# --- what docker says when it fails ----------------------------------------------------------------------------


def done(outcome: Outcome) -> Outcome:
    """The outcome, when it is one of success."""
    if outcome:
        return outcome
    raise error_of(outcome)


def error_of(outcome: Outcome) -> BuildError:
    """What a command of docker's failed of."""
    failure = classify(outcome.output)
    kind = NetworkError if failure.transient else Lacking if failure.kind == "builder" else BuildError
    title = outcome.step.title if isinstance(outcome.step, Step) else "docker"
    return kind(f"{title}: {failure.cause or last_line(outcome)}", failure.cure)


def last_line(outcome: Outcome) -> str:
    """What a tool said last, without buildx's `ERROR: `."""
    return outcome.last.removeprefix("ERROR: ")
