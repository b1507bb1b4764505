"""The Dockerfile of a workspace, made from its settings; and the one that looks into an image. Pure.

One file serves two ways: with dist/ as the build context `binaries` nothing is compiled in it; without, the stage `compile`
cross-compiles on the platform that builds. No architecture is written out in it: dist/ has a folder for each, named as
TARGETARCH and TARGETVARIANT together are, and a folder that is missing is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from buildlib.core.targets import Target
from buildlib.process.history import FAILURE_LOG
from buildlib.images.oci import USER, Runtime, platform_of

NAME = "Dockerfile.multiarch"
# Where a static binary needs nothing, one that is linked against glibc needs a distribution that has it.
DEFAULT_BASE = "debian:trixie-slim"
STAGES = ("buildlib", "compile", "binaries", "base", "empty", "base-musl")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One component's stage: how it runs, what it stands on ("" is the default, nothing for a static binary), and what it says."""

    runtime: Runtime
    base: str = ""
    says: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # arch, or "all" -> what its log has at the start


def libc_suffix(target: Target) -> str:
    """The build argument LIBC: what stands behind TARGETARCH and TARGETVARIANT in the name of the target's folder in dist/."""
    return "-musl" if target.is_musl else ""


def platform_key(target: Target) -> str:
    """TARGETARCH and TARGETVARIANT together: amd64, armv7."""
    platform = platform_of(target.oci)
    return f"{platform['architecture']}{platform.get('variant', '')}"


def render(parts: Mapping[str, Stage], compiler: str, requirements: Iterable[str]) -> str:
    """The whole file. `parts` maps a component's name to its stage; `compiler` is the image to compile in, `requirements` are
    the Python packages that buildlib itself needs there."""
    text = "\n".join(
        (
            HEAD.replace("FIRST", next(iter(parts), "COMPONENT")).replace("IMAGE", compiler),
            COMPILE.replace("REQUIREMENTS", _packages(requirements)),
            BASES,
            *(runtime(name, part) for name, part in parts.items()),
        )
    )
    return f"{_first_line(text)}\n{text}"


def is_generated(text: str) -> bool:
    """Whether nobody has changed what `render` made, now or long ago."""
    first, _, rest = text.partition("\n")
    return first == _first_line(rest)


def _first_line(rest: str) -> str:
    return f"{MADE}{hashlib.sha256(rest.encode()).hexdigest()}"


def runtime(name: str, part: Stage) -> str:
    """The stage of one component, and all that its image is."""
    return "".join(f"{line}\n" for line in _stage(name, part))


# The first line says what the rest was, so that a file that somebody changed is told from one that is out of date.
MADE = "# Made by `buildlib dockerfile --write` from the settings in Cargo.toml; sha256 of the rest: "

HEAD = f"""\
#
# Change what you like: `buildlib image` then uses it as it stands here. As long as nobody does, it follows the settings.
# By hand, with what `buildlib build` made, or compiled on the way:
#   docker buildx build --file {NAME} --target FIRST --build-context binaries=dist .
#   docker buildx build --file {NAME} --target FIRST --platform linux/amd64,linux/arm64 .

# "-musl" for static binaries.
ARG LIBC=
# What compiles. BuildKit asks for it even where the stage is not used (seen with 0.25); `scratch` needs no asking.
ARG COMPILER=IMAGE

# buildlib, for the stage `compile`. `buildlib image` hands in the one that runs; any other comes by --build-context buildlib=.
FROM scratch AS buildlib
COPY buildlib /
"""

