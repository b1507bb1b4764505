"""The Dockerfile of a component, made from its settings, for a workspace that has none of its own.

Nothing runs in it: the binary for each platform is copied from the build context `binaries`, which is dist/. The stage is
chosen by its name, so that a platform without a binary is an error and not another platform's binary. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from buildlib.oci import USER, Runtime, platform_of
from buildlib.targets import Target


def render(program: str, runtime: Runtime, base: str, targets: Iterable[Target]) -> str:
    """The Dockerfile that puts dist/<arch>/<program> on `base`, for these targets."""
    return "".join(f"{line}\n" for line in _lines(program, runtime, base, targets))


def stage(target: Target) -> str:
    """TARGETARCH and TARGETVARIANT together: amd64, armv7."""
    platform = platform_of(target.oci)
    return f"{platform['architecture']}{platform.get('variant', '')}"


def _lines(program: str, runtime: Runtime, base: str, targets: Iterable[Target]) -> Iterator[str]:
    yield "FROM scratch AS binaries"
    for target in targets:
        yield f"FROM scratch AS binary-{stage(target)}"
        yield f"COPY --from=binaries --chmod=0755 {target.name}/{program} /usr/bin/{program}"
    yield "FROM binary-${TARGETARCH}${TARGETVARIANT} AS binary"
    yield "FROM scratch AS empty"
    yield f"FROM {base}"
    yield "COPY --from=binary / /"
    for volume in runtime.volumes:
        yield f"COPY --from=empty --chown={USER}:{USER} / {volume}/"
    for name, value in sorted(runtime.env.items()):
        yield f"ENV {name}={_quoted(value)}"
    yield from (f"EXPOSE {port}" for port in runtime.ports)
    yield from (f"VOLUME {json.dumps([volume])}" for volume in runtime.volumes)
    yield f"USER {USER}:{USER}"
    if runtime.health:
        yield f"HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD {json.dumps(list(runtime.health))}"
    yield f"ENTRYPOINT {json.dumps(list(runtime.entrypoint))}"


def _quoted(value: str) -> str:
    """In double quotes, with what means something in them taken literally."""
    return '"' + "".join(f"\\{char}" if char in '"\\$' else char for char in value) + '"'


# The stages of `check`.
TAKEN, STARTED = "taken", "started"


def check(image: str, program: str) -> str:
    """The Dockerfile that looks into an image: one stage hands its program out as /program, one starts it there, without
    a network."""
    return (
        f"FROM {image} AS image\n"
        f"FROM scratch AS {TAKEN}\n"
        f"COPY --from=image {program} /program\n"
        f"FROM image AS {STARTED}\n"
        f'RUN --network=none ["{program}", "--version"]\n'
    )
