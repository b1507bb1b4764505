"""What every command starts from: the machine, the workspace, the settings, and a hand to act with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib.core import layers
from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.plan import Write
from buildlib.core.settings import Config
from buildlib.core.targets import Target, select
from buildlib.process.history import FAILURE_LOG
from buildlib.failures.redact import redact, secret_values
from buildlib.machine import workspace as workspaces
from buildlib.machine.host import Host, probe
from buildlib.machine.workspace import Workspace
from buildlib.process.console import Console
from buildlib.process.history import NO_HISTORY, History
from buildlib.process.runner import DryRunner, Runner

HISTORY = Path("buildlib", "journal.jsonl")  # in the target folder


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed to every flow."""

    config: Config
    host: Host
    workspace: Workspace
    run: Runner
    console: Console
    history: History = NO_HISTORY

    @property
    def dist(self) -> Path:
        return self.workspace.root / self.config.dist

    @property
    def reports(self) -> Path:
        """The folder of what sessions report."""
        return self.workspace.target_dir / "buildlib" / "reports"

    def report(self, title: str, told: Mapping[str, Any]) -> Write:
        """A session's report for programs."""
        text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
        return Write(path=self.reports / f"{title}.json", text=text)

    def targets(self, words: tuple[str, ...], default: str) -> tuple[Target, ...]:
        """The rows that `--arch` names; `default` ("native", "all") without any."""
        return select(words or (default,), self.config.arches, self.host.machine)

    def refreshed(self) -> Context:
        """The same with the machine as it is now, after something was installed."""
        return replace(self, host=probe(self.host.env, self.host.cwd))


def open_context(
    env: Mapping[str, str],
    cwd: Path,
    flags: Mapping[str, Any],
    console: Console,
    *,
    dry: bool = False,
    anywhere: bool = False,
    command: str = "",
) -> Context:
    """Look around in `cwd`. `flags` are settings by their own names; those not given are left out.

    UsageError where no workspace is, unless the command can do without (`anywhere`).
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        looking = pool.submit(probe, env, cwd)
        workspace = _workspace(console, env, cwd, anywhere)
        host = looking.result()
    config = layers.resolve(
        *layers.files(workspace.root), layers.environment(env), ("flag", {k: v for k, v in flags.items() if v})
    )
    if config.target_dir:
        workspace = replace(workspace, target_dir=workspace.root / config.target_dir)
    hand = DryRunner if dry else Runner
    journal = History(None if dry else workspace.target_dir / HISTORY, redact(command, secret_values(env)))
    run = hand(console, env, config.retry, record=workspace.root / FAILURE_LOG, history=journal)
    return Context(config=config, host=host, workspace=workspace, run=run, console=console, history=journal)


def _workspace(console: Console, env: Mapping[str, str], cwd: Path, anywhere: bool) -> Workspace:
    try:
        manifest = workspaces.find_manifest(cwd)
    except UsageError:
        if not anywhere:
            raise
        return Workspace(root=cwd, target_dir=cwd / "target", components=())
    # Every cargo says the same of the workspace's own packages, so whichever is first need not wait for the probe.
    ask = Runner(console, env, layers.resolve().retry)
    return workspaces.parse_metadata(_metadata(ask, _first_cargo(env), manifest.parent))


def _first_cargo(env: Mapping[str, str]) -> Path:
    found = env.get("CARGO") or shutil.which("cargo", path=env.get("PATH"))
    if not found:
        raise MissingRequirements("no cargo on PATH", "buildlib setup; or install Rust from https://rustup.rs")
    return Path(found)


def _metadata(ask: Runner, cargo: Path, folder: Path) -> str:
    # A pin that is not installed must not stop the question what the workspace is.
    question = workspaces.metadata_step(cargo, folder)
    outcome = ask(replace(question, env={"RUSTUP_AUTO_INSTALL": "0"}))
    if not outcome and "is not installed" in outcome.output:
        outcome = ask(replace(question, env={"RUSTUP_AUTO_INSTALL": "0", "RUSTUP_TOOLCHAIN": "stable"}))
    if not outcome:
        raise UsageError(outcome.output.strip().removeprefix("error: ") or "cargo metadata failed", "mend Cargo.toml")
    return outcome.stdout
