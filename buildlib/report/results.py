"""The JSON results of the commands, one type per command; docs/schemas/ is generated from them.

Fields that hold what is also on the terminal have the same names there. `code` is the exit code, `error` its message.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from buildlib.binaries.dist import Entry, Manifest
from buildlib.doctor.network import StepData
from buildlib.lint.formats import FindingData
from buildlib.testing.benches import BenchReport
from buildlib.testing.tests import TestReport


class BuildData(TypedDict):
    """`build --json`: one element per target. `left_out` says why cargo did not compile something that was selected."""

    arch: str
    status: str
    code: int
    error: str | None
    binaries: list[Entry]
    left_out: list[str]


class ComparisonData(TypedDict):
    """`reproduce --json`: one element per file. `origins` is what in the project makes the difference, as far as it is known."""

    arch: str
    binary: str
    sha256: str
    identical: bool
    difference: str
    origins: list[str]


class StepTimeData(TypedDict):
    """One step of a Dockerfile: where it ran, for which platform, and in how many seconds; 0 for one that was cached."""

    title: str
    platform: str
    target: str
    stage: str
    seconds: float
    emulated: bool


class ImageData(TypedDict):
    """`image --json`: one element per component. `steps` are those of a Dockerfile of the project."""

    component: str
    status: str
    digest: str
    platforms: list[str]
    tags: list[str]
    where: str
    code: int
    error: str | None
    steps: list[StepTimeData]


class BaseData(TypedDict):
    """`image --check-bases --json`: one element per component and base image. `newer` says whether the digests differ."""

    component: str
    base: str
    recorded: str
    current: str
    newer: bool


class BuilderData(TypedDict):
    """`builder --json`."""

    name: str
    there: bool
    differs: list[str]


class VerifyData(TypedDict):
    """`verify --json`: one element per file or platform."""

    path: str
    arch: str | None
    refusals: list[str]
    glibc: str | None
    started: str
    cpu: str
    pages: str
    kind: str


class PlanData(TypedDict):
    """`plan --json`: one element per target. `floor` is the minimum glibc version, `images` are those from Dockerfiles.

    Where only those exist for a target, nothing is compiled: `argv` is empty.
    """

    arch: str
    target: str
    platform: str
    backend: str
    why: str
    floor: str
    toolchain: str | None
    folder: str
    argv: list[str]
    env: dict[str, str]
    binaries: list[str]
    left_out: list[str]
    images: list[str]


# `config --json`: each setting by its dotted key. "from" is a keyword of Python's, so that a class cannot have it.
ConfigData = TypedDict("ConfigData", {"value": Any, "from": str})

# `explain --json`: one object per line and file, "-" for standard input. "class" is a keyword as well.
ExplainData = TypedDict(
    "ExplainData",
    {"file": str, "class": str, "retry": bool, "cause": str, "line": int | None, "help": str, "wait": float | None},
)


class NetworkData(TypedDict):
    """`doctor --network --json`."""

    legs: list[StepData]
    clock_skew: float
    rate_limit_left: int | None
    advice: list[str]


class RequirementData(TypedDict):
    """`doctor --json`: one element per requirement. `help` is empty where it is met."""

    section: str
    need: str
    state: Literal["ok", "warn", "fail"]
    have: str
    why: str
    help: list[str]


RESULTS: dict[str, Any] = {
    "build": list[BuildData],
    "image": list[ImageData],
    "image-check-bases": list[BaseData],
    "builder": BuilderData,
    "verify": list[VerifyData],
    "reproduce": list[ComparisonData],
    "plan": list[PlanData],
    "config": dict[str, ConfigData],
    "explain": ExplainData,
    "doctor": list[RequirementData],
    "doctor-network": NetworkData,
    "test": list[TestReport],
    "smoke": list[TestReport],
    "bench": list[BenchReport],
    "lint": list[FindingData],
    "manifest": Manifest,
}
