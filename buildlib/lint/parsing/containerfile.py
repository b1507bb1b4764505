"""A Dockerfile as stages of instructions. The grammar is tree-sitter's, which goes on after what it cannot read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from buildlib.lint.parsing.mask import frame
from buildlib.lint.parsing.source import Source, Span

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

SHELLS = re.compile(r"(?:.*/)?(?:ba|da|a|z|k)?sh$")
HEREDOC = re.compile(r"<<-?(?P<quote>[\"']?)(?P<mark>[\w.-]+)(?P=quote)[ \t]*(?P<rest>[^|&;<>]*)$")


class Piece(NamedTuple):
    """A word, as it stands in the file, and where."""

    text: str
    span: Span

    @property
    def bare(self) -> str:
        """Without quotes around it."""
        return self.text.strip("\"'")


@dataclass(frozen=True)
class Script:
    """Shell text; with what is no shell in it (comments of the Dockerfile's) turned to blanks. It begins at the byte `start`."""

    text: bytes
    start: int


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """`kind` in small letters. `words` are paths, an exec form's strings, or an image's name; `pairs` what ARG, ENV and LABEL say."""

    kind: str
    span: Span
    flags: tuple[Piece, ...] = ()
    words: tuple[Piece, ...] = ()
    pairs: tuple[tuple[Piece, Piece | None], ...] = ()
    script: Script | None = None
    exec_form: bool = False
    deferred: bool = False  # by ONBUILD
    heredocs: tuple[Piece, ...] = ()  # files written out in it

    def flag(self, name: str) -> Piece | None:
        """The value of --name=…"""
        start = f"--{name}="
        found = (flag for flag in self.flags if flag.text.startswith(start))
        return next((Piece(f.text[len(start) :], Span(f.span.start + len(start), f.span.end)) for f in found), None)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """From one FROM to the next. `parent` is the number of the stage that it stands on, None for an image from elsewhere."""

    number: int
    name: str
    base: Piece
    head: Instruction
    platform: Piece | None
    parent: int | None
    instructions: tuple[Instruction, ...]
    posix: bool = True  # its SHELL is one that we can read


@dataclass(frozen=True, kw_only=True)
class File:
    """`before` is what stands before the first FROM."""

    source: Source
    before: tuple[Instruction, ...] = ()
    stages: tuple[Stage, ...] = ()
    comments: tuple[Piece, ...] = ()
    broken: tuple[Span, ...] = field(default=())  # what could not be read

    def line(self, stage: Stage) -> Iterator[Stage]:
        """The stage, the one that it stands on, and so forth."""
        at: Stage | None = stage
        while at is not None:
            yield at
            at = self.stages[at.parent] if at.parent is not None else None


def of_script(source: Source, script: Script, span: Span) -> File:
    """A script from elsewhere as a file of one stage that runs it."""
    run = Instruction(kind="run", span=span, script=script)
    stage = Stage(number=0, name="", base=Piece("", span), head=run, platform=None, parent=None, instructions=(run,))
    return File(source=source, stages=(stage,))


@cache
def _parser() -> Parser:
    import tree_sitter_containerfile
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_containerfile.language()))


def read(source: Source) -> File:
    """The Dockerfile. Nothing in it is an error here."""
    root = _parser().parse(frame(source.text)).root_node
    before: list[Instruction] = []
    stages: list[Stage] = []
    inside: list[Instruction] = before
    bodies: list[list[Instruction]] = []
    for node in _instructions(root):
        found = _instruction(source, node)
        if found.kind != "from":
            inside.append(found)
            continue
        stages.append(_stage(source, node, found, stages))
        bodies.append(inside := [])
    whole = tuple(
        replace(stage, instructions=tuple(body), posix=_is_posix(body))
        for stage, body in zip(stages, bodies, strict=True)
    )
    comments = tuple(_piece(source, node) for node in _of(root, "comment"))
    broken = tuple(_span(node) for node in _of(root, "ERROR"))
    return File(source=source, before=tuple(before), stages=whole, comments=comments, broken=broken)


def _of(node: Node, kind: str) -> Iterator[Node]:
    if node.type == kind:
        yield node
    for child in node.children:
        yield from _of(child, kind)


