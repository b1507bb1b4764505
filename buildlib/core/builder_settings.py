"""The settings of the builder: the table `[builder]`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

_Mirror = Annotated[str, Meta(min_length=1)]


class Node(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One more machine for the builder."""

    endpoint: Annotated[
        str, Meta(min_length=1, description="address of its Docker daemon", examples=["ssh://user@host"])
    ]
    arches: Annotated[tuple[str, ...], Meta(min_length=1, description="arches that it builds", examples=[["arm64"]])]


class Builder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The buildx builder that images are built with."""

    name: Annotated[str, Meta(min_length=1, description="name of the buildx builder")] = "multiarch-builder"
    network: Annotated[str, Meta(description='network of the BuildKit container; "default" leaves the option out')] = (
        "host"
    )
    image: Annotated[str, Meta(description="BuildKit image; empty is the one that buildx chooses")] = ""
    mirrors: Annotated[
        dict[str, Annotated[tuple[_Mirror, ...] | _Mirror, Meta(extra={"expected": "a list of non-empty strings"})]],
        Meta(
            description="mirrors to try before each registry, except for images below `registry`",
            examples=[{"docker.io": ["mirror.acme.test"]}],
        ),
    ] = {}
    nodes: Annotated[
        tuple[Node, ...],
        Meta(
            description="more machines for the builder, each with the arches that it builds",
            examples=[[{"endpoint": "ssh://user@host", "arches": ["arm64"]}]],
        ),
    ] = ()
    compiler: Annotated[str, Meta(description="image that --in-docker compiles in")] = "rust:1-trixie"
    cache: Annotated[
        str,
        Meta(
            description='cache of --in-docker outside the builder, one per arch: "registry" or a directory',
            extra={"flag": "image --cache"},
        ),
    ] = ""
    emulated_compilers: Annotated[
        Literal["warn", "error", "allow"], Meta(description="compilers of a Dockerfile that would run under emulation")
    ] = "warn"
    emulation_limit: Annotated[
        float, Meta(ge=0, description="time limit of emulated compilers, in seconds; 0 is none")
    ] = 0.0

    def hosts(self) -> dict[str, tuple[str, ...]]:
        """The mirrors of each registry."""
        return {name: (hosts,) if isinstance(hosts, str) else hosts for name, hosts in self.mirrors.items()}
