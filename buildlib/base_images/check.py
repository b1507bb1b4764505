"""Ask the registries whether base images have the platforms for which they are used, and what digests they have now.

All are asked concurrently, each once. Nothing of an image is downloaded but its manifest, and the configuration of one that has no
index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from buildlib.base_images import tags
from buildlib.base_images.dockerfile import Base, Image
from buildlib.base_images.platforms import normalize, serves
from buildlib.base_images.registry_tags import current_digest
from buildlib.base_images.registry_tags import tags as tags_of
from buildlib.base_images.stages import context_name
from buildlib.core.errors import BuildError, Refused
from buildlib.core.targets import nearest
from buildlib.image_gate import manifests
from buildlib.image_gate.manifests import Configuration, Descriptor, Index, Manifest
from buildlib.registry.client import Client
from buildlib.registry.content import Repository, repository_of
from buildlib.registry.reference import Reference, parse

WORKERS = 16  # requests wait for the network
MAX_UNNAMED = 16  # images of an index that state no platform and whose configurations are therefore read
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BaseDigest:
    """The digest of a base image's index or manifest."""

    reference: str  # its complete name, with the tag
    digest: str


@dataclass(frozen=True, slots=True)
class _Found:
    """What a registry has under a reference."""

    digest: str
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """A reference, and the platforms of it that are used, with the place of the first use."""

    reference: str
    name: str  # as users write it
    where: str
    platforms: tuple[str, ...]


def check(client: Client, bases: Iterable[Base]) -> tuple[BaseDigest, ...]:
    """The digests of all base images, if each has the platforms for which it is used. Bases that are not known are left out.

    Raises:
        Refused: Images lack platforms; the help names a tag that has them, if there is a similar one. Or a registry returns something
            else than a digest says.
        NetworkError, BuildError: A registry does not return an image, or returns something that is not one.
    """
    questions = _questions(bases)
    answers = _concurrently(lambda question: _found(client, parse(question.reference)), questions)
    lacking: list[tuple[_Question, _Found, tuple[str, ...]]] = []
    failed: list[tuple[_Question, BuildError]] = []
    digests: list[BaseDigest] = []
    for question, answer in zip(questions, answers, strict=True):
        if isinstance(answer, BuildError):
            failed.append((question, answer))
            continue
        digests.append(BaseDigest(question.reference, answer.digest))
        missing = tuple(platform for platform in question.platforms if not serves(platform, answer.platforms))
        if missing:
            lacking.append((question, answer, missing))
    if lacking:
        raise _refusal(client, lacking)
    if failed:
        raise _failure(client, failed)
    return tuple(digests)


def current(client: Client, references: Iterable[str]) -> tuple[BaseDigest, ...]:
    """The digests that these images have now, without asking for their platforms. Errors as for `check`, with all names."""
    names = tuple(dict.fromkeys(references))
    answers = _concurrently(lambda name: current_digest(client, parse(name)), names)
    errors = [answer for answer in answers if isinstance(answer, BuildError)]
    if errors:
        raise type(errors[0])("\n".join(error.message for error in errors), errors[0].help)
    return tuple(
        BaseDigest(name, answer) for name, answer in zip(names, answers, strict=True) if isinstance(answer, str)
    )


def _concurrently(function: Callable[[T], R], items: Sequence[T]) -> list[R | BuildError]:
    """The result for each item, or its error."""

    def attempt(item: T) -> R | BuildError:
        try:
            return function(item)
        except BuildError as error:
            return error

    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(WORKERS, len(items))) as pool:
        return list(pool.map(attempt, items))


def _questions(bases: Iterable[Base]) -> list[_Question]:
    """Each reference once, in the order of the first use."""
    uses: dict[str, list[tuple[Base, Image]]] = {}
    for base in bases:
        for image in base.images.values():
            uses.setdefault(image.reference, []).append((base, image))
    return [
        _Question(
            reference=reference, name=found[0][1].name, where=found[0][0].where,
            platforms=tuple(dict.fromkeys(image.platform for _, image in found)),
        )
        for reference, found in uses.items()
    ]  # fmt: skip


