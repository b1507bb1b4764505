"""Classify a failed command's output: the entry, which a command imports that has no failure to read."""

from __future__ import annotations

from dataclasses import dataclass

from buildlib.core.errors import BuildError, MissingRequirements, NetworkError

RETRIES_EXHAUSTED = "all tries are used up"  # written by the gateway about a request


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as a log shows it.

    `kind` is the class, `cause` the line that shows it, `line` the number of that line, from 1. `wait` is how many seconds the
    other side asked for. `again` means that logging in again, once, may help, because the same command was authorized before.
    `spent` means that all retries that it deserves have been made already. `fault` says who can fix it, as in `Rule`.
    """

    kind: str
    cause: str
    help: str = ""
    line: int | None = None
    wait: float | None = None
    again: bool = False
    spent: bool = False
    fault: str = ""

    @property
    def transient(self) -> bool:
        """Whether the failure usually passes by itself."""
        return self.kind in ("transient-network", "rate-limited")

    @property
    def retry(self) -> bool:
        """Whether another try may help."""
        return (self.transient or self.again) and not self.spent

    @property
    def error(self) -> type[BuildError]:
        """The error of a command that fails with it: credentials, certificates and the engine are this machine's."""
        if self.transient:
            return NetworkError
        return MissingRequirements if self.kind in ("auth", "certificate", "builder") else BuildError


def classify(output: str, code: int = 1, tool: str = "") -> Failure:
    """The failure that `output` (stderr, or both streams) ends with; `unknown` when no rule matches, or `code` is 0.

    `code` is the exit code, 128 + n for signal n. `tool` is the name of the program, whose own exit codes may be known.
    """
    if code == 0:
        return Failure("unknown", "")
    # Late: compiling its patterns takes a tenth of a build with nothing to do.
    from buildlib.failures.diagnosis import diagnose

    return diagnose(output, code, tool)
