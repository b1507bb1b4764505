"""The Dockerfile of a workspace, rendered from its settings, and the Dockerfile that checks an image. Pure.

The workspace's Dockerfile works in two ways: with dist/ as the build context `binaries` it compiles nothing; without it the stage
`compile` cross-compiles on the build platform. It names no architecture: dist/ has a directory per architecture, whose name is
TARGETARCH and TARGETVARIANT together, and a missing directory is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from buildlib.assembly.oci import USER, Runtime, platform_of
from buildlib.core.sysroot import LIBRARIES
from buildlib.core.targets import Target
from buildlib.process.history import FAILURE_LOG

NAME = "Dockerfile.multiarch"
# A static binary needs no base image; a binary that is linked against glibc needs a distribution with glibc.
DEFAULT_BASE = "debian:trixie-slim"
STAGES = ("buildlib", "compile", "binaries", "base", "empty", "base-musl")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One component's stage of the Dockerfile."""

    runtime: Runtime
    base: str = ""  # base image; "" is DEFAULT_BASE, and none for a static binary
    says: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict
    )  # arch, or "all" -> texts in its log after the start
    files: Mapping[str, str] = field(default_factory=dict)  # of the workspace -> in the image
    labels: Mapping[str, str] = field(default_factory=dict)  # of the settings
    system_libraries: bool = False  # whether the program may load some


def libc_suffix(target: Target) -> str:
    """The build argument LIBC: what follows TARGETARCH and TARGETVARIANT in the name of the target's directory in dist/."""
    return "-musl" if target.is_musl else ""


def platform_key(target: Target) -> str:
    """TARGETARCH and TARGETVARIANT together: amd64, armv7."""
    platform = platform_of(target.oci)
    return f"{platform['architecture']}{platform.get('variant', '')}"


def render(stages: Mapping[str, Stage], compiler: str, requirements: Iterable[str]) -> str:
    """The whole Dockerfile.

    `stages` maps a component's name to its stage, `compiler` is the image to compile in, and `requirements` are the Python
    packages that buildlib itself needs there.
    """
    text = "\n".join(
        (
            HEAD.replace("FIRST", next(iter(stages), "COMPONENT")).replace("IMAGE", compiler),
            COMPILE.replace("REQUIREMENTS", " ".join(f"'{requirement}'" for requirement in requirements)),
            BASES,
            *(runtime(name, stage) for name, stage in stages.items()),
        )
    )
    return f"{_first_line(text)}\n{text}"


def is_generated(text: str) -> bool:
    """Whether `text` is what some version of `render` returned, without later changes."""
    first, _, rest = text.partition("\n")
    return first == _first_line(rest)


def _first_line(rest: str) -> str:
    return f"{MARKER}{hashlib.sha256(rest.encode()).hexdigest()}"


def runtime(name: str, stage: Stage) -> str:
    """The text of one component's stage, which describes its whole image."""
    return "".join(f"{line}\n" for line in _stage_lines(name, stage))


# The first line has the digest of the rest, which distinguishes a file that was edited from one that is out of date. The text must
# not change: `is_generated` would take the files that older versions wrote for edited ones.
MARKER = "# Made by `buildlib dockerfile --write` from the settings in Cargo.toml; sha256 of the rest: "

HEAD = f"""\
#
# You may edit this file: `buildlib image` then uses it unchanged. Until you do, it follows the settings.
# Without buildlib, with the binaries in dist/ (made by `buildlib build`), or compiling them in a container:
#   docker buildx build --file {NAME} --target FIRST --build-context binaries=dist .
#   docker buildx build --file {NAME} --target FIRST --platform linux/amd64,linux/arm64 .

# "-musl" for static binaries.
ARG LIBC=
# The image to compile in. BuildKit requests its manifest even if the stage is not used (seen with 0.25); `scratch` avoids that.
ARG COMPILER=IMAGE

# buildlib, for the stage `compile`. `buildlib image` passes itself as the build context `buildlib`; another version can be passed
# with --build-context buildlib=DIR.
FROM scratch AS buildlib
COPY buildlib /
"""

