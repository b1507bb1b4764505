"""Shell text as a syntax tree of tree-sitter's bash grammar, and the parts of `if` and lists in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from functools import cache
from typing import TYPE_CHECKING

from buildlib.lint.parsing.mask import ASCII

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_DEPTH = 60  # nodes within nodes; what is nested deeper is skipped
# The grammar (0.25.1) ends a word before its second $NAME, and cannot parse a $ without a name at the end of a word.
DOLLAR = re.compile(rb"\$(?=\w)|(?<!\\)\$(?![{(\[*@#?!$'\"-])")
# It cannot parse a command substitution with nothing but a comment in it, which documents one line of a long command.
COMMENT = re.compile(rb"(?<=[ \t])`#[^`\n]*`(?=[ \t\n\\])")
# It does not know these operators of test; == stands for them.
ORDER_OPERATOR = re.compile(rb"(?<=[ \t])\\[<>](?=[ \t])")
# It fails after "$(case … ;; esac)/: the last ;; is replaced by an equivalent ; or by spaces.
LAST_BRANCH_END = re.compile(rb"(?P<before>[^\s]|\n)(?P<spaces>[ \t]*);;(?=[\s\\]*esac\))")
# Usual names of functions, defined in other files, that end a script.
FAILING_NAME = re.compile(
    r"^(?:\w*[_-])?(?:die|fail|failed|failure|abort|fatal|panic|bail|error|err|error_exit|unsupported)\w*$"
)
# After a choice, in its pipeline: what it prints is only compared with files.
CHECKSUM = re.compile(rb"[^|&;]*\|\s*(?:\S*/)?(?:sha\d*sum|shasum|md5sum|b2sum)\b")
# In a node of type ERROR, the start of what has no end.
OPENING = frozenset(
    {"if", "then", "elif", "else", "case", "for", "while", "until", "do", "{", "(", "$(", "${", "<(", "`"}
)
OPEN_QUOTE = re.compile(rb"\s*[\"']")
READS_OUTPUT = frozenset(
    {"command_substitution", "process_substitution", "pipeline", "redirected_statement", "function_definition"}
)
CONDITIONAL = frozenset({"if_statement", "case_statement", "for_statement", "while_statement", "function_definition"})


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


def parse(text: bytes) -> Node:
    """The root of the syntax tree; every byte keeps its offset. Nodes of type ERROR cover what cannot be parsed."""
    text = COMMENT.sub(lambda match: b" " * len(match[0]), text.translate(ASCII))
    return (
        _parser()
        .parse(LAST_BRANCH_END.sub(_without_branch_end, ORDER_OPERATOR.sub(b"==", DOLLAR.sub(b"_", text))))
        .root_node
    )


def unfinished(root: Node) -> Node | None:
    """The first node that has no end, such as a `case` without `esac`, a quote, or && without a command after it; None for none.

    A shell rejects the whole script. The parser invents an end, or leaves the node out, so that the tree says nothing about what
    belongs to it.
    """
    pending = [root] if root.has_error else []
    while pending:
        node = pending.pop()
        is_open = any(child.type in OPENING for child in node.children) or OPEN_QUOTE.match(node.text or b"")
        if node.type == "ERROR" and is_open:
            return node
        # The grammar also misses a ; in valid scripts: after a heredoc in a loop.
        if node.is_missing and node.type not in (";", "\n"):
            while node.parent is not None and node.start_byte == node.end_byte:
                node = node.parent
            return node
        pending += reversed([child for child in node.children if child.has_error or child.is_missing])
    return None


def _without_branch_end(match: re.Match[bytes]) -> bytes:
    return match["before"] + match["spaces"] + (b"  " if match["before"] in (b")", b"\n") else b"; ")


def if_clauses(node: Node) -> Iterator[tuple[list[Node], list[Node]]]:
    """Test and body of `if`, of each `elif`, and of `else`, whose test is empty."""
    test: list[Node] = []
    body: list[Node] = []
    current = test
    further = []
    for child in node.children:
        if child.type in ("elif_clause", "else_clause"):
            further.append(child)
        elif child.type == "then":
            current = body
        elif child.is_named and child.type != "comment":
            current.append(child)
    yield test, body
    for clause in further:
        if clause.type == "elif_clause":
            yield from if_clauses(clause)
        else:
            yield [], clause.named_children


def list_operands(node: Node) -> Iterator[tuple[str, Node]]:
    """The parts of a list in order, each with the operator after it.

    The grammar nests lists on the left, as deep as they are long.
    """
    parts: list[Node] = []
    operators: list[str] = []
    while node.type == "list":
        named = node.named_children
        parts += reversed(named[1:])
        operators += ["", *(child.type for child in node.children if child.type in ("&&", "||"))][-1:] * len(named[1:])
        node = named[0]
    return zip([*reversed(operators), ""], [node, *reversed(parts)], strict=True)


def surroundings(node: Node) -> tuple[str, bool]:
    """What reads the output of a choice, and whether the choice itself is conditional, as in `script.Choice`."""
    output, conditional, parent = "", False, node.parent
    while parent is not None:
        after = (parent.text or b"")[node.end_byte - parent.start_byte :]
        if parent.type in READS_OUTPUT and after.strip() != b">&2":
            output = output or "other"
            if parent.type == "pipeline" and CHECKSUM.match(after):
                output = "checksum"
        conditional = conditional or parent.type in CONDITIONAL
        parent = parent.parent
    return output, conditional


def fails(node: Node, failing: Set[str], depth: int = 0) -> bool:
    """Whether a node ends the script with an error, as far as can be seen; `failing` are functions that do."""
    if depth > MAX_DEPTH:
        return False
    if node.type == "command":
        words = [(child.text or b"").decode("utf-8", "replace") for child in node.named_children]
        name = words[0].rpartition("/")[2]
        exits = name in ("exit", "return") and len(words) > 1 and words[1].strip("\"'") != "0"
        return exits or name == "false" or name in failing or bool(FAILING_NAME.match(name))
    if node.type == "expansion" and any(child.type in (":?", "?") for child in node.children):
        return True
    return any(fails(child, failing, depth + 1) for child in node.named_children)
