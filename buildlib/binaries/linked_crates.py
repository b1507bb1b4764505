"""The crates in the files of a build, for their SBOMs and for the lists in themselves."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Step
from buildlib.crates import graph
from buildlib.crates.linked import Crate, linked
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.rust.cargo import Build

# What of a build's environment decides which crates the target has: `cfg(target_feature = "crt-static")` and the like.
CFG = ("RUSTC", "CARGO_ENCODED_RUSTFLAGS")


class LinkedCrates:
    """The crates in each file of a build that has been compiled. Cargo is asked for its graph once, and only if one is wanted."""

    def __init__(self, context: Context, build: Build) -> None:
        self._context, self._build = context, build

    def of(self, name: str, kind: str) -> tuple[Crate, ...]:
        """The crates in the file `name`, its own first; empty if cargo's graph has no such file.

        Raises:
            NetworkError: cargo cannot download what the graph needs.
            BuildError: cargo has no graph.
        """
        answer, lock = self._graph
        return linked(answer, name, kind, lock)

    @cached_property
    def _graph(self) -> tuple[dict[str, Any], str]:
        """The unit graph, and the text of Cargo.lock, which the compilation has written if there was none."""
        context, step = self._context, self._build.job.steps[-1]
        if not context.host.toolchains:
            raise MissingRequirements(
                "no cargo on this machine, which knows the crates", "rustup toolchain install stable"
            )
        env = {name: step.env[name] for name in CFG if name in step.env} if isinstance(step, Step) else {}
        outcome = context.run(graph.question(context, self._build.target, tests=False, env=env))
        if not outcome:
            raise graph.unresolved(outcome)
        return json.loads(outcome.stdout), read_text(context.workspace.lock)
