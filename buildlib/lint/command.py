"""The command `lint`: select files and settings, check the files, apply fixes, and show the result."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path, PurePath

from buildlib.core.errors import UsageError
from buildlib.core.layers import environment, files, resolve
from buildlib.core.plan import Write
from buildlib.core.settings import Config
from buildlib.core.targets import nearest, suggestion
from buildlib.lint.check import check, kind
from buildlib.lint.finding import SEVERITIES, Finding, rules
from buildlib.lint.fix import apply_edits
from buildlib.lint.formats import FORMATS, as_data, github_commands, sarif, text_lines
from buildlib.machine.workspace import find_project
from buildlib.process.console import Console

# Directories of tools and of third-party code.
SKIPPED_DIRECTORIES = frozenset(
    {".git", "target", "node_modules", ".venv", "venv", ".tox", ".nox", "__pycache__", ".mypy_cache", "site-packages"}
)
LARGEST = 1 << 20  # bytes; a larger file is not a Dockerfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """The files that were checked, in order, and their findings without the `known` ones of the baseline."""

    paths: tuple[Path, ...]
    findings: tuple[Finding, ...]
    known: int = 0

    @property
    def failed(self) -> bool:
        """Whether there is a finding of another severity than info."""
        return any(finding.severity != "info" for finding in self.findings)


def settings(env: Mapping[str, str], root: Path) -> Config:
    """The settings of the workspace in `root`; the defaults outside of one. cargo does not run."""
    return resolve(*files(root), environment(env))


def root_of(cwd: Path) -> Path:
    """The directory of the project; `cwd` outside of one."""
    try:
        return find_project(cwd).parent
    except UsageError:
        return cwd


def severities(config: Config, only: Sequence[str] = ()) -> dict[str, str]:
    """The severities that differ from the defaults, by rule; if `only` names rules, all others are "off".

    UsageError for an unknown rule.
    """
    severity_of: dict[str, str] = {_rule_name(word): severity for word, severity in config.lint.severity.items()}
    selected = {_rule_name(word) for word in only}
    return severity_of | ({name: "off" for name in rules() if name not in selected} if selected else {})


def _rule_name(word: str) -> str:
    """The name of a rule that is given by name or number."""
    numbers = {rule.number: name for name, rule in rules().items()}
    name = numbers.get(word.upper(), word)
    if name not in rules():
        raise UsageError(f"unknown lint rule {word!r}", suggestion(word, rules()))
    return name


def lint(paths: Iterable[Path], config: Config, root: Path, only: Sequence[str] = ()) -> Linted:
    """Check files, and all files below directories that lint reads, without the findings in the baseline in `root`.

    UsageError for a path that does not exist.
    """
    selected = list(dict.fromkeys(file for path in paths for file in _files(path, config.lint.exclude)))
    severity_of = severities(config, only)
    findings = [finding for path in selected for finding in check(path, _read(path), severity_of, _place(path))]
    known = _read_baseline(root / config.lint.baseline) if config.lint.baseline else Counter()
    new = []
    for finding in findings:
        key = (os.path.relpath(finding.file, root), finding.rule, finding.message)
        known[key] -= 1
        if known[key] < 0:
            new.append(finding)
    return Linted(paths=tuple(selected), findings=tuple(new), known=len(findings) - len(new))


def _read_baseline(path: Path) -> Counter[tuple[str, str, str]]:
    """How often the baseline lists each file, rule and message. Lines are not compared because they move."""
    help_text = f"buildlib lint --format json > {path.name}"
    try:
        # A shell that redirects lint's output into the baseline has emptied it before lint starts.
        rows = json.loads(path.read_bytes() or b"[]")
        return Counter((os.path.normpath(row["file"]), str(row["rule"]), str(row["message"])) for row in rows)
    except OSError as error:
        raise UsageError(f"lint.baseline: {path}: {error.strerror}", help_text) from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"lint.baseline: {path} is not output of `lint --format json`", help_text) from None


def fixes(linted: Linted) -> list[Write]:
    """The files with their mechanical fixes, and the same line ends; a file that is not UTF-8 is not fixed."""
    writes = []
    for path in linted.paths:
        fixable = [finding for finding in linted.findings if finding.file == str(path) and finding.edits]
        if fixable:
            with suppress(UnicodeDecodeError):
                text = apply_edits(_read(path), fixable).decode()
                writes.append(Write(path=path, text=text, mode=path.stat().st_mode & 0o777))
    return writes


def output_format(console: Console, word: str) -> str:
    """The requested format; without one, "github" in GitHub Actions and "text" elsewhere. UsageError for an unknown one."""
    if word and word not in FORMATS:
        expected = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        near = nearest(word, FORMATS)
        raise UsageError(f"unknown format {word!r} (expected {expected})", f"did you mean {near!r}?" if near else "")
    return word or ("github" if console.github else "text")


def show(console: Console, linted: Linted, form: str) -> None:
    """Print the findings in a format, and a summary where a user reads them."""
    match form:
        case "json":
            console.json(as_data(linted.findings))
        case "sarif":
            console.json(sarif(linted.findings))
        case "github":
            console.commands(github_commands(linted.findings))
            console.note(summary(linted))
        case _:
            if linted.findings:
                console.line("\n".join(text_lines(linted.findings)))  # one call: writing and flushing takes the time
            console.note(summary(linted))


def summary(linted: Linted) -> str:
    """The numbers of files and findings: "2 files, 1 error, 3 warnings"."""
    counts = [(name, sum(finding.severity == name for finding in linted.findings)) for name in SEVERITIES]
    parts = [f"{count} {name}{'s' if count != 1 and name != 'info' else ''}" for name, count in counts if count]
    checked = f"{len(linted.paths)} file{'s' if len(linted.paths) != 1 else ''}"
    known = f", {linted.known} in the baseline" if linted.known else ""
    return f"{checked}, {', '.join(parts) or ('nothing new' if known else 'nothing found')}{known}"


def _files(path: Path, exclude: Sequence[str]) -> Iterator[Path]:
    """The files that `path` selects. UsageError for a path that cannot be read; directories below it that cannot be are skipped."""
    try:
        if path.is_file():
            if path.stat().st_size > LARGEST:
                raise UsageError(f"{path}: larger than {LARGEST >> 20} MiB, the largest file that lint reads")
            yield path
            return
        os.scandir(path).close()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file or directory") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_DIRECTORIES)
        for name in sorted(names):
            file = Path(folder, name)
            relative = str(file.relative_to(path))
            if kind(file) and not any(fnmatch(relative, pattern) for pattern in exclude) and _is_small_file(file):
                yield file


def _place(path: Path) -> PurePath | None:
    """The path below the root of its repository, wherever the command runs; None outside of a repository.

    Symbolic links keep their names: resolve() would return the names of what they lead to.
    """
    whole = Path(os.path.normpath(path.absolute()))
    root = _repository(whole.parent)
    return whole.relative_to(root) if root else None


@lru_cache(maxsize=4096)  # many files are in one directory
def _repository(folder: Path) -> Path | None:
    """The directory with .git that contains a directory, or is it. In a worktree .git is a file."""
    return next((one for one in (folder, *folder.parents) if os.path.lexists(one / ".git")), None)


def _is_small_file(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= LARGEST


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
