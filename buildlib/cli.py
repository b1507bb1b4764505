"""Invoke's door: flags in, exit code out. No logic; the flows are in build.py, images.py and provision.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from invoke import Collection, task

from buildlib.console import Console
from buildlib.door import door, here, look_around, split
from buildlib.errors import NetworkError, UsageError

ARCH = "amd64, arm64, armv7, ...; all, native; may be repeated or hold commas"
JSON = "the result as JSON on stdout"


@task(
    auto_shortflags=False,
    iterable=["arch", "component", "features"],
    help={
        "arch": f"{ARCH}; default: native",
        "component": "a binary of the workspace; default: all",
        "profile": "cargo profile",
        "backend": "auto, zig, gcc or cross",
        "glibc": "the oldest glibc the binaries may need, e.g. 2.31",
        "features": "cargo features",
        "target_dir": "where to compile; default: cargo's own",
        "dist": "where the binaries go",
        "json": JSON,
    },
)
@door
def build(c, console, arch, component, features, profile="", backend="", glibc="", target_dir="", dist="", json=False):
    """Compile, verify, and put the binaries into dist/<arch>/."""
    flags = {
        "profile": profile, "backend": backend, "glibc": glibc, "features": split(features),
        "target_dir": here(target_dir), "dist": here(dist),
    }  # fmt: skip
    context = look_around(c, console, flags)
    from buildlib import build as flow
    from buildlib import report

    results = flow.build(context, context.targets(tuple(arch), "native"), tuple(component))
    report.built(console, results, as_json=json)
    return next((result.error.code for result in results if result.error), 0)


@task(
    auto_shortflags=False,
    iterable=["arch", "component", "tag"],
    help={
        "arch": f"{ARCH}; default: all, one for each platform",
        "component": "a binary of the workspace; default: all",
        "tag": "default: the component's version, and with --push latest",
        "push": "to the registry: by digest, checked, then tagged",
        "load": "into the Docker daemon, for one platform",
        "output": "OCI image layouts, a folder for each component; for static binaries without Docker",
        "registry": "HOST/PATH that the components' names are put behind",
        "build": "with --no-build, dist/ is taken as it is",
        "in_docker": "compile in a container: the stage `compile` of the Dockerfile",
        "cache": "of --in-docker: registry, or a folder; one for each arch",
        "network": "of --in-docker: host lets the compile use this machine's",
        "sbom": "attest what is inside",
        "provenance": "attest how it was made",
        "force": "forget what is cached; make the builder anew when it is not as the settings say",
        "json": JSON,
    },
)
@door
def image(c, console, arch, component, tag, push=False, load=False, output="", registry="", build=True, in_docker=False,
          cache="", network="", sbom=False, provenance=False, force=False, json=False):  # fmt: skip
    """Multi-platform images of the binaries."""
    if push + load + bool(output) != 1:
        raise UsageError("where to?", "say one of --push, --load and --output DIR")
    if network not in ("", "host"):
        raise UsageError(f"--network {network}: there is only host", "leave it out for the builder's own")
    if (network or cache) and not in_docker:
        raise UsageError("--network and --cache are of --in-docker", "say that too, or leave them out")
    builder = {"cache": cache if cache == "registry" else here(cache)} if cache else {}
    context = look_around(c, console, {"registry": registry, "builder": builder})
    from buildlib import image as pictures
    from buildlib import images as flow
    from buildlib import report
    from buildlib.engine import Inside

    targets = context.targets(tuple(arch), "native" if load else "all")
    if not arch:
        targets = pictures.one_each(targets, static=bool(output))
    asked = flow.Asked(
        targets=targets, components=tuple(component), tags=tuple(split(tag)), compile=build, force=force,
        inside=Inside(network=network) if in_docker else None, attested=_attested(sbom, provenance),
    )  # fmt: skip
    made = (
        flow.keep(context, asked, Path(here(output))) if output else (flow.push if push else flow.load)(context, asked)
    )
    report.pictured(console, made, as_json=json)
    return next((image.error.code for image in made if image.error), 0)


def _attested(sbom: bool, provenance: bool) -> tuple[str, ...]:
    """buildx's flags for what was asked for; it would add a provenance by itself."""
    if not (sbom or provenance):
        return ()
    return (f"--provenance={'mode=max' if provenance else 'false'}", *(("--sbom=true",) if sbom else ()))


@task(auto_shortflags=False, help={"write": "as Dockerfile.multiarch, which `image` will use as it stands"})
@door
def dockerfile(c, console, write=False):
    """The Dockerfile of the images, made from the settings."""
    context = look_around(c, console)
    from buildlib import engine, report

    report.written(console, engine.write(context) if write else engine.files(context, context.workspace.root), write)


def _builder(c: Any, console: Console) -> Any:
    context = look_around(c, console)
    from buildlib import engine

    return context, engine


