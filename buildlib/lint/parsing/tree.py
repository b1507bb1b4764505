"""Shell text as the tree of tree-sitter's grammar of bash, and the parts of what branches in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

DEEPEST = 60  # nodes within nodes; what is nested deeper is passed over
# The grammar (0.25.1) ends a word before its second $NAME. And of a $ with no name behind it, at the end of a word, it makes nothing.
DOLLAR = re.compile(rb"\$(?=\w)|(?<!\\)\$(?![{(\[*@#?!$'\"-])")
# It loses its way behind "$(case … ;; esac)/: the last ;; may be a ; as well.
LAST = re.compile(rb"(?P<before>[^\s]|\n)(?P<blanks>[ \t]*);;(?=[\s\\]*esac\))")
# What functions of another file are called that end a script.
FAILS = re.compile(
    r"^(?:\w*[_-])?(?:die|fail|failed|failure|abort|fatal|panic|bail|error|err|error_exit|unsupported)\w*$"
)


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def tree(text: bytes) -> Node:
    """The root, of a copy of the text in which the grammar does not lose its way, each byte where it was. What is no shell has nodes
    of errors in it."""
    return _parser().parse(LAST.sub(_last, DOLLAR.sub(b"_", text))).root_node


def _last(found: re.Match[bytes]) -> bytes:
    return found["before"] + found["blanks"] + (b"  " if found["before"] in (b")", b"\n") else b"; ")


def clauses(node: Node) -> Iterator[tuple[list[Node], list[Node]]]:
    """Test and body of `if`, each `elif`, and `else`, which has no test."""
    test: list[Node] = []
    body: list[Node] = []
    into = test
    more = []
    for child in node.children:
        if child.type in ("elif_clause", "else_clause"):
            more.append(child)
        elif child.type == "then":
            into = body
        elif child.is_named and child.type != "comment":
            into.append(child)
    yield test, body
    for clause in more:
        if clause.type == "elif_clause":
            yield from clauses(clause)
        else:
            yield [], [child for child in clause.children if child.is_named]


def operands(node: Node) -> Iterator[tuple[str, Node]]:
    """The parts of a list in order, each with the operator behind it. Lists lean to the left, as deep as they are long."""
    parts: list[Node] = []
    operators: list[str] = []
    while node.type == "list":
        named = [child for child in node.children if child.is_named]
        parts += reversed(named[1:])
        operators += ["", *(child.type for child in node.children if child.type in ("&&", "||"))][-1:] * len(named[1:])
        node = named[0]
    return zip([*reversed(operators), ""], [node, *reversed(parts)], strict=True)


def fails(node: Node, failing: Set[str], depth: int = 0) -> bool:
    """Whether what stands here ends the script with an error, as far as one can see; `failing` are functions that do."""
    if depth > DEEPEST:
        return False
    if node.type == "command":
        words = [(child.text or b"").decode("utf-8", "replace") for child in node.children if child.is_named]
        name = words[0].rpartition("/")[2]
        ends = name in ("exit", "return") and len(words) > 1 and words[1].strip("\"'") != "0"
        return ends or name == "false" or name in failing or bool(FAILS.match(name))
    if node.type == "expansion" and any(child.type in (":?", "?") for child in node.children):
        return True
    return any(fails(child, failing, depth + 1) for child in node.children)
