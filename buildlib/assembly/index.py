"""The index that joins the images of several platforms, byte for byte as BuildKit and `imagetools create` write it. Pure.

Both marshal the structures of the OCI image specification with Go's encoding/json and an indent of two spaces (BuildKit:
exporter/containerimage/writer.go; buildx: util/imagetools/create.go): the fields have the order of the structures, absent ones are
left out, the keys of maps are sorted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from buildlib.assembly import oci
from buildlib.assembly.oci import Json
from buildlib.smoke.archive import INDEX

DESCRIPTOR = ("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")
PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


def index(entries: Iterable[Json], annotations: Mapping[str, str]) -> bytes:
    """The index of these descriptors. Images come first, in their order, then attestations, as BuildKit writes them."""
    ordered = sorted(map(_descriptor, entries), key=is_attestation)
    document: Json = {"schemaVersion": 2, "mediaType": INDEX, "manifests": ordered}
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return oci.go_json(document, indent=2)


def entries_of(document: bytes, platform: str) -> list[Json]:
    """The descriptors in an index. For the manifest of one image, which is for `platform`, it is that of the image."""
    data = json.loads(document)
    if entries := data.get("manifests"):
        return list(entries)
    return [
        {
            "mediaType": data.get("mediaType", oci.MANIFEST), "digest": oci.digest(document), "size": len(document),
            "platform": oci.platform_of(platform),
        }
    ]  # fmt: skip


def is_attestation(entry: Json) -> bool:
    """Whether a descriptor is that of an attestation."""
    return bool((entry.get("platform") or {}).get("os") == "unknown")


def _descriptor(entry: Json) -> Json:
    fields = _in_order(entry, DESCRIPTOR)
    if "annotations" in fields:
        fields["annotations"] = dict(sorted(fields["annotations"].items()))
    if "platform" in fields:
        fields["platform"] = _in_order(fields["platform"], PLATFORM)
    return fields


def _in_order(values: Json, names: Sequence[str]) -> Json:
    return {name: values[name] for name in names if values.get(name) is not None}
