"""Every setting, declared once with its type, default, flag and description.

`buildlib config`, the help of the commands and docs/settings.md are made from the declarations; `layers` merges and checks values.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

PREFIX = "BUILDLIB_"
_PATH = r"^(?!.*/\.\.)(/[A-Za-z0-9._-]+)+$"


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of settings."""


class Retry(_Table):
    """When a transient failure is retried."""

    attempts: Annotated[int, Meta(ge=1, description="attempts in all; 1 turns retries off")] = 10
    delay: Annotated[
        float, Meta(ge=0, description="seconds before the second attempt at most, then exponential with full jitter")
    ] = 1.0
    max_delay: Annotated[float, Meta(ge=0, description="seconds that one wait takes at most")] = 30.0
    total: Annotated[float, Meta(ge=0, description="seconds that all waits of a command take together at most")] = 600.0


class Test(_Table):
    """How tests run."""

    __test__ = False  # not a test class of pytest's

    runner: Annotated[
        Literal["auto", "cargo", "nextest"],
        Meta(description="what runs the tests; auto is cargo-nextest where it is installed"),
    ] = "auto"
    timeout: Annotated[
        float, Meta(gt=0, description="seconds in which at least one test must finish; ten times that under emulation")
    ] = 120.0


class Ci(_Table):
    """The workflow that `buildlib ci` prints."""

    runner: Annotated[str, Meta(description="the runner of all jobs")] = "ubuntu-24.04"
    runners: Annotated[
        dict[str, str], Meta(description="runners of single arches", examples=[{"arm64": "ubuntu-24.04-arm"}])
    ] = {}


class Lint(_Table):
    """What `buildlib lint` reports."""

    severity: Annotated[
        dict[str, Literal["error", "warning", "info", "off"]],
        Meta(description="severity of single rules, by name or number", examples=[{"emulated-compile": "off"}]),
    ] = {}
    exclude: Annotated[
        tuple[str, ...], Meta(description="files to skip, as glob patterns", examples=[["third_party/*"]])
    ] = ()
    baseline: Annotated[
        str, Meta(description="a file written by `lint --format json`; findings that it lists are not reported")
    ] = ""


class Node(_Table, omit_defaults=True):
    """One more machine of the builder."""

    endpoint: Annotated[str, Meta(min_length=1, description="its Docker daemon", examples=["ssh://user@host"])]
    arches: Annotated[tuple[str, ...], Meta(min_length=1, description="the arches that it builds", examples=[["arm64"]])]


class Builder(_Table):
    """The buildx builder that images are built with."""

    name: Annotated[str, Meta(min_length=1, description="name of the buildx builder")] = "multiarch-builder"
    network: Annotated[str, Meta(description='network of BuildKit\'s container; "default" leaves the option out')] = "host"
    image: Annotated[str, Meta(description="image of BuildKit; empty is buildx's own choice")] = ""
    mirrors: Annotated[
        dict[str, tuple[Annotated[str, Meta(min_length=1)], ...] | Annotated[str, Meta(min_length=1)]],
        Meta(description="hosts that are asked before a registry", examples=[{"docker.io": ["mirror.acme.test"]}]),
    ] = {}
    nodes: Annotated[
        tuple[Node, ...],
        Meta(
            description="more machines, each with the arches that it builds",
            examples=[[{"endpoint": "ssh://user@host", "arches": ["arm64"]}]],
        ),
    ] = ()
    compiler: Annotated[str, Meta(description="the image that --in-docker compiles in")] = "rust:1-trixie"
    cache: Annotated[
        str,
        Meta(
            description='cache of --in-docker outside the builder, one per arch: "registry" or a directory',
            extra={"flag": "image --cache"},
        ),
    ] = ""

    def hosts(self) -> dict[str, tuple[str, ...]]:
        """The mirrors of each registry."""
        return {name: (hosts,) if isinstance(hosts, str) else hosts for name, hosts in self.mirrors.items()}


