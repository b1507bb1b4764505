"""The images of all parts: read back from the registry, checked again, joined to one index, and only then tagged.

A command that ends anywhere in between leaves each tag where it was, or at the complete image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from buildlib.assembly import direct, index, oci, recipe, spec
from buildlib.assembly import predicates as predicates_
from buildlib.assembly.assembly import Wanted
from buildlib.assembly.oci import Json
from buildlib.assembly.push import names_of, sign, unchanged
from buildlib.assembly.recipe import Recipe
from buildlib.assembly.spec import ImageResult
from buildlib.assembly.tasks import failed, record
from buildlib.binaries.dist import Entry
from buildlib.binaries.verify import Verdict
from buildlib.builder.buildx import INPUTS
from buildlib.core.errors import BuildError, Interrupted, Refused
from buildlib.core.plan import Status
from buildlib.core.targets import Target
from buildlib.image_gate import manifests, remote
from buildlib.image_gate.manifests import Configuration, Index
from buildlib.images import dockerfile_image
from buildlib.process.context import Context
from buildlib.registry.content import Repository, repository_of
from buildlib.registry.reference import parse
from buildlib.registry.session import client_for
from buildlib.registry.uploads import push_manifest
from buildlib.shards.binaries import UNTOUCHED
from buildlib.shards.record import ImageRecord
from buildlib.shards.result import MAKE_AGAIN, Result
from buildlib.signing.images import Attached
from buildlib.signing.signer import Signer, opened_signer
from buildlib.smoke.archive import INDEX


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """The image of one component: its index, and the tags that it gets."""

    component: str
    repository: str
    index: bytes
    images: Mapping[str, str]  # platform -> digest
    tags: tuple[str, ...]
    annotations: Mapping[str, str]  # of the index
    entries: Mapping[str, Entry]  # platform -> its binary; {} for an image of the settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the images are expected to be: the targets of the whole command, the tags, the binaries that passed the gate."""

    whole: tuple[Target, ...]
    named: bool  # whether the command line names the targets
    tags: tuple[str, ...]
    entries: Sequence[Entry]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets that have an image, those with musl last, as `image` builds them."""
        chosen = self.whole if self.named else spec.one_per_platform(self.whole)
        return tuple(sorted(chosen, key=lambda target: target.is_musl))


def joined(context: Context, results: Sequence[Result], request: Request) -> list[Joined]:
    """The images of all components, checked. BuildError for parts that do not fit, Refused for an image that fails a check."""
    pushed = [result for result in results if "image" in result.record.commands]
    names = dict.fromkeys(name for result in pushed for name in result.record.commands["image"].images)
    if not names:
        return []
    prefix = spec.registry(context)
    spec.check_options(request.targets, request.tags)
    with closing(client_for(context)) as client:
        images = []
        for name in names:
            parts = [(one, image) for one in pushed if (image := one.record.commands["image"].images.get(name))]
            address = f"{prefix}/{name.lower()}"
            repository = repository_of(client, parse(address))
            expected = _targets(context, name, request)
            owners = {target.oci: target.name for target in request.targets}
            _check_parts(pushed, name, address, {target.oci: owners[target.oci] for target in expected})
            with context.console.busy(f"{name} · check every platform"):
                _gate(context, name, address, parts, expected, request)
                entries = [entry for _, image in parts for entry in _entries(repository, image)]
            images.append(_join(context, name, prefix, parts, entries, expected, request))
    return images


def _targets(context: Context, name: str, request: Request) -> tuple[Target, ...]:
    """The targets of a component's image, in the order of its index. BuildError for a component that this workspace lacks."""
    if name in context.config.images:
        return dockerfile_image.targets_of(context, name, request.targets, named=True)
    if name not in {component.name for component in context.workspace.components}:
        raise BuildError(f"{name}: not a component of this workspace", MAKE_AGAIN)
    return request.targets


def _check_parts(pushed: Iterable[Result], name: str, repository: str, owners: Mapping[str, str]) -> None:
    """BuildError unless each part has pushed the image for exactly its own platforms, from the same base images.

    `owners` maps each platform of the image to the arch whose part has it.
    """
    problems, bases = [], dict[str, tuple[str, Result]]()
    for result in pushed:
        image = result.record.commands["image"].images.get(name)
        own = {platform for platform, arch in owners.items() if arch in result.names}
        actual = set(image.platforms) if image else set()
        if actual != own:
            problems.append(f"{result}: {name} for {_names(actual)}, expected {_names(own)}")
        if image and image.repository != repository:
            problems.append(f"{result}: {name} is in {image.repository}, expected {repository}")
        for base, digest in image.bases.items() if image else ():
            first, other = bases.setdefault(base, (digest, result))
            if first != digest:
                problems.append(f"{result}: {name} is based on {base}@{digest}, but on {first} in {other}")
    if problems:
        raise BuildError("\n  ".join(("these images cannot be joined:", *problems)), MAKE_AGAIN)


def _names(platforms: Iterable[str]) -> str:
    return ", ".join(sorted(platforms)) or "no platform"


