"""The settings of one image that a Dockerfile of the project describes: the table `[images.NAME]`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from buildlib.core.errors import UsageError

_Argument = Annotated[
    str, Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\Z", extra={"expected": "letters, digits and `_`, and no digit first"})
]
_Port = Annotated[int, Meta(ge=1, le=65535)]


class Image(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"build_args": "build-args"},
):
    """An image that is built from a Dockerfile, beside those of the binaries."""

    dockerfile: Annotated[
        str,
        Meta(
            min_length=1,
            description="the Dockerfile, relative to the project or to `context`",
            examples=["deploy/redis/Dockerfile"],
        ),
    ]
    context: Annotated[
        str,
        Meta(
            min_length=1,
            description="the directory that COPY reads, relative to the project",
            examples=["deploy/redis"],
        ),
    ]
    target: Annotated[str, Meta(description="the stage to build; empty is the last one", examples=["runtime"])] = ""
    build_args: Annotated[
        dict[
            _Argument,
            Annotated[str | int | float | bool, Meta(extra={"expected": "a text, a number or true or false"})],
        ],
        Meta(description="values of ARG", examples=[{"VERSION": "7.2"}]),
    ] = {}
    platforms: Annotated[
        tuple[str, ...], Meta(description="its arches; empty is those of the project", examples=[["amd64", "arm64"]])
    ] = ()
    ports: Annotated[tuple[_Port, ...], Meta(description="TCP ports that it answers on", examples=[[6379]])] = ()
    health: Annotated[
        str,
        Meta(
            description="command line of the health check; empty is HEALTHCHECK of the Dockerfile",
            examples=["redis-cli ping"],
        ),
    ] = ""
    env: Annotated[
        dict[_Argument, str],
        Meta(
            description="environment variables of the container that `smoke` and `image` start; the image does not have them",
            examples=[{"POSTGRES_PASSWORD": "only for the test"}],
        ),
    ] = {}
    says: Annotated[
        dict[str, tuple[Annotated[str, Meta(min_length=1)], ...]],
        Meta(
            description="texts that its log must contain after the start, by arch or `all`",
            examples=[{"all": ["Ready to accept connections"]}],
        ),
    ] = {}
    secrets: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="secrets for RUN --mount=type=secret: the name of a variable, or as for docker buildx build --secret",
            examples=[["NPM_TOKEN", "id=npmrc,src=.npmrc"]],
        ),
    ] = ()
    ssh: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="agents or keys for RUN --mount=type=ssh, as for docker buildx build --ssh",
            examples=[["default"]],
        ),
    ] = ()
    network: Annotated[
        Literal["default", "host", "none"], Meta(description="network of RUN; host is that of the builder")
    ] = "default"
    foreign: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="files that may be for other architectures, as glob patterns",
            examples=[["/usr/lib/firmware/**"]],
        ),
    ] = ()


def secret(text: str) -> tuple[str, str, str]:
    """The ID of a secret, and the variable or the file that has it: one of the last two is "".

    As docker buildx build reads them: `id=ID,env=VARIABLE` or `id=ID,src=FILE`; a word alone is the name of a variable, and its ID.
    UsageError for anything else.
    """
    import csv  # late: most workspaces have no secrets

    fields = dict(part.partition("=")[::2] for part in next(csv.reader([text]), [])) if "=" in text else {"id": text}
    identity, variable, file = (
        fields.get("id", ""),
        fields.get("env", ""),
        fields.get("src") or fields.get("source", ""),
    )
    unknown = set(fields) - {"id", "env", "src", "source", "type"}
    if unknown or not (identity or variable or file) or (variable and file):
        raise UsageError(f"{text!r} is not a secret", "write VARIABLE, id=ID,env=VARIABLE or id=ID,src=FILE")
    identity = identity or variable or file.rpartition("/")[2]
    return identity, variable or ("" if file else identity), file


def secret_variable(text: str) -> str:
    """The name of the variable that a secret is in, "" if it is in a file."""
    return secret(text)[1]