COMPILE = rf"""# Runs on the platform that builds, never under emulation. Certificates and pip's configuration are those of the machine
# that starts the build, where it hands them in: behind a company's proxy nothing else will do.
FROM --platform=$BUILDPLATFORM $COMPILER AS compile
ENV PIP_CERT={CERTIFICATES} CARGO_HOME=/usr/local/cargo
RUN python3 -c "import ensurepip" || {{ apt-get update && apt-get install --yes --no-install-recommends python3-venv; }}
RUN --mount=type=secret,id=certificates,target={CERTIFICATES} --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=cache,id=buildlib-cache,target=/root/.cache \
    python3 -m venv /opt/buildlib && /opt/buildlib/bin/pip install REQUIREMENTS
COPY --from=buildlib *.py *.toml /opt/buildlib/lib/buildlib/
ENV PATH=/opt/buildlib/bin:$PATH PYTHONPATH=/opt/buildlib/lib
WORKDIR /workspace
COPY . .
ARG TARGETARCH
ARG TARGETVARIANT
ARG LIBC
# Settings, and the commit, for the repository is not here. WORKSPACE tells one folder from another: cargo goes by the times of
# files, and would take one clone's target folder for another's. Without it nothing is kept.
ARG WORKSPACE
ARG COMPONENT
ARG BUILDLIB_PROFILE
ARG BUILDLIB_GLIBC
ARG BUILDLIB_FEATURES
ARG SOURCE_COMMIT
RUN --mount=type=secret,id=certificates,target={CERTIFICATES} \
    --mount=type=cache,id=buildlib-cache,target=/root/.cache \
    --mount=type=cache,id=buildlib-crates,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=buildlib-target-$WORKSPACE-$TARGETARCH$TARGETVARIANT$LIBC,target=/target,sharing=locked \
    python3 -P -m buildlib build --arch "$TARGETARCH$TARGETVARIANT$LIBC" --component "$COMPONENT" \
    --target-dir "${{WORKSPACE:+/target}}" --dist /dist

FROM scratch AS binaries
COPY --from=compile /dist /
"""

BASES = f"""# What a component stands on: a distribution with glibc, or nothing but a user and a /tmp.
FROM {DEFAULT_BASE} AS base
FROM scratch AS empty
FROM scratch AS base-musl
COPY --from=empty --chmod=1777 / /tmp/
COPY <<passwd /etc/passwd
root:x:0:0::/root:/sbin/nologin
nonroot:x:{USER}:{USER}::/:/sbin/nologin
passwd
"""


def _packages(requirements: Iterable[str]) -> str:
    return " ".join(f"'{requirement}'" for requirement in requirements)


def _stage(name: str, part: Stage) -> Iterator[str]:
    how = part.runtime
    (program,) = how.entrypoint
    yield f"FROM {part.base or 'base${LIBC}'} AS {name}"
    yield from ("ARG TARGETARCH", "ARG TARGETVARIANT", "ARG LIBC")
    yield f"COPY --from=binaries --chmod=0755 ${{TARGETARCH}}${{TARGETVARIANT}}${{LIBC}}/{name} {program}"
    for volume in how.volumes:
        yield f"COPY --from=empty --chown={USER}:{USER} / {volume}/"
    for key, value in sorted(how.env.items()):
        yield f"ENV {key}={_quoted(value)}"
    yield from (f"EXPOSE {port}" for port in how.ports)
    yield from (f"VOLUME {json.dumps([volume])}" for volume in how.volumes)
    yield f"USER {USER}:{USER}"
    if how.health:
        yield f"HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD {json.dumps(list(how.health))}"
    yield f"ENTRYPOINT {json.dumps([program])}"


def _quoted(value: str) -> str:
    """In double quotes, with what means something in them taken literally."""
    return '"' + "".join(f"\\{char}" if char in '"\\$' else char for char in value) + '"'


def ignored(folders: Iterable[str]) -> str:
    """The file beside it that keeps out of the build's context what a compile does not read. `folders` are more of those."""
    return "".join(f"{name}\n" for name in ("**/.git", "**/.venv", "**/target", f"**/{FAILURE_LOG}*", *folders))


# The stages of `check`.
PROGRAM_STAGE, START_STAGE = "taken", "started"


def check_dockerfile(images: Mapping[str, str], program: str) -> str:
    """The Dockerfile that looks into an image, whose manifests `images` has by the name of their platform (`stage`): one stage
    hands its program out as /program, one starts it there, without a network."""
    return (
        "".join(f"FROM {reference} AS image-{name}\n" for name, reference in images.items())
        + "FROM image-${TARGETARCH}${TARGETVARIANT} AS image\n"
        f"FROM scratch AS {PROGRAM_STAGE}\n"
        f"COPY --from=image {program} /program\n"
        f"FROM image AS {START_STAGE}\n"
        f'RUN --network=none ["{program}", "--version"]\n'
    )
