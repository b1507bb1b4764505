"""Errors that own their exit code and their cure; a door shows them, nobody else."""

from __future__ import annotations


class BuildError(Exception):
    """A foreseen failure: `message` says what is wrong, `cure` what to do, `code` how to exit."""

    code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure


class UsageError(BuildError):
    """A wrong word on the command line, or in a settings file."""

    code = 2


class NothingToDo(BuildError):
    """The request selects nothing, e.g. a workspace without binaries."""

    code = 3


class Lacking(BuildError):
    """This machine lacks something that the request needs."""

    code = 4


class NetworkError(BuildError):
    """The network failed, and went on failing through all retries."""

    code = 5


class Refused(BuildError):
    """The gate refused an artifact."""

    code = 6


class TestsFailed(BuildError):
    """Tests ran, and not all of them passed."""

    code = 7


class CompileFailed(BuildError):
    """cargo failed to compile; 101 is cargo's own code for it."""

    code = 101


class Interrupted(BuildError):
    """Ctrl-C or SIGTERM; 130 is 128 + SIGINT, as every shell reports it."""

    code = 130
