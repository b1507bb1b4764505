"""Errors with an exit code and a hint; `cli.entry` shows them, nothing else does."""

from __future__ import annotations


class BuildError(Exception):
    """A foreseen failure: `message` says what is wrong, `help` what to do about it, `code` is the exit code."""

    code = 1

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class UsageError(BuildError):
    """A wrong argument, or a wrong value in a settings file."""

    code = 2


class NothingToDo(BuildError):
    """The request selects nothing, for example a workspace without binaries."""

    code = 3


class MissingRequirements(BuildError):
    """This machine lacks something that the request needs."""

    code = 4


class NetworkError(BuildError):
    """The network failed, and kept failing through all retries."""

    code = 5


class Refused(BuildError):
    """The gate refused an artifact."""

    code = 6


class TestsFailed(BuildError):
    """Tests ran, and not all of them passed."""

    __test__ = False  # not a test class of pytest's

    code = 7


class InternalError(BuildError):
    """A bug in buildlib; 70 is EX_SOFTWARE of sysexits.h."""

    code = 70


class CompileFailed(BuildError):
    """cargo failed to compile; 101 is cargo's own code for that."""

    code = 101


class Interrupted(BuildError):
    """Ctrl-C or SIGTERM; 130 is 128 + SIGINT, as shells report it."""

    code = 130
