"""The command `lint`: which files, what is in them, and the cures that need no thought."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from buildlib.core.errors import UsageError
from buildlib.core.plan import Write
from buildlib.core.settings import Config
from buildlib.core.layers import environment, files, resolve
from buildlib.core.targets import suggestion
from buildlib.lint.check import check, kind
from buildlib.lint.finding import SEVERITIES, Finding, rules
from buildlib.lint.fix import fixed
from buildlib.lint.formats import FORMATS, as_data, github, plain, sarif
from buildlib.machine.workspace import find_manifest
from buildlib.process.console import Console

# Folders of tools, and of other people's code.
PASSED_OVER = frozenset(
    {".git", "target", "node_modules", ".venv", "venv", ".tox", ".nox", "__pycache__", ".mypy_cache", "site-packages"}
)
LARGEST = 1 << 20  # bytes; what is larger is no Dockerfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """All files that were read, in order, what is in them, and how much of that the baseline knows already."""

    paths: tuple[Path, ...]
    findings: tuple[Finding, ...]
    known: int = 0

    @property
    def failed(self) -> bool:
        """Whether there is more than information."""
        return any(one.severity != "info" for one in self.findings)


def settings(env: Mapping[str, str], root: Path) -> Config:
    """The settings, where there is a workspace; the defaults elsewhere. cargo is not asked."""
    return resolve(*files(root), environment(env))


def root_of(cwd: Path) -> Path:
    """The workspace's folder; this one where there is none."""
    try:
        return find_manifest(cwd).parent
    except UsageError:
        return cwd


def severities(config: Config, only: Sequence[str] = ()) -> dict[str, str]:
    """Rule -> severity, of the rules that are not as they are by default; all but `only` are off, where that names any. UsageError
    for a rule that is none."""
    table = rules()
    numbers = {rule.number: name for name, rule in table.items()}
    told: dict[str, str] = {}
    for word, severity in config.lint.severity.items():
        if severity not in (*SEVERITIES, "off"):
            cure = suggestion(str(severity), (*SEVERITIES, "off"))
            raise UsageError(f"{config.origins['lint.severity']}: lint.severity: {word} = {severity!r}", cure)
        told[_rule(word, numbers)] = severity
    wanted = {_rule(word, numbers) for word in only}
    return told | ({name: "off" for name in table if name not in wanted} if wanted else {})


def _rule(word: str, numbers: Mapping[str, str]) -> str:
    name = numbers.get(word.upper(), word)
    if name not in rules():
        raise UsageError(f"lint has no rule {word!r}", suggestion(word, rules()))
    return name


def lint(paths: Iterable[Path], config: Config, root: Path, only: Sequence[str] = ()) -> Linted:
    """What is in these files, and in what lint reads below these folders, less what the baseline in `root` knows. UsageError for a
    path that is not there."""
    found = list(dict.fromkeys(one for path in paths for one in _files(path, config.lint.exclude)))
    told = severities(config, only)
    findings = [one for path in found for one in check(path, _read(path), told)]
    known = _known(root / config.lint.baseline) if config.lint.baseline else Counter()
    new = []
    for one in findings:
        key = (os.path.relpath(one.file, root), one.rule, one.message)
        known[key] -= 1
        if known[key] < 0:
            new.append(one)
    return Linted(paths=tuple(found), findings=tuple(new), known=len(findings) - len(new))


def _known(baseline: Path) -> Counter[tuple[str, str, str]]:
    """How often a file had each finding when `lint --format json` wrote the baseline. Lines are not compared: they move."""
    cure = f"buildlib lint --format json > {baseline.name}"
    try:
        # A shell has emptied the file by the time that lint starts to write it anew.
        told = json.loads(baseline.read_bytes() or b"[]")
        return Counter((os.path.normpath(row["file"]), str(row["rule"]), str(row["message"])) for row in told)
    except OSError as error:
        raise UsageError(f"lint.baseline: {baseline}: {error.strerror}", cure) from None
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"lint.baseline: {baseline}: is no output of `lint --format json`", cure) from None





def fixes(linted: Linted) -> list[Write]:
    """The files with their mechanical cures, to be written; one that is no UTF-8 is left alone. Line ends stay as they are."""
    told = []
    for path in linted.paths:
        mine = [one for one in linted.findings if one.file == str(path) and one.edits]
        if mine:
            with suppress(UnicodeDecodeError):
                text = fixed(_read(path), mine).decode()
                told.append(Write(path=path, text=text, mode=path.stat().st_mode & 0o777))
    return told


def output_format(console: Console, word: str) -> str:
    """The format that is wanted; annotations in GitHub Actions, where none is named. UsageError for one that is none."""
    if word and word not in FORMATS:
        raise UsageError(f"--format {word}: is none", suggestion(word, FORMATS))
    return word or ("github" if console.github else "text")


def show(console: Console, linted: Linted, form: str) -> None:
    """The findings, in a format; and for a person how many there are."""
    match form:
        case "json":
            console.json(as_data(linted.findings))
        case "sarif":
            console.line(sarif(linted.findings))
        case _:
            for line in (github if form == "github" else plain)(linted.findings):
                console.line(line)
            console.note(summary(linted))


def summary(linted: Linted) -> str:
    """2 files, 1 error, 3 warnings"""
    counts = [(name, sum(one.severity == name for one in linted.findings)) for name in SEVERITIES]
    told = [f"{count} {name}{'s' if count != 1 and name != 'info' else ''}" for name, count in counts if count]
    files = f"{len(linted.paths)} file{'s' if len(linted.paths) != 1 else ''}"
    known = f", {linted.known} in the baseline" if linted.known else ""
    return f"{files}, {', '.join(told) or ('nothing new' if known else 'nothing found')}{known}"


def _files(path: Path, exclude: Sequence[str]) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder")
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER)
        for name in sorted(names):
            found = Path(folder, name)
            told = str(found.relative_to(path))
            if kind(found) and not any(fnmatch(told, pattern) for pattern in exclude) and _is_text(found):
                yield found


def _is_text(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= LARGEST


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
