"""The result of `plan`, for users and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buildlib.core.image_settings import Image
from buildlib.core.plan import Step
from buildlib.core.targets import Target
from buildlib.process.console import Console
from buildlib.report.reply import reply
from buildlib.rust.cargo import Build

if TYPE_CHECKING:
    from buildlib.report import results as data


@dataclass(frozen=True, slots=True)
class PlannedImages:
    """The images from Dockerfiles that `image` would build: their settings, and the targets of each."""

    settings: Mapping[str, Image]
    targets: Mapping[str, tuple[Target, ...]]

    def of(self, target: Target) -> list[str]:
        """The images for a target."""
        return [name for name, targets in self.targets.items() if target in targets]


def plan(
    console: Console, builds: Sequence[Build], left_out: Mapping[str, str], images: PlannedImages, *, as_json: bool,
    times: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Print what `build` would run, one row per target, and which images would be built.

    `left_out` are binaries that cargo would not compile, and why; `times` are the seconds that an arch took on this machine.
    """
    compiles = [(build, step) for build in builds for step in build.job.steps if isinstance(step, Step)]
    if as_json:
        console.json(_plan_data(compiles, left_out, images, times or {}))
        return
    if compiles:
        console.table(
            ("arch", "backend", "why", "minimum glibc", "toolchain", "command"),
            (
                (
                    build.target.name, build.backend.name, build.backend.why, build.backend.minimum_glibc or "-",
                    str(build.compiler or "-"), " ".join(step.argv),
                )
                for build, step in compiles
            ),
            below="command",
        )  # fmt: skip
    for reason in left_out.values():
        console.line(f"left out: {reason}")
    if images.targets:
        rows = (
            (name, ", ".join(target.name for target in targets), images.settings[name].dockerfile, images.settings[name].context)
            for name, targets in images.targets.items()
        )  # fmt: skip
        console.table(("image", "arches", "Dockerfile", "context"), rows)


def _plan_data(
    compiles: Iterable[tuple[Build, Step]],
    left_out: Mapping[str, str],
    images: PlannedImages,
    times: Mapping[str, float],
) -> list[data.PlanData]:
    rows: list[data.PlanData] = [
        {
            "arch": build.target.name, "target": build.target.triple, "platform": build.target.oci,
            "backend": build.backend.name, "why": build.backend.why, "floor": build.backend.minimum_glibc,
            "toolchain": str(build.compiler) if build.compiler else None, "folder": str(build.folder),
            "argv": list(step.argv), "env": dict(step.env),
            "binaries": [one.name for one in build.selection.components if one.name not in left_out],
            "left_out": list(left_out.values()), "images": images.of(build.target),
            "seconds": times.get(build.target.name), **reply(),
        }
        for build, step in compiles
    ]  # fmt: skip
    compiled = {row["arch"] for row in rows}
    only_images = {target.name: target for targets in images.targets.values() for target in targets}
    rows += [
        {
            "arch": target.name, "target": target.triple, "platform": target.oci, "backend": "", "why": "", "floor": "",
            "toolchain": None, "folder": "", "argv": [], "env": {}, "binaries": [], "left_out": [],
            "images": images.of(target), "seconds": times.get(target.name), **reply(),
        }
        for target in only_images.values() if target.name not in compiled
    ]  # fmt: skip
    return rows
