"""Errors with an exit code and a help text; only `cli.entry` shows them."""

from __future__ import annotations


class BuildError(Exception):
    """An expected failure: `message` says what is wrong, `help` what to do about it, `code` is the exit code.

    `kind` is its class in JSON results: that of `explain` if it was read from a tool's output and is known, else that of the error.
    """

    code = 1
    kind = "failed"

    def __init__(self, message: str, help: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        if kind not in ("", "unknown"):
            self.kind = kind


class UsageError(BuildError):
    """A wrong argument, or a wrong value in a settings file."""

    code = 2
    kind = "usage"


class NothingToDo(BuildError):
    """The request selects nothing, for example a workspace without binaries."""

    code = 3
    kind = "nothing-to-do"


class MissingRequirements(BuildError):
    """This machine lacks something that the request needs."""

    code = 4
    kind = "requirement"


class NetworkError(BuildError):
    """The network failed, also in the last retry."""

    code = 5
    kind = "transient-network"


class Refused(BuildError):
    """A binary or an image failed the checks of the gate."""

    code = 6
    kind = "refused"


class TestsFailed(BuildError):
    """Tests ran, and at least one failed."""

    __test__ = False  # pytest collects classes whose name begins with Test

    code = 7
    kind = "test"


class InternalError(BuildError):
    """A bug in buildlib; 70 is EX_SOFTWARE of sysexits.h."""

    code = 70
    kind = "internal"


class CompileFailed(BuildError):
    """cargo failed to compile; 101 is cargo's own code for that."""

    code = 101
    kind = "compile"


class Interrupted(BuildError):
    """Ctrl-C or SIGTERM; 130 is 128 + SIGINT, as shells report it."""

    code = 130
    kind = "interrupted"
