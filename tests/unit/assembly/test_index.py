"""The index of an image: the bytes that BuildKit 0.25 and `imagetools create` of buildx 0.29 write, and what it says of its inputs."""

import json

from hypothesis import given
from hypothesis import strategies as st

from buildlib.assembly.index import index
from buildlib.assembly.recipe import Recipe, hashed, joined
from buildlib.builder.buildx import BASES, INPUTS

# As a registry had it after `buildx build --platform linux/amd64,linux/arm64 --push` with an annotation.
WRITTEN = """{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:5abe120789a4b7023cd8762ba66f2eefda780f945e4298a62f75ae739db7b8f8",
      "size": 1110,
      "platform": {
        "architecture": "amd64",
        "os": "linux"
      }
    },
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "sha256:0e876f1e6d7e69ef1bbfad558d4722bf3fb2b1d496e34421cfc7e149d9ca7638",
      "size": 1110,
      "platform": {
        "architecture": "arm64",
        "os": "linux"
      }
    }
  ],
  "annotations": {
    "buildlib.inputs": "1daa5b213de9e733789778a58471670e3ebdc9cbad9b96cb4347790278a816a2"
  }
}"""


def test_the_bytes_are_those_of_buildkit():
    document = json.loads(WRITTEN)
    # Whatever the order of the fields is that they were read in.
    entries = [
        dict(reversed(entry.items())) | {"platform": dict(reversed(entry["platform"].items()))}
        for entry in document["manifests"]
    ]
    assert index(entries, document["annotations"]).decode() == WRITTEN


def test_attestations_are_last_and_absent_fields_are_left_out():
    attestation = {
        "digest": "sha256:2",
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"b": "2", "a": "1"},
    }
    image = {"digest": "sha256:1", "platform": None, "annotations": None, "urls": None}
    assert (
        index([attestation, image], {}).decode()
        == """{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "manifests": [
    {
      "digest": "sha256:1"
    },
    {
      "digest": "sha256:2",
      "annotations": {
        "a": "1",
        "b": "2"
      },
      "platform": {
        "architecture": "unknown",
        "os": "unknown"
      }
    }
  ]
}"""
    )


def test_texts_are_escaped_as_go_does():
    (line,) = [line for line in index([], {"a": "<b>&\u2028é"}).decode().splitlines() if '"a"' in line]
    assert line == '    "a": "\\u003cb\\u003e\\u0026\\u2028é"'


RECIPES = st.dictionaries(
    st.sampled_from(["linux/amd64", "linux/arm64", "linux/arm/v7"]), st.text(min_size=1, max_size=3), min_size=1
)


@given(RECIPES, st.randoms(use_true_random=False))
def test_the_inputs_of_an_image_do_not_depend_on_how_it_was_divided(inputs, rng):
    bases = {"debian:12": "sha256:1"}
    names = list(inputs)
    rng.shuffle(names)
    parts = [Recipe(inputs={name: inputs[name]}, bases=bases) for name in names]
    assert joined(parts).annotations == Recipe(inputs=inputs, bases=bases).annotations
    assert joined(parts).annotations == {INPUTS: hashed(inputs), BASES: "debian:12@sha256:1"}


def test_inputs_are_known_only_if_those_of_all_parts_are():
    known, unknown = Recipe(inputs={"linux/amd64": "a"}), Recipe(bases={"b": "sha256:2", "a": "sha256:1"})
    assert joined([known, unknown]).annotations == {BASES: "a@sha256:1 b@sha256:2"}
    assert (Recipe().annotations, joined([known]).annotations) == ({}, {INPUTS: hashed({"linux/amd64": "a"})})
