"""What every command starts from: the machine, the workspace, the settings, and a hand to act with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from buildlib import config as settings
from buildlib import workspace as workspaces
from buildlib.config import Config
from buildlib.console import Console
from buildlib.errors import Lacking, UsageError
from buildlib.failures import RECORD
from buildlib.host import Host, probe
from buildlib.journal import SILENT, Journal
from buildlib.plan import Write
from buildlib.redact import known, redact
from buildlib.runner import Dry, Shell
from buildlib.targets import Target, pick
from buildlib.workspace import Workspace

JOURNAL = Path("buildlib", "journal.jsonl")  # in the target folder


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed to every flow."""

    config: Config
    host: Host
    workspace: Workspace
    run: Shell
    console: Console
    journal: Journal = SILENT

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
        return pick(words or (default,), self.config.arches, self.host.machine)

    def look_again(self) -> Context:
        """The same with the machine as it is now, after something was installed."""
        return replace(self, host=probe(self.host.env, self.host.cwd))


def enter(
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
    config = settings.resolve(
        *settings.files(workspace.root), settings.environment(env), ("flag", {k: v for k, v in flags.items() if v})
    )
    if config.target_dir:
        workspace = replace(workspace, target_dir=workspace.root / config.target_dir)
    hand = Dry if dry else Shell
    journal = Journal(None if dry else workspace.target_dir / JOURNAL, redact(command, known(env)))
    run = hand(console, env, config.retry, record=workspace.root / RECORD, journal=journal)
    return Context(config=config, host=host, workspace=workspace, run=run, console=console, journal=journal)


def _workspace(console: Console, env: Mapping[str, str], cwd: Path, anywhere: bool) -> Workspace:
    try:
        manifest = workspaces.find_manifest(cwd)
    except UsageError:
        if not anywhere:
            raise
        return Workspace(root=cwd, target_dir=cwd / "target", components=())
    # Every cargo says the same of the workspace's own packages, so whichever is first need not wait for the probe.
    ask = Shell(console, env, settings.resolve().retry)
    return workspaces.read(_metadata(ask, _first_cargo(env), manifest.parent))


def _first_cargo(env: Mapping[str, str]) -> Path:
    found = env.get("CARGO") or shutil.which("cargo", path=env.get("PATH"))
    if not found:
        raise Lacking("no cargo on PATH", "buildlib setup; or install Rust from https://rustup.rs")
    return Path(found)


def _metadata(ask: Shell, cargo: Path, folder: Path) -> str:
    # A pin that is not installed must not stop the question what the workspace is.
    question = workspaces.metadata(cargo, folder)
    outcome = ask(replace(question, env={"RUSTUP_AUTO_INSTALL": "0"}))
    if not outcome and "is not installed" in outcome.output:
        outcome = ask(replace(question, env={"RUSTUP_AUTO_INSTALL": "0", "RUSTUP_TOOLCHAIN": "stable"}))
    if not outcome:
        raise UsageError(outcome.output.strip().removeprefix("error: ") or "cargo metadata failed", "mend Cargo.toml")
    return outcome.stdout
