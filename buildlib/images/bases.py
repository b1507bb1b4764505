"""The base images of images from Dockerfiles: before a build, and `image --check-bases`, which looks for newer digests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

from buildlib.assembly import spec
from buildlib.base_images import check
from buildlib.base_images.dockerfile import Base
from buildlib.core.targets import select
from buildlib.image_gate import manifests
from buildlib.images import dockerfile_image
from buildlib.images.dockerfile_image import DockerfileImage
from buildlib.process.context import Context
from buildlib.registry.client import Client
from buildlib.registry.content import repository_of
from buildlib.registry.reference import parse
from buildlib.registry.session import client_for


def checked_bases(context: Context, images: Iterable[DockerfileImage], *, strict: bool) -> dict[str, dict[str, str]]:
    """The digest of each base image in its registry, by image and name, the frontend included; "" in a dry run.

    Refused if one lacks a platform. With `strict` there is a warning for each tag without a digest.
    """
    images = tuple(images)
    bases = {image.name: tuple(_external(image)) for image in images}
    every = [base for found in bases.values() for base in found]
    if strict:
        for base in check.without_digest(every):
            context.console.warn(f"{base.where}: {base.text} has no digest: the next build may use another image")
    frontends = {image.sources.frontend for image in images} - {""}
    digests: dict[str, str] = {}
    if (every or frontends) and not context.run.dry:
        with closing(client_for(context)) as client:
            found = (*check.check(client, every), *check.current(client, frontends))
        digests = {base.reference: base.digest for base in found}
    return {
        image.name: {
            **{one.name: digests.get(one.reference, "") for base in bases[image.name] for one in base.images.values()},
            **({image.sources.frontend: digests.get(image.sources.frontend, "")} if image.sources.frontend else {}),
        }
        for image in images
    }


def _external(image: DockerfileImage) -> Iterator[Base]:
    """The base images that are no components of the project."""
    for base in image.sources.bases:
        images = {platform: one for platform, one in base.images.items() if one.name not in image.own}
        if images:
            yield replace(base, images=images)


def external(context: Context, name: str) -> list[str]:
    """The images from elsewhere that an image needs on any platform of the project, the frontend included."""
    targets = dockerfile_image.targets_of(
        context, name, select(("all",), context.config.arches, context.host.machine), named=False
    )
    _, _, sources = dockerfile_image.read(context, name, targets)
    own = dockerfile_image.references(context, sources, name, dockerfile_image.components_of(context))
    names = [image.name for base in sources.bases for image in base.images.values() if image.name not in own]
    return list(dict.fromkeys((*names, *((sources.frontend,) if sources.frontend else ()))))


# --- newer digests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseState:
    """A base image of a component: the digest that it was built with, and the one under that name now."""

    component: str
    base: str
    recorded: str
    current: str

    @property
    def is_newer(self) -> bool:
        """Whether the image would be another one if it was built again."""
        return self.recorded != self.current


def check_bases(context: Context, images: Iterable[str], tag: str = "") -> list[BaseState]:
    """The base images of all components that are selected, as their images in the registry record them.

    `images` are those of the settings; `tag` is as for `smoke`. NetworkError or BuildError if a registry does not answer.
    """
    prefix = spec.registry(context)
    tags = {component.name: tag or component.tag for component in context.selection.components}
    tags |= dict.fromkeys(images, tag or dockerfile_image.TAG)
    with closing(client_for(context)) as client:
        recorded = {name: _recorded(client, f"{prefix}/{name.lower()}:{version}") for name, version in tags.items()}
        names = dict.fromkeys(base for bases in recorded.values() for base in bases)
        complete = {base: str(parse(base)) for base in names}
        now = {found.reference: found.digest for found in check.current(client, complete.values())}
    return [
        BaseState(component=name, base=base, recorded=digest, current=now[complete[base]])
        for name, bases in recorded.items() for base, digest in bases.items()
    ]  # fmt: skip


def _recorded(client: Client, name: str) -> dict[str, str]:
    """The base images that an index records, and their digests."""
    reference = parse(name)
    repository = repository_of(client, reference)
    return manifests.index_of(repository.manifest(reference.version).decode("utf-8", "replace")).bases
