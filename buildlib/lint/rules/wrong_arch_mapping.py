"""wrong-arch-mapping (BL006): a branch, stage or target for one architecture that takes the files of another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from buildlib.lint.analysis import Analysis, constant_text, mismatch
from buildlib.lint.base_images import constant_platform, external_images
from buildlib.lint.download_names import differ
from buildlib.lint.downloads import new_downloads
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.arch_words import ArchWord, arches_of_pattern, can_run, find_arch_words
from buildlib.lint.parsing.containerfile import Piece
from buildlib.lint.parsing.script import Assignment, Guard, ParsedScript
from buildlib.lint.parsing.source import Span
from buildlib.lint.parsing.toml_file import TomlFile, other_arch, programs
from buildlib.lint.triples import relevant_triples

RULE = "wrong-arch-mapping"
# Substitutions of one word by another: s/amd64/x86_64/ in the arguments of sed, and ${ARCH/amd64/x86_64}.
SUBSTITUTION = re.compile(
    r"\bs(?P<mark>[/|,#:@])\^?(?P<from>[\w./-]+?)\$?(?P=mark)(?P<to>[\w./-]+?)(?P=mark)|\$\{\w+//?(?P<old>[\w.-]+)/(?P<new>[\w.-]+)\}"
)
# The usual names, whose misspellings are no names themselves.
NAMES = {
    "amd64": ("amd64", "x86_64"), "arm64": ("arm64", "aarch64"), "ppc64le": ("ppc64le", "ppc64el"), "s390x": ("s390x",),
    "riscv64": ("riscv64",), "armv7": ("armhf",), "mips64le": ("mips64el",), "loong64": ("loong64",),
}  # fmt: skip
OWN_NAMES = frozenset({"s390", "ppc64", "arm6", "x8664"})
# Variables that select no file for the machine: flags, checksums, a compiler for another target.
UNRELATED_VARIABLE = re.compile(
    r"^(?:CC|CXX|AR|LD|STRIP|RANLIB|CROSS_COMPILE|QEMU\w*|BUILD_?\w*|HOST\w*|PATH|LDFLAGS|CFLAGS|\w*SHA\w*|\w*SUM\w*|\w*CHECK\w*"
    r"|(?:\w+_)?(?:CROSS|OTHER|FOREIGN|OPPOSITE|cross|other|foreign|opposite)(?:_\w+)?)$"
)


def check(analysis: Analysis) -> Iterator[Finding]:
    """Check the downloads, base images, target triples, assignments and substitutions of a Dockerfile."""
    yield from check_downloads(analysis)
    yield from _check_bases(analysis)
    yield from _check_triples(analysis)
    for stage, _, script in analysis.runs():
        guards = analysis.stage_guards(stage)
        for assignment in script.assignments:
            for value in assignment.values if not _is_list(assignment) else ():
                yield from _check_assignment(analysis, assignment, value, guards)
        yield from _check_printed(analysis, script, guards)
        yield from _check_substitutions(analysis, script)


def check_downloads(analysis: Analysis) -> Iterator[Finding]:
    """Check the downloads that are in a branch or a stage for one architecture."""
    for stage in analysis.file.stages:
        for _, download in new_downloads(analysis, stage):
            if selected := mismatch((*analysis.stage_guards(stage), *download.guards), download.arches):
                text = f"{download.words[0].word} in a branch for {selected}"
                yield make_finding(analysis.source, RULE, download.span, text)


def _check_bases(analysis: Analysis) -> Iterator[Finding]:
    """Check --platform and the images of stages that are for one architecture."""
    for stage in analysis.file.stages:
        platform = constant_platform(stage)
        if platform and (selected := mismatch(analysis.stage_guards(stage), platform[1])):
            text = f"platform {platform[0].bare} in a stage for {selected}"
            yield make_finding(analysis.source, RULE, platform[0].span, text)
    for image in external_images(analysis):
        selected = mismatch(analysis.stage_guards(image.stage), image.arches)
        if selected and image.is_for_one_arch:
            text = f"{image.name.bare} in a stage for {selected}"
            yield make_finding(analysis.source, RULE, image.name.span, text)


def _check_triples(analysis: Analysis) -> Iterator[Finding]:
    for _, _, triples in relevant_triples(analysis):
        for triple in triples:
            is_own = not triple.is_assigned and not triple.is_further_target
            if is_own and (selected := mismatch(triple.guards, {triple.arch})):
                text = f"{triple.word} in a branch for {selected}"
                yield make_finding(analysis.source, RULE, triple.span, text)


def _is_list(assignment: Assignment) -> bool:
    """Whether a variable gets the names of several architectures, as in `for a in arm alpha s390x`: a list is no mapping."""
    texts = [constant_text(value.bare) for value in assignment.values]
    words = [word for text in texts for word in _words_of_name(text)]
    return differ(words) or (len(texts) > 1 and any(word.word in texts for word in words))


def _words_of_name(text: str) -> list[ArchWord]:
    """The words for architectures in a value. `find_arch_words` recognizes three names only after "linux/"."""
    return list(find_arch_words(f"linux/{text}" if text.strip("\"'") in ("arm", "386", "x86") else text))


def _check_assignment(
    analysis: Analysis, assignment: Assignment, value: Piece, stage_guards: tuple[Guard, ...]
) -> Iterator[Finding]:
    guards = (*stage_guards, *assignment.guards)
    if not guards or UNRELATED_VARIABLE.match(assignment.name):
        return
    yield from _check_spelling(analysis, value, guards)
    words = _words_of_name(constant_text(value.text))
    if not words or any(find_arch_words(assignment.name)):
        return
    if selected := mismatch(guards, {word.arch for word in words}):
        message = f"{assignment.name} is set to {value.bare} in a branch for {selected}"
        yield make_finding(analysis.source, RULE, value.span, message)


def _check_printed(analysis: Analysis, script: ParsedScript, stage_guards: tuple[Guard, ...]) -> Iterator[Finding]:
    """What a branch prints is the result of a mapping, if it is a single word: `arm64) echo aarch64`."""
    for command in script.commands:
        words = [word for word in command.words[1:] if word.bare not in ("-n", "-e", "%s", "%s\\n")]
        guards = (*stage_guards, *command.guards)
        if command.name not in ("echo", "printf") or len(words) != 1 or not guards or re.search(r"\s", words[0].bare):
            continue
        yield from _check_spelling(analysis, words[0], guards)
        found = {word.arch for word in _words_of_name(constant_text(words[0].text))}
        if selected := mismatch(guards, found):
            yield make_finding(analysis.source, RULE, words[0].span, f"{words[0].bare} in a branch for {selected}")


def _check_spelling(analysis: Analysis, value: Piece, guards: tuple[Guard, ...]) -> Iterator[Finding]:
    """A value that is no architecture, but differs by one character from the name of the branch's: `s390x) A=390x`."""
    selected = next((guard.arches for guard in reversed(guards) if guard.arches), frozenset())
    for name in (name for arch in selected for name in NAMES.get(arch, ())):
        if any(find_arch_words(value.bare)) or not _is_misspelt(value.bare.lower(), name):
            continue
        text = f"{value.bare} is not the name of an architecture; {name} is"
        yield make_finding(analysis.source, RULE, value.span, text)
        return


