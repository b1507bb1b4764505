"""Choices that are written as lists: `a && b || c`, `a || exit 1`, `a && b; d`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from buildlib.lint.parsing.arch_tests import TEST, is_arch_test, tested_arches
from buildlib.lint.parsing.shell_tree import fails

if TYPE_CHECKING:
    from tree_sitter import Node

# Types of the nodes that may test the architecture.
TESTS = ("test_command", "negated_command", "command", "pipeline")


class ListChoice(NamedTuple):
    """A list that is the same as `if subject; then branch; else default; fi`; without an `else`, `default` is empty."""

    subject: str
    arches: frozenset[str]  # for which the subject is true
    branch: Sequence[Node]
    default: Sequence[Node]


def list_choices(
    node: Node, operands: Sequence[tuple[str, Node]], text: Callable[[Node], str], failing: Set[str]
) -> Iterator[ListChoice]:
    """The choices in a list with these operands, each with the operator after it; `failing` are functions that end the script."""
    before = ""  # the tests that lead to the next operand
    for (first, condition), (second, then), (_, otherwise) in zip(operands, operands[1:], operands[2:], strict=False):
        test = text(condition)
        before = before + test + " && " if first == "&&" and condition.type in TESTS and TEST.match(test) else ""
        if (first, second) == ("&&", "||") and is_arch_test(test):
            yield ListChoice(before.removesuffix(" && ") or test, tested_arches(test), [then], [otherwise])
    tests = list(takewhile(lambda one: one[1].type in TESTS and is_arch_test(text(one[1])), operands))
    rest = [operand for _, operand in operands[len(tests) :]]
    operators = {operator for operator, _ in tests}
    if not rest or len(operators) != 1:
        return
    operator = operators.pop()
    subject = f" {operator} ".join(text(test) for _, test in tests)
    does_fail = len(rest) == 1 and fails(rest[0], failing)
    if operator == "||" and does_fail:
        yield ListChoice(subject, tested_arches(subject), [], rest)
    elif operator == "&&" and (does_fail or _is_ignored(node, operands)):
        yield ListChoice(subject, tested_arches(subject), rest, [])


def _is_ignored(node: Node, operands: Sequence[tuple[str, Node]]) -> bool:
    """Whether the script goes on if a list of && fails: another command follows it. At its end it would be the script's failure."""
    after = node.next_named_sibling
    is_sequence = node.parent is not None and node.parent.type in ("program", "compound_statement", "subshell")
    return is_sequence and after is not None and after.type != "comment" and all(one != "||" for one, _ in operands)
