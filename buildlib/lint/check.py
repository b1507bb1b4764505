"""Check one file of any kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePath

from buildlib.lint import workflows
from buildlib.lint.analysis import Analysis
from buildlib.lint.finding import Finding
from buildlib.lint.ignore_comments import WHOLE_FILE, ignored_rules
from buildlib.lint.parsing import containerfile, toml_file
from buildlib.lint.parsing.arch_words import arches_of_pattern, can_run, find_arch_words
from buildlib.lint.parsing.containerfile import Script, of_script
from buildlib.lint.parsing.source import Source
from buildlib.lint.parsing.toml_file import TomlFile
from buildlib.lint.rules import (
    arch_specific_base,
    arch_specific_file,
    arg_lost_after_from,
    buildplatform_in_last_stage,
    cache_mount_not_per_arch,
    cross_image_platform,
    emulated_compile,
    hardcoded_arch_download,
    hardcoded_platform,
    hardcoded_target_triple,
    host_only_linker,
    missing_arch_case,
    not_read,
    redundant_target_platform,
    shadowed_platform_arg,
    untargeted_compile,
    wrong_arch_mapping,
)

DOCKERFILE = re.compile(r"^(?:docker|container)file(?:[._-]|$)|[.-](?:docker|container)file$")
# Programs, texts and backups that are named after a Dockerfile.
NOT_DOCKERFILE = (
    ".dockerignore", ".md", ".rst", ".txt", ".html", ".sh", ".py", ".go", ".rs", ".js", ".ts", ".rb", ".java", ".json", ".yml",
    ".yaml", ".toml", ".lock", ".lua", ".vim", ".so", "~", ".orig", ".rej", ".swp",
)  # fmt: skip
DOCKERFILE_RULES = (
    hardcoded_arch_download, hardcoded_platform, arch_specific_base, hardcoded_target_triple, arg_lost_after_from, wrong_arch_mapping,
    missing_arch_case, emulated_compile, buildplatform_in_last_stage, cache_mount_not_per_arch, shadowed_platform_arg,
    untargeted_compile, redundant_target_platform, arch_specific_file, not_read,
)  # fmt: skip


def kind(path: PurePath) -> str:
    """The kind of a file by its name: "dockerfile", "workflow", "cargo", "cross", or "" for a file that lint does not read."""
    name = path.name.lower()
    if name == "cross.toml":
        return "cross"
    if path.parent.name == ".cargo" and name in ("config.toml", "config"):
        return "cargo"
    if path.parent.name == "workflows" and path.suffix in (".yml", ".yaml"):
        return "workflow"
    if not name.endswith(NOT_DOCKERFILE) and DOCKERFILE.search(name):
        return "dockerfile"
    return ""


def check(path: Path, data: bytes, severities: Mapping[str, str], place: PurePath | None = None) -> list[Finding]:
    """The findings in a file, in the order of its lines, without those that a comment or the settings turn off.

    A file of unknown kind is read as a Dockerfile. `severities` maps a rule to a severity in place of its own, or to "off". `place`
    is the path below the root of the repository, whose names may be of an architecture; without a repository it is `path`.
    """
    source = Source(path, data, place)
    ignored = ignored_rules(source)
    findings = []
    for finding in _findings(source):
        severity = severities.get(finding.rule)
        if severity != "off" and not any(finding.rule in ignored.get(at, ()) for at in (WHOLE_FILE, finding.line)):
            findings.append(replace(finding, severity=severity) if severity else finding)
    return sorted(findings, key=lambda finding: (finding.line, finding.column, finding.rule))


def _findings(source: Source) -> Iterator[Finding]:
    match kind(source.path):
        case "workflow":
            yield from workflows.check(source)
        case "cargo":
            file = toml_file.read(source)
            yield from host_only_linker.check(file)
            yield from wrong_arch_mapping.check_cargo_config(file)
            yield from hardcoded_target_triple.check_cargo_config(file)
        case "cross":
            file = toml_file.read(source)
            yield from cross_image_platform.check(file)
            yield from _pre_build(file)
        case _:
            analysis = Analysis(containerfile.read(source))
            for rule in () if analysis.file.is_for_windows else DOCKERFILE_RULES:
                yield from rule.check(analysis)


def _pre_build(file: TomlFile) -> Iterator[Finding]:
    """The commands of `pre-build` in Cross.toml, checked like a RUN. Commands for a target may be for its architecture."""
    for triple, table in file.cross_tables():
        lines = table.get("pre-build", [])
        for line in lines if isinstance(lines, list) else []:
            if not isinstance(line, str):
                continue
            arches = {word.arch for word in find_arch_words(line)}
            if any(can_run(machine, arch) for machine in arches_of_pattern(triple) for arch in arches):
                continue
            place = file.place(line, triple)
            analysis = Analysis(of_script(file.source, Script(line.encode(), place.start), place))
            yield from hardcoded_arch_download.check(analysis)
            yield from wrong_arch_mapping.check_downloads(analysis)
