"""Images of static binaries in the formats of the OCI image specification 1.1: layer, configuration, manifest, index.

Pure: bytes in, blobs out. The same input gives the same bytes: names are sorted, times are `epoch`, gzip headers have no time.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from buildlib.registry.digests import digest_of
from buildlib.smoke.archive import INDEX, REF_NAME

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# An id that is neither root nor a user of the host; distroless images use it too, and call it nonroot.
USER = 65532
USER_AND_GROUP = f"{USER}:{USER}"
UNKNOWN_SYSTEM = (
    b"\xff"  # in the header of a gzip file; Python 3.11 and 3.12 would write 3, for Unix, and all others this
)

Json = dict[str, Any]
digest = digest_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """How a container of the image runs."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()  # arguments
    user: str = USER_AND_GROUP  # as numbers
    workdir: str = ""  # "" is that of the base image, and / without one
    ports: tuple[int, ...] = ()  # TCP
    health: tuple[str, ...] = ()  # the command line of the health check
    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()  # directories that it may write to
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A multi-platform image: its index, and every blob by digest, as bytes or as the file that contains it."""

    index: bytes
    blobs: Mapping[str, bytes | Path]  # the index is one of them

    @property
    def digest(self) -> str:
        """The digest of the index, which identifies the image."""
        return digest(self.index)


def root_layer(runtime: Runtime, binary: bytes, owned: Mapping[str, tuple[bytes, int] | None], epoch: int) -> bytes:
    """The only layer of an image without a base image, as a tar file.

    It contains the static binary, a user to run it, /tmp and the working directory, and what belongs to the user: the volumes, and
    `owned`, which maps a path to content and mode, or to None for a directory. `epoch` is the modification time of all of them, in
    seconds since 1970.
    """
    passwd = f"root:x:0:0::/root:/sbin/nologin\nnonroot:x:{USER}:{USER}::/:/sbin/nologin\n"
    group = f"root:x:0:\nnonroot:x:{USER}:\n"
    (program,) = runtime.entrypoint
    entries: dict[str, tuple[bytes, int] | None] = {
        "etc/passwd": (passwd.encode(), 0o644),
        "etc/group": (group.encode(), 0o644),
        program.strip("/"): (binary, 0o755),
    }
    folders = _folders((*entries, "tmp/"))  # keep their owner
    users = {path.strip("/"): entry for path, entry in owned.items()}
    users = {name: entry for name, entry in users.items() if name and (entry or name not in folders)}
    users |= {volume.strip("/"): None for volume in runtime.volumes}
    entries = dict.fromkeys(folders | _folders((*users, f"{runtime.workdir.strip('/')}/"))) | entries | users
    uid, gid = map(int, runtime.user.split(":"))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, entry in sorted(entries.items()):
            info = tarfile.TarInfo(name)
            info.mtime = epoch
            if name in users:
                info.uid, info.gid = uid, gid
            if entry is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
                tar.addfile(info)
                continue
            data, info.mode = entry
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _folders(paths: Iterable[str]) -> set[str]:
    """Every directory that these paths need."""
    return {"/".join(path.split("/")[:n]) for path in paths for n in range(1, path.count("/") + 1)} - {""}


def image(layers: Mapping[str, bytes], runtime: Runtime, epoch: int, compressed: Mapping[str, bytes]) -> Image:
    """The image of `layers`, which maps a platform ("linux/arm/v7") to the tar file of its only layer.

    `compressed` has layers that need not be compressed again: the digest of a tar file -> its gzip file. `epoch` is the time of
    creation, in seconds since 1970.
    """
    blobs: dict[str, bytes | Path] = {}

    def store(media_type: str, data: bytes, **more: Any) -> Json:
        name = digest(data)
        blobs[name] = data
        return {"mediaType": media_type, "digest": name, "size": len(data), **more}

    manifests = []
    with ThreadPoolExecutor() as pool:  # zlib releases the interpreter's lock
        compressing = pool.map(lambda tar: compressed.get(digest(tar)) or _compress(tar), layers.values())
    for (platform, tar), data in zip(layers.items(), compressing, strict=True):
        layer = store(LAYER, data)
        config = store(CONFIG, _json(configuration(platform, digest(tar), runtime, epoch)))
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        annotated = _json(manifest | {"annotations": dict(runtime.labels)})
        manifests.append(store(MANIFEST, annotated, platform=platform_of(platform)))
    return with_index(manifests, blobs, runtime.labels)


def with_index(entries: list[Json], blobs: Mapping[str, bytes | Path], annotations: Mapping[str, str]) -> Image:
    """The image whose index has `entries`: the descriptors of the manifests in `blobs`, with their platforms."""
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, "annotations": dict(annotations)})
    return Image(index=index, blobs={**blobs, digest(index): index})


def _compress(tar: bytes) -> bytes:
    data = gzip.compress(tar, compresslevel=6, mtime=0)
    return data[:9] + UNKNOWN_SYSTEM + data[10:]


def compressed_layers(blobs: Mapping[str, bytes]) -> dict[str, bytes]:
    """The argument `compressed` of `image`, from the blobs of an earlier image. Blobs of other tools are skipped."""
    layers = {}
    for data in blobs.values():
        try:
            manifest = json.loads(data)
            (layer,), config = manifest["layers"], json.loads(blobs[manifest["config"]["digest"]])
            (diff_id,) = config["rootfs"]["diff_ids"]
            # The configuration may be wrong about what the layer decompresses to.
            if digest(gzip.decompress(blobs[layer["digest"]])) == diff_id:
                layers[diff_id] = blobs[layer["digest"]]
        except (ValueError, KeyError, TypeError, RecursionError, OSError, EOFError, zlib.error):
            continue  # not a manifest, one that another tool wrote, or a damaged layer
    return layers


def platform_of(name: str) -> Json:
    """The platform as OCI documents write it: linux/arm/v7 is {"os": "linux", "architecture": "arm", "variant": "v7"}."""
    return dict(zip(("os", "architecture", "variant"), name.split("/"), strict=False))


def configuration(platform: str, diff_id: str, runtime: Runtime, epoch: int) -> Json:
    """The configuration of one platform's image. `Healthcheck` is Docker's extension; other engines ignore it."""
    run: Json = {
        "User": runtime.user,
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                *(f"{name}={value}" for name, value in sorted(runtime.env.items()))],
        "Entrypoint": list(runtime.entrypoint),
        "WorkingDir": runtime.workdir or "/",
        "Labels": dict(runtime.labels),
    }  # fmt: skip
    if runtime.command:
        run["Cmd"] = list(runtime.command)
    if runtime.ports:
        run["ExposedPorts"] = {f"{port}/tcp": {} for port in runtime.ports}
    if runtime.volumes:
        run["Volumes"] = {volume: {} for volume in runtime.volumes}
    if runtime.health:
        second = 1_000_000_000  # nanoseconds
        run["Healthcheck"] = {
            "Test": ["CMD", *runtime.health], "Interval": 10 * second, "Timeout": 5 * second,
            "StartPeriod": 30 * second, "Retries": 3,
        }  # fmt: skip
    created = timestamp(epoch)
    return {
        "created": created,
        **platform_of(platform),
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "created_by": "buildlib"}],
    }


def timestamp(epoch: int) -> str:
    """`epoch`, in seconds since 1970, as RFC 3339 in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def layout_index(image: Image, tags: Iterable[str]) -> bytes:
    """The index.json of a layout that contains `image` under `tags`."""
    entry = {"mediaType": INDEX, "digest": image.digest, "size": len(image.index)}
    manifests = [entry | {"annotations": {REF_NAME: tag}} for tag in tags]
    return _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def _json(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def go_json(data: Any, *, indent: int | None = None) -> bytes:
    """JSON as Go's encoding/json writes it, which escapes what has a meaning in HTML."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(data, separators=separators, indent=indent, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()
