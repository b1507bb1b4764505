"""The runners through which cargo starts test binaries: test_runner.py with a specification, for the target and for the host."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Action, Link, Step, Write
from buildlib.core.targets import Target, cargo_variable
from buildlib.emulation.binfmt import magic
from buildlib.emulation.launcher import launcher
from buildlib.machine.host import Host

TEST_RUNNER = Path(__file__).with_name("test_runner.py")
CHILD_PROCESSES = Path(__file__).with_name("child_processes.py")
FIND_TIMEOUT = 120.0  # seconds in which the ways to start child processes are tried
# Python itself and not a shell, which drops variables whose names it does not allow: cargo sets CARGO_BIN_EXE_cli-command. The
# module is imported, and not run as a script, so that Python keeps its bytecode.
RUNNER = """\
#!{python} -IS
import sys

sys.path.append({folder!r})
import test_runner

test_runner.main({spec!r}, *sys.argv[1:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One runner: `name` is its file's in `folder`, `spec` the data of test_runner.py."""

    folder: Path
    name: str
    spec: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """The value of CARGO_TARGET_<TRIPLE>_RUNNER."""
        return self.folder / self.name

    def write_spec(self) -> Write:
        """The file of the specification alone."""
        return Write(path=self.folder / f"{self.name}.json", text=json.dumps(self.spec))

    def files(self, host: Host) -> tuple[Action, ...]:
        """The runner's files."""
        # The link is for interpreters whose path cannot stand behind `#!`: with a space, or too long.
        python = self.folder / "python"
        text = RUNNER.format(python=python, folder=str(TEST_RUNNER.parent), spec=str(self.write_spec().path))
        return (
            self.write_spec(),
            Link(path=python, to=host.python),
            Write(path=self.path, text=text, mode=0o755),
        )

    def find_children(self, program: Path) -> Step:
        """The step that finds how the kernel starts programs that tests start, by the example of one of the target's.

        It prints keys for the `children` of the specification.
        """
        return self._step("find", str(program), title="how child processes start", timeout=FIND_TIMEOUT)

    def restore_programs(self) -> Step:
        """The step that puts programs back in the place of their launchers."""
        return self._step("restore", title="restore programs")

    def _step(self, command: str, *words: str, title: str, timeout: float | None = None) -> Step:
        argv = (str(self.folder / "python"), "-IS", str(CHILD_PROCESSES), command, str(self.write_spec().path), *words)
        return Step(title=title, argv=argv, stdout="keep", quiet=True, timeout=timeout)

    def with_children(self, found: Mapping[str, Any]) -> Runner:
        """The runner that lets child processes start in the way that was found."""
        return replace(self, spec={**self.spec, "children": {**self.spec["children"], **found}})


def target_runner(
    host: Host, target: Target, folder: Path, emulator: tuple[str, ...], *, timeout: float, programs: Path
) -> Runner:
    """The runner of the target's binaries. `timeout` is in seconds, `programs` the directory of cargo's profiles for the target.

    Child processes need nothing where there is no emulator.
    """
    magic_digits, mask_digits = (part.hex() for part in magic(target))
    children = {
        "way": "", "handlers": [], "launcher": launcher(host.machine).hex(), "magic": magic_digits, "mask": mask_digits,
        "folder": str(folder), "programs": str(programs),
    }  # fmt: skip
    spec = {
        "emulator": emulator,
        "emulated_arch": target.name if emulator else "",
        "timeout": timeout,
        "record": str(record_of(folder)),
        "ran_on": "",
        "libraries": "" if emulator or target.name not in host.sysroots else str(host.sysroots[target.name].shared),
        "children": children if emulator else None,
    }
    return Runner(folder=folder, name="runner", spec=spec)


def host_runner(runner: Runner, timeout: float) -> Runner:
    """The runner of what cargo compiles for the host, beside that of the target and with the same record."""
    spec = {**runner.spec, "emulator": (), "emulated_arch": "", "timeout": timeout, "ran_on": "host", "children": None}
    return replace(runner, name="host-runner", spec=spec)


def is_configured(host: Host, triple: str) -> bool:
    """Whether the user has configured a runner for the target."""
    return cargo_variable(triple, "RUNNER") in host.env or triple in host.runners


def record_of(folder: Path) -> Path:
    """The file to which the runners in `folder` append a line for each binary."""
    return folder / "record.jsonl"


def runner_folder(*folders: Path) -> Path:
    """The first directory whose path may stand in a runner and behind `#!`.

    cargo splits a runner's words at spaces; Linux reads 255 bytes behind `#!` (execve(2)).
    """
    for folder in folders:
        if not any(map(str.isspace, str(folder))) and len(bytes(folder)) < 240:
            return folder
    raise MissingRequirements(
        f"{folders[-1]}: path too long or with a space, so that cargo cannot start tests through it",
        "set XDG_CACHE_HOME to a short path without spaces",
    )
