"""Whether a daemon can run the programs of a platform at all: an image with a wrong program fails in the same way."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable

from buildlib.core.cases import FAILED, Suite
from buildlib.core.errors import BuildError, MissingRequirements
from buildlib.core.targets import Target
from buildlib.emulation import binfmt
from buildlib.emulation.exit_stub import exit_program
from buildlib.machine.host import Host
from buildlib.smoke import archive, containers, load
from buildlib.smoke.checks import NOT_EXECUTED
from buildlib.smoke.containers import Daemon, reason, sdk_errors
from buildlib.smoke.load import Blobs

PROGRAM = "exit"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def is_suspicious(suite: Suite) -> bool:
    """Whether the kernel refused a program of this image as one of another architecture."""
    return any(case.result == FAILED and NOT_EXECUTED in case.detail.lower() for case in suite.cases)


def require(daemon: Daemon, host: Host, targets: Iterable[Target]) -> None:
    """MissingRequirements for the platforms whose programs the daemon cannot start."""
    absent = [target for target in targets if not runs(daemon, target)]
    if absent:
        raise missing(host, absent)


def missing(host: Host, targets: list[Target]) -> BuildError:
    """The error for platforms that the daemon cannot run, with the fix for the first."""
    names = ", ".join(target.oci for target in targets)
    mounted, handler, *_ = binfmt.requirements(targets[0])
    unmet = next((requirement for requirement in (mounted, handler) if not requirement.met(host)), None)
    # Everything is there on this machine, but the daemon may be on another one.
    place, requirement = ("", unmet) if unmet else ("on the machine of the daemon: ", handler)
    return MissingRequirements(
        f"the Docker daemon cannot run programs for {names}: {NOT_EXECUTED}", f"{place}{requirement.fixes[0].text}"
    )


def runs(daemon: Daemon, target: Target) -> bool:
    """Whether a container with a program of a few bytes for the platform starts. True if no such program is known."""
    program = exit_program(target.qemu)
    if not program:
        return True
    digest, blobs = _image(target, program)
    try:
        with (
            load.loaded(daemon, blobs, digest, target) as image,
            containers.started(daemon, image, target) as container,
        ):
            return bool(container.wait(timeout=containers.HEALTHY)["StatusCode"] == 0)
    except sdk_errors() as error:
        # Another reason, such as a daemon that starts no container at all, is what the checks have reported.
        return NOT_EXECUTED not in reason(error).lower()


def _image(target: Target, program: bytes) -> tuple[str, Blobs]:
    """The digest of the manifest, and the blobs, of an image that contains the program alone."""
    layer = b"".join(archive.tar({PROGRAM: program}, mode=0o755))
    platform = dict(zip(("os", "architecture", "variant"), target.oci.split("/"), strict=False))
    config = {**platform, "config": {"Entrypoint": [f"/{PROGRAM}"]},
              "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]}}  # fmt: skip
    blobs: dict[str, bytes] = {}

    def store(media_type: str, data: bytes) -> dict[str, str | int]:
        digest = _digest(data)
        blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    parts = store(CONFIG, json.dumps(config).encode()), store(LAYER, gzip.compress(layer, mtime=0))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": parts[0], "layers": [parts[1]]}
    return str(store(MANIFEST, json.dumps(manifest).encode())["digest"]), blobs


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
