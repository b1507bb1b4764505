"""Invoke's door: flags in, exit code out. No logic; the flows are in build.py and provision.py."""

from __future__ import annotations

import functools
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Collection, Exit, Program, task
from invoke.exceptions import ParseError

from buildlib import __version__
from buildlib.console import Console
from buildlib.errors import BuildError, Interrupted, UsageError
from buildlib.targets import nearest

if TYPE_CHECKING:
    from buildlib.context import Context

ARCH = "amd64, arm64, armv7, ...; all, native; may be repeated or hold commas"
JSON = "the result as JSON on stdout"


def door(body: Callable[..., int | None]) -> Callable[..., None]:
    """Errors become one message and an exit code; Invoke would print a traceback for any that is not its own."""

    @functools.wraps(body)  # keeps Invoke's flags and help
    def enter(c: Any, **kwargs: Any) -> None:
        # Invoke switches bytecode files off; without them every start would compile our modules anew.
        sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
        signal.signal(signal.SIGTERM, _interrupt)
        console = Console(os.environ)
        try:
            code = body(c, console, **kwargs)
        except KeyboardInterrupt:
            console.explain(Interrupted("interrupted"))
            code = Interrupted.code
        except BuildError as error:
            console.explain(error)
            code = error.code
        if code:  # Exit(code=0) would end `inv a b` after a
            raise Exit(code=code)

    # Invoke hands over the context alone; the console is the door's.
    del enter.__wrapped__
    enter.__signature__ = _without_console(body)  # type: ignore[attr-defined]
    return enter


def _without_console(body: Callable[..., Any]):
    import inspect

    signature = inspect.signature(body)
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name != "console"])


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _enter(c: Any, console: Console, flags: Mapping[str, Any] | None = None, *, anywhere: bool = False) -> Context:
    """The context. It waits for cargo and rustc most of the time; meanwhile the flows are imported."""
    from concurrent.futures import ThreadPoolExecutor

    from buildlib.context import enter

    with ThreadPoolExecutor(max_workers=1) as pool:
        dry = c.config.run.dry
        entering = pool.submit(enter, os.environ, Path.cwd(), flags or {}, console, dry=dry, anywhere=anywhere)
        importlib.import_module("buildlib.report")
        return entering.result()


def _here(folder: str) -> str:
    """A folder from the command line is seen from where the person stands, one from a file from the workspace."""
    return str(Path(folder).expanduser().absolute()) if folder else ""


def _split(words: list[str]) -> list[str]:
    return [part.strip() for word in words for part in word.split(",") if part.strip()]


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
        "profile": profile, "backend": backend, "glibc": glibc, "features": _split(features),
        "target_dir": _here(target_dir), "dist": _here(dist),
    }  # fmt: skip
    context = _enter(c, console, flags)
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
        "push": "to the registry, through buildx: by digest, checked, then tagged",
        "registry": "HOST/PATH that the components' names are put behind",
        "output": "OCI image layouts of static binaries, a folder for each component; without Docker",
        "build": "with --no-build, dist/ is taken as it is",
        "force": "make the builder anew when it is not as the settings say",
        "json": JSON,
    },
)
@door
def image(c, console, arch, component, tag, push=False, registry="", output="", build=True, force=False, json=False):
    """Multi-platform images of the binaries."""
    if push == bool(output):
        raise UsageError("where to?", "say --push, or --output DIR")
    context = _enter(c, console, {"registry": registry})
    words, tags = tuple(component), tuple(_split(tag))
    from buildlib import image as layouts
    from buildlib import push as pushes
    from buildlib import report

    targets = context.targets(tuple(arch), "all")
    if not arch:
        targets = layouts.one_each(targets, static=not push)
    if push:
        made = pushes.push(context, targets, words, tags, compile=build, force=force)
    else:
        made = layouts.layouts(context, targets, words, tags, Path(_here(output)), compile=build)
    report.pictured(console, made, as_json=json)


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

    context = _enter(c, console, {"glibc": glibc}, anywhere=True)
    verdicts = flow.verify(context, [Path(word) for word in _split(path)] or [context.dist])
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
    context = _enter(c, console)
    context = replace(context, run=Dry(console, os.environ, context.config.retry))
    _, builds = flow.plan(context, context.targets(tuple(arch), "all"), tuple(component))
    report.planned(console, builds, as_json=json)


@task(auto_shortflags=False, help={"json": JSON})
@door
def config(c, console, json=False):
    """Every setting, its value, and what set it."""
    from buildlib import report

    report.settings(console, _enter(c, console).config, as_json=json)


@task(
    auto_shortflags=False,
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: all",
        "json": JSON,
        "fix": "carry the cures out, as `setup` does",
        "yes": "do not ask",
    },
)
@door
def doctor(c, console, arch, json=False, fix=False, yes=False):
    """What this machine lacks for a build, and the cures."""
    if fix:
        return _setup(c, console, arch, yes)
    from buildlib import doctor as needs
    from buildlib import provision, report

    context = _enter(c, console)
    targets = context.targets(tuple(arch), "all")
    wanted = provision.needs(context, targets, provision.backends(context, targets))
    lacking = needs.missing(wanted, context.host)
    report.examined(console, wanted, lacking, as_json=json)
    return 4 if any(need.must for need in lacking) else 0


@task(auto_shortflags=False, iterable=["arch"], help={"arch": f"{ARCH}; default: all", "yes": "do not ask"})
@door
def setup(c, console, arch, yes=False):
    """Install what a build lacks here, and nothing else (`doctor --fix`)."""
    return _setup(c, console, arch, yes)


def _setup(c: Any, console: Console, arch: list[str], yes: bool) -> None:
    from buildlib import provision

    provision.bootstrap(console, os.environ, Path.cwd(), dry=c.config.run.dry, yes=yes)
    context = _enter(c, console)
    provision.setup(context, context.targets(tuple(arch), "all"), yes=yes)


namespace = Collection(build, image, verify, plan, config, doctor, setup)


class Buildlib(Program):
    """The console script: Invoke's program with our exit codes, and words after `verify` taken as paths."""

    def parse_core(self, argv: list[str] | None) -> None:
        self._usage(super().parse_core, with_paths(sys.argv if argv is None else argv))

    def parse_tasks(self) -> None:
        self._usage(super().parse_tasks)

    def parse_cleanup(self) -> None:
        self._usage(super().parse_cleanup)

    def _usage(self, parse: Callable[..., None], *args: Any) -> None:
        try:
            parse(*args)
        except ParseError as error:
            word = next(iter(re.findall(r"'(.+?)'", str(error))), "")
            near = nearest(word, namespace.task_names)
            raise Exit(f"error: {error}" + (f"\n  cure: did you mean {near!r}?" if near else ""), code=2) from None


def with_paths(argv: list[str]) -> list[str]:
    """`verify a b` as `verify --path a --path b`: Invoke has no positional argument that may be left out or repeated."""
    if "verify" not in argv[1:2]:
        return argv
    found, takes_value = argv[:2], False
    for word in argv[2:]:
        found += [word] if takes_value or word.startswith("-") else ["--path", word]
        takes_value = word in ("--path", "--glibc")
    return found


def main() -> None:
    """The console script `buildlib`."""
    Buildlib(name="buildlib", binary="buildlib", version=__version__, namespace=namespace).run()
