"""One image as requested, and the result of building it; what all images of a command have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from buildlib.assembly.recipe import Recipe
from buildlib.builder.step_times import StepTime
from buildlib.core.errors import BuildError, UsageError
from buildlib.core.plan import Status
from buildlib.core.targets import Target
from buildlib.process.context import Context
from buildlib.registry.reference import TAG, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """One component's image and where it is, or the error."""

    component: str
    status: Status
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    where: str = ""  # the layout's directory, the repository, or the name in the daemon
    digest: str = ""
    error: BuildError | None = None
    steps: tuple[StepTime, ...] = ()  # of a Dockerfile of the project
    signed: tuple[str, ...] = ()  # what signatures and attestations it has: "signature", "sbom", …
    layers: Mapping[str, tuple[tuple[str, int], ...]] = field(
        default_factory=dict
    )  # platform -> digests and stored bytes
    not_started: tuple[str, ...] = ()  # platforms whose program was not started in its image, each with the reason
    images: Mapping[str, str] = field(default_factory=dict)  # platform -> digest, as far as they are known
    part: PushedPart | None = None  # of an image whose other platforms other machines make


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedPart:
    """Some platforms of an image, which were pushed by digest: `digests` are those of an index, or of images without one."""

    digests: tuple[str, ...]
    recipe: Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """One component's image as requested. `name` is the component's."""

    name: str
    targets: tuple[Target, ...]
    tags: tuple[str, ...]
    own: Mapping[str, str] = field(
        default_factory=dict
    )  # references to other components that it is based on -> their names
    published: bool = True  # False if it is only the base of another one

    @property
    def platforms(self) -> tuple[str, ...]:
        """The OCI platforms: linux/arm/v7."""
        return tuple(target.oci for target in self.targets)


def check_options(targets: Iterable[Target], tags: Iterable[str]) -> None:
    """UsageError for two targets with the same platform, or a tag that no registry accepts."""
    seen: dict[str, Target] = {}
    for target in targets:
        if target.oci in seen:
            raise UsageError(f"{target.name} and {seen[target.oci].name} are both {target.oci}", "leave one out")
        seen[target.oci] = target
    for tag in tags:
        if not TAG.fullmatch(tag):
            help_text = "letters, digits, _ . and -, at most 128, not beginning with . or -"
            raise UsageError(f"{tag!r} is not a tag", help_text)


def one_per_platform(targets: Iterable[Target]) -> tuple[Target, ...]:
    """One of the configured targets for each platform, glibc before musl."""
    chosen: dict[str, Target] = {}
    for target in sorted(targets, key=lambda target: target.is_musl):  # keeps the order otherwise
        chosen.setdefault(target.oci, target)
    return tuple(chosen.values())


def registry(context: Context) -> str:
    """HOST/PATH, which precedes the components' names. UsageError if it is not set, or not the name of a registry."""
    prefix = context.config.registry
    if not prefix:
        raise UsageError("no registry to push to", "use --registry HOST/PATH, or set `registry`")
    if not _is_registry(prefix):
        lower = prefix.lower()
        help_text = f"did you mean {lower!r}?" if _is_registry(lower) else "write it as ghcr.io/acme"
        raise UsageError(f"registry: {prefix!r} is not the name of a registry", help_text)
    return prefix


def _is_registry(prefix: str) -> bool:
    try:
        parse(f"{prefix}/component")
    except UsageError:
        return False
    return "://" not in prefix and prefix == prefix.lower()  # also hosts are written in lower case
