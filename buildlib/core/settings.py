"""Every setting, declared once with its type, default, flag and description.

`buildlib config`, the help of the commands and docs/settings.md are generated from the declarations; `layers` merges the values, and
`values` checks them. In `Meta.extra`, "flag" is the command-line flag of a setting, and "expected" describes the values that a
pattern allows, for messages.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from buildlib.core.builder_settings import Builder
from buildlib.core.cache_settings import Cache
from buildlib.core.ci_settings import Ci
from buildlib.core.component_settings import Component
from buildlib.core.image_settings import Image
from buildlib.core.signing_settings import Signing

PREFIX = "BUILDLIB_"
_PACKAGE = r"\A[a-z0-9][a-z0-9+.-]*[a-z0-9+.](=[A-Za-z0-9.+:~-]+)?\Z"  # deb-control(5), with a version; apt-get removes `name-`
# A part of a repository's name, by the distribution specification.
_ImageName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*\Z",
        extra={"expected": "lower-case letters and digits, with single `.`, `_` and `-` between them"},
    ),
]


class Retry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When transient failures are retried."""

    attempts: Annotated[int, Meta(ge=1, description="attempts in all; 1 turns retries off")] = 10
    delay: Annotated[
        float, Meta(ge=0, description="longest first wait, in seconds; it doubles each time, with full jitter")
    ] = 1.0
    max_delay: Annotated[float, Meta(ge=0, description="seconds of one wait, at most")] = 30.0
    total: Annotated[float, Meta(ge=0, description="seconds of all waits of a command together, at most")] = 600.0


