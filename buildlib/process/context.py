"""What every command starts with: the machine, the workspace, the settings, and a runner."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from buildlib.core import layers
from buildlib.core.errors import MissingRequirements, UsageError
from buildlib.core.plan import Write
from buildlib.core.request import NO_REQUEST, Request
from buildlib.core.settings import Config, Retry
from buildlib.core.targets import Target
from buildlib.core.targets import select as select_targets
from buildlib.failures.classify import classify
from buildlib.failures.redact import HIDDEN, redact_argv, secret_values
from buildlib.machine import workspace as workspaces
from buildlib.machine.host import Host, probe
from buildlib.machine.selection import Selection, select
from buildlib.machine.workspace import Workspace
from buildlib.process.console import Console
from buildlib.process.history import FAILURE_LOG, NO_HISTORY, History
from buildlib.process.runner import DryRunner, Runner

HISTORY = Path("buildlib", "journal.jsonl")  # in the target directory
Scope = Literal["workspace", "project", "anywhere"]


@dataclass(frozen=True, kw_only=True)
class Context:
    """Machine, workspace, settings, runner and console of one command."""

    config: Config
    host: Host
    workspace: Workspace
    run: Runner
    console: Console
    history: History = NO_HISTORY
    request: Request = NO_REQUEST

    @cached_property
    def selection(self) -> Selection:
        """The packages, binaries and libraries that the request means. Errors as in `machine.selection.select`."""
        for word in self.request.components:
            if word in self.config.images:
                help_text = "`image`, `smoke` and `plan` know it; for those of the workspace leave it out"
                raise UsageError(f"{word!r} is an image of the settings, not a binary", help_text)
        return select(self.workspace, self.request)

    @property
    def dist(self) -> Path:
        """The directory of verified binaries."""
        return self.workspace.root / self.config.dist

    @property
    def records(self) -> tuple[Path, ...]:
        """The files and directories in which commands record what they did."""
        log = self.workspace.root / FAILURE_LOG
        return (log, log.with_name(f"{log.name}.1"), self.workspace.target_dir / "buildlib")

    @property
    def reports(self) -> Path:
        """The directory of the reports of tests and benchmarks."""
        return self.workspace.target_dir / "buildlib" / "reports"

    def report(self, title: str, data: Mapping[str, Any]) -> Write:
        """The action that writes a report for programs."""
        text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
        return Write(path=self.reports / f"{title}.json", text=text)

    def targets(self, words: tuple[str, ...], default: str) -> tuple[Target, ...]:
        """The targets that `--arch` names; `default` ("native", "all") is used without any. UsageError for no target at all."""
        return select_targets(words or (default,), self.config.arches, self.host.machine)

    def with_images(self) -> tuple[Context, tuple[str, ...]]:
        """The context whose request is about binaries alone, and the names of the images of the settings that the request means."""
        from buildlib.machine.components import split

        request, names = split(self.workspace, self.request, self.config.images)
        if not names and not self.workspace.has_rust:
            where = f"{self.workspace.root}/{layers.OWN_SETTINGS}"
            message = f"nothing to build: there is no Cargo.toml, and no [images] in {where}"
            raise UsageError(message, "add a table [images.NAME] with `dockerfile` and `context`")
        return replace(self, request=request), names

    def refreshed(self) -> Context:
        """The same context with the machine probed again, after something was installed."""
        host = probe(self.host.env, self.host.cwd)
        return replace(self, host=replace(host, sysroots=self.host.sysroots) if self.host.sysroots else host)


def open_context(
    env: Mapping[str, str],
    cwd: Path,
    flags: Mapping[str, Any],
    console: Console,
    *,
    dry: bool = False,
    scope: Scope = "workspace",
    command: str = "",
    request: Request = NO_REQUEST,
) -> Context:
    """Probe the machine and the workspace of `cwd`, and resolve the settings.

    `flags` are settings by their own names; empty ones are ignored. `scope` is what the command needs: a Rust workspace, a project,
    which may have settings alone, or nothing. `command` is the command line for the history, `request` what it asks of the workspace.

    Raises:
        UsageError: There is no workspace, or a setting is wrong, such as a table for a component that does not exist.
        MissingRequirements: There is no cargo.
    """
    file = _project(cwd, scope)
    manifest = file if file and file.name == "Cargo.toml" else None
    with ThreadPoolExecutor(max_workers=1) as pool:
        probing = pool.submit(probe, env, cwd)
        if manifest:
            workspace = read_workspace(console, env, manifest.parent)
        else:
            root = file.parent if file else cwd
            workspace = Workspace(root=root, target_dir=root / "target", components=(), has_rust=False)
        config = layers.resolve(
            *layers.files(workspace.root), layers.environment(env), ("flag", {k: v for k, v in flags.items() if v})
        )
        host = probing.result()
    if file:
        layers.check_components(config, {component.name: component for component in workspace.components})
    if config.target_dir:
        workspace = replace(workspace, target_dir=workspace.root / config.target_dir)
    runner = DryRunner if dry else Runner
    history = History(None if dry else workspace.target_dir / HISTORY, " ".join(_redacted(command, env)))
    passed_on = {name: value for name, value in env.items() if name not in config.secrets()}
    run = runner(console, passed_on, config.retry, record=workspace.root / FAILURE_LOG, history=history)
    return Context(config=config, host=host, workspace=workspace, run=run, console=console, history=history,
                   request=request)  # fmt: skip


def _redacted(command: str, env: Mapping[str, str]) -> list[str]:
    """The words of a command line without secrets, quoted for a shell."""
    words = redact_argv(shlex.split(command), secret_values(env))
    return [shlex.quote(word) if HIDDEN not in word or " " in word else word for word in words]


def _project(cwd: Path, scope: Scope) -> Path | None:
    """The Cargo.toml or buildlib.toml of the project in `cwd`, None outside of one. UsageError if `scope` needs one."""
    if scope == "workspace":
        return workspaces.find_manifest(cwd)
    try:
        return workspaces.find_project(cwd)
    except UsageError:
        if scope == "anywhere":
            return None
        raise


def read_workspace(console: Console, env: Mapping[str, str], folder: Path) -> Workspace:
    """What `cargo metadata` prints of the workspace in `folder`. Errors as in `open_context`."""
    # Every cargo gives the same answer about the workspace's own packages, so the first one need not wait for the probe.
    query, cargo = Runner(console, env, Retry()), _first_cargo(env)
    answer = _metadata(query, cargo, folder)
    try:
        return workspaces.parse_metadata(answer)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise MissingRequirements(
            f"{cargo} is not cargo: `metadata` prints no workspace", "set CARGO to the path of a cargo, or unset it"
        ) from None


def _first_cargo(env: Mapping[str, str]) -> Path:
    cargo = env.get("CARGO") or shutil.which("cargo", path=env.get("PATH"))
    if not cargo:
        raise MissingRequirements("no cargo on PATH", "buildlib setup; or install Rust from https://rustup.rs")
    return Path(cargo)


def _metadata(query: Runner, cargo: Path, folder: Path) -> str:
    """The output of `cargo metadata`. UsageError with cargo's own message if it fails, MissingRequirements with rustup's."""
    # A pinned toolchain that is not installed must not prevent the answer.
    question = workspaces.metadata_step(cargo, folder)
    outcome = query(replace(question, env={"RUSTUP_AUTO_INSTALL": "0"}))
    if not outcome and "is not installed" in outcome.output:
        outcome = query(replace(question, env={"RUSTUP_AUTO_INSTALL": "0", "RUSTUP_TOOLCHAIN": "stable"}))
    if not outcome:
        text = outcome.output.partition("\nStack backtrace:")[0].strip().removeprefix("error: ")
        message = text or f"`{cargo} metadata` exited with code {outcome.code} and no output"
        if "is not installed" in text or text.startswith("rustup"):
            raise MissingRequirements(message, "install a toolchain with rustup, or set CARGO to another cargo")
        if (failure := classify(text)).fault == "machine":
            raise MissingRequirements(message, failure.help)
        raise UsageError(message, "fix Cargo.toml" if "Cargo.toml" in text else "")
    return outcome.stdout
