"""What an instruction downloads, installs, unpacks or adds for one architecture; called a download here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, pairwise

from buildlib.lint.analysis import Analysis, constant_text
from buildlib.lint.arch_options import arch_options, words_of_value
from buildlib.lint.copied_files import files_of_stage
from buildlib.lint.download_names import DATA, URL, differ, download_words, values_with_arch
from buildlib.lint.finding import Edit
from buildlib.lint.known_commands import (
    CROSS_PACKAGE,
    DOWNLOADS_IN_TEXT,
    FETCH,
    FILTER,
    HELPER,
    INSTALL,
    MENTION,
    MESSAGE,
    TAKEN,
    UNPACK,
)
from buildlib.lint.parsing.arch_words import (
    TRIPLE,
    ArchWord,
    arches_of_pattern,
    can_run,
    find_arch_words,
    without_arch_words,
)
from buildlib.lint.parsing.containerfile import Instruction, Piece, Stage
from buildlib.lint.parsing.script import Command, Guard, ParsedScript
from buildlib.lint.parsing.source import Span

PACKS = re.compile(r"-?[a-z]*c[a-z]*|--create", re.IGNORECASE)  # options of tar that create an archive
ARCHIVE = re.compile(
    r"\.(?:tar(?:\.\w+)?|t[gx]z|tbz2?|zip|gz|xz|bz2|zst|7z|deb|rpm|apk|whl|run|bin|AppImage|jar|sh|snap|ipk|exe|so[.\d]*|a|img|iso)$",
    re.IGNORECASE,
)
# cmake-3.29.2-linux-x86_64.sh: an archive that unpacks itself.
INSTALLER = re.compile(r"\d\.\d|linux[-_](?:x86|amd|x64|aarch|arm|ppc|s390|risc)", re.IGNORECASE)
APT_OPTIONS = re.compile(r"\[[^\[\]\n]*\]")  # of one line of sources.list: [arch=amd64 signed-by=…]
APT_ARCH = re.compile(r"\barch=(?P<arch>[^\]\s]+)")
# A source that is a directory of its own: deb https://example.org/apt x64/.
APT_DIRECTORY = re.compile(r"\bdeb(?:-src)?[ \t]+(?:\[[^\]\n]*\][ \t]+)?\w+://\S+[ \t]+(?P<arch>[\w-]+)/(?=[\s\"']|$)")
DEB822 = re.compile(r"^\s*Architectures:\s*(?P<arch>\S+)\s*$", re.MULTILINE)
# electron-builder --x64 is not a package.
OTHER_FLAG = re.compile(r"^-(?!-(?:enablerepo=|target[_-])?arch=|-cpu=|-platform)")
TOOLCHAIN_ARCHIVE = re.compile(r"toolchain|\bgcc\b", re.IGNORECASE)
OUTPUT_OPTION = re.compile(r"-[a-zA-Z]*[oO]|--output(?:-document)?|--out|--dest")
CURL_OUTPUT = re.compile(r"-[a-zA-Z]*o|--output")  # -O takes no name
FOREIGN_PACKAGE = re.compile(r"^[\w.+-]+:(?P<arch>\w+)(?:=|$)")
COPY = frozenset({"cp", "mv", "ln", "install", "rename"})
DECOMPRESS = frozenset({"gzip", "gunzip", "bzip2", "bunzip2", "xz", "unxz", "zstd", "unzstd", "lzma", "unlzma"})


@dataclass(frozen=True)
class Download:
    """A file or package for one architecture that a command takes.

    `piece` is the word that names it. `variable` is the value of the variable in that word, where the architecture is written there.
    """

    piece: Piece
    words: tuple[ArchWord, ...]  # for architectures
    guards: tuple[Guard, ...]
    kind: str  # for messages: "download"
    variable: Piece | None = None
    is_local: bool = False  # by a command that takes existing files
    edits: tuple[Edit, ...] = ()

    @cached_property
    def arches(self) -> set[str]:
        """The architectures that it is for."""
        return {word.arch for word in self.words}

    @property
    def name(self) -> Piece:
        """Where its architecture is written."""
        return self.variable or self.piece

    @property
    def file_name(self) -> str:
        """Its name without directories."""
        return self.name.bare.rpartition("/")[2]

    @cached_property
    def generic_name(self) -> str:
        """Its name without the architecture."""
        return without_arch_words(constant_text(self.name.text))

    @property
    def prefix(self) -> str:
        """The part of its name before the architecture."""
        return self.name.text[: self.words[0].start].strip("\"'")

    @property
    def span(self) -> Span:
        """Where its first word for an architecture is."""
        word = self.words[0]
        start = self.name.span.start + len(self.name.text[: word.start].encode())
        return Span(start, start + len(word.word.encode()))


@lru_cache(maxsize=1)  # several rules ask for the same file
def all_downloads(analysis: Analysis) -> Mapping[int, tuple[Download, ...]]:
    """The downloads of all instructions, by the instruction's id()."""
    return {
        id(instruction): tuple(_downloads(analysis, stage, instruction))
        for stage in analysis.file.stages
        for instruction in stage.instructions
    }


