"""Provenance: what a file or an image was made of and how, as SLSA's predicate (slsa.dev/spec/v1.0/provenance).

It states what buildlib knows of its own build, on a laptop as in CI, and where it was. Who signs it vouches for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from buildlib import __version__
from buildlib.binaries import dist
from buildlib.binaries.dist import Entry, document_path, has_document, with_document
from buildlib.core.plan import Write
from buildlib.core.settings import declared, flat
from buildlib.core.statements import PROVENANCE, Statement
from buildlib.elf.facts import digest
from buildlib.process.commit import Source, source
from buildlib.process.context import Context
from buildlib.rust.cargo import Build

# What the parameters of a build mean: docs/signing.md. The number changes with their meaning.
BUILD_TYPE = "urn:cargo-buildlib:build:1"
LOCAL = "urn:cargo-buildlib:local"  # the builder, where no CI says its name
# Settings that change what is compiled, beside those that are parameters of their own.
SETTINGS = ("backend", "glibc", "libraries", "suite", "trim_paths", "embed_sbom")

Json = dict[str, Any]


def predicate(
    context: Context, made: Source, parameters: Json, inputs: Sequence[Json], versions: Mapping[str, str]
) -> Json:
    """The predicate. `parameters` are what was asked for, `inputs` what it was made of beside the commit, `versions` the tools."""
    values, known = flat(context.config), declared()
    settings = {key: values[key] for key in SETTINGS if values[key] != known[key].default}
    builder, run = where(context.host.env)
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": parameters,
            "internalParameters": {"settings": settings} if settings else {},
            "resolvedDependencies": [*([commit_of(made)] if made.revision else []), *inputs],
        },
        "runDetails": {
            "builder": {"id": builder, "version": {"buildlib": __version__, **versions}},
            **({"metadata": {"invocationId": run}} if run else {}),
        },
    }


def commit_of(made: Source) -> Json:
    """The commit as a resource. `dirty`: the files differ from it."""
    dirty = {"annotations": {"dirty": True}} if made.dirty else {}
    return {"uri": f"git+{made.uri}" if made.uri else "git+file:.", "digest": {"gitCommit": made.revision}, **dirty}


def where(env: Mapping[str, str]) -> tuple[str, str]:
    """The builder's id and the URI of its run: those of GitHub or GitLab, else `LOCAL` and ""."""
    if env.get("GITHUB_ACTIONS") == "true":
        server, repository = env.get("GITHUB_SERVER_URL", "https://github.com"), env.get("GITHUB_REPOSITORY", "")
        run = f"{server}/{repository}/actions/runs/{env.get('GITHUB_RUN_ID', '')}/attempts/{env.get('GITHUB_RUN_ATTEMPT', '1')}"
        return f"{server}/{env.get('GITHUB_WORKFLOW_REF', repository)}", run
    if env.get("GITLAB_CI") == "true":
        return f"{env.get('CI_PROJECT_URL', '')}/-/blob/{env.get('CI_COMMIT_SHA', '')}/.gitlab-ci.yml", env.get(
            "CI_JOB_URL", ""
        )
    return LOCAL, ""


def of_image(
    context: Context, made: Source, name: str, platform: str, inputs: Sequence[Json], bases: Mapping[str, str]
) -> Json:
    """The predicate of the image of a component for a platform, or of its index for "". `bases` maps base images to digests."""
    parameters: Json = {"image": name, **({"platform": platform} if platform else {})}
    pulled = [{"uri": f"docker://{base}", "digest": {"sha256": sha.partition(":")[2]}} for base, sha in bases.items()]
    return predicate(context, made, parameters, [*inputs, *pulled], {})


def binary_input(entry: Entry) -> Json:
    """A file of dist/ as a resource."""
    facts = {
        "target": entry["target"],
        "toolchain": entry["toolchain"],
        "backend": entry["backend"],
        "profile": entry["profile"],
    }
    return {"name": entry["path"], "digest": {"sha256": entry["sha256"]}, "annotations": facts}


# --- the files of dist/ ------------------------------------------------------------------------------------------------------


def with_provenances(context: Context, build: Build, entries: Sequence[Entry]) -> tuple[list[Entry], dict[str, Path]]:
    """The entries with their provenances, and those that dist/ does not have yet: path below dist/ -> file."""
    if not context.config.provenance:
        return [with_document(entry, "provenance", None) for entry in entries], {}
    made, files, result = source(context), {}, []
    for entry in entries:
        path = document_path(entry, "provenance")
        file = build.folder / "provenance" / Path(path).name
        context.run(Write(path=file, text=_document(context, build, entry, made)))
        result.append(with_document(entry, "provenance", file))
        if not has_document(context.dist, result[-1], "provenance"):
            files[path] = file
    return result, files


def _document(context: Context, build: Build, entry: Entry, made: Source) -> str:
    lock, host = context.workspace.lock, context.host
    parameters: Json = {
        "file": entry["binary"], "kind": dist.kind_of(entry), "target": entry["target"], "profile": entry["profile"],
        "backend": entry["backend"], "minimumGlibc": entry["floor"], "features": list(context.config.features),
    }  # fmt: skip
    inputs: list[Json] = [{"name": lock.name, "digest": {"sha256": digest(lock)}}] if lock.is_file() else []
    inputs += libraries(entry)
    compiler = build.compiler.toolchain if build.compiler else None
    versions = {"rustc": f"{compiler.release} ({compiler.commit})" if compiler else entry["toolchain"]}
    if entry["backend"] == "zig":
        versions |= {"zig": host.zig_version, "cargo-zigbuild": host.zigbuild_version}
    said = predicate(
        context, made, parameters, inputs, {name: version for name, version in versions.items() if version}
    )
    subjects = ((entry["binary"], entry["sha256"]),)
    return Statement(predicate_type=PROVENANCE, predicate=said, subjects=subjects).encode().decode() + "\n"


def libraries(entry: Entry) -> Iterable[Json]:
    """The system libraries of a file as resources."""
    return [
        {
            "name": one["name"], "digest": {"sha256": one["sha256"]},
            "annotations": {"package": one["package"], "version": one["version"]},
        }
        for one in dist.libraries_of(entry)
    ]  # fmt: skip
