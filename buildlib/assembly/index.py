"""The index that joins the images of several platforms, byte for byte as BuildKit and `imagetools create` write it. Pure.

Both marshal the structures of the OCI image specification with Go's encoding/json and an indent of two spaces (BuildKit:
exporter/containerimage/writer.go; buildx: util/imagetools/create.go): the fields have the order of the structures, absent ones are
left out, the keys of maps are sorted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from buildlib.smoke.archive import INDEX

Json = dict[str, Any]
DESCRIPTOR = ("mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType")
PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")
ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}  # by Go, for HTML


def index(entries: Iterable[Json], annotations: Mapping[str, str]) -> bytes:
    """The index of these descriptors. Images come first, in their order, then attestations, as BuildKit writes them."""
    ordered = sorted(map(_descriptor, entries), key=is_attestation)
    document: Json = {"schemaVersion": 2, "mediaType": INDEX, "manifests": ordered}
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return json.dumps(document, indent=2, ensure_ascii=False).translate(ESCAPED).encode()


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
