"""docker buildx as command lines, and what it answers. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildlib.core.errors import BuildError, MissingRequirements, NetworkError
from buildlib.core.plan import Outcome, Step, words
from buildlib.core.targets import Target
from buildlib.failures.classify import classify

# What an image was made from, as an annotation of its index: who finds it under a tag need not make the image again.
INPUTS = "buildlib.inputs"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildInputs:
    """What is the same in every build of one Dockerfile."""

    builder: str
    file: Path
    context: Path
    contexts: Mapping[str, str] = field(default_factory=dict)  # named build contexts
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    epoch: int = 0  # seconds since 1970, the time of everything in the image
    more: tuple[str, ...] = ()


def build_step(
    title: str, recipe: BuildInputs, stage: str, targets: Iterable[Target], *more: str, attested: tuple[str, ...] = ()
) -> Step:
    """Builds one stage for the platforms of `targets`. `attested` are flags; without any there is no attestation, which
    buildx would add by itself."""
    argv = (
        "docker", "buildx", "build", "--builder", recipe.builder, "--platform", ",".join(target.oci for target in targets),
        "--file", str(recipe.file), "--target", stage, "--progress", "plain",
        *(attested or ("--provenance=false",)),
        *_pairs("--build-context", recipe.contexts), *_pairs("--build-arg", recipe.args), *_pairs("--label", recipe.labels),
        *recipe.more, *more, str(recipe.context),
    )  # fmt: skip
    return Step(title=title, argv=argv, env={"SOURCE_DATE_EPOCH": str(recipe.epoch)}, attempts=10, held=True)


def _pairs(flag: str, values: Mapping[str, str]) -> tuple[str, ...]:
    return words(flag, (f"{name}={value}" for name, value in values.items()))


def to_registry(repository: str, inputs: str) -> str:
    """The output that pushes by digest: no tag is touched."""
    noted = f",annotation-index.{INPUTS}={inputs}" if inputs else ""
    return (
        f"type=image,name={repository},push-by-digest=true,push=true,rewrite-timestamp=true,oci-mediatypes=true{noted}"
    )


def to_layout(folder: Path) -> str:
    """The output that writes an OCI image layout."""
    return f"type=oci,dest={folder},tar=false,rewrite-timestamp=true"


# The output that hands an image for one platform to the Docker daemon, under the names that --tag gives.
TO_ENGINE = "type=docker,rewrite-timestamp=true"


# --- what is in a registry -------------------------------------------------------------------------------------


def manifest_question(builder: str, reference: str) -> Step:
    """The question for a manifest or index, as the registry has it; the builder's mirrors are asked like the builder would."""
    argv = ("docker", "buildx", "imagetools", "inspect", "--builder", builder, "--raw", reference)
    return Step(title=f"read {reference}", argv=argv, stdout="keep", quiet=True, attempts=5)


def config_question(builder: str, reference: str) -> Step:
    """The question for the configuration of an image for one platform."""
    argv = ("docker", "buildx", "imagetools", "inspect", "--builder", builder, "--format", "{{json .Image}}", reference)
    return Step(title=f"configuration of {reference}", argv=argv, stdout="keep", quiet=True, attempts=5)


def tag_step(builder: str, repository: str, found: Iterable[str], tags: Iterable[str], inputs: str = "") -> Step:
    """Moves the tags, all of them, to what has these digests: an index, or the images that become one with `inputs` noted."""
    argv = (
        "docker", "buildx", "imagetools", "create", "--builder", builder,
        *words("--tag", (f"{repository}:{tag}" for tag in tags)),
        *(("--annotation", f"index:{INPUTS}={inputs}") if inputs else ()),
        *(f"{repository}@{digest}" for digest in found),
    )  # fmt: skip
    return Step(title=f"tag {repository}", argv=argv, attempts=10, held=True)


def manifests(index: Mapping[str, Any]) -> dict[str, str]:
    """The images of an index: platform -> digest. Attestations say unknown/unknown, and are none."""
    platforms = ((entry.get("platform", {}), entry.get("digest", "")) for entry in index.get("manifests", ()))
    return {platform_of(platform): digest for platform, digest in platforms if platform.get("os") != "unknown"}


def platform_of(told: Mapping[str, str]) -> str:
    """linux/arm/v7 from an index's platform or an image's configuration; linux/arm64/v8 is linux/arm64."""
    name = "/".join(told[key] for key in ("os", "architecture", "variant") if told.get(key))
    return "linux/arm64" if name == "linux/arm64/v8" else name


def inputs_of(index: Mapping[str, Any]) -> str:
    """What the image was made from, "" when it does not say."""
    return (index.get("annotations") or {}).get(INPUTS, "")


def read_index(text: str) -> Mapping[str, Any]:
    """An index as data; nothing for a text that is none."""
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


# --- failures ----------------------------------------------------------------------------------------------------------------


def succeeded(outcome: Outcome) -> Outcome:
    """The outcome of a docker command. The error of `docker_error` if it failed."""
    if outcome:
        return outcome
    raise docker_error(outcome)


def docker_error(outcome: Outcome) -> BuildError:
    """The error for a failed docker command: NetworkError, MissingRequirements (the builder) or BuildError."""
    failure = classify(outcome.output)
    error = NetworkError if failure.transient else MissingRequirements if failure.kind == "builder" else BuildError
    title = outcome.step.title if isinstance(outcome.step, Step) else "docker"
    return error(f"{title}: {failure.cause or last_line(outcome)}", failure.help)


def last_line(outcome: Outcome) -> str:
    """The last line of a tool's output, without buildx's `ERROR: `."""
    return outcome.last.removeprefix("ERROR: ")
