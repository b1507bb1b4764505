"""How long each step of a Dockerfile ran, on which platform, and how much of that was emulation. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from buildlib.builder.vertexes import Vertex
from buildlib.core.settings import Config
from buildlib.core.targets import TARGETS, find_target, short_name
from buildlib.failures.redact import redact

HELP = (
    "cross-compile in a stage `FROM --platform=$BUILDPLATFORM`, add a machine of that arch (settings builder.nodes), or copy a"
    " prebuilt binary"
)
# Less is no news: a few seconds of apt-get under emulation are cheaper than any change to the Dockerfile.
MIN_SECONDS, MIN_SHARE = 10.0, 0.2
LISTED = 3  # steps in a summary
MIN_LISTED = 0.1  # share of the emulated time
WIDTH = 60  # characters of a title in a message
MAX_TITLE = 1_000  # characters of a title in a table
MAX_NAME = 100_000  # characters of an instruction that are read
# The name of a step (prefixCommand in BuildKit's dockerfile2llb/convert.go): [linux/amd64->arm64 builder 2/5] RUN make
NAME = re.compile(r"\[(?P<words>[^\[\]]*?) *\d+/\d+\] (?P<title>.*)", re.DOTALL)
PLATFORM = re.compile(r"(?P<own>[a-z0-9]+(?:\([^()\s]*\))?/[a-z0-9_]+(?:/[\w.]+)?)(?:->(?P<target>[\w./()]+))?")
SYSTEMS = ("linux", "windows", "darwin", "freebsd", "wasip1")  # a target on the same system is printed without it
RUN = re.compile(r"(?:ONBUILD )?RUN\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepName:
    """What the name of a vertex says: the platforms that it runs on and builds for, and the instruction."""

    title: str
    platform: str
    target: str
    stage: str

    @property
    def is_run(self) -> bool:
        """Whether it starts programs. BuildKit itself carries out COPY, ADD, FROM and WORKDIR."""
        return RUN.match(self.title) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """One step of a Dockerfile. `platform` is the one that it ran on, `target` the one that is built; "" if unknown."""

    title: str
    platform: str
    target: str
    stage: str
    seconds: float  # 0 for a step that was cached
    emulated: bool


def read_name(name: str, platform: str = "") -> StepName | None:
    """Read the name of a vertex, None for one that is not a step of a Dockerfile.

    `platform` is what a step without one in its name runs on: BuildKit leaves it out if it builds for one platform only.
    """
    match = NAME.fullmatch(name)
    if match is None:
        return None
    words = match["words"].split()
    found = next(filter(None, map(PLATFORM.fullmatch, words)), None)
    own, target = (found["own"], found["target"] or "") if found else (platform, "")
    if target and target.partition("/")[0] not in SYSTEMS:
        target = f"{own.partition('/')[0]}/{target}"
    stage = words[-1] if words and not PLATFORM.fullmatch(words[-1]) else ""
    title = " ".join(match["title"][:MAX_NAME].split())
    return StepName(title=title, platform=own, target=target or own, stage=stage)


def step_times(
    vertexes: Iterable[Vertex],
    runs_natively: Callable[[str], bool],
    platform: str = "",
    clean: Callable[[str], str] = redact,
) -> tuple[StepTime, ...]:
    """The times of all steps, in the order in which they began.

    `platform` is as in `read_name`. `clean` is applied to titles: BuildKit puts the values of ARG and ENV there, which may be
    secrets, and the names that a gateway gives to images.
    """
    times = []
    for vertex in sorted(vertexes, key=lambda vertex: min(vertex.intervals, default=0.0)):
        name = read_name(vertex.name, platform)
        if name is None or not vertex.intervals:
            continue
        seconds, emulated = 0.0 if vertex.cached else vertex.seconds, name.is_run and not runs_natively(name.platform)
        facts = {"platform": name.platform, "target": name.target, "stage": name.stage}
        times.append(StepTime(title=clean(name.title)[:MAX_TITLE], seconds=seconds, emulated=emulated, **facts))
    return tuple(times)


def summary(times: Iterable[StepTime]) -> str:
    """How much was emulated, such as `340 of 361 s were emulated: RUN cargo build`; "" if that is not worth a message.

    The steps that took most of it follow, the longest first; one that ran for several platforms is listed once.
    """
    times = tuple(times)
    total, by_title = sum(step.seconds for step in times), dict[str, float]()
    for step in times:
        if step.emulated:
            by_title[step.title] = by_title.get(step.title, 0.0) + step.seconds
    emulated = sum(by_title.values())
    if emulated < MIN_SECONDS or emulated < MIN_SHARE * total:
        return ""
    longest = sorted(by_title.items(), key=lambda item: (-item[1], item[0]))
    listed = [item for item in longest[:LISTED] if item[1] >= MIN_LISTED * emulated] or longest[:1]
    words = [f"{short(title)} ({seconds:.0f} s)" if len(listed) > 1 else short(title) for title, seconds in listed]
    return f"{emulated:.0f} of {total:.0f} s were emulated: {', '.join(words)}"


def short(title: str) -> str:
    """A title of a bounded length, for a message."""
    return title if len(title) <= WIDTH else f"{title[:WIDTH]}…"


def native_platforms(machine: str, config: Config) -> frozenset[str]:
    """The platforms that run without emulation: that of this machine, and those of the builder's nodes.

    `machine` is `Host.machine`. A node counts as native for the arches that the settings give it.
    """
    own = {target.oci for target in TARGETS.values() if target.arch == short_name(machine)}
    return frozenset(own | {find_target(word).oci for node in config.builder.nodes for word in node.arches})
