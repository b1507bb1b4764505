"""A Dockerfile as stages of instructions, read with tree-sitter's grammar, which continues after what it cannot parse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple

from buildlib.lint.parsing.mask import mask_scripts
from buildlib.lint.parsing.source import Source, Span

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

SHELLS = re.compile(r"(?:.*/)?(?:ba|da|a|z|k)?sh$")
HEREDOC = re.compile(r"<<-?(?P<quote>[\"']?)(?P<mark>[\w.-]+)(?P=quote)[ \t]*(?P<rest>[^|&;<>]*)$")
WINDOWS_IMAGE = re.compile(r"/windows(?:/|:)|windowsservercore|nanoserver|/servercore:", re.IGNORECASE)
# Nodes within an instruction that are read wherever they are.
NESTED = frozenset({"json_string_array", "heredoc_content", "shell_command"})


class Piece(NamedTuple):
    """A piece of text, usually a word, with its place in the file."""

    text: str
    span: Span

    @property
    def bare(self) -> str:
        """The text without the quotes around it."""
        return self.text.strip("\"'")


@dataclass(frozen=True)
class Script:
    """Shell text that begins at the offset `start`; comments of the Dockerfile in it are replaced by spaces."""

    text: bytes
    start: int


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction.

    `words` are paths, the strings of an exec form, or an image's name; `pairs` are the names and values of ARG, ENV and LABEL.
    """

    kind: str  # in lower case: "run"
    span: Span
    flags: tuple[Piece, ...] = ()
    words: tuple[Piece, ...] = ()
    pairs: tuple[tuple[Piece, Piece | None], ...] = ()
    script: Script | None = None
    exec_form: bool = False
    deferred: bool = False  # by ONBUILD
    heredocs: tuple[Piece, ...] = ()  # contents of files

    def flag(self, name: str) -> Piece | None:
        """The value of a flag such as --from=value; None without it."""
        start = f"--{name}="
        for flag in self.flags:
            if flag.text.startswith(start):
                return Piece(flag.text[len(start) :], Span(flag.span.start + len(start), flag.span.end))
        return None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A FROM and the instructions up to the next one."""

    number: int
    name: str
    base: Piece
    head: Instruction
    platform: Piece | None
    parent: int | None  # number of the stage in its FROM; None if that is an image
    instructions: tuple[Instruction, ...]
    posix: bool = True  # its SHELL is a POSIX shell


@dataclass(frozen=True, kw_only=True)
class File:
    """A whole Dockerfile."""

    source: Source
    before: tuple[Instruction, ...] = ()  # before the first FROM
    stages: tuple[Stage, ...] = ()
    unparsed: tuple[Span, ...] = ()

    @cached_property
    def roots(self) -> Sequence[Stage]:
        """For each stage, the first of its ancestors, whose base is an image."""
        roots: list[Stage] = []
        for stage in self.stages:
            roots.append(stage if stage.parent is None else roots[stage.parent])
        return roots

    @property
    def is_for_windows(self) -> bool:
        """Whether all images of FROM are Windows: those exist for amd64 only."""
        return bool(self.stages) and all(WINDOWS_IMAGE.search(root.base.text) for root in self.roots)

    def ancestry(self, stage: Stage) -> Iterator[Stage]:
        """The stage, its parent, the parent of that, and so on."""
        current: Stage | None = stage
        while current is not None:
            yield current
            current = self.stages[current.parent] if current.parent is not None else None


def of_script(source: Source, script: Script, span: Span) -> File:
    """A script of any other file, as a Dockerfile with one stage that runs it."""
    run = Instruction(kind="run", span=span, script=script)
    stage = Stage(number=0, name="", base=Piece("", span), head=run, platform=None, parent=None, instructions=(run,))
    return File(source=source, stages=(stage,))


@cache
def _parser() -> Parser:
    import tree_sitter_containerfile
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_containerfile.language()))


def read(source: Source) -> File:
    """Read a Dockerfile; what cannot be parsed is listed in `unparsed`."""
    root = _parser().parse(mask_scripts(source.text)).root_node
    before: list[Instruction] = []
    heads: list[tuple[Node, Instruction]] = []
    bodies = [before]
    for node in _instruction_nodes(root):
        instruction = _instruction(source, node)
        if instruction.kind == "from":
            heads.append((node, instruction))
            bodies.append([])
        else:
            bodies[-1].append(instruction)
    stages: list[Stage] = []
    numbers: dict[str, int] = {}  # of stages by name; names are not case-sensitive
    for (node, head), body in zip(heads, bodies[1:], strict=True):
        alias = node.child_by_field_name("as")
        name = source.text_at(_span(alias)) if alias is not None else ""
        base = head.words[0] if head.words else Piece("", head.span)
        parent = numbers.get(base.text.lower())
        if name:
            numbers[name.lower()] = len(stages)
        stage = Stage(
            number=len(stages), name=name, base=base, head=head, platform=head.flag("platform"), parent=parent,
            instructions=tuple(body), posix=_is_posix(body, stages[parent].posix if parent is not None else _is_linux(base)),
        )  # fmt: skip
        stages.append(stage)
    unparsed = tuple(map(_span, _errors(root)))
    return File(source=source, before=tuple(before), stages=tuple(stages), unparsed=unparsed)


def _errors(root: Node) -> Iterator[Node]:
    """The nodes that cannot be parsed, in order of the text, and those within them."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type == "ERROR":
            yield node
        if node.has_error:
            pending += reversed(node.children)


