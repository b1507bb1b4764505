"""One file, whatever kind it is of, and all that lint has to say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath

from buildlib.lint.analysis import Look
from buildlib.lint.finding import Finding, found
from buildlib.lint.parsing import containerfile
from buildlib.lint.parsing.containerfile import File
from buildlib.lint.parsing.source import Source
from buildlib.lint.rules import branches, cargo, compiling, downloads, platforms, triples, variables, workflows

IGNORED = re.compile(
    r"#\s*buildlib\s+(?P<all>global\s+)?ignore\s*=\s*(?P<rules>[\w-]+(?:\s*,\s*[\w-]+)*)", re.IGNORECASE
)
DOCKERFILE = re.compile(r"^(?:docker|container)file(?:[._-]|$)|[.-](?:docker|container)file$")
# Programs, texts and leftovers that are called after a Dockerfile.
NO_DOCKERFILE = (
    ".dockerignore", ".md", ".rst", ".txt", ".html", ".sh", ".py", ".go", ".rs", ".js", ".ts", ".rb", ".java", ".json", ".yml",
    ".yaml", ".toml", ".lock", ".lua", ".vim", ".so", "~", ".orig", ".rej", ".swp",
)  # fmt: skip
RULES = (downloads, platforms, triples, variables, branches, compiling)


def kind(path: PurePath) -> str:
    """What a file is by its name: "dockerfile", "workflow", "cargo", "cross", or "" for none that lint reads."""
    name = path.name.lower()
    if name == "cross.toml":
        return "cross"
    if path.parent.name == ".cargo" and name in ("config.toml", "config"):
        return "cargo"
    if path.parent.name == "workflows" and path.suffix in (".yml", ".yaml"):
        return "workflow"
    if not name.endswith(NO_DOCKERFILE) and DOCKERFILE.search(name):
        return "dockerfile"
    return ""


def check(path: Path, data: bytes, severities: Mapping[str, str]) -> list[Finding]:
    """The findings in a file, in its order, without those that a comment or the settings take back. `severities` maps a rule to
    another severity than its own, or to "off". What is of no known kind is read as a Dockerfile."""
    source = Source(path, data)
    match kind(path):
        case "workflow":
            told = list(workflows.check(source))
        case "cargo":
            told = list(cargo.configuration(source))
        case "cross":
            told = list(cargo.cross(source))
        case _:
            told = list(dockerfile(containerfile.read(source)))
    ignored = _ignored(source)
    kept = (
        replace(one, severity=severities.get(one.rule, one.severity))
        for one in told
        if one.rule not in ignored.get(0, ()) and one.rule not in ignored.get(one.line, ())
    )
    return sorted((one for one in kept if one.severity != "off"), key=lambda one: (one.line, one.column, one.rule))


def dockerfile(file: File) -> Iterator[Finding]:
    """The findings in a Dockerfile; those within an instruction are also those of its first line, for comments."""
    look = Look(file)
    for room in RULES:
        yield from room.check(look)
    # A parser that lost its way says so often; the first place of a script is the one to look at.
    for span in (*file.broken, *(script.broken[0] for _, _, script in look.runs() if script.broken)):
        if told := look.source.part(span).strip():
            yield found(look.source, "not-read", span, f"{told.splitlines()[0][:40]!r} is not read")


def _ignored(source: Source) -> dict[int, set[str]]:
    """The rules that `# buildlib ignore=rule` takes back, by line: of the instruction that follows, and of the comment's own.
    0 is the whole file."""
    told: dict[int, set[str]] = {}
    lines = source.text.decode("utf-8", "replace").split("\n")
    for number, line in enumerate(source.raw.decode("utf-8", "replace").splitlines(), 1):
        match = IGNORED.search(line)
        if not match:
            continue
        rules = {rule.strip() for rule in match["rules"].split(",")}
        if match["all"]:
            told.setdefault(0, set()).update(rules)
            continue
        for covered in _covered(lines, number):
            told.setdefault(covered, set()).update(rules)
    return told


def _covered(lines: list[str], number: int) -> Iterator[int]:
    """The line of a comment and, where it stands alone, the instruction behind it, with all lines that it goes on for."""
    yield number
    if not lines[number - 1].lstrip().startswith("#"):
        return
    at = number
    while at < len(lines) and (not lines[at].strip() or lines[at].lstrip().startswith("#")):
        at += 1
    while at < len(lines):
        yield at + 1
        text = lines[at].rstrip()
        at += 1
        if not text.endswith("\\") and not text.lstrip().startswith("#"):
            break
