"""Command lines of docker buildx, and the errors of docker commands. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildlib.builder.positions import position
from buildlib.core.errors import BuildError
from buildlib.core.plan import Outcome, Step, words
from buildlib.core.targets import Target
from buildlib.failures.classify import classify

# The inputs of an image, as an annotation of its index: an image that is found under a tag with the same inputs is not built again.
INPUTS = "buildlib.inputs"
BASES = "buildlib.bases"  # as another one, the images that it is based on: NAME@DIGEST, with spaces between them


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """What all builds of one Dockerfile have in common."""

    builder: str
    file: Path
    context: Path
    contexts: Mapping[str, str] = field(default_factory=dict)  # named build contexts
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0  # seconds since 1970, the time of everything in the image
    more: tuple[str, ...] = ()


def build_step(
    title: str,
    inputs: BuildInputs,
    stage: str,
    targets: Iterable[Target],
    *more: str,
) -> Step:
    """Build one stage for the platforms of `targets`; "" is the last one.

    Attestations are attached later (`signing`): BuildKit's state the name that an image is pushed to, which may be the gateway's.
    """
    argv = (
        "docker", "buildx", "build", "--builder", inputs.builder, "--platform", ",".join(target.oci for target in targets),
        "--file", str(inputs.file), *(("--target", stage) if stage else ()), "--progress", "plain",
        "--provenance=false",
        *_pairs("--build-context", inputs.contexts), *_pairs("--build-arg", inputs.args), *_pairs("--label", inputs.labels),
        *inputs.more, *more, str(inputs.context),
    )  # fmt: skip
    env = {"SOURCE_DATE_EPOCH": str(inputs.epoch)}
    return Step(title=title, argv=argv, env=env, attempts=10, held=True, position=position)


def _pairs(flag: str, values: Mapping[str, str]) -> tuple[str, ...]:
    return words(flag, (f"{name}={value}" for name, value in values.items()))


def to_registry(repository: str, annotations: Mapping[str, str]) -> str:
    """The value of --output that pushes by digest, without a tag. `annotations` are those of the index."""
    annotation = "".join(f",annotation-index.{name}={value}" for name, value in annotations.items())
    options = "push-by-digest=true,push=true,rewrite-timestamp=true,oci-mediatypes=true"
    return f"type=image,name={repository},{options}{annotation}"


def to_layout(folder: Path) -> str:
    """The value of --output that writes an OCI image layout."""
    return f"type=oci,dest={folder},tar=false,rewrite-timestamp=true"


def digest_of(metadata: str) -> str:
    """The digest of the image that was built, from the text of the metadata file; "" if it names none."""
    digest = read_index(metadata).get("containerimage.digest")
    return digest if isinstance(digest, str) else ""


# --- what is in a registry ---------------------------------------------------------------------------------------------------


def manifest_question(builder: str, reference: str) -> Step:
    """The question for a manifest or index, byte for byte, through the builder's mirrors."""
    argv = ("docker", "buildx", "imagetools", "inspect", "--builder", builder, "--raw", reference)
    return Step(title=f"read {reference}", argv=argv, stdout="keep", quiet=True, attempts=5)


def config_question(builder: str, reference: str) -> Step:
    """The question for the configuration of an image for one platform."""
    argv = ("docker", "buildx", "imagetools", "inspect", "--builder", builder, "--format", "{{json .Image}}", reference)
    return Step(title=f"configuration of {reference}", argv=argv, stdout="keep", quiet=True, attempts=5)


def tag_step(
    builder: str, repository: str, digests: Iterable[str], tags: Iterable[str], annotations: Mapping[str, str]
) -> Step:
    """Move all `tags` at once to `digests`: one index, or images that become one index with `annotations`."""
    argv = (
        "docker", "buildx", "imagetools", "create", "--builder", builder,
        *words("--tag", (f"{repository}:{tag}" for tag in tags)),
        *words("--annotation", (f"index:{name}={value}" for name, value in annotations.items())),
        *(f"{repository}@{digest}" for digest in digests),
    )  # fmt: skip
    return Step(title=f"tag {repository}", argv=argv, attempts=10, held=True)


def read_index(text: str) -> Mapping[str, Any]:
    """The JSON object in `text`; {} if it is anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


# --- failures ----------------------------------------------------------------------------------------------------------------


def succeeded(outcome: Outcome) -> Outcome:
    """The outcome of a docker command. The error of `docker_error` if it failed."""
    if outcome:
        return outcome
    raise docker_error(outcome)


def docker_error(outcome: Outcome) -> BuildError:
    """The error for a failed docker command: NetworkError, MissingRequirements or BuildError."""
    failure = classify(outcome.output)
    title = outcome.step.title if isinstance(outcome.step, Step) else "docker"
    cause = (failure.cause or outcome.last).removeprefix("ERROR: ")
    return failure.error(f"{title}: {cause}", failure.help, failure.kind)
