"""Shell text as the tree of tree-sitter's grammar of bash, and the parts of what branches in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def tree(text: bytes) -> Node:
    """The root. What is no shell has nodes of errors in it."""
    return _parser().parse(text).root_node


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