def _instructions(root: Node) -> Iterator[Node]:
    for node in root.children:
        if node.type == "onbuild_instruction":
            yield from _instructions(node)
        elif node.type.endswith("_instruction"):
            yield node
        elif node.type == "ERROR":
            yield from _instructions(node)


def _span(node: Node) -> Span:
    return Span(node.start_byte, node.end_byte)


def _piece(source: Source, node: Node) -> Piece:
    return Piece(source.part(_span(node)), _span(node))


def _instruction(source: Source, node: Node) -> Instruction:
    kind = node.type.removesuffix("_instruction")
    array = next(_of(node, "json_string_array"), None)
    if array is not None:
        words = tuple(Piece(_json(source, string), _span(string)) for string in _of(array, "json_string"))
    else:
        words = tuple(
            _piece(source, child) for child in node.children if child.type in ("path", "image_spec", "expose_port")
        )
    if kind in ("workdir", "user", "volume"):
        words = (
            tuple(_piece(source, child) for child in node.named_children if child.type != "json_string_array") or words
        )
    pairs = tuple(_pair(source, child) for child in node.children if child.type.endswith("_pair"))
    return Instruction(
        kind=kind, span=_span(node), words=words, exec_form=array is not None, pairs=pairs,
        flags=tuple(_piece(source, child) for child in node.children if child.type in ("param", "mount_param")),
        script=_script(source, node) if kind in ("run", "cmd", "entrypoint", "healthcheck") and array is None else None,
        deferred=node.parent is not None and node.parent.type == "onbuild_instruction",
        heredocs=tuple(_piece(source, content) for content in _of(node, "heredoc_content")),
    )  # fmt: skip


def _json(source: Source, node: Node) -> str:
    told = source.part(_span(node))
    try:
        return str(json.loads(told))
    except ValueError:
        return told.strip('"')


def _pair(source: Source, node: Node) -> tuple[Piece, Piece | None]:
    name = node.child_by_field_name("name") or node.child_by_field_name("key") or node.children[0]
    value: Any = node.child_by_field_name("default") or node.child_by_field_name("value")
    return _piece(source, name), _piece(source, value) if value is not None else None


def _script(source: Source, node: Node) -> Script | None:
    """The shell text of an instruction: what stands behind its flags, or the document that it is given whole."""
    command = next(iter(_of(node, "shell_command")), None)
    if command is None:
        return None
    told = source.part(_span(command)).strip()
    document = HEREDOC.match(told) if told.startswith("<<") else None
    content = next(_of(node, "heredoc_content"), None)
    if document and content is not None:
        interpreter = (document["rest"].split() or ["sh"])[0]
        begins = source.part(_span(content)).partition("\n")[0]
        if begins.startswith("#!"):  # its own first line says who reads it
            interpreter = (begins.removeprefix("#!").removeprefix("/usr/bin/env").split() or ["sh"])[0]
        return _shell_text(source, content, content.end_byte) if SHELLS.match(interpreter) else None
    return _shell_text(source, command, node.end_byte if content is not None else command.end_byte)


def _shell_text(source: Source, node: Node, end: int) -> Script:
    text = bytearray(source.text[node.start_byte : end])
    for comment in _of(node, "comment"):
        first, last = comment.start_byte - node.start_byte, comment.end_byte - node.start_byte
        text[first:last] = b" " * (last - first)
    return Script(bytes(text), node.start_byte)


def _stage(source: Source, node: Node, head: Instruction, earlier: list[Stage]) -> Stage:
    alias = node.child_by_field_name("as")
    base = head.words[0] if head.words else Piece("", head.span)
    name = source.part(_span(alias)) if alias is not None else ""
    numbers = {stage.name.lower(): stage.number for stage in earlier if stage.name}
    return Stage(
        number=len(earlier), name=name, base=base, head=head, platform=head.flag("platform"), instructions=(),
        parent=numbers.get(base.text.lower()),
    )  # fmt: skip


def _is_posix(body: list[Instruction]) -> bool:
    shells = [found.words[0].text for found in body if found.kind == "shell" and found.words]
    return all(SHELLS.match(shell) for shell in shells)
