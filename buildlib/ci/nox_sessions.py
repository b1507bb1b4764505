"""Sessions of nox for each architecture. This is all that another project's noxfile.py needs.

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
from buildlib.core.layers import OWN_SETTINGS, environment, files, resolve
from buildlib.core.targets import Target, select, short_name
from buildlib.machine.workspace import find_project
from buildlib.process.console import Console

DESCRIPTIONS = {
    "test": "The tests of the workspace on {name}.",
    "smoke": "Smoke tests of the images for {name}.",
    "bench": "The benchmarks of the workspace on {name}: criterion, or counted instructions under emulation.",
}


def sessions(*, default: Collection[str] = ("test",)) -> None:
    """Define `test-<arch>`, `smoke-<arch>` and `bench-<arch>` for each configured arch, in the environment that nox runs in.

    Arguments after `--` are passed to cargo, to the benchmarks, or as options to `smoke`. The kinds of session in `default` run
    when nox is called without a session. Each session has three tags: the kind, the arch, and `native` or `emulated`. An error in
    the settings is printed, and the process exits with its code.
    """
    try:
        file = find_project(Path.cwd())  # nox changes to the noxfile's directory before it reads the noxfile
        config = resolve(*files(file.parent), environment(os.environ))
        targets = select(("all",), config.arches, platform.machine())  # without any, nox would succeed and test nothing
    except BuildError as error:
        Console(os.environ).error(error)
        sys.exit(error.code)
    # Without Rust there is nothing to test but images.
    for command in DESCRIPTIONS if file.name != OWN_SETTINGS else ("smoke",):
        for target in targets:
            _define(command, target, default=command in default)


def _define(command: str, target: Target, *, default: bool) -> None:
    def body(session: nox.Session) -> None:
        words = tuple(session.posargs)
        rest = ("--", *words) if words and command != "smoke" else words
        session.run(sys.executable, "-m", "buildlib", command, "--arch", target.name, *rest, external=True)

    body.__doc__ = DESCRIPTIONS[command].format(name=target.name)
    native = short_name(platform.machine()) == target.arch
    tags = [command, target.name, "native" if native else "emulated"]
    nox.session(name=f"{command}-{target.name}", venv_backend="none", tags=tags, default=default)(body)
