"""Commands that make something: binaries, images, the Dockerfile, the builder. No logic; the flows are in build.py and images.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invoke import task

from buildlib.console import Console
from buildlib.door import ARCH, JSON, door, here, look_around, split
from buildlib.errors import UsageError


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
        "strict": "refuse a Dockerfile that `lint` finds something in",
        "json": JSON,
    },
)
@door
def image(c, console, arch, component, tag, push=False, load=False, output="", registry="", build=True, in_docker=False,
          cache="", network="", sbom=False, provenance=False, force=False, strict=False, json=False):  # fmt: skip
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
        targets=targets, components=tuple(component), tags=tuple(split(tag)), compile=build, force=force, strict=strict,
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
