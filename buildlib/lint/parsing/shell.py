"""Shell text as commands, each with the branches that lead to it. The grammar is tree-sitter's of bash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile, pairwise
from typing import TYPE_CHECKING

from buildlib.lint.parsing.containerfile import Piece, Script
from buildlib.lint.parsing.questions import ASKS, equal, is_question
from buildlib.lint.parsing.script import Assignment, Branch, Chain, Command, Guard, Shell, Use
from buildlib.lint.parsing.source import Span
from buildlib.lint.parsing.tree import DEEPEST, clauses, fails, operands, tree
from buildlib.lint.parsing.words import meant

if TYPE_CHECKING:
    from tree_sitter import Node

# $NAME and ${NAME with what may follow, unless a backslash stands before it.
READ = re.compile(rb"(?<!\\)(?:\\\\)*\$(?:(?P<bare>[A-Za-z_]\w*)|\{[#!]?(?P<name>[A-Za-z_]\w*)(?P<operator>:?[-=?+])?)")
QUOTED = re.compile(r"<<-?\s*[\"'\\]")
# Systems that no image is of: what is done there is not done here.
NEVER = re.compile(
    r"[\"'*]*(?:darwin|mac_?os|osx|windows|mingw|msys|cygwin|freebsd|openbsd|netbsd|sunos)", re.IGNORECASE
)
BRANCHING = frozenset({"case", "esac", ";;", "if", "then", "elif", "else", "fi"})
TESTS = ("test_command", "negated_command", "command", "pipeline")
# What stands before the command that is meant.
PREFIXES = frozenset({"sudo", "time", "exec", "command", "nohup", "nice", "env", "doas", "gosu", "then", "builtin"})
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "su", "runuser"})


def read(script: Script) -> Shell:
    """What the script does. In the tree's copy $NAME is a word like any other; what is read is found in the text."""
    found = Shell(text=script.text.decode("utf-8", "replace"))
    reader = _Reader(script, found)
    reader.parse(())
    for match in READ.finditer(script.text):
        if not any(span.start <= match.start() + script.start < span.end for span in reader.quoted):
            reader.use(match)
    return found


def exec_form(words: tuple[Piece, ...], span: Span) -> Shell:
    """RUN ["program", "word"]: one command, and what a shell among such is given to run."""
    inner = _script_in(words)
    text = " ".join(word.text for word in words)
    if not inner:
        return Shell(commands=[Command(words, span)], text=text)
    script = _unquoted(inner)
    return read(Script(script.text.encode(), script.span.start))


def _script_in(words: Sequence[Piece]) -> Piece | None:
    """The word that a shell is given to run."""
    if words and words[0].bare.rpartition("/")[2] in SHELLS:
        return next((word for flag, word in pairwise(words) if re.fullmatch(r"-[a-z]*c", flag.bare)), None)
    return None


def _unquoted(word: Piece) -> Piece:
    quote = int(word.text[:1] in ("'", '"'))
    return Piece(word.text[quote : len(word.text) - quote], Span(word.span.start + quote, word.span.end - quote))


