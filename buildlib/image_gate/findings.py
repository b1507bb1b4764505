"""What the gate finds wrong in an image, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from buildlib.display.escaping import one_line

SHOWN = 20  # findings of one image that are printed; the others are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule that an image breaks. `layer` counts from 1, and is 0 for what is in no layer."""

    platform: str
    rule: str
    actual: str
    expected: str  # "" where `actual` says all
    path: str = ""  # in the image; of a file in an archive also the path there: /app.jar!/lib/x.so
    layer: int = 0
    digest: str = ""  # of the layer

    @property
    def line(self) -> str:
        """The finding without its platform, on one line."""
        where = [f"layer {self.layer} ({self.digest[:19]})"] if self.layer else []
        what = f"{self.actual}, expected {self.expected}" if self.expected else self.actual
        return one_line(": ".join([*where, *([self.path] if self.path else []), self.rule, what]))

    def __str__(self) -> str:
        return f"{self.platform}: {self.line}"


def lines(findings: Sequence[Finding], shown: int = SHOWN) -> tuple[str, ...]:
    """The findings of one image as lines without the platform; how many there are beyond `shown` is the last line."""
    more = len(findings) - shown
    return (*(finding.line for finding in findings[:shown]), *((f"and {more} more",) if more > 0 else ()))
