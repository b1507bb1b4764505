"""How far a running step is: data that events change, and the line that shows it. Pure: times are arguments.

cargo prints `Compiling x v1.0` when it starts with a package, a JSON message when something is done, and, if it is asked to, a
progress bar with the number of all units. Of other tools `Step.position` reads the lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from buildlib.display.escaping import one_line
from buildlib.display.terminal import columns, without_colours

# Makes cargo print its progress bar although its stderr is a pipe; `always` needs a width.
BAR_ENVIRONMENT = {"CARGO_TERM_PROGRESS_WHEN": "always", "CARGO_TERM_PROGRESS_WIDTH": "60"}
# What cargo prints before a carriage return: "    Building [=====>      ] 10/200: serde, syn(build)   ". Others have no such numbers.
BAR = re.compile(
    r"(?:\x1b\[[0-9;]*[mK]|\s)*(Building|Downloading|Fetch)(?:\x1b\[[0-9;]*m)* (?:\[[=> ]*\] (\d+)/(\d+)|\[|\d+ crate)"
)
ERASE = "\x1b[K"  # the rest of a line
# cargo's progress in words, which end in column 12. What a build script printed is farther to the right.
STATUS = re.compile(
    r" {1,11}(Compiling|Checking|Downloaded|Downloading|Updating|Locking|Fresh|Finished|Adding|Unpacking|Blocking|Executable|Running"
    r"|Doc-tests) (.*)"
)
STATUS_END = 12
PACKAGES = ("Compiling", "Checking")
TESTS = ("Running", "Doc-tests")  # they are not hidden: they say whose output is below
SILENT = (
    5.0  # seconds without news, after which the reason for a long first run is shown, if nothing else is left to start
)
SHORT = 2.0  # seconds that something may take before a terminal shows it, if nothing stays there of it
USEFUL = 5.0  # seconds of a step that are worth an estimate
ROUNDED = 5  # seconds, of which an estimate is a multiple


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An earlier run of a step that succeeded: what it counted in all, how much of that was work, and how long it took."""

    total: int
    worked: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Progress:
    """The state of one step. All times are seconds of one clock."""

    title: str
    started: float
    counts: str = ""  # what is counted, "" for nothing
    total: int = 0  # 0 for unknown
    first: str = ""  # why a first run is silent for long
    delay: float = 0.0  # seconds before a terminal shows it
    earlier: Sequence[Run] = ()
    done: int = 0
    reported: int = 0  # of these, what cargo has written a message about, which comes after its bar has counted it
    worked: int = 0  # of these, what was not up to date
    current: str = ""
    waiting: str = ""  # what it waits for, doing nothing meanwhile
    holder: str = ""  # and for whom, as of `machine.lock_holders`
    news: float = 0.0  # the time of the last event
    running: dict[str, None] = field(default_factory=dict)  # what has been started and is not done, in order

    def __post_init__(self) -> None:
        """Take the total of the last run, as long as this one says nothing else."""
        self.news = self.started
        self.total = self.total or (self.earlier[-1].total if self.earlier else 0)

    def cargo_line(self, line: str, now: float) -> tuple[str, bool]:
        """Read a line of cargo's stderr. Returns it without progress bars, and whether the user misses nothing without it."""
        if "\r" in line:
            *before, line = line.split("\r")
            line = "\r".join((*(part for part in before if not self._is_bar(part)), line))
            if not line:
                return "", True
        if line.startswith(ERASE):  # which removes a bar from a terminal
            while line.startswith(ERASE):
                line = line.removeprefix(ERASE)
            if not line:
                return "", True
        match = STATUS.match(without_colours(line))
        if not match or match.end(1) != STATUS_END:
            return line, False
        word, rest = match.groups()
        self.news, self.waiting, self.holder = now, rest if word == "Blocking" else "", ""
        if word in PACKAGES:
            self.current = rest.partition(" ")[0]
            self.running[self.current] = None
        elif word in TESTS and self.counts != "crate":  # one binary runs after the other
            self.done += len(self.running)
            self.current = rest.partition(" (")[0]
            self.running = {self.current: None} if word == "Running" else {}
        elif word in ("Downloading", "Downloaded", "Updating"):
            self.current = f"{word.lower()} {rest}"
        return line, word not in TESTS

    def _is_bar(self, text: str) -> bool:
        """Whether it is a progress bar. It has the number of units, which cargo knows before it compiles anything."""
        match = BAR.match(text)
        if match and match[1] == "Building" and match[3]:
            self.done, self.total = max(self.done, int(match[2])), int(match[3])
        return bool(match)

    def finished(self, name: str, now: float, *, fresh: bool) -> None:
        """Count what cargo has compiled, run or found up to date. `name` is that of cargo's target, which is mostly the package's."""
        self.reported += 1
        self.done = max(self.done, self.reported)
        self.worked += not fresh
        self.news, self.waiting, self.holder = now, "", ""
        for spelling in (name, name.replace("_", "-")):
            self.running.pop(spelling, None)
        self.current = next(reversed(tuple(self.running)), "")

    def at(self, position: str, now: float) -> None:
        """Set what another tool does now; "" is no news."""
        if position:
            self.current, self.news = position, now


