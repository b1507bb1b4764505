"""The settings of one component's image: the table `[components.NAME]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

# `..` would leave the directory that is checked; other characters would need quoting in a Dockerfile.
_PATH = r"(?!.*/\.\.)(/[A-Za-z0-9._-]+)+"
_PATH_WORDS = "an absolute path of letters, digits, `.`, `_` and `-`, without `..`"
_Path = Annotated[str, Meta(pattern=rf"\A{_PATH}\Z", extra={"expected": _PATH_WORDS})]
_Port = Annotated[int, Meta(ge=1, le=65535)]
_Line = Annotated[str, Meta(pattern=r"\A[^\n]*\Z")]


class Component(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the image of one binary runs; only needed where it differs from the defaults."""

    base: Annotated[str, Meta(description="base image; empty is debian:trixie-slim, and none for static binaries")] = ""
    program: Annotated[
        str,
        Meta(
            pattern=rf"\A({_PATH})?\Z",
            description="path of the program in the image; empty is /usr/bin/<component>",
            extra={"expected": _PATH_WORDS},
        ),
    ] = ""
    ports: Annotated[tuple[_Port, ...], Meta(description="TCP ports", examples=[[1883]])] = ()
    health: Annotated[str, Meta(description="command line of the health check", examples=["mqtt-server --health"])] = ""
    env: Annotated[
        dict[
            str,
            Annotated[
                _Line | int | float | bool, Meta(extra={"expected": "a line of text, a number or true or false"})
            ],
        ],
        Meta(description="environment variables", examples=[{"LISTEN": "0.0.0.0:1883"}]),
    ] = {}
    volumes: Annotated[
        tuple[_Path, ...],
        Meta(description="directories that the program may write to", examples=[["/var/lib/app"]]),
    ] = ()
    says: Annotated[
        dict[str, tuple[Annotated[str, Meta(min_length=1)], ...]],
        Meta(
            description="texts that its log must contain after the start, by arch or `all`; {arch} is Rust's name of the arch",
            examples=[{"all": ["listening"], "arm64": ["path=neon"]}],
        ),
    ] = {}
