"""A limit for the time in which a compiler runs under emulation. Pure: the decoder of the progress asks, the runner ends the build."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from buildlib.builder.step_times import HELP, read_name, short
from buildlib.core.errors import Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An emulated compiler that runs. `since` is when the builder reported it, in seconds of the local clock."""

    title: str
    platform: str
    compiler: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulationLimit:
    """The setting builder.emulation_limit, with what is needed to apply it.

    `compiles` returns the compiler that the text of a RUN starts, "" for none. `platform` is that of a step whose name has none: the
    one platform of the build.
    """

    seconds: float  # 0 for no limit
    runs_natively: Callable[[str], bool]
    compiles: Callable[[str], str]
    platform: str = ""

    def watched(self, name: str, now: float) -> Running | None:
        """What to watch of a vertex that has just started, None for one that is not an emulated compiler."""
        step = read_name(name, self.platform) if self.seconds else None
        if step is None or not step.is_run or self.runs_natively(step.platform):
            return None
        compiler = self.compiles(step.title)
        if not compiler:
            return None
        return Running(title=step.title, platform=step.platform, compiler=compiler, since=now)

    def overdue(self, title: str, running: Iterable[Running], now: float) -> Refused | None:
        """The error for the first step that runs for longer than the limit, None without one. `title` is that of the build."""
        for step in running:
            if now - step.since > self.seconds:
                message = (
                    f"{title}: stopped: {step.compiler} has run under emulation of {step.platform} for more than"
                    f" {self.seconds:g} s (builder.emulation_limit): {short(step.title)}"
                )
                return Refused(message, HELP)
        return None
