"""The settings of one component's image: the table `[components.NAME]`."""

from typing import Annotated

from msgspec import Meta, Struct

# `..` would leave the directory that is checked; other characters would need quoting in a Dockerfile, and `--` begins a flag there.
_PATH = r"(?!.*/\.{1,2}(/|\Z))(/[A-Za-z0-9._-]+)+"
_PATH_WORDS = "an absolute path of letters, digits, `.`, `_` and `-`, without `..`"
_Path = Annotated[str, Meta(pattern=rf"\A{_PATH}\Z", extra={"expected": _PATH_WORDS})]
_Destination = Annotated[
    str, Meta(pattern=rf"\A(/|{_PATH}/?)\Z", extra={"expected": f"{_PATH_WORDS}; a directory with `/` at the end"})
]
_Source = Annotated[
    str,
    Meta(
        pattern=r"\A(?!-)(?!(.*/)?\.{1,2}(/|\Z))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*/?\Z",
        extra={"expected": "a path in the workspace of letters, digits, `.`, `_` and `-`, without `..`"},
    ),
]
# The largest that Docker takes is 2147483647.
_ID = r"(0|[1-9][0-9]{0,8}|1[0-9]{9}|20[0-9]{8})"
_Label = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9._/-]+\Z", extra={"expected": "letters, digits, `.`, `_`, `/` and `-`"})
]
_Variable = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z_][A-Za-z0-9_.-]*\Z",
        extra={"expected": "letters, digits, `_`, `.` and `-`, and no digit first"},
    ),
]
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
            _Variable,
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
    files: Annotated[
        dict[_Source, _Destination],
        Meta(
            description="files and directories of the workspace, and where they are in the image; they belong to the user",
            examples=[{"config/": "/etc/app/"}],
        ),
    ] = {}
    command: Annotated[
        tuple[str, ...],
        Meta(description="arguments of the program", examples=[["--config", "/etc/app/server.toml"]]),
    ] = ()
    user: Annotated[
        str,
        Meta(
            pattern=rf"\A({_ID}(:{_ID})?)?\Z",
            description="user ID, or user and group ID, that the program runs with; empty is 65532:65532",
            examples=["10001:10001"],
            extra={"expected": "UID or UID:GID, as numbers"},
        ),
    ] = ""
    workdir: Annotated[
        str,
        Meta(
            pattern=rf"\A({_PATH})?\Z",
            description="directory that the program starts in; empty is that of the base image, and / without one",
            examples=["/var/lib/app"],
            extra={"expected": _PATH_WORDS},
        ),
    ] = ""
    labels: Annotated[
        dict[_Label, _Line],
        Meta(
            description="labels, which take precedence over those from Cargo.toml and the commit",
            examples=[{"org.opencontainers.image.vendor": "Acme"}],
        ),
    ] = {}
    says: Annotated[
        dict[str, tuple[Annotated[str, Meta(min_length=1)], ...]],
        Meta(
            description="texts that its log must contain after the start, by arch or `all`; {arch} is Rust's name of the arch",
            examples=[{"all": ["listening"], "arm64": ["path=neon"]}],
        ),
    ] = {}