COMPILE = rf"""# Runs on the build platform, never under emulation. The certificates and the pip configuration of the machine
# that starts the build are passed as secrets: behind a company's proxy no download works without them.
FROM --platform=$BUILDPLATFORM $COMPILER AS compile
ENV PIP_CERT={CERTIFICATES} CARGO_HOME=/usr/local/cargo
RUN python3 -c "import ensurepip" || {{ apt-get update && apt-get install --yes --no-install-recommends python3-venv; }}
RUN --mount=type=secret,id=certificates,target={CERTIFICATES} --mount=type=secret,id=pip,target=/etc/pip.conf \
    --mount=type=cache,id=buildlib-cache,target=/root/.cache \
    python3 -m venv /opt/buildlib && /opt/buildlib/bin/pip install REQUIREMENTS
COPY --from=buildlib / /opt/buildlib/lib/buildlib/
ENV PATH=/opt/buildlib/bin:$PATH PYTHONPATH=/opt/buildlib/lib BUILDLIB_CACHE_COMPILER=
WORKDIR /workspace
COPY . .
ARG TARGETARCH
ARG TARGETVARIANT
ARG LIBC
# Settings, and the commit, because the context has no .git. WORKSPACE identifies the workspace's directory: cargo compares the
# modification times of files, and would take the target directory of one clone for that of another. Without it nothing is kept.
ARG WORKSPACE
ARG COMPONENT
ARG BUILDLIB_PROFILE
ARG BUILDLIB_GLIBC
ARG BUILDLIB_FEATURES
ARG BUILDLIB_LIBRARIES
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

BASES = f"""# The base of a component: a distribution with glibc, or only a user and /tmp for a static binary.
FROM {DEFAULT_BASE} AS base
FROM scratch AS empty
FROM scratch AS base-musl
COPY --from=empty --chmod=1777 / /tmp/
COPY <<passwd /etc/passwd
root:x:0:0::/root:/sbin/nologin
nonroot:x:{USER}:{USER}::/:/sbin/nologin
passwd
"""


def _stage_lines(name: str, stage: Stage) -> Iterator[str]:
    runtime = stage.runtime
    (program,) = runtime.entrypoint
    yield f"FROM {stage.base or 'base${LIBC}'} AS {name}"
    yield from ("ARG TARGETARCH", "ARG TARGETVARIANT", "ARG LIBC")
    yield f"COPY --from=binaries --chmod=0755 ${{TARGETARCH}}${{TARGETVARIANT}}${{LIBC}}/{name} {program}"
    if stage.system_libraries:
        # The brackets make it a pattern, which may match nothing: a program that loads none has no directory of libraries.
        folder = f"[{name[0]}]{name[1:]}{LIBRARIES}"
        yield f"COPY --from=binaries ${{TARGETARCH}}${{TARGETVARIANT}}${{LIBC}}/{folder}/ /usr/lib/"
    for volume in runtime.volumes:
        yield f"COPY --from=empty --chown={runtime.user} / {volume}/"
    yield from (f"COPY --chown={runtime.user} {source} {to}" for source, to in sorted(stage.files.items()))
    if runtime.workdir:
        yield f"WORKDIR {runtime.workdir}"
    for key, value in sorted(runtime.env.items()):
        yield f"ENV {key}={_quoted(value)}"
    for key, value in sorted(stage.labels.items()):
        yield f"LABEL {key}={_quoted(value)}"
    yield from (f"EXPOSE {port}" for port in runtime.ports)
    yield from (f"VOLUME {json.dumps([volume])}" for volume in runtime.volumes)
    yield f"USER {runtime.user}"
    if runtime.health:
        yield f"HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD {json.dumps(list(runtime.health))}"
    yield f"ENTRYPOINT {json.dumps([program])}"
    if runtime.command:
        yield f"CMD {json.dumps(list(runtime.command))}"


def _quoted(value: str) -> str:
    """The value in double quotes, with everything escaped that has a meaning inside them."""
    return '"' + "".join(f"\\{char}" if char in '"\\$' else char for char in value) + '"'


def ignored(folders: Iterable[str], files: Iterable[str]) -> str:
    """The text of the .dockerignore file.

    It keeps out of the build context what a compilation does not read, and `folders`, but not the `files` of images. These need two
    lines: `!config` alone leaves out config/target, which another line excludes (seen with BuildKit 0.25).
    """
    named = sorted({name.rstrip("/") for name in files})
    patterns = ("**/.git", "**/.venv", "**/target", "**/__pycache__", f"**/{FAILURE_LOG}*", *folders,
                *(f"!{name}{below}" for name in named for below in ("", "/**")))  # fmt: skip
    return "".join(f"{pattern}\n" for pattern in patterns)


# The stages of `check_dockerfile`.
PROGRAM_STAGE, START_STAGE = "taken", "started"


def check_dockerfile(images: Mapping[str, str], program: str) -> str:
    """The Dockerfile that checks an image: one stage exports its program as /program, one starts it, without a network.

    `images` maps the key of a platform (`platform_key`) to the reference of its image.
    """
    return (
        "".join(f"FROM {reference} AS image-{name}\n" for name, reference in images.items())
        + "FROM image-${TARGETARCH}${TARGETVARIANT} AS image\n"
        f"FROM scratch AS {PROGRAM_STAGE}\n"
        f"COPY --from=image {program} /program\n"
        f"FROM image AS {START_STAGE}\n"
        f'RUN --network=none ["{program}", "--version"]\n'
    )