def line(progress: Progress, now: float, width: int | None = None) -> str:
    """The state in one line. Parts that do not fit into `width` columns are left out, the least important first."""
    total = progress.total if progress.total >= progress.done else 0  # an earlier run had less to do
    count = f"{progress.done}/{total}" if total else counted(progress.done, progress.counts) if progress.done else ""
    left = 0 if progress.waiting else remaining(progress, now)
    is_last = 0 < total - progress.done <= len(progress.running)
    is_silent = now - progress.news >= SILENT
    parts = [  # the lower the number, the more important
        (0, f"{progress.title} {count}" if progress.counts and count else progress.title),
        (2 if progress.waiting else 5, progress.waiting or progress.current),
        (6, progress.holder),
        (3, progress.first if is_last and is_silent and not progress.earlier else ""),
        (1, duration(now - progress.started)),
        (4, f"about {duration(left)} left" if left else ""),
    ]
    parts = [(importance, one_line(text)) for importance, text in parts if text]
    while width is not None and len(parts) > 1 and _width(parts) > width:
        parts.remove(max(parts))
    text = " · ".join(text for _, text in parts)
    return text if width is None else _cut(text, width)


def _cut(text: str, width: int) -> str:
    """The begin of a text that is too long; a title alone may be wider than a terminal."""
    if columns(text) <= width:
        return text
    text = text[:width]
    while text and columns(text) >= width:
        text = text[:-1]
    return f"{text}…"


def _width(parts: Iterable[tuple[int, str]]) -> int:
    return sum(columns(text) + 3 for _, text in parts) - 3


def remaining(progress: Progress, now: float) -> int:
    """About how many seconds are left, 0 if that is unknown or not worth a word.

    Earlier runs compiled more or fewer crates; the one that had to do about as much is the best measure. What is up to date comes
    first, so that nothing is known of the work until something is done.
    """
    work = progress.worked + progress.total - progress.done
    runs = [run for run in progress.earlier if run.worked > 0]
    if not runs or not 0 < progress.done <= progress.total or work <= 0:
        return 0
    nearest = min(reversed(runs), key=lambda run: max(run.worked, work) / min(run.worked, work))
    expected = nearest.seconds * work / nearest.worked
    left = expected - (now - progress.started)
    return 0 if expected < USEFUL or left < 1 else -(-int(left) // ROUNDED) * ROUNDED


def with_holder(text: str, holder: str) -> str:
    """What is waited for, and in brackets the command that holds it, if that is known."""
    return f"{text} ({holder})" if holder else text


def counted(number: int, noun: str) -> str:
    """A number and what it counts: 1 crate, 2 crates, 2 test binaries."""
    return f"{number} {noun if number == 1 else noun.removesuffix('y') + 'ies' if noun.endswith('y') else noun + 's'}"


def duration(seconds: float) -> str:
    """Seconds as minutes and seconds, with hours if there are any: 0:07, 12:00, 1:02:03."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
