"""Parse shell text with tree-sitter's bash grammar: its commands, each with the branches that lead to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from buildlib.lint.parsing.arch_tests import OTHER_SYSTEM, READS_ARCH, excluded_arches, is_arch_test, tested_arches
from buildlib.lint.parsing.arch_words import arches_of_pattern
from buildlib.lint.parsing.containerfile import Piece, Script
from buildlib.lint.parsing.script import Assignment, Branch, Choice, Command, Guard, ParsedScript, Use, guard_of
from buildlib.lint.parsing.shell_lists import TESTS, list_choices
from buildlib.lint.parsing.shell_tree import (
    MAX_DEPTH,
    fails,
    if_clauses,
    list_operands,
    parse,
    surroundings,
    unfinished,
)
from buildlib.lint.parsing.shell_words import ENDS, behind_prefix, script_argument, unquoted
from buildlib.lint.parsing.source import Span

if TYPE_CHECKING:
    from tree_sitter import Node

# $NAME and ${NAME with an operator, not after a backslash.
VARIABLE_USE = re.compile(
    rb"(?<!\\)(?:\\\\)*\$(?:(?P<bare>[A-Za-z_]\w*)|\{[#!]?(?P<name>[A-Za-z_]\w*)(?P<operator>:?[-=?+])?)"
)
QUOTED_HEREDOC = re.compile(r"<<-?\s*[\"'\\]")


def read(script: Script) -> ParsedScript:
    """Read a script. `shell_tree.parse` hides $NAME from the grammar, so uses of variables are found in the text."""
    parsed = ParsedScript(text=script.text.decode("utf-8", "replace"))
    reader = _Reader(script, parsed)
    reader.read(())
    for match in VARIABLE_USE.finditer(script.text):
        if not any(span.start <= match.start() + script.start < span.end for span in reader.quoted):
            reader.add_use(match)
    return parsed


def read_exec_form(words: tuple[Piece, ...], span: Span) -> ParsedScript:
    """Read RUN ["program", "word"]: one command, or the script that it passes to a shell."""
    script = script_argument(words)
    if not script:
        return ParsedScript(commands=[Command(words, span)], text=" ".join(word.text for word in words))
    inner = unquoted(script)
    return read(Script(inner.text.encode(), inner.span.start))


class _Reader:
    """Walks over the syntax tree of one script and fills a ParsedScript."""

    def __init__(self, script: Script, parsed: ParsedScript) -> None:
        self.script, self.parsed, self.pipelines, self.depth = script, parsed, 0, 0
        self.quoted: list[Span] = []  # where $ is an ordinary character
        self.failing: set[str] = set()  # names of the script's functions that end it with an error
        self.handlers = {
            "variable_assignment": self._assignment, "declaration_command": self._declaration, "unset_command": self._declaration,
            "case_statement": self._case, "if_statement": self._if, "for_statement": self._for,
            "function_definition": self._function,
        }  # fmt: skip

    def read(self, guards: tuple[Guard, ...]) -> None:
        """Parse the script and walk over its tree; no rule gets the commands of a script that a shell would reject."""
        root = parse(self.script.text)
        if (broken := unfinished(root)) is not None:
            self.parsed.unparsed.append(self.span(broken))
            self.quoted.append(self.span(root))
        else:
            self.visit(root, guards)

    def text(self, node: Node) -> str:
        """The node's text."""
        return self.script.text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def span(self, node: Node) -> Span:
        """The node's place in the file."""
        return Span(node.start_byte + self.script.start, node.end_byte + self.script.start)

    def piece(self, node: Node) -> Piece:
        """The node's text and place."""
        return Piece(self.text(node), self.span(node))

    def visit(self, node: Node, guards: tuple[Guard, ...], pipeline: int = 0) -> None:
        """Read a node and all below it, down to MAX_DEPTH."""
        if self.depth < MAX_DEPTH:
            self.depth += 1
            self._read(node, guards, pipeline)
            self.depth -= 1

    def _read(self, node: Node, guards: tuple[Guard, ...], pipeline: int) -> None:
        kind = node.type
        if handler := self.handlers.get(kind):
            handler(node, guards)
            return
        match kind:
            case "command":
                self._command(node, guards, pipeline)
            case "list":
                self._list(node, guards, pipeline)
            case "pipeline":
                self.pipelines += 1
                self._visit_all(node.named_children, guards, pipeline or self.pipelines)
            case "file_redirect":
                files = node.children_by_field_name("destination")
                self.parsed.written += [(self.piece(file), guards) for file in files if "<" not in self.text(node)[:2]]
                self._visit_all(node.named_children, guards, pipeline)
            case "raw_string" | "comment":
                self.quoted.append(self.span(node))
            case "heredoc_redirect" if QUOTED_HEREDOC.match(self.text(node)):
                self.quoted += [self.span(child) for child in node.children if child.type == "heredoc_body"]
                rest = [child for child in node.named_children if child.type != "heredoc_body"]
                self._visit_all(rest, guards, pipeline)
            case "ERROR":
                self.parsed.unparsed.append(self.span(node))
                self._visit_all(node.named_children, guards, pipeline)
            case _:
                self._visit_all(node.named_children, guards, pipeline)

    def _visit_all(self, nodes: Iterable[Node], guards: tuple[Guard, ...], pipeline: int = 0) -> None:
        for node in nodes:
            self.visit(node, guards, pipeline)

    def _command(self, node: Node, guards: tuple[Guard, ...], pipeline: int) -> None:
        name = node.child_by_field_name("name")
        words = [] if name is None else [self.piece(name)]
        words += [self.piece(child) for child in node.children_by_field_name("argument")]
        if words and words[0].text in ENDS:
            self.parsed.unparsed.append(words[0].span)
        while (rest := behind_prefix(words, self.parsed.assignments)) is not None:
            self._env_assignments(words[1:], guards)
            words = rest
        script = script_argument(words)
        command = Command(tuple(word for word in words if word is not script), self.span(node), guards, pipeline)
        self.parsed.commands.append(command)
        if script:
            self._nested_script(script, guards)
        match command.name:
            case "." | "source":
                self.parsed.sources_file = True
            case "read" | "mapfile" | "readarray" | "getopts":
                self.parsed.otherwise_set |= {word.bare for word in command.words[1:]}
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assignment(child, guards, before_command=name is not None)
            elif not (script and self.span(child) == script.span):
                self.visit(child, guards)

    def _nested_script(self, word: Piece, guards: tuple[Guard, ...]) -> None:
        """Read the script in the word after `sh -c`."""
        start, end = unquoted(word).span
        first = self.script.start
        reader = _Reader(Script(self.script.text[start - first : end - first], start), self.parsed)
        reader.pipelines, reader.depth = self.pipelines, self.depth
        reader.read(guards)
        self.pipelines = reader.pipelines
        self.quoted += reader.quoted

    def _env_assignments(self, words: Sequence[Piece], guards: tuple[Guard, ...]) -> None:
        """Read the assignments before a command: GOARCH=arm64 in `env GOARCH=arm64 go build`."""
        for word in words:
            name, equals, value = word.text.partition("=")
            if not equals and not word.text.startswith("-"):
                return
            if equals and name.isidentifier():
                start = word.span.start + len(name) + 1
                piece = Piece(value, Span(start, word.span.end))
                self.parsed.assignments.append(Assignment(name, (piece,), word.span, guards, True))

    def _assignment(self, node: Node, guards: tuple[Guard, ...], *, before_command: bool = False) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None:
            return
        values = (self.piece(value),) if value is not None else ()
        array, subscript, key = self.text(name).partition("[")
        if subscript and arches_of_pattern(key.rstrip("]")):  # an associative array with architectures as keys
            self.parsed.otherwise_set.add(array)
        else:
            self.parsed.assignments.append(Assignment(array, values, self.span(node), guards, before_command))
        if value is not None:
            self.visit(value, guards)

    def _declaration(self, node: Node, guards: tuple[Guard, ...]) -> None:
        self.parsed.otherwise_set |= {self.text(child) for child in node.children if child.type == "variable_name"}
        self._visit_all(node.named_children, guards)

    def add_use(self, match: re.Match[bytes]) -> None:
        """Add a variable that is read."""
        group = "bare" if match["bare"] else "name"
        name, operator = match[group].decode(), (match["operator"] or b"").decode()
        start = match.start(group) + self.script.start
        self.parsed.uses.append(Use(name, Span(start, start + len(name)), bool(operator)))
        if "=" in operator:
            self.parsed.otherwise_set.add(name)

    def _function(self, node: Node, guards: tuple[Guard, ...]) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None and fails(body, self.failing):
            self.failing.add(self.text(name))
        self._visit_all(node.named_children, guards)

    def _for(self, node: Node, guards: tuple[Guard, ...]) -> None:
        name = node.child_by_field_name("variable")
        values = tuple(self.piece(value) for value in node.children_by_field_name("value"))
        if name is not None:
            self.parsed.otherwise_set.add(self.text(name))
            self.parsed.assignments.append(Assignment(self.text(name), values, self.span(node), guards))
        self._visit_all(node.named_children, guards)

    # --- branches ----------------------------------------------------------------------------------------------------

    def _case(self, node: Node, guards: tuple[Guard, ...]) -> None:
        value = node.child_by_field_name("value")
        subject = self.text(value) if value is not None else ""
        items = [child for child in node.children if child.type == "case_item"]
        patterns = [[self.text(value) for value in item.children_by_field_name("value")] for item in items]
        # A pattern that is a path does not ask for an architecture, even if one is in its name.
        words = [word for words in patterns for word in words if not word.strip("\"'").startswith("/")]
        is_choice = bool(READS_ARCH.search(subject)) or any(map(arches_of_pattern, words))
        if value is not None:
            self.visit(value, guards)
        branches, default = [], None
        for item, words in zip(items, patterns, strict=True):
            arches = frozenset().union(*map(arches_of_pattern, words)) if words else frozenset()
            values = item.children_by_field_name("value")
            body = [child for child in item.children if child not in values and child.type not in ("|", "(", ")")]
            branch = self._branch(item, body, arches)
            if "*" in words or '"*"' in words:
                default = branch
            else:
                branches.append(branch)
            if not (words and all(map(OTHER_SYSTEM.match, words))):
                self._visit_all(body, (*guards, guard_of(subject, arches)) if is_choice else guards)
        if is_choice:
            self._add_choice("case", subject, node, branches, default, guards)

    def _if(self, node: Node, guards: tuple[Guard, ...]) -> None:
        clauses = list(if_clauses(node))
        tests = [" ".join(self.text(child) for child in test) for test, _ in clauses]
        arch_tests = [test for test in tests if test and is_arch_test(test)]
        branches, default = [], None
        # `if [ … != arm64 ]; then b; else a; fi` is `if [ … = arm64 ]; then a; else b; fi`.
        excluded = excluded_arches(tests[0]) if len(clauses) == 2 and not tests[1] else frozenset()
        for (test_nodes, body), test in zip(clauses, tests, strict=True):
            self._visit_all(test_nodes, guards)
            arches = tested_arches(test) if test else excluded
            branch = self._branch(body[0] if body else node, body, arches)
            if bool(test_nodes) != bool(excluded):
                branches.append(branch)
            else:
                default = branch
            self._visit_all(body, (*guards, guard_of(test or arch_tests[0], arches)) if arch_tests else guards)
        if arch_tests:
            self._add_choice("if", arch_tests[0], node, branches, default, guards)

    def _add_choice(
        self,
        keyword: str,
        subject: str,
        node: Node,
        branches: Sequence[Branch],
        default: Branch | None,
        guards: tuple[Guard, ...],
    ) -> None:
        place = (self.span(node), tuple(branches), default, guards)
        self.parsed.choices.append(Choice(keyword, subject, *place, *surroundings(node)))

    def _branch(self, node: Node, body: Sequence[Node], arches: frozenset[str]) -> Branch:
        text = "\n".join(self.text(child) for child in body)
        commands = tuple(
            tuple(self.text(word) for word in child.named_children) for child in body if child.type == "command"
        )
        return Branch(arches, text, any(fails(child, self.failing) for child in body), self.span(node), commands)

    def _list(self, node: Node, guards: tuple[Guard, ...], pipeline: int) -> None:
        """Read a && b || c: what follows a test of the architecture is a branch of it.

        Only the first operand belongs to the pipeline, although the grammar may parse a | b && c as a | (b && c).
        """
        operands = list(list_operands(node))
        for choice in list_choices(node, operands, self.text, self.failing):
            branch = self._branch(choice.branch[0] if choice.branch else node, choice.branch, choice.arches)
            default = self._branch(choice.default[0], choice.default, frozenset()) if choice.default else None
            self._add_choice("if", choice.subject, node, [branch], default, guards)
        for operator, operand in operands:
            self.visit(operand, guards, pipeline)
            pipeline = 0
            test = self.text(operand) if operand.type in TESTS else ""
            if test and is_arch_test(test):
                guards = (*guards, guard_of(test, tested_arches(test) if operator == "&&" else excluded_arches(test)))
            elif operator == "||" and guards and guards[-1].arches:  # the part after || runs for the others
                guards = (*guards[:-1], Guard())
