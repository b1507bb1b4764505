"""What all JSON results have in common: whether the command did what was asked, its exit code, and its errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Protocol, TypedDict

from buildlib.core.errors import BuildError

# The classes of `explain`, and those of errors that no tool's output explains. "class" is a keyword of Python's, so that a class of
# Python cannot have it.
Class = Literal[
    "transient-network", "rate-limited", "auth", "certificate", "not-found", "emulation", "resource", "builder", "usage", "compile",
    "test", "failed", "nothing-to-do", "requirement", "refused", "lint", "interrupted", "internal",
]  # fmt: skip
ErrorData = TypedDict("ErrorData", {"message": str, "help": str, "class": Class})


class ReplyData(TypedDict):
    """What a JSON result has, and each element of one that is a list. A command that fails without a result prints this alone.

    `exit_code` is that of the command, in a list the one of this element: the command exits with the first that is not 0. `errors` is
    empty exactly if `ok` is true.
    """

    ok: bool
    exit_code: int
    errors: list[ErrorData]


def reply(errors: Iterable[BuildError | None] = (), code: int | None = None) -> ReplyData:
    """Return the keys of a result with these errors; None is no error. Without a `code` it is that of the first error."""
    found = [error for error in errors if error]
    default = found[0].code if found else 0
    return {
        "ok": not found,
        "exit_code": default if code is None else code,
        "errors": [_data(error) for error in found],
    }


class Result(Protocol):
    """What every result of a command has."""

    @property
    def error(self) -> BuildError | None:
        """Why it failed, None if it did not."""


def exit_code(results: Iterable[Result]) -> int:
    """The code of the first result that failed, 0 if none did."""
    return next((result.error.code for result in results if result.error), 0)


def _data(error: BuildError) -> ErrorData:
    # What a class names itself is checked by a test.
    return {"message": error.message, "help": error.help, "class": error.kind}  # type: ignore[typeddict-item]
