"""The probe: a small program that is compiled and started as the tests are, and prints what it was compiled for and where it runs.

It is started each time. cargo, which takes as long as for all tests, is asked for it only where something has changed since it made
the program: what compiles it, the flags, the configuration, or the program itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from buildlib import elf
from buildlib.binaries.build import compile_error
from buildlib.core.errors import BuildError
from buildlib.core.plan import Outcome, Write
from buildlib.emulation import qemu
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.testing.cargo_test import TestPlan

HELP = "check CARGO_TARGET_*_RUNNER and .cargo/config.toml"
# Variables that cargo and rustc read begin with these.
VARIABLES = ("CARGO", "RUST")


def probe(context: Context, tests: TestPlan) -> Mapping[str, Any]:
    """What the probe prints; {} in a dry run. BuildError where that is not the target."""
    if context.run.dry:  # the probe is a question, but its sources have not been written
        return {}
    if is_made(context, tests):
        outcome = context.run(replace(tests.probe, argv=(*tests.emulator, str(tests.probe_program))))
        if outcome:  # what is wrong otherwise, cargo says
            return _facts(context, tests, outcome)
    outcome = context.run(tests.probe)
    if not outcome:
        if outcome.code == 101:
            raise compile_error(tests.target, outcome)
        raise BuildError(f"{tests.target.name}: the probe does not start: {outcome.last}", "run `buildlib doctor`")
    facts = _facts(context, tests, outcome)
    if key := _key(context, tests):
        context.run(Write(path=_made(tests), text=key))
    return facts


def is_made(context: Context, tests: TestPlan) -> bool:
    """Whether cargo would find the probe as it made it."""
    key = _key(context, tests)
    return bool(key) and key == read_text(_made(tests))


def _made(tests: TestPlan) -> Path:
    return tests.folder / "probe" / "made.txt"


def _facts(context: Context, tests: TestPlan, outcome: Outcome) -> Mapping[str, Any]:
    target = tests.target
    try:
        facts = json.loads(outcome.stdout)
        mismatch = qemu.probe_mismatch(facts, context.host, target)
    except (ValueError, TypeError, KeyError):
        text = f"{target.name}: the probe printed {outcome.stdout.strip()!r} instead of JSON"
        raise BuildError(text, HELP) from None
    if mismatch:
        raise BuildError(f"{target.name}: {mismatch}", HELP)
    return dict(facts)


def _key(context: Context, tests: TestPlan) -> str:
    """Everything that makes the program what it is, and its own bytes; "" without one, and where the user's own runner starts it.

    The compiler and the backend are part of the target directory's name, which is a word of the command line.
    """
    if not tests.runner:
        return ""
    try:
        program = elf.digest(tests.probe_program)
    except OSError:
        return ""
    host = context.host
    variables = {name: value for name, value in host.env.items() if name.startswith(VARIABLES)}
    flags = (tests.probe.argv, sorted(tests.probe.env.items()), sorted(variables.items()))
    made_of = (*flags, host.cargo_config, host.zigbuild_version, program)
    return hashlib.sha256(repr(made_of).encode("utf-8", "surrogateescape")).hexdigest()
