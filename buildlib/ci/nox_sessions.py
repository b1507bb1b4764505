"""nox's door: a session for each architecture. All that another project's noxfile.py needs is

from buildlib.sessions import sessions
sessions()
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection
from pathlib import Path

import nox

from buildlib.core.errors import BuildError
from buildlib.core.settings import Config
from buildlib.core.layers import environment, files, resolve
from buildlib.core.targets import Target, find_target, short_name
from buildlib.machine.workspace import find_manifest
from buildlib.process.console import Console

WORK = {
    "test": "The workspace's tests on {name}.",
    "smoke": "The images for {name}, each started and asked what it promises.",
    "bench": "The workspace's benches on {name}: criterion, or counted instructions.",
}


def sessions(*, default: Collection[str] = ("test",)) -> None:
    """Defines `test-<arch>`, `smoke-<arch>` and `bench-<arch>` for each configured arch, in nox's own environment. Words behind `--`
    are for cargo, for the benches, and options of `smoke`. A bare `nox` runs those that `default` names. Tags: the kind, the arch, and
    `emulated` or `native`."""
    try:
        config = _config(Path.cwd())  # nox is in the noxfile's folder when it reads it
        targets = [find_target(word) for word in config.arches]
    except BuildError as error:
        Console(os.environ).error(error)
        sys.exit(error.code)
    for work, text in WORK.items():
        for target in targets:
            _session(work, target, text.format(name=target.name), default=work in default)


def _config(folder: Path) -> Config:
    return resolve(*files(find_manifest(folder).parent), environment(os.environ))


def _session(work: str, target: Target, text: str, *, default: bool) -> None:
    def body(session: nox.Session) -> None:
        rest = ("--", *session.posargs) if session.posargs and work != "smoke" else tuple(session.posargs)
        session.run(sys.executable, "-m", "buildlib", work, "--arch", target.name, *rest, external=True)

    body.__doc__ = text
    here = short_name(platform.machine()) == target.name.removesuffix("-musl")
    tags = [work, target.name, "native" if here else "emulated"]
    nox.session(body, name=f"{work}-{target.name}", venv_backend="none", tags=tags, default=default)