def _is_misspelt(word: str, name: str) -> bool:
    """Whether one character is missing, or two neighbors are exchanged; "s390" and "ppc64" are names of their own."""
    if word in OWN_NAMES or not word.isascii():
        return False
    missing = {name[:at] + name[at + 1 :] for at in range(len(name))}
    exchanged = {name[:at] + name[at + 1] + name[at] + name[at + 2 :] for at in range(len(name) - 1)} - {name}
    return word in missing | exchanged


def _check_substitutions(analysis: Analysis, script: ParsedScript) -> Iterator[Finding]:
    """Substitutions by the name of another architecture; two that exchange both are a cross compiler's, for the other machine."""
    wrong = [one for one in _substitutions(script) if not any(can_run(old, new) for old in one.old for new in one.new)]
    exchanged = {(old, new) for one in wrong for old in one.old for new in one.new}
    for one in wrong:
        if not any((new, old) in exchanged for old in one.old for new in one.new):
            text = f"{one.words[0]} is replaced by {one.words[1]}, which is for another architecture"
            yield make_finding(analysis.source, RULE, one.span, text)


class Substitution(NamedTuple):
    """One word for an architecture is replaced by another, each with the architectures that it means."""

    words: tuple[str, str]
    old: frozenset[str]
    new: frozenset[str]
    span: Span


def _substitutions(script: ParsedScript) -> Iterator[Substitution]:
    # `sed -i` changes a file; it does not translate the name of an architecture.
    commands = (command for command in script.commands if not any(word.bare[:2] == "-i" for word in command.words))
    pieces = [piece for command in commands for piece in command.words]
    for assignment in script.assignments:
        pieces += [value for value in assignment.values if "${" in value.text and "$(" not in value.text]
    seen: set[Span] = set()
    for piece in pieces:
        for match in SUBSTITUTION.finditer(piece.text):
            old, new = match["from"] or match["old"], match["to"] or match["new"]
            arches = frozenset(word.arch for word in find_arch_words(new))
            start = piece.span.start + len(piece.text[: match.start()].encode())
            span = Span(start, start + len(match[0].encode()))
            if arches_of_pattern(old) and arches and span not in seen:
                seen.add(span)
                yield Substitution((old, new), arches_of_pattern(old), arches, span)


def check_cargo_config(file: TomlFile) -> Iterator[Finding]:
    """Check the programs in .cargo/config.toml. The rule host-only-linker checks paths that not every machine has."""
    for program in programs(file):
        if not program.is_host_path and (arch := other_arch(program.triple, program.path)):
            text = f"{program.key} of {program.triple} is {program.path}, which is for {arch}"
            yield make_finding(file.source, RULE, program.place, text)