def _gate(
    context: Context, name: str, repository: str, parts: Iterable[tuple[Result, ImageRecord]], expected: Sequence[Target],
    request: Request,
) -> None:  # fmt: skip
    """Refused unless the image of each platform passes the gate, and has the binary of dist/ as its program."""
    paths = {target.oci: f"{target.name}/{name}" for target in expected}
    digests = {entry["path"]: entry["sha256"] for entry in request.entries}
    problems: list[str] = []
    for result, image in parts:
        seen = []
        for digest in image.digests:
            for verdict in remote.verify(context, f"{repository}@{digest}"):
                platform = verdict.target.oci if verdict.target else str(verdict.path)
                seen.append(platform)
                problems += [f"{verdict.path}: {refusal}" for refusal in verdict.refusals]
                if name not in context.config.images:
                    problems += _program(verdict, digests.get(paths.get(platform, ""), ""))
        if sorted(seen) != sorted(image.platforms):
            problems.append(f"{result}: {name}: {_names(seen)}, expected {_names(image.platforms)}")
    if problems:
        raise Refused("\n".join(problems), UNTOUCHED)


def _program(verdict: Verdict, sha256: str) -> Iterator[str]:
    """A problem if the program of an image is not the binary that passed the gate."""
    actual = verdict.facts.sha256 if verdict.facts else "no program that can be read"
    if actual != (sha256 or "none in dist/"):
        yield f"{verdict.path}: sha256: {actual}, expected {sha256 or 'none: the parts have no such binary'}"


def _entries(repository: Repository, image: ImageRecord) -> Iterator[Json]:
    """The descriptors of what was pushed, attestations included. Refused unless these are the images of the record."""
    for digest in image.digests:
        data, title = repository.manifest(digest), f"{repository}@{digest}"
        document = manifests.read(data, title)
        if isinstance(document, Index):
            found, platform = document.images, ""
        else:
            content = repository.document(document.config.digest, document.config.size)
            platform = manifests.decode(content, Configuration, f"{title}: invalid configuration").oci
            found = {platform: digest}
        for platform, actual in found.items():
            if image.platforms.get(platform) != actual:
                raise Refused(f"{title}: {platform} is {actual}, expected {image.platforms.get(platform)}", UNTOUCHED)
        yield from index.entries_of(data, platform)


def _join(
    context: Context, name: str, prefix: str, parts: Iterable[tuple[Result, ImageRecord]], entries: Iterable[Json],
    expected: Sequence[Target], request: Request,
) -> Joined:  # fmt: skip
    parts = list(parts)
    images = {platform: digest for _, image in parts for platform, digest in image.platforms.items()}
    images = {target.oci: images[target.oci] for target in expected}
    places = {digest: place for place, digest in enumerate(images.values())}
    entries = list(entries)

    def place(entry: Json) -> int:
        """That of its image: an attestation names the manifest that it is about."""
        about = (entry.get("annotations") or {}).get("vnd.docker.reference.digest")
        return places.get(about or entry["digest"], len(places))

    made = recipe.joined(Recipe(inputs=image.inputs, bases=image.bases) for _, image in parts)
    made = replace(made, inputs={p: made.inputs[p] for p in images} if made.inputs.keys() >= images.keys() else {})
    version = next((one.tag for one in context.workspace.components if one.name == name), dockerfile_image.TAG)
    return Joined(
        component=name, repository=f"{prefix}/{name.lower()}", images=images,
        index=index.index(sorted(entries, key=place), made.annotations), annotations=made.annotations,
        entries={target.oci: one for target in expected for one in request.entries if one["path"] == f"{target.name}/{name}"},
        tags=request.tags or tuple(dict.fromkeys((version, dockerfile_image.TAG))),
    )  # fmt: skip


def publish(context: Context, images: Iterable[Joined]) -> list[ImageResult]:
    """Upload each index by its digest, sign it if the settings name a key, and then move the tags.

    An image that fails does not stop the others; its result has the error.
    """
    results = []
    with closing(client_for(context)) as client, opened_signer(context) as signer:
        for image in images:
            try:
                result = _publish(context, repository_of(client, parse(image.repository)), image, signer)
            except Interrupted:
                raise
            except BuildError as error:
                result = replace(failed(context, image.component, error), where=image.repository)
            record(context, result)
            results.append(result)
    return results


def _publish(context: Context, repository: Repository, image: Joined, signer: Signer | None) -> ImageResult:
    tagged, dry = {tag: direct.tagged(repository, tag) for tag in image.tags}, context.run.dry
    # Of the same binaries and base images another commit makes another image, with other labels. It is not published.
    if same := unchanged(tagged.values(), image.annotations.get(INPUTS, ""), image.images):
        image = replace(image, index=same.encode(), images=manifests.index_of(same).images)
    digest = oci.digest(image.index)
    moved = [tag for tag, text in tagged.items() if text.encode() != image.index]
    if moved and not dry:
        push_manifest(repository, digest, image.index, INDEX)
    attached = _signed(context, image, signer) if signer and not dry else ()
    if not dry:
        direct.move_tags(repository, image.index, moved)
    changed = moved or any(one.added for one in attached)
    return ImageResult(
        component=image.component, status=Status.PLANNED if dry else Status.DONE if changed else Status.UNCHANGED,
        platforms=tuple(image.images), tags=image.tags, where=image.repository, digest=digest, images=image.images,
        signed=names_of(attached),
    )  # fmt: skip


def _signed(context: Context, image: Joined, signer: Signer) -> tuple[Attached, ...]:
    """Sign the index and its images, and attach what the settings ask for."""

    def predicates(platform: str, wanted: Wanted) -> list[tuple[str, Any]]:
        if image.component in context.config.images:
            file, _ = dockerfile_image.located(context, image.component)
            return predicates_.of_dockerfile(context, image.component, file, platform, wanted)
        return predicates_.of_binary(context, image.component, image.entries, platform, wanted)

    return sign(context, signer, image.component, image.repository, image.index, image.annotations, predicates)
