"""The settings of pipelines and of commands that several machines share."""

from typing import Annotated

from msgspec import Meta, Struct


class Ci(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pipeline that `buildlib ci` prints."""

    runner: Annotated[
        str, Meta(description="GitHub runner of all jobs; for GitLab the tag of a runner, none by default")
    ] = "ubuntu-24.04"
    runners: Annotated[
        dict[str, str],
        Meta(
            description="GitHub runners, or tags of GitLab runners, of single arches",
            examples=[{"arm64": "ubuntu-24.04-arm"}],
        ),
    ] = {}
    times: Annotated[
        dict[str, Annotated[float, Meta(gt=0, le=1e6)]],
        Meta(
            description="seconds that an arch takes, by which --shard divides the arches; `plan --json` prints those of this machine",
            examples=[{"arm64": 90.0, "riscv64": 240.0}],
        ),
    ] = {}
    keyless: Annotated[
        bool,
        Meta(
            description="whether GitHub's workflow signs images with cosign and the workflow's own identity, which needs no key"
        ),
    ] = False
