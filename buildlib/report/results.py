"""The JSON results of the commands, one type per command; docs/schemas/ is generated from them.

Fields that hold what is also on the terminal have the same names there. All have the keys of `reply.ReplyData`; `code` and `error`
of some are its exit code and its first message under older names.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from buildlib.binaries.dist import Entry, Manifest
from buildlib.compiler_cache.scripts import CacheUse
from buildlib.doctor.network import StepData
from buildlib.lint.formats import FindingData
from buildlib.report.merge_results import MergeData
from buildlib.report.reply import ErrorData, ReplyData
from buildlib.testing.benches import BenchReport
from buildlib.testing.tests import TestReport


class BuildData(ReplyData):
    """`build --json`: one element per target. `left_out` says why cargo did not compile something that was selected.

    `unchanged` are the binaries whose bytes dist/ had already, `previous_sizes` (bytes) those of the last build with this profile.
    `cache` is the use of the compiler cache; 0 without one, and where nothing was compiled.
    """

    arch: str
    status: str
    code: int
    error: str | None
    binaries: list[Entry]
    left_out: list[str]
    unchanged: list[str]
    previous_sizes: dict[str, int]
    cache: CacheUse


class ComparisonData(ReplyData):
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


class ImageData(ReplyData):
    """`image --json`: one element per component.

    `steps` are those of a Dockerfile of the project, `signed` the signatures and attestations that a pushed image has, `not_started`
    the platforms whose program was not started in its image, each with the reason.
    """

    component: str
    status: str
    digest: str
    platforms: list[str]
    tags: list[str]
    where: str
    code: int
    error: str | None
    steps: list[StepTimeData]
    signed: list[str]
    not_started: list[str]


class SignData(ReplyData):
    """`sign --json`: one element per directory, index and platform. `added` says whether the signature is new."""

    path: str
    platform: str
    digest: str
    added: bool


class BaseData(ReplyData):
    """`image --check-bases --json`: one element per component and base image. `newer` says whether the digests differ."""

    component: str
    base: str
    recorded: str
    current: str
    newer: bool


class BuilderData(ReplyData):
    """`builder --json`."""

    name: str
    there: bool
    differs: list[str]


class VerifyData(ReplyData):
    """`verify --json`: one element per file or platform."""

    path: str
    arch: str | None
    refusals: list[str]
    glibc: str | None
    started: str
    cpu: str
    pages: str
    kind: str


class PlanData(ReplyData):
    """`plan --json`: one element per target. `floor` is the minimum glibc version, `images` are those from Dockerfiles.

    Where only those exist for a target, nothing is compiled: `argv` is empty. `seconds` is what the target took on this machine, with
    its tests, null if that is not known.
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
    seconds: float | None


# `config --json`: each setting by its dotted key, beside the keys of every result, which are no settings. "from" is a keyword of
# Python's, so that a class cannot have it.
ConfigData = TypedDict("ConfigData", {"value": Any, "from": str})

# `explain --json`: one object per line and file, "-" for standard input. "class" is a keyword as well.
ExplainData = TypedDict(
    "ExplainData",
    {
        "file": str, "class": str, "retry": bool, "cause": str, "line": int | None, "help": str, "wait": float | None,
        "ok": bool, "exit_code": int, "errors": list[ErrorData],
    },
)  # fmt: skip


class NetworkData(ReplyData):
    """`doctor --network --json`."""

    legs: list[StepData]
    clock_skew: float
    rate_limit_left: int | None
    advice: list[str]


class RequirementState(TypedDict):
    """One requirement. `help` is empty where it is met."""

    section: str
    need: str
    state: Literal["ok", "warn", "fail"]
    have: str
    why: str
    help: list[str]


class RequirementData(RequirementState, ReplyData):
    """`doctor --json`: one element per requirement."""


class SetupData(ReplyData):
    """`setup --json` and `doctor --fix --json`: what the machine has afterwards."""

    requirements: list[RequirementState]


class TestData(TestReport, ReplyData):
    """`test --json` and `smoke --json`: one element per target."""


class BenchData(BenchReport, ReplyData):
    """`bench --json`: one element per target."""


class LintData(ReplyData):
    """`lint --json`. `fixed` are the files that --fix has changed."""

    findings: list[FindingData]
    files: int
    fixed: list[str]


BuilderAction = Literal["created", "recreated", "unchanged", "removed"]


class ChangedBuilderData(ReplyData):
    """`builder.create --json` and `builder.remove --json`. In a dry run it is what would be done."""

    name: str
    action: BuilderAction
    dry: bool


class RemovedData(TypedDict):
    """A file or directory: what it belongs to, its bytes on disk, and the seconds since it changed."""

    area: str
    path: str
    size: int
    age: int


class CleanData(ReplyData):
    """`clean --json`. In a dry run `removed` is what would be removed."""

    removed: list[RemovedData]
    size: int
    dry: bool


class FileData(TypedDict):
    """A text file: where it is or belongs, and its text."""

    path: str
    text: str


class DockerfileData(ReplyData):
    """`dockerfile --json`. `written` says whether the files were written."""

    files: list[FileData]
    written: bool


class ReportData(ReplyData):
    """`report --json`: where the page is."""

    path: str


class CiData(ReplyData):
    """`ci --json`: the pipeline, and the names of the secrets or variables that it needs."""

    text: str
    secrets: list[str]


class CompletionData(ReplyData):
    """`completion --json`: the script for a shell, or with --values the names that the workspace has of a kind."""

    text: str
    values: list[str]


RESULTS: dict[str, Any] = {
    "build": list[BuildData],
    "image": list[ImageData],
    "image-check-bases": list[BaseData],
    "merge": MergeData,
    "dockerfile": DockerfileData,
    "builder": BuilderData,
    "builder.create": ChangedBuilderData,
    "builder.remove": ChangedBuilderData,
    "verify": list[VerifyData],
    "sign": list[SignData],
    "reproduce": list[ComparisonData],
    "plan": list[PlanData],
    "config": dict[str, ConfigData],
    "report": ReportData,
    "ci": CiData,
    "explain": ExplainData,
    "doctor": list[RequirementData],
    "doctor-network": NetworkData,
    "setup": SetupData,
    "test": list[TestData],
    "smoke": list[TestData],
    "bench": list[BenchData],
    "lint": list[FindingData],
    "lint-json": LintData,
    "clean": CleanData,
    "completion": CompletionData,
    "failure": ReplyData,
    "manifest": Manifest,
}
# Results that are maps, with the keys of every result beside those of the map.
MAPS = ("config",)
