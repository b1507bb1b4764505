"""hardcoded-target-triple (BL004): a target triple, a GOARCH or a library directory of one architecture."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.analysis import Analysis
from buildlib.lint.downloads import all_downloads
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.arch_words import TRIPLE
from buildlib.lint.parsing.toml_file import TomlFile
from buildlib.lint.rejections import is_fixed
from buildlib.lint.triples import all_triples, relevant_triples


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check all instructions. Each triple is reported once in a stage, each architecture once in an instruction."""
    arches_of_context: dict[str, set[str]] = {}
    for _, _, triples in all_triples(analysis):
        for triple in triples:
            arches_of_context.setdefault(triple.context, set()).add(triple.arch)
    # hardcoded-arch-download reports the values of variables in downloads.
    everything = (download for downloads in all_downloads(analysis).values() for download in downloads)
    places = {one.name.span for one in everything if one.variable and not one.guards}
    words: set[tuple[int, str]] = set()
    for stage, instruction, triples in relevant_triples(analysis):
        downloads = all_downloads(analysis)[id(instruction)]
        downloaded = {arch for download in downloads if not download.guards for arch in download.arches}
        seen: set[str] = set()
        for triple in triples:
            is_listed = len(arches_of_context[triple.context]) > 1
            # A download for one architecture is unpacked into directories with its name, an added file is put there.
            is_added = instruction.kind in ("add", "copy")
            is_unpacked = triple.arch in downloaded and (triple.may_be_archive_directory or is_added)
            if triple.guards or is_listed or is_unpacked or triple.arch in seen:
                continue
            if triple.span in places or triple.piece.span in places:
                continue
            is_right = is_fixed(analysis, stage, instruction.span.start, {triple.arch})
            if is_right or (stage.number, triple.word) in words:
                continue
            seen.add(triple.arch)
            places.add(triple.span)
            words.add((stage.number, triple.word))
            text = f"{triple.word} is for {triple.arch} on every platform"
            yield make_finding(analysis.source, "hardcoded-target-triple", triple.span, text)


def check_cargo_config(file: TomlFile) -> Iterator[Finding]:
    """Check build.target of .cargo/config.toml."""
    build = file.values.get("build")
    target = build.get("target") if isinstance(build, dict) else None
    if isinstance(target, str) and TRIPLE.match(target):
        text = f"build.target is {target} for every build of this workspace"
        help_text = "remove it, and pass --target to the commands that need one"
        place = file.place(target, "build")
        yield make_finding(file.source, "hardcoded-target-triple", place, text, help=help_text)