def new_downloads(analysis: Analysis, stage: Stage) -> Iterator[tuple[Instruction, Download]]:
    """The downloads of a stage, without files that an earlier command of it has fetched, and without what a toolchain needs."""
    seen: set[tuple[str, tuple[Guard, ...]]] = set()
    names: set[str] = set()
    for instruction in stage.instructions:
        downloads = all_downloads(analysis)[id(instruction)]
        names.update(download.file_name for download in downloads)
        if names:
            seen |= _copies(analysis.script(stage, instruction), downloads, names)
        for download in downloads:
            name = download.file_name
            is_new = "://" in download.name.text or not (download.is_local and (name, download.guards) in seen)
            seen |= {(name, download.guards), (name, ())}
            is_wanted = not _is_for_toolchain(analysis, stage, download) and not _is_foreign(analysis, stage, download)
            if is_new and is_wanted:
                yield instruction, download


def _copies(
    script: ParsedScript | None, downloads: Sequence[Download], names: set[str]
) -> set[tuple[str, tuple[Guard, ...]]]:
    """The files that commands make of downloads, or download: what curl -o writes, what cp and mv write, what gzip -d leaves.

    `names` are the file names up to `downloads`; those of the copies are added. With a constant URL without an architecture, the
    name after -o tells it.
    """
    places = sorted(download.piece.span.start for download in downloads)
    found: set[tuple[str, tuple[Guard, ...]]] = set()
    for command in script.commands if script else ():
        words = [word.bare.rpartition("/")[2] for word in command.words]
        copies: list[str] = []
        if command.name in FETCH:
            at = bisect_left(places, command.span.start)
            is_checked = at < len(places) and places[at] < command.span.end
            if is_checked or any("$" in word.text or "`" in word.text for word in command.words):
                copies = [after for flag, after in pairwise(words) if OUTPUT_OPTION.fullmatch(flag)]
        elif command.name in COPY and names.intersection(words[1:-1]):
            copies = [word for word in words[-1:] if word not in words[:-1]]
        elif command.name in DECOMPRESS:
            copies = [word.rpartition(".")[0] for word in words[1:] if word in names]
        found |= {(name, guards) for name in copies for guards in (command.guards, ())}
        names.update(copies)
    return found


def _is_for_toolchain(analysis: Analysis, stage: Stage, download: Download) -> bool:
    """Whether a toolchain stage needs it: its compiler, libraries to link with, a guest system or a sysroot."""
    is_package = download.kind == "package" and "://" not in download.name.text
    if analysis.is_toolchain(stage) and (is_package or TOOLCHAIN_ARCHIVE.search(download.name.text)):
        return True
    targets = analysis.toolchain_arches(stage)
    return all(any(can_run(target, arch) for target in targets) for arch in download.arches)


def _is_foreign(analysis: Analysis, stage: Stage, download: Download) -> bool:
    """Whether it is a package for another architecture, which the stage has told dpkg to accept: `wine32:i386`."""
    word = FOREIGN_PACKAGE.search(download.name.bare) if download.kind == "package" else None
    return bool(word and arches_of_pattern(word["arch"]) & analysis.foreign_arches(stage))


def _downloads(analysis: Analysis, stage: Stage, instruction: Instruction) -> Iterator[Download]:
    yield from (Download(*found, "copied file") for found in files_of_stage(analysis, stage, instruction))
    match instruction.kind:
        case "add" | "copy" if stage.posix:
            yield from _added_files(analysis, stage, instruction)
            for text in instruction.heredocs:
                yield from _package_sources(analysis, stage, None, text)
        case "run":
            script = analysis.script(stage, instruction)
            if script is not None:
                start = instruction.script.start if instruction.script else instruction.span.start
                text = Piece(script.text, Span(start, instruction.span.end))
                yield from _package_sources(analysis, stage, script, text)
                yield from _of_script(analysis, stage, script)


def _added_files(analysis: Analysis, stage: Stage, instruction: Instruction) -> Iterator[Download]:
    """Archives and programs of the build context; files of another stage are for that stage's platform."""
    source = instruction.flag("from")
    if source and (re.search("[/:$]|^\\d+$", source.text) or analysis.is_stage(source)):
        return
    kind = "added file" if instruction.kind == "add" else "copied file"
    for piece in instruction.words[:-1]:
        name = piece.bare.rpartition("/")[2]
        is_url = bool(URL.match(piece.text))
        if source and piece.bare.startswith("/"):
            continue  # of an image; a named context has relative paths
        words = download_words(piece)
        if not words:
            for value, found in values_with_arch(analysis, stage, None, piece):
                yield Download(piece, found, (), kind, value)
        if name.endswith(".sh") and not INSTALLER.search(name) and not is_url:
            continue  # a script is text; its directory or its target has that name
        if TRIPLE.search(piece.text) and not ARCHIVE.search(name) and not is_url:
            continue  # the output of a compiler: hardcoded-target-triple
        is_archive = ARCHIVE.search(name) or not re.search(r"\.\w+$|config$", name)
        if len({word.arch for word in words}) == 1 and (is_archive or is_url) and not DATA.search(name):
            yield Download(piece, tuple(words), (), kind)


