"""Commands that prove what was made: the gate, and tests on every architecture. No logic; the flows are in build.py and testing.py."""

from __future__ import annotations

from pathlib import Path

from invoke import task

from buildlib.door import ARCH, JSON, door, look_around, rest, split


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


@task(auto_shortflags=False, iterable=["arch"], help={"arch": f"{ARCH}; default: native", "json": JSON})
@door
def test(c, console, arch, json=False):
    """The workspace's tests on each architecture, under QEMU where it is not this machine's; words after -- are for cargo."""
    context = look_around(c, console)
    from buildlib import report, testing

    results = testing.test(context, context.targets(tuple(arch), "native"), rest())
    report.tested(console, results, as_json=json)
    return next((result.error.code for result in results if result.error), 0)