def _found(client: Client, reference: Reference) -> _Found:
    repository = repository_of(client, reference)
    digest, data = repository.named(reference)
    document = manifests.read(data, f"{repository}: {reference.version}")
    if isinstance(document, Manifest):
        return _Found(digest, (_platform(repository, document.config),))
    entries = [entry for entry in document.manifests if entry.is_image]
    named = [str(entry.platform) for entry in entries if entry.platform]
    # BuildKit takes an image without a platform for any (util/imageutil/config.go); what it is for, its configuration says.
    unnamed = [entry for entry in entries if not entry.platform][:MAX_UNNAMED]
    read = [platform for entry in unnamed for platform in _platforms_of(repository, entry)]
    return _Found(digest, tuple(dict.fromkeys(normalize(name) for name in (*named, *read) if name)))


def _platforms_of(repository: Repository, entry: Descriptor) -> list[str]:
    """The platforms of an image that its index does not state: that of its configuration, or those of an index in the index."""
    document = manifests.read(repository.manifest(entry.digest, entry.size), f"{repository}: {entry.digest}")
    if isinstance(document, Index):
        return [str(inner.platform) for inner in document.manifests if inner.is_image and inner.platform]
    return [_platform(repository, document.config)]


def _platform(repository: Repository, config: Descriptor) -> str:
    title = f"{repository}: {config.digest}: invalid configuration"
    return normalize(str(manifests.decode(repository.document(config.digest, config.size), Configuration, title)))


def _refusal(client: Client, lacking: Sequence[tuple[_Question, _Found, tuple[str, ...]]]) -> Refused:
    """The error for all images that lack a platform."""
    found = _concurrently(lambda problem: _similar(client, problem[0]), lacking)
    lines, help_lines = [], []
    for (question, answer, missing), name in zip(lacking, found, strict=True):
        has = ", ".join(platform or "one that its configuration does not state" for platform in answer.platforms)
        lines.append(
            f"{question.where}: {question.name} has no {' and no '.join(missing)}; it has {has or 'no platform'}"
        )
        if isinstance(name, str) and name:
            help_lines.append(f"use {name} instead of {question.name}: it has {' and '.join(question.platforms)}")
    fallback = "use another base image, or build without these platforms"
    return Refused("\n".join(lines), "\n".join(help_lines) or fallback)


def _similar(client: Client, question: _Question) -> str:
    """The name of the image nearest to one that lacks a platform, with all platforms that are used; "" without one."""
    reference = parse(question.reference)

    def has(name: str) -> bool:
        try:
            available = _found(client, parse(name)).platforms
        except BuildError:
            return False
        return all(serves(platform, available) for platform in question.platforms)

    general = tags.without_single_arch(question.reference)
    if general and has(general):
        return context_name(general)
    if not reference.tag:
        return ""
    repository = f"{reference.registry}/{reference.repository}"
    known = tags_of(client, reference)
    tag = tags.nearest(reference.tag, known, lambda tag: has(f"{repository}:{tag}"))
    return f"{context_name(repository).removesuffix(':latest')}:{tag}" if tag else ""


def _failure(client: Client, failed: Sequence[tuple[_Question, BuildError]]) -> BuildError:
    """The error for all images that could not be read: one of the worst kind."""
    lines = [f"{question.where}: {error.message}" for question, error in failed]
    first = next((error for _, error in failed if isinstance(error, Refused)), failed[0][1])
    found = _concurrently(lambda problem: _misspelt(client, *problem), failed)
    help_lines = [name for name in found if isinstance(name, str) and name]
    return type(first)("\n".join(lines), "\n".join(help_lines) or first.help)


def _misspelt(client: Client, question: _Question, error: BuildError) -> str:
    """A hint for a tag that its repository does not have."""
    reference = parse(question.reference)
    if type(error) is not BuildError or not reference.tag:
        return ""
    known = tags_of(client, reference)
    near = nearest(reference.tag, known) if reference.tag not in known else ""
    name = context_name(f"{reference.registry}/{reference.repository}").removesuffix(":latest")
    return f"{question.name}: did you mean {name}:{near}?" if near else ""


def without_digest(bases: Iterable[Base]) -> tuple[Base, ...]:
    """The bases that are named by a tag alone, so that the next build may use another image. Pure."""
    return tuple(base for base in bases if base.known and not base.has_digest)