class Test(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tests run."""

    __test__ = False  # pytest collects classes whose name begins with Test

    runner: Annotated[
        Literal["auto", "cargo", "nextest"],
        Meta(description="test runner; auto is cargo-nextest if it is installed, else cargo"),
    ] = "auto"
    timeout: Annotated[
        float, Meta(gt=0, description="seconds in which at least one test must finish; ten times that under emulation")
    ] = 120.0


class Lint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Findings that `buildlib lint` reports."""

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


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings."""

    arches: Annotated[
        tuple[str, ...], Meta(description="arches of the project, which `--arch all` selects", extra={"flag": "--arch"})
    ] = ("amd64", "arm64", "armv7", "riscv64")
    backend: Annotated[
        Literal["auto", "zig", "gcc", "cross"],
        Meta(description="toolchain that compiles and links", extra={"flag": "build --backend"}),
    ] = "auto"
    glibc: Annotated[
        str,
        Meta(
            pattern=r"\A(2\.[0-9]+)?\Z",
            description="oldest glibc that users have, so binaries must not require a newer one; empty is 2.31 for zig"
            " (ppc64le 2.32, loong64 2.36), that of its toolchain for gcc, and unchecked for cross",
            examples=["2.31"],
            extra={"flag": "build --glibc", "expected": "a glibc version"},
        ),
    ] = ""
    cpu: Annotated[
        dict[str, Annotated[str, Meta(min_length=1)]],
        Meta(
            description="oldest CPU on which programs must start, by arch and with QEMU's name, where it is newer than the"
            " arch's baseline (max is any)",
            examples=[{"amd64": "Nehalem"}],
        ),
    ] = {}
    trim_paths: Annotated[
        bool,
        Meta(
            description="whether fixed names replace the paths of this machine in binaries, for the same bytes everywhere;"
            " with false a debugger finds the sources by itself"
        ),
    ] = True
    sbom: Annotated[
        bool,
        Meta(description="whether an SBOM is written beside each file of dist/: what is linked into it, as CycloneDX"),
    ] = True
    embed_sbom: Annotated[
        bool,
        Meta(
            description="whether the list of linked crates is also embedded in each program and shared library of dist/, where"
            " `cargo audit bin`, trivy and syft find it (section .dep-v0, cargo-auditable's format)"
        ),
    ] = False
    provenance: Annotated[
        bool,
        Meta(
            description="whether a provenance is written beside each file of dist/: what it was made of and how, as an in-toto"
            " statement"
        ),
    ] = False
    page_size: Annotated[
        int,
        Meta(
            ge=4096,
            le=65536,
            description="largest memory pages, in bytes, of arm64 kernels on which programs must start",
        ),
    ] = 65536
    profile: Annotated[str, Meta(min_length=1, description="cargo profile", extra={"flag": "build --profile"})] = (
        "release"
    )
    features: Annotated[tuple[str, ...], Meta(description="cargo features", extra={"flag": "build --features"})] = ()
    libraries: Annotated[
        tuple[Annotated[str, Meta(pattern=_PACKAGE, extra={"expected": "the name of a Debian package"})], ...],
        Meta(
            description="Debian packages of system libraries for the targets, downloaded without root",
            examples=[["libssl-dev"]],
            extra={"flag": "--library"},
        ),
    ] = ()
    suite: Annotated[
        str,
        Meta(
            pattern=r"\A[a-z]*\Z",
            description="suite of Debian that the libraries are from; empty is that of the components' base images",
            examples=["trixie"],
            extra={"expected": "the name of a suite of Debian"},
        ),
    ] = ""
    mirror: Annotated[
        str,
        Meta(
            pattern=r"\A((https?|file):/[^\s\[\]]+)?\Z",
            description="mirror of Debian for the libraries; empty is the one of this machine's apt, or Debian's own",
            examples=["https://mirror.acme.test/debian"],
            extra={"expected": "an http, https or file address"},
        ),
    ] = ""
    target_dir: Annotated[
        str,
        Meta(description="cargo's target directory; empty is cargo's default", extra={"flag": "build --target-dir"}),
    ] = ""
    dist: Annotated[
        str,
        Meta(
            min_length=1,
            description="directory of verified binaries, relative to Cargo.toml",
            extra={"flag": "build --dist"},
        ),
    ] = "dist"
    engine: Annotated[
        Literal["auto", "docker", "none"],
        Meta(
            description="what makes images: docker, or none, which is buildlib itself; auto is docker if a daemon and buildx"
            " answer, else none where that is possible",
            extra={"flag": "image --engine"},
        ),
    ] = "auto"
    registry: Annotated[
        str,
        Meta(
            description="HOST/PATH in front of the components' names",
            examples=["ghcr.io/acme"],
            extra={"flag": "image --registry"},
        ),
    ] = ""
    retry: Retry = Retry()
    test: Test = Test()
    ci: Ci = Ci()
    lint: Lint = Lint()
    builder: Builder = Builder()
    cache: Cache = Cache()
    signing: Signing = Signing()
    components: Annotated[
        dict[str, Component], Meta(description="one table per binary, only needed where it differs from the defaults")
    ] = {}
    images: Annotated[
        dict[_ImageName, Image], Meta(description="one table per image that is built from a Dockerfile of the project")
    ] = {}


class Config(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting, resolved. `origins` maps a dotted key to the name of the layer that set it."""

    origins: dict[str, str] = {}

    def secrets(self) -> frozenset[str]:
        """The variables that no program gets but the one that they are for."""
        return self.signing.secrets() | self.cache.secrets()


# --- the declarations as data ------------------------------------------------------------------------------------------------


class Setting(Struct, frozen=True, kw_only=True):
    """One declaration: `key` is dotted, `default` and `example` are JSON data."""

    key: str
    type: Any
    default: Any
    description: str
    example: Any = None
    flag: str = ""

    @property
    def variable(self) -> str:
        """The environment variable of this setting."""
        return f"{PREFIX}{self.key.replace('.', '_').upper()}"


@cache
def declared(table: type[Struct] = Settings, prefix: str = "") -> Mapping[str, Setting]:
    """The settings of a table and the tables in it, by dotted key, in the order of their declaration."""
    settings: dict[str, Setting] = {}
    for field in msgspec.structs.fields(table):
        key, hint = f"{prefix}{field.encode_name}", field.type
        if isinstance(hint, type) and issubclass(hint, Struct):
            settings |= declared(hint, f"{key}.")
            continue
        meta = meta_of(hint)
        default = None if field.required else default_of(field)
        settings[key] = Setting(
            key=key, type=hint, default=_data(default), description=meta.description or "",
            example=(meta.examples or [None])[0], flag=(meta.extra or {}).get("flag", ""),
        )  # fmt: skip
    return settings


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    """The default of a field that is not required."""
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default


def meta_of(hint: Any) -> Meta:
    """The description, limits and examples declared for a type; an empty Meta without any."""
    return next((meta for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, Meta)), Meta())


def help_text(key: str) -> str:
    """The help of the flag that sets `key`: description, default and environment variable."""
    setting = declared()[key]
    default = f"; default: {setting.default}" if isinstance(setting.default, str) and setting.default else ""
    return f"{setting.description}{default} [env: {setting.variable}]"


def flat(config: Config) -> dict[str, Any]:
    """Every setting as JSON data, by dotted key."""
    data = _data(config)
    return {key: _at(data, key) for key in declared()}


def _data(value: Any) -> Any:
    """A value as JSON data: msgspec leaves tuples as they are."""
    value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {name: _data(item) for name, item in value.items()}
    return [_data(item) for item in value] if isinstance(value, tuple | list) else value


def _at(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data[part]
    return data