def _nodes(root: Node, kind: str) -> Iterator[Node]:
    """The node, if it is of that kind, and all such nodes below it, in order of the text."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type == kind:
            yield node
        pending += reversed(node.children)


def _instruction_nodes(root: Node) -> Iterator[Node]:
    pending = [root]  # no recursion: ONBUILD ONBUILD … may be as deep as the file is long
    while pending:
        node = pending.pop()
        if node.type in ("onbuild_instruction", "ERROR") or node is root:
            pending += reversed(node.children)
        elif node.type.endswith("_instruction"):
            yield node


def _span(node: Node) -> Span:
    return Span(node.start_byte, node.end_byte)


def _piece(source: Source, node: Node) -> Piece:
    span = _span(node)
    return Piece(source.text_at(span), span)


def _instruction(source: Source, node: Node) -> Instruction:
    kind = node.type.removesuffix("_instruction")
    children = node.children
    nested = _nested(node)
    array = nested["json_string_array"][0] if nested["json_string_array"] else None
    if array is not None:
        words = tuple(Piece(_json_string(source, string), _span(string)) for string in _nodes(array, "json_string"))
    else:
        words = tuple(
            _piece(source, child) for child in children if child.type in ("path", "image_spec", "expose_port")
        )
    if kind in ("workdir", "user", "volume"):
        named = tuple(_piece(source, child) for child in node.named_children if child.type != "json_string_array")
        words = named or words
    has_script = kind in ("run", "cmd", "entrypoint", "healthcheck") and array is None
    return Instruction(
        kind=kind, span=_span(node), words=words, exec_form=array is not None,
        pairs=tuple(_pair(source, child) for child in children if child.type.endswith("_pair")),
        flags=tuple(_piece(source, child) for child in children if child.type in ("param", "mount_param")),
        script=_script(source, node, nested["shell_command"], nested["heredoc_content"]) if has_script else None,
        deferred=node.parent is not None and node.parent.type == "onbuild_instruction",
        heredocs=tuple(_piece(source, content) for content in nested["heredoc_content"]),
    )  # fmt: skip


def _nested(root: Node) -> dict[str, list[Node]]:
    """The nodes of each kind in NESTED at or below a node, in order of the text."""
    nodes: dict[str, list[Node]] = {kind: [] for kind in NESTED}
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type in NESTED:
            nodes[node.type].append(node)
        pending += reversed(node.children)
    return nodes


def _json_string(source: Source, node: Node) -> str:
    text = source.text_at(_span(node))
    try:
        return str(json.loads(text))
    except (ValueError, RecursionError):
        return text.strip('"')


def _pair(source: Source, node: Node) -> tuple[Piece, Piece | None]:
    name = node.child_by_field_name("name") or node.child_by_field_name("key") or node.children[0]
    value = node.child_by_field_name("default") or node.child_by_field_name("value")
    return _piece(source, name), _piece(source, value) if value is not None else None


def _script(source: Source, node: Node, commands: Sequence[Node], heredocs: Sequence[Node]) -> Script | None:
    """The shell text of an instruction: what follows its flags, or the heredoc that is the whole script."""
    if not commands:
        return None
    command, content = commands[0], heredocs[0] if heredocs else None
    text = source.text_at(_span(command)).strip()
    heredoc = HEREDOC.match(text) if text.startswith("<<") else None
    if heredoc and content is not None:
        interpreter = (heredoc["rest"].split() or ["sh"])[0]
        first_line = source.text_at(_span(content)).partition("\n")[0]
        if first_line.startswith("#!"):
            interpreter = (first_line.removeprefix("#!").removeprefix("/usr/bin/env").split() or ["sh"])[0]
        return _shell_text(source, content, content.end_byte) if SHELLS.match(interpreter) else None
    return _shell_text(source, command, node.end_byte if content is not None else command.end_byte)


def _shell_text(source: Source, node: Node, end: int) -> Script:
    text = bytearray(source.text[node.start_byte : end])
    for comment in _nodes(node, "comment") if b"#" in text else ():
        first, last = comment.start_byte - node.start_byte, comment.end_byte - node.start_byte
        text[first:last] = b" " * (last - first)
    return Script(bytes(text), node.start_byte)


def _is_posix(body: Sequence[Instruction], inherited: bool) -> bool:
    """Whether the shell of a stage is a POSIX shell; without SHELL it is that of the stage or image in its FROM."""
    shells = [instruction.words[0].text for instruction in body if instruction.kind == "shell" and instruction.words]
    return all(map(SHELLS.match, shells)) if shells else inherited


def _is_linux(image: Piece) -> bool:
    return not WINDOWS_IMAGE.search(image.text)