class Component(_Table, omit_defaults=True):
    """How the image of one binary runs; only needed to say more than the default."""

    base: Annotated[str, Meta(description="base image; empty is debian:trixie-slim, and none for static binaries")] = ""
    program: Annotated[
        str, Meta(pattern=_PATH + "|^$", description="path of the program in the image; empty is /usr/bin/<component>")
    ] = ""
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...], Meta(description="TCP ports", examples=[[1883]])
    ] = ()
    health: Annotated[str, Meta(description="command line of the health check", examples=["mqtt-server --health"])] = ""
    env: Annotated[
        dict[str, Annotated[str, Meta(pattern=r"\A[^\n]*\Z")] | int | float | bool],
        Meta(description="environment variables", examples=[{"LISTEN": "0.0.0.0:1883"}]),
    ] = {}
    volumes: Annotated[
        tuple[Annotated[str, Meta(pattern=_PATH)], ...],
        Meta(description="directories that it may write to", examples=[["/var/lib/app"]]),
    ] = ()
    says: Annotated[
        dict[str, tuple[Annotated[str, Meta(min_length=1)], ...]],
        Meta(
            description="texts that its log must contain after the start, by arch or `all`; {arch} is Rust's name of it",
            examples=[{"all": ["listening"], "arm64": ["path=neon"]}],
        ),
    ] = {}


class Settings(_Table):
    """All settings."""

    arches: Annotated[
        tuple[str, ...], Meta(description="the configured arches, which `all` means", extra={"flag": "--arch"})
    ] = ("amd64", "arm64", "armv7", "riscv64")
    backend: Annotated[
        Literal["auto", "zig", "gcc", "cross"],
        Meta(description="what compiles and links", extra={"flag": "build --backend"}),
    ] = "auto"
    glibc: Annotated[
        str,
        Meta(
            pattern=r"^(2\.\d+)?$",
            description="the oldest glibc that binaries may require; empty is 2.31 for zig (ppc64le 2.32, loong64 2.36), the"
            " libc they link against for gcc and cross",
            examples=["2.31"],
            extra={"flag": "build --glibc"},
        ),
    ] = ""
    profile: Annotated[
        str, Meta(min_length=1, description="cargo profile", extra={"flag": "build --profile"})
    ] = "release"
    features: Annotated[tuple[str, ...], Meta(description="cargo features", extra={"flag": "build --features"})] = ()
    target_dir: Annotated[
        str, Meta(description="where to compile; empty is cargo's own", extra={"flag": "build --target-dir"})
    ] = ""
    dist: Annotated[
        str,
        Meta(min_length=1, description="where binaries go, beside Cargo.toml unless absolute", extra={"flag": "build --dist"}),
    ] = "dist"
    registry: Annotated[
        str,
        Meta(
            description="HOST/PATH before the components' names", examples=["ghcr.io/acme"], extra={"flag": "image --registry"}
        ),
    ] = ""
    retry: Retry = Retry()
    test: Test = Test()
    ci: Ci = Ci()
    lint: Lint = Lint()
    builder: Builder = Builder()
    components: Annotated[
        dict[str, Component], Meta(description="one table per binary, only to say more than the default")
    ] = {}


class Config(Settings):
    """Every setting, resolved. `origins` maps a dotted key to the name of the layer that set it."""

    origins: dict[str, str] = {}


# --- the declarations as data ------------------------------------------------------------------------------------------------


class Setting(Struct, frozen=True, kw_only=True):
    """One declaration. `key` is dotted; `default` is JSON data."""

    key: str
    type: Any
    default: Any
    description: str
    example: Any = None
    flag: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{PREFIX}{self.key.replace('.', '_').upper()}"


@cache
def declared(table: type[Struct] = Settings, prefix: str = "") -> Mapping[str, Setting]:
    """The settings of a table and the tables in it, by dotted key, in the order of their declaration."""
    settings: dict[str, Setting] = {}
    hints = get_type_hints(table, include_extras=True)
    for field in msgspec.structs.fields(table):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if isinstance(hint, type) and issubclass(hint, Struct):
            settings |= declared(hint, f"{key}.")
            continue
        meta = meta_of(hint)
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        settings[key] = Setting(
            key=key, type=hint, default=msgspec.to_builtins(default), description=meta.description or "",
            example=(meta.examples or [None])[0], flag=(meta.extra or {}).get("flag", ""),
        )  # fmt: skip
    return settings


def meta_of(hint: Any) -> Meta:
    """What is declared about a type: its description, limits and examples."""
    return next((one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Meta)), Meta())


def help_text(key: str) -> str:
    """The help of the flag that sets `key`: description, default and environment variable."""
    setting = declared()[key]
    default = f"; default: {setting.default}" if isinstance(setting.default, str) and setting.default else ""
    return f"{setting.description}{default} [{setting.variable}]"


def flat(config: Config) -> dict[str, Any]:
    """Every setting as JSON data, by dotted key."""
    data = msgspec.to_builtins(config)
    return {key: _at(data, key) for key in declared()}


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data