@task(default=True, auto_shortflags=False, help={"json": JSON})
@door
def inspect(c, console, json=False):
    """The builder that images are made with, and in what it differs from the settings."""
    context, engine = _builder(c, console)
    from buildlib import report

    state = engine.inspect(context)
    report.builder(console, state, as_json=json)
    return 0 if state.there and not state.differs else 1


@task(auto_shortflags=False, help={"force": "make it anew when it differs from the settings; its cache goes"})
@door
def create(c, console, force=False):
    """Make the builder, if it is not there."""
    context, engine = _builder(c, console)
    engine.create(context, force=force)


@task(auto_shortflags=False)
@door
def remove(c, console):
    """Remove the builder, and its cache with it."""
    context, engine = _builder(c, console)
    engine.remove(context)


@task(
    auto_shortflags=False,
    iterable=["path"],
    help={
        "path": "a file or folder; default: dist",
        "glibc": "the oldest glibc that files without a manifest may need",
        "json": JSON,
    },
)
@door
def verify(c, console, path, glibc="", json=False):
    """The gate alone, on files and folders."""
    from buildlib import build as flow
    from buildlib import report

    context = look_around(c, console, {"glibc": glibc}, anywhere=True)
    verdicts = flow.verify(context, [Path(word) for word in split(path)] or [context.dist])
    report.verified(console, verdicts, as_json=json)
    return 6 if any(verdict.refusals for verdict in verdicts) else 0


@task(
    auto_shortflags=False,
    iterable=["arch", "component"],
    help={"arch": f"{ARCH}; default: all", "component": "a binary", "json": JSON},
)
@door
def plan(c, console, arch, component, json=False):
    """What `build` would run, as a table or JSON. Nothing is changed."""
    from dataclasses import replace

    from buildlib import build as flow
    from buildlib import report
    from buildlib.runner import Dry

    console.quiet = True
    context = look_around(c, console)
    context = replace(context, run=Dry(console, os.environ, context.config.retry))
    _, builds = flow.plan(context, context.targets(tuple(arch), "all"), tuple(component))
    report.planned(console, builds, as_json=json)


@task(auto_shortflags=False, help={"json": JSON})
@door
def config(c, console, json=False):
    """Every setting, its value, and what set it."""
    from buildlib import report

    report.settings(console, look_around(c, console).config, as_json=json)


@task(
    auto_shortflags=False,
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: all",
        "json": JSON,
        "network": "the way to each registry, leg by leg, from here and from the builder",
        "fix": "carry the cures out, as `setup` does",
        "yes": "do not ask",
    },
)
@door
def doctor(c, console, arch, network=False, json=False, fix=False, yes=False):
    """What this machine lacks for a build, and the cures."""
    if fix:
        return _setup(c, console, arch, yes)
    if network:
        return _survey(c, console, json)
    from buildlib import doctor as needs
    from buildlib import provision, report

    context = look_around(c, console)
    targets = context.targets(tuple(arch), "all")
    wanted = provision.needs(context, targets, provision.backends(context, targets))
    lacking = needs.missing(wanted, context.host)
    report.examined(console, wanted, lacking, as_json=json)
    return 4 if any(need.must for need in lacking) else 0


def _survey(c: Any, console: Console, as_json: bool) -> int:
    from buildlib import report
    from buildlib.survey import survey

    found = survey(look_around(c, console))
    report.surveyed(console, found, as_json=as_json)
    return NetworkError.code if any(leg.failure for leg in found.legs) else 0


@task(auto_shortflags=False, iterable=["arch"], help={"arch": f"{ARCH}; default: all", "yes": "do not ask"})
@door
def setup(c, console, arch, yes=False):
    """Install what a build lacks here, and nothing else (`doctor --fix`)."""
    return _setup(c, console, arch, yes)


def _setup(c: Any, console: Console, arch: list[str], yes: bool) -> None:
    from buildlib import provision

    provision.bootstrap(console, os.environ, Path.cwd(), dry=c.config.run.dry, yes=yes)
    context = look_around(c, console)
    provision.setup(context, context.targets(tuple(arch), "all"), yes=yes)


@task(
    auto_shortflags=False,
    iterable=["file"],
    help={"file": "a log; default: standard input", "json": "an object a line, one for each file"},
)
@door
def explain(c, console, file, json=False):
    """Read a failed log: what kind of failure, its cause, the cure, and whether a retry helps."""
    from buildlib import report

    named = split(file)
    if not named and sys.stdin.isatty():
        raise UsageError("no log to read", "buildlib explain FILE, or ... 2>&1 | buildlib explain")
    for name in named or ["-"]:
        report.explained(console, name, _log(name), as_json=json)


def _log(name: str) -> str:
    try:
        return (sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()).decode("utf-8", "replace")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None


namespace = Collection(build, image, dockerfile, verify, plan, config, doctor, setup, explain)
namespace.add_collection(Collection("builder", inspect, create, remove))