class _Reader:
    """One walk over the tree."""

    def __init__(self, script: Script, shell: Shell) -> None:
        self.script, self.shell, self.pipelines, self.depth = script, shell, 0, 0
        self.quoted: list[Span] = []  # where a $ is a $
        self.failing: set[str] = set()  # functions that end the script
        self.readers = {
            "variable_assignment": self._assignment, "declaration_command": self._declaration, "unset_command": self._declaration,
            "case_statement": self._case, "if_statement": self._if, "for_statement": self._for,
            "function_definition": self._function,
        }  # fmt: skip

    def parse(self, guards: tuple[Guard, ...]) -> None:
        self.visit(tree(self.script.text), guards)

    def text(self, node: Node) -> str:
        return self.script.text[node.start_byte : node.end_byte].decode("utf-8", "replace")

    def span(self, node: Node) -> Span:
        return Span(node.start_byte + self.script.start, node.end_byte + self.script.start)

    def piece(self, node: Node) -> Piece:
        return Piece(self.text(node), self.span(node))

    def visit(self, node: Node, guards: tuple[Guard, ...], feeds: int = 0) -> None:
        """Reads a node and all below it, as deep as anybody nests."""
        if self.depth < DEEPEST:
            self.depth += 1
            self._read(node, guards, feeds)
            self.depth -= 1

    def _read(self, node: Node, guards: tuple[Guard, ...], feeds: int) -> None:
        if reads := self.readers.get(node.type):
            reads(node, guards)
            return
        match node.type:
            case "command":
                self._command(node, guards, feeds)
            case "list":
                self._list(node, guards, feeds)
            case "pipeline":
                self.pipelines += 1
                self._all(node.children, guards, feeds or self.pipelines)
            case "raw_string" | "comment":
                self.quoted.append(self.span(node))
            case "heredoc_redirect" if QUOTED.match(self.text(node)):
                self.quoted += [self.span(child) for child in node.children if child.type == "heredoc_body"]
                self._all((child for child in node.children if child.type != "heredoc_body"), guards, feeds)
            case "ERROR":
                self.shell.broken.append(self.span(node))
                # What led to a command is not known where the words of a branch stand loose.
                lost = any(child.type in BRANCHING for child in node.children)
                self._all(node.children, (*guards, Guard()) if lost else guards, feeds)
            case _:
                self._all(node.children, guards, feeds)

    def _all(self, nodes: Iterable[Node], guards: tuple[Guard, ...], feeds: int = 0) -> None:
        for node in nodes:
            self.visit(node, guards, feeds)

    def _command(self, node: Node, guards: tuple[Guard, ...], feeds: int) -> None:
        name = node.child_by_field_name("name")
        words = [] if name is None else [self.piece(name)]
        words += [self.piece(child) for child in node.children_by_field_name("argument")]
        while len(words) > 1 and words[0].bare in PREFIXES:
            self._env(words[1:], guards)
            words = list(dropwhile(lambda word: word.text.startswith("-") or "=" in word.text, words[1:]))
        inner = _script_in(words)
        command = Command(tuple(word for word in words if word is not inner), self.span(node), guards, feeds)
        self.shell.commands.append(command)
        if inner:
            self._inner(inner, guards)
        match command.name:
            case "." | "source":
                self.shell.sources = True
            case "read" | "mapfile" | "readarray" | "getopts":
                self.shell.sets |= {word.bare for word in command.words[1:]}
        for child in node.children:
            if child.type == "variable_assignment":
                self._assignment(child, guards, before_command=name is not None)
            elif child.is_named and not (inner and self.span(child) == inner.span):
                self.visit(child, guards)

    def _inner(self, word: Piece, guards: tuple[Guard, ...]) -> None:
        """sh -c '…': a script in a word."""
        start, end = _unquoted(word).span
        first = self.script.start
        reader = _Reader(Script(self.script.text[start - first : end - first], start), self.shell)
        reader.pipelines, reader.depth = self.pipelines, self.depth
        reader.parse(guards)
        self.pipelines = reader.pipelines
        self.quoted += reader.quoted

    def _env(self, words: list[Piece], guards: tuple[Guard, ...]) -> None:
        """env GOARCH=arm64 go build: words that are assignments."""
        for word in words:
            name, equals, value = word.text.partition("=")
            if not equals and not word.text.startswith("-"):
                return
            if equals and name.isidentifier():
                start = word.span.start + len(name) + 1
                piece = Piece(value, Span(start, word.span.end))
                self.shell.assignments.append(Assignment(name, (piece,), word.span, guards, True))

    def _assignment(self, node: Node, guards: tuple[Guard, ...], *, before_command: bool = False) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None:
            return
        values = (self.piece(value),) if value is not None else ()
        array, subscript, key = self.text(name).partition("[")
        if subscript and meant(key.rstrip("]")):  # a table by architecture
            self.shell.sets.add(array)
        else:
            self.shell.assignments.append(Assignment(array, values, self.span(node), guards, before_command))
        if value is not None:
            self.visit(value, guards)

    def _declaration(self, node: Node, guards: tuple[Guard, ...]) -> None:
        self.shell.sets |= {self.text(child) for child in node.children if child.type == "variable_name"}
        self._all(node.children, guards)

    def use(self, match: re.Match[bytes]) -> None:
        """A variable is read."""
        group = "bare" if match["bare"] else "name"
        name, operator = match[group].decode(), (match["operator"] or b"").decode()
        start = match.start(group) + self.script.start
        self.shell.uses.append(Use(name, Span(start, start + len(name)), bool(operator)))
        if "=" in operator:
            self.shell.sets.add(name)

    def _function(self, node: Node, guards: tuple[Guard, ...]) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None and fails(body, self.failing):
            self.failing.add(self.text(name))
        self._all(node.children, guards)

    def _for(self, node: Node, guards: tuple[Guard, ...]) -> None:
        name = node.child_by_field_name("variable")
        values = tuple(self.piece(value) for value in node.children_by_field_name("value"))
        if name is not None:
            self.shell.sets.add(self.text(name))
            self.shell.assignments.append(Assignment(self.text(name), values, self.span(node), guards))
        self._all(node.children, guards)

    # --- branches ----------------------------------------------------------------------------------------------------

    def _case(self, node: Node, guards: tuple[Guard, ...]) -> None:
        value = node.child_by_field_name("value")
        subject = self.text(value) if value is not None else ""
        items = [child for child in node.children if child.type == "case_item"]
        patterns = [[self.text(value) for value in item.children_by_field_name("value")] for item in items]
        # A path that has an architecture's word in it asks for none.
        words = [word for told in patterns for word in told if not word.strip("\"'").startswith("/")]
        asks = bool(ASKS.search(subject)) or any(meant(word) for word in words)
        if value is not None:
            self.visit(value, guards)
        branches, rest = [], None
        for item, told in zip(items, patterns, strict=True):
            arches = frozenset().union(*(meant(pattern) for pattern in told)) if told else frozenset()
            body = [child for child in item.children if child not in item.children_by_field_name("value")]
            branch = self._branch(item, body, arches)
            if "*" in told or '"*"' in told:
                rest = branch
            else:
                branches.append(branch)
            if not (told and all(map(NEVER.match, told))):
                self._all(body, (*guards, Guard(arches)) if asks else guards)
        if asks:
            self.shell.chains.append(Chain("case", subject, self.span(node), tuple(branches), rest, guards))

    def _if(self, node: Node, guards: tuple[Guard, ...]) -> None:
        parts = list(clauses(node))
        tests = [" ".join(self.text(child) for child in test) for test, _ in parts]
        asks = [test for test in tests if test and is_question(test)]
        branches, rest = [], None
        for (test, body), told in zip(parts, tests, strict=True):
            self._all(test, guards)
            arches = equal(told)
            branch = self._branch(body[0] if body else node, body, arches)
            if test:
                branches.append(branch)
            else:
                rest = branch
            self._all(body, (*guards, Guard(arches)) if asks else guards)
        if asks:
            chain = Chain("if", asks[0], self.span(node), tuple(branches), rest, guards)
            self.shell.chains.append(chain)

    def _branch(self, node: Node, body: list[Node], arches: frozenset[str]) -> Branch:
        text = " ".join(self.text(child) for child in body)
        commands = tuple(
            tuple(self.text(word) for word in child.children if word.is_named)
            for child in body
            if child.type == "command"
        )
        return Branch(arches, text, any(fails(child, self.failing) for child in body), self.span(node), commands)

    def _list(self, node: Node, guards: tuple[Guard, ...], feeds: int) -> None:
        """a && b || c: what stands behind a question hangs on it. The grammar may make a | (b && c) of a | b && c."""
        parts = list(operands(node))
        for (first, asked), (second, then), (_, otherwise) in zip(parts, parts[1:], parts[2:], strict=False):
            test = self.text(asked)
            if (first, second) == ("&&", "||") and is_question(test):  # an `if` with its `else`
                branch, rest = (
                    self._branch(then, [then], equal(test)),
                    self._branch(otherwise, [otherwise], frozenset()),
                )
                self.shell.chains.append(Chain("if", test, self.span(node), (branch,), rest, guards))
        for operator, part in parts:
            self.visit(part, guards, feeds)
            feeds = 0
            test = self.text(part)
            if part.type in TESTS and is_question(test):
                guards = (*guards, Guard(equal(test) if operator == "&&" else frozenset()))
            elif operator == "||" and guards and guards[-1].arches:
                guards = (*guards[:-1], Guard())