def _of_script(analysis: Analysis, stage: Stage, script: ParsedScript) -> Iterator[Download]:
    fetching = {command.pipeline for command in script.commands if command.pipeline and command.name in FETCH}
    for command in script.commands:
        is_local = command.name not in FETCH
        for piece in _arguments(command, fetching):
            kind = "package" if command.name in INSTALL else "download"
            if words := download_words(piece):
                yield Download(piece, tuple(words), command.guards, kind, is_local=is_local)
                continue
            for value, found in values_with_arch(analysis, stage, script, piece):
                yield Download(piece, found, command.guards, kind, value, is_local)
        for piece in arch_options(command):
            words = words_of_value(piece)
            if len({word.arch for word in words}) == 1:
                yield Download(piece, tuple(words), command.guards, "installation")
            for value, found in values_with_arch(analysis, stage, script, piece):
                yield Download(piece, found, command.guards, "installation", value)


def _arguments(command: Command, fetching: set[int]) -> Iterator[Piece]:
    """The words of a command that name what it takes; `fetching` are pipelines with a command that downloads."""
    name, rest = command.name, command.words[1:]
    urls = [piece for piece in rest if "://" in piece.text]
    if name in FETCH:
        output = CURL_OUTPUT if name == "curl" else OUTPUT_OPTION
        written = [after for flag, after in pairwise(rest) if output.fullmatch(flag.bare)]
        yield from urls or (piece for piece in rest if piece not in written)
    elif name in INSTALL and not any(piece.bare.startswith("--add-arch") for piece in rest):
        yield from (
            piece for piece in rest if not CROSS_PACKAGE.search(piece.bare) and not OTHER_FLAG.match(piece.bare)
        )
    elif (name in UNPACK and not (rest and PACKS.fullmatch(rest[0].bare))) or HELPER.match(name):
        yield from (piece for piece in rest if ARCHIVE.search(piece.bare))
    elif name in FILTER:
        if command.pipeline in fetching:
            yield from rest
    elif name not in MENTION and name != "git" and not MESSAGE.match(name):
        yield from (piece for piece in urls if _may_download(piece))


def _may_download(piece: Piece) -> bool:
    """Whether an unknown command may take the URL in its word: in a text, such as a program or a message, it is only mentioned."""
    text = piece.bare
    return not re.search(r"\s", text) or bool(TAKEN.match(text) or DOWNLOADS_IN_TEXT.search(text))


def _package_sources(analysis: Analysis, stage: Stage, script: ParsedScript | None, text: Piece) -> Iterator[Download]:
    """Package sources for one architecture; one that names several is for those."""
    commands = script.commands if script else ()
    options = (list(APT_ARCH.finditer(text.text, *match.span()))[-1:] for match in APT_OPTIONS.finditer(text.text))
    matches = (*chain.from_iterable(options), *DEB822.finditer(text.text), *APT_DIRECTORY.finditer(text.text))
    if any("," in match["arch"] for match in matches) and differ(
        [word for match in matches for word in find_arch_words(constant_text(match["arch"]))]
    ):
        return  # sources for several architectures, each with its own
    for match in matches:
        words = list(find_arch_words(constant_text(match["arch"])))
        if differ(words) or ("," in match["arch"] and len(words) < 2):
            continue  # amd64 with i386 is for one kind of machine
        at = text.span.start + len(text.text[: match.start("arch")].encode())
        guards = [command.guards for command in commands if command.span.start <= at < command.span.end]
        arch = Piece(match["arch"], Span(at, at + len(match["arch"])))
        pieces = [word for command in commands for word in command.words if word.span.start <= at < word.span.end]
        is_debian_name = match.re is not APT_DIRECTORY
        edits = tuple(Edit(span=arch.span, text=_dpkg_question(word, at)) for word in pieces[-1:] if is_debian_name)
        guard = guards[-1] if guards else ()
        if words:
            yield Download(arch, tuple(words), guard, "package source", edits=edits)
        for value, found in values_with_arch(analysis, stage, script, arch):
            yield Download(arch, found, guard, "package source", value)


def _dpkg_question(word: Piece, at: int) -> str:
    """The command substitution for the architecture at this place of a shell word; it closes and reopens single quotes."""
    quote = ""
    for char in word.text.encode()[: at - word.span.start].decode("utf-8", "replace"):
        if char in "'\"" and quote in ("", char):
            quote = "" if quote else char
    return "'\"$(dpkg --print-architecture)\"'" if quote == "'" else "$(dpkg --print-architecture)"
