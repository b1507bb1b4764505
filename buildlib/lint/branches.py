"""What a branch of a choice by architecture does, read from its text."""

from __future__ import annotations

import re

from buildlib.lint.analysis import constant_text
from buildlib.lint.known_commands import CROSS_PACKAGE, FETCH, INSTALL, MESSAGE
from buildlib.lint.parsing.arch_words import arches_of_pattern, find_arch_words
from buildlib.lint.parsing.script import Branch, Choice
from buildlib.lint.parsing.shell_tree import FAILING_NAME
from buildlib.lint.toolchains import CROSS_COMPILER

# Commands that print, quoted texts, and what writes a file or starts another command.
PRINTS = re.compile(r"\b(?:echo|printf|cat)\b")
QUOTED = re.compile(r"\"(?:\\.|[^\"\\`])*\"|'[^']*'", re.DOTALL)
WRITES = re.compile(r"\||`|>(?!&2)")
# A command substitution that asks for the architecture.
ASKS_MACHINE = re.compile(
    r"(?:\$\(|`)\s*(?:uname -[mp]|arch|dpkg --print-architecture|apk --print-arch"
    r"|go env GO(?:HOST)?ARCH|rpm --eval \S*_arch\S*)\s*[)|`]"
)
# Commands whose result is for the machine on which they run.
GENERAL = frozenset({
    "make", "cmake", "ninja", "meson", "./configure", "cargo", "go", "gcc", "cc", "g++", "clang", "rpmbuild", "abuild",
    *INSTALL - {"dpkg", "rpm", "gdebi", "localinstall"},
})  # fmt: skip
ERROR = re.compile(r"\b(?:un|not )supported\b|\bunknown\b|\berror\b|\binvalid\b", re.IGNORECASE)
# Variables of compilers: CC, CC_FOR_TARGET, CGO_CFLAGS, PKG_CONFIG_PATH.
COMPILER_VARIABLE = re.compile(
    r"^(?:CC|CXX|LD|AR|AS|STRIP|RANLIB|OBJCOPY|NM)(?:_\w+)?$|^\w*(?:FLAGS|_LINKER|_CC|_CXX)$|^PKG_CONFIG\w*$|^CROSS_COMPILE\w*$|^CGO_\w+$"
)
WORD = re.compile(r"[^\s;&|()\"']+")
# Commands that download, without http and https: in a text these are usually schemes of URLs.
DOWNLOADS = re.compile(rf"\b(?:{'|'.join(sorted(FETCH - {'http', 'https'}))})\b")


def does_nothing(default: Branch) -> bool:
    """`*) ;;`, `*) break ;;`, and `|| true` after a list."""
    return not re.sub(r"[();\s\\]|(?<!\S)(?:true|:|break|continue)(?![^\s;])", "", default.text)


def only_prints(text: str) -> bool:
    """Whether each command of a branch prints a message, and none writes a file or starts another command but one that asks."""
    text = ASKS_MACHINE.sub("q", text)
    names = _names_of_commands(text) - {"echo", "printf", "true", ":"}
    return "$(" not in text and all(MESSAGE.match(name) and not FAILING_NAME.match(name) for name in names)


def only_fails(branch: Branch) -> bool:
    """Whether a branch does nothing but print a message and end the script; `make || exit 1` does more."""
    names = _names_of_commands(branch.text) - {"echo", "printf", "true", ":", "exit", "return", "false"}
    return branch.fails and all(map(FAILING_NAME.match, names))


def only_notes(branch: Branch, choice: Choice) -> bool:
    """Whether a branch only says that there is nothing to do; a message that names it an error means that it should fail.

    A message has several words. What is one word, or is read by something, is a value, in which an architecture matters.
    """
    is_note = only_prints(branch.text) and not ERROR.search(branch.text)
    printed = [" ".join(words[1:]) for words in branch.commands if words[:1] in (("echo",), ("printf",))]
    is_message = choice.output == "" and all(re.search(r"\w\s+\w", text) for text in printed)
    return is_note and (is_message or not matters(branch))


def only_skips(branch: Branch) -> bool:
    """Whether a branch says something at most, and ends the script without an error: `*) echo "none for $ARCH"; exit 0`."""
    names = _names_of_commands(branch.text)
    is_success = re.search(r"\bexit(?:[ \t]+0)?[\s;})]*$", branch.text)
    return bool(is_success) and "exit" in names and names <= {"echo", "printf", "true", ":", "exit"}


def only_tests(branch: Branch) -> bool:
    """Whether a branch is one test, which fails: `*) [ -z "$VARIANT" ] ;;`."""
    text = QUOTED.sub("q", branch.text)
    return bool(re.fullmatch(r"\s*(?:\[\[?\s[^|&;]*\s\]\]?|test\s[^|&;]*?)[\s;]*", text))


def is_general(branch: Branch) -> bool:
    """Whether a branch compiles something, or installs packages that a package manager chooses, and names no architecture."""
    words = (word for word in WORD.findall(branch.text) if arches_of_pattern(word))  # "arm" and "x86" too
    return bool(GENERAL & _names_of_commands(branch.text)) and not names_arch(branch) and not any(words)


def names_arch(branch: Branch) -> bool:
    """Whether an architecture is written out in a branch."""
    return any(find_arch_words(constant_text(branch.text)))


def _names_of_commands(text: str) -> set[str]:
    """The names of all commands in a branch, with the operators that write a file or start another command."""
    text = QUOTED.sub("q", text.replace("\\\n", " "))
    parts = re.split(r";|&&|\n", text.strip(" \t)("))
    words = (part.replace(">&2", " ").strip("{}() \t").split() for part in parts)
    return {part[0] for part in words if part} | set(WRITES.findall(text))


def matters(branch: Branch) -> bool:
    """Whether a branch has the name of an architecture in it, or downloads something."""
    return names_arch(branch) or bool(DOWNLOADS.search(branch.text))


def is_unrelated(branch: Branch, choice: Choice, *, is_passed_on: bool = False) -> bool:
    """Whether a branch does nothing, only prints a message, or only installs a cross compiler, which is for the build machine.

    If the architecture `is_passed_on` to the compiler anyway, a branch may also set the compiler and its flags.
    """
    if does_nothing(branch):
        return True
    if choice.output == "" and only_prints(branch.text):
        return True
    has_compiler = any(CROSS_PACKAGE.search(word) or CROSS_COMPILER.search(word) for word in WORD.findall(branch.text))
    if DOWNLOADS.search(branch.text):
        return False
    own = {name for name in branch.sets if name != "DEBIAN_FRONTEND"}
    return (has_compiler and not own) or (is_passed_on and bool(own) and all(map(COMPILER_VARIABLE.match, own)))
