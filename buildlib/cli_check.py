"""Commands that prove what was made: the gate, tests and benches on every architecture. No logic; the flows are in build.py,
testing.py and benching.py."""

from __future__ import annotations

import os
import re
from pathlib import Path

from invoke import task

from buildlib.door import ARCH, JSON, door, here, look_around, rest, split
from buildlib.errors import UsageError


@task(
    auto_shortflags=False,
    iterable=["path"],
    help={
        "path": "a file, a folder, or an image with its tag or digest (docker://…); default: dist",
        "glibc": "the oldest glibc that files without a manifest may need",
        "json": JSON,
    },
)
@door
def verify(c, console, path, glibc="", json=False):
    """The gate alone, on files, folders and images."""
    from buildlib import build as flow
    from buildlib import inspection, report

    context = look_around(c, console, {"glibc": glibc}, anywhere=True)
    words = split(path)
    images = [word for word in words if inspection.is_reference(word)]
    verdicts = [verdict for word in images for verdict in inspection.verify(context, word)]
    if files := [Path(word) for word in words if word not in images] or ([] if images else [context.dist]):
        verdicts += flow.verify(context, files)
    report.verified(console, verdicts, as_json=json)
    return 6 if any(verdict.refusals for verdict in verdicts) else 0


@task(
    auto_shortflags=False,
    iterable=["path", "rule"],
    help={
        "path": "a file or folder; default: this folder",
        "format": "text, json, sarif, github; default: github in GitHub Actions, else text",
        "rule": "only this rule, by name or number; may be repeated",
        "fix": "carry out the cures that need no thought",
        "strict": "information, too, is a failure",
    },
)
@door
def lint(c, console, path, rule, format="", fix=False, strict=False):
    """Portability problems in Dockerfiles, and in workflows, Cross.toml and cargo's configuration."""
    from buildlib import linting
    from buildlib.runner import Dry, Shell

    form = linting.form_of(console, format)
    root = linting.root_of(Path.cwd())
    config = linting.settings(os.environ, root)
    paths = [Path(word) for word in split(path)] or [Path()]
    linted = linting.lint(paths, config, root, split(rule))
    if fix:
        run = (Dry if c.config.run.dry else Shell)(console, os.environ, config.retry)
        for act in linting.mend(linted):
            run(act)
            console.note(f"mended {act.path}")
        linted = linted if c.config.run.dry else linting.lint(paths, config, root, split(rule))
    linting.show(console, linted, form)
    return 1 if linted.failed or (strict and linted.findings) else 0


@task(auto_shortflags=False, iterable=["arch"], help={"arch": f"{ARCH}; default: native", "json": JSON})
@door
def test(c, console, arch, json=False):
    """The workspace's tests on each architecture, under QEMU where it is not this machine's; words after -- are for cargo."""
    context = look_around(c, console)
    from buildlib import outcomes, testing

    results = testing.test(context, context.targets(tuple(arch), "native"), rest())
    outcomes.tested(console, results, as_json=json)
    return next((result.error.code for result in results if result.error), 0)


@task(
    auto_shortflags=False,
    iterable=["arch"],
    help={
        "arch": f"{ARCH}; default: native",
        "baseline": "the JSON report of an earlier run, which must not be exceeded",
        "limit": "by how many percent more instructions may be taken; default: 1",
        "json": JSON,
    },
)
@door
def bench(c, console, arch, baseline="", limit="1", json=False):
    """The workspace's benches: criterion on this machine's arch, counted instructions under QEMU; words after -- are for them."""
    if not re.fullmatch(r"\d+(\.\d+)?", limit):
        raise UsageError(f"--limit {limit}: is no number of percent", "--limit 2.5")
    context = look_around(c, console)
    from buildlib import benching, outcomes

    asked = benching.Asked(rest=rest(), baseline=Path(here(baseline)) if baseline else None, limit=float(limit))
    results = benching.bench(context, context.targets(tuple(arch), "native"), asked)
    outcomes.benched(console, results, as_json=json)
    return next((result.error.code for result in results if result.error), 0)


@task(
    auto_shortflags=False,
    iterable=["arch", "component"],
    help={
        "arch": f"{ARCH}; default: all, one for each platform",
        "component": "a binary of the workspace; default: all",
        "tag": "which images; default: each component's version",
        "registry": "HOST/PATH that the components' names are behind",
        "json": JSON,
    },
)
@door
def smoke(c, console, arch, component, tag="", registry="", json=False):
    """The images in the registry, each started on its platform and asked what it promises."""
    context = look_around(c, console, {"registry": registry})
    from buildlib import image, outcomes
    from buildlib import smoke as flow

    targets = context.targets(tuple(arch), "all")
    asked = flow.Asked(
        targets=targets if arch else image.one_each(targets, static=False), components=tuple(component), tag=tag
    )
    results = flow.smoke(context, asked)
    outcomes.tested(console, results, as_json=json)
    return next((result.error.code for result in results if result.error), 0)
