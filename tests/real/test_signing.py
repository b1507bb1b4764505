"""Signatures and attestations of images and of dist/, with registries that have the referrers API and that have not.

What is signed here is accepted by a published verifier, and what was tampered with is refused by it and by `buildlib verify`.
"""

import gzip
import json
import re
import tarfile
from dataclasses import replace

import pytest
from project import platform
from signatures import BUNDLE, EMPTY, MANIFEST, PROVENANCE, SBOM, SIGN, digest
from signed_project import (
    ARCHES,
    ATTESTED,
    NAME,
    PLATFORMS,
    REQUIRED,
    SignedProject,
    config_of,
    expected_kinds,
    unverified,
)

pytestmark = pytest.mark.slow
AMD64, ARM64 = PLATFORMS
TIME = re.compile(r"\d{4}-\d\d-\d\d")


@pytest.fixture(scope="module")
def signed(small_workspace, engine, address, key, tmp_path_factory):
    """The project after the push of two versions, `old` and `latest`, each signed and attested."""
    project = SignedProject(small_workspace, tmp_path_factory.mktemp("push") / "main", engine, address)
    for tag in ("old", "latest"):
        pushed = project.push_signed(key, *ATTESTED, "--tag", tag, "--json")
        assert pushed.code == 0, pushed
        project.results = json.loads(pushed.out)
        if tag == "old":
            project.change_binaries()
    return project


# --- what is written ---------------------------------------------------------------------------------------------------------


def test_an_image_and_its_platforms_are_signed_and_attested(signed, verifier, key):
    index = signed.images.manifest("latest")
    subjects = {digest(index): "", **{name: platform for platform, name in signed.images.platforms(index).items()}}
    assert sorted(subjects.values()) == ["", *PLATFORMS]
    assert unverified(signed.images, "latest", key, verifier) == set()
    attached = signed.images.all_attached("latest")
    assert sorted((subjects[bundle.subject], bundle.kind) for bundle in attached) == sorted(expected_kinds(PLATFORMS))
    api = signed.images.referrers(digest(index))[1]
    for bundle in attached:
        subject = signed.images.manifest(bundle.subject)
        annotations = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": bundle.kind}
        content = bundle.manifest["layers"]
        assert bundle.manifest == {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE, "annotations": annotations, "layers": content,
            "config": {"mediaType": EMPTY, "digest": digest(b"{}"), "size": 2},
            "subject": {"mediaType": json.loads(subject)["mediaType"], "digest": digest(subject), "size": len(subject)},
        }  # fmt: skip
        assert [layer["mediaType"] for layer in content] == [BUNDLE]
        assert (bundle.entry["artifactType"], bundle.entry["mediaType"]) == (BUNDLE, MANIFEST)
        assert bundle.entry["annotations"] == annotations
        assert sorted(bundle.bundle) == ["dsseEnvelope", "mediaType", "verificationMaterial"]
    lists = [] if api else [subject.replace(":", "-") for subject in subjects]
    older = signed.images.manifest("old")
    lists += (
        [] if api else [name.replace(":", "-") for name in (digest(older), *signed.images.platforms(older).values())]
    )
    assert signed.images.tags() == sorted(["latest", "old", *lists])


def test_the_statements_say_what_the_image_is(signed):
    index = signed.images.manifest("latest")
    platforms = signed.images.platforms(index)
    statements = {(bundle.subject, bundle.kind): bundle.statement for bundle in signed.images.all_attached("latest")}
    for subject in (digest(index), *platforms.values()):
        statement = statements[subject, SIGN]
        assert statement["_type"] == "https://in-toto.io/Statement/v1" and statement["predicate"] == {}
        # Nothing states a time, so that a machine whose clock starts in 1970 signs the same.
        assert not TIME.search(json.dumps([statement, statements[subject, PROVENANCE]]))
        for kind in (SIGN, SBOM, PROVENANCE):
            if (subject, kind) in statements:
                (named,) = statements[subject, kind]["subject"]
                assert named["digest"] == {"sha256": subject.removeprefix("sha256:")}
    for name, arch in zip(PLATFORMS, ARCHES.split(","), strict=True):
        sbom = json.loads((signed.root / "dist" / arch / f"{NAME}.cdx.json").read_text())
        assert statements[platforms[name], SBOM]["predicate"] == sbom
        assert [component["name"] for component in sbom["components"]] == ["below"]
        manifest = json.loads(signed.images.manifest(platforms[name]))
        assert platform(config_of(signed.images, manifest)) == name


def test_nothing_is_signed_twice(signed, key, other_key):
    before = signed.images.all_attached("latest")
    again = signed.push_signed(key, *ATTESTED, "--tag", "latest", "--json")
    assert [image["status"] for image in json.loads(again.out)] == ["unchanged"], again
    assert signed.images.all_attached("latest") == before


def test_an_image_is_signed_later(signed, verifier, key, other_key):
    """`sign` adds what is missing to an image that was pushed without, and another key's signature beside the first."""
    repository = signed.images.other()
    repository.copy(signed.images, "latest", "1")
    assert unverified(repository, "1", key, verifier) == expected_kinds(PLATFORMS)
    for pair in (key, key, other_key):
        done = signed.call("sign", f"{repository.reference}:1", "--key", pair.private, env=pair.env)
        assert done.code == 0, done
        assert unverified(repository, "1", pair, verifier, {SIGN}) == set()
        verified = signed.verify(f"{repository.reference}:1", pair)
        assert verified.code == 0, verified
    assert len(repository.all_attached("1")) == 2 * 3


def test_what_others_attach_beside_it_changes_nothing(signed, verifier, key, other_key):
    """Whoever may push can attach anything; and all of it is attached as cosign does, whose lists have another artifactType."""
    repository = signed.images.other()
    digests = repository.copy(signed.images, "latest", "1")
    older = signed.images.all_attached("old")
    for bundle in signed.images.all_attached("latest"):
        foreign = next(other for other in older if other.kind == bundle.kind)
        repository.attach(foreign.to(bundle.subject))
        repository.attach(replace(bundle, bundle={"mediaType": BUNDLE}))
        repository.attach(bundle)
    repository.attach_content(digests[""], b"no JSON")
    repository.attach_content(digests[""], b"{}" + b" " * 100)
    assert unverified(repository, "1", key, verifier) == set()
    verified = signed.verify(f"{repository.reference}:1", key, **REQUIRED)
    assert verified.code == 0, verified


DOCKER = {
    "application/vnd.oci.image.index.v1+json": "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json": "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.config.v1+json": "application/vnd.docker.container.image.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def as_docker_writes_it(value):
    """A manifest or index with the media types of Docker, of which there are three generations in registries."""
    if isinstance(value, dict):
        return {name: as_docker_writes_it(part) for name, part in value.items() if name != "annotations"}
    if isinstance(value, list):
        return [as_docker_writes_it(part) for part in value]
    return DOCKER.get(value, value)


@pytest.mark.parametrize("types", ["OCI", "Docker"])
@pytest.mark.parametrize("what", ["index", "manifest"])
def test_an_image_of_another_tool_is_signed(signed, verifier, key, types, what):
    """An index or an image for one platform, in OCI's types or in Docker's."""
    repository = signed.images.other()
    digests = repository.copy(signed.images, "latest", "1")
    index = json.loads(repository.manifest("1"))
    convert = as_docker_writes_it if types == "Docker" else lambda document: document
    for entry in index["manifests"]:
        document = convert(json.loads(repository.manifest(entry["digest"])))
        entry.update(repository.put(json.dumps(document).encode(), "single"))
        digests[platform(entry["platform"])] = entry["digest"]
    digests[""] = repository.put(json.dumps(convert(index)).encode(), "multi")["digest"]
    reference = f"{repository.reference}:{'multi' if what == 'index' else 'single'}"
    done = signed.call("sign", reference, "--key", key.private, env=key.env)
    assert done.code == 0, done
    accepted = {
        name for name, subject in digests.items() for bundle in repository.bundles(subject)
        if verifier.statement(bundle, key.public, subject)[0]
    }  # fmt: skip
    assert accepted == ({"", *PLATFORMS} if what == "index" else {ARM64})
    verified = signed.verify(reference, key)
    assert verified.code == 0, verified


def test_buildkit_s_attestations_are_no_platforms(signed, key):
    """They are in the index as images for unknown/unknown, one for each platform."""
    repository = signed.images.other()
    repository.copy(signed.images, "latest", "1")
    index = json.loads(repository.manifest("1"))
    manifest = json.loads(repository.manifest(index["manifests"][0]["digest"]))
    added = repository.put(json.dumps({**manifest, "layers": []}).encode())
    index["manifests"].append({**added, "platform": {"os": "unknown", "architecture": "unknown"}})
    repository.put(json.dumps(index).encode(), "1")
    done = signed.call("sign", f"{repository.reference}:1", "--key", key.private, env=key.env)
    assert done.code == 0, done
    attached = {
        name: len(repository.attached(entry)) for name, entry in repository.platforms(repository.manifest("1")).items()
    }
    assert attached == {AMD64: 1, ARM64: 1, "unknown/unknown": 0}
    verified = signed.verify(f"{repository.reference}:1", key)
    assert verified.code == 0, verified


# --- what was tampered with ----------------------------------------------------------------------------------------------------


class Tampered:
    """A copy of a signed image in a repository of its own, under the tag `1`."""

    def __init__(self, signed, **changes):
        self.source, self.repository = signed.images, signed.images.other()
        self.digests = self.repository.copy(self.source, "latest", "1", **changes)
        self.bundles = self.bundles_of("latest")

    def bundles_of(self, reference):
        """(platform, kind) -> what is attached to an image of the source."""
        index = self.source.manifest(reference)
        names = {digest(index): "", **{name: platform for platform, name in self.source.platforms(index).items()}}
        return {(names[bundle.subject], bundle.kind): bundle for bundle in self.source.all_attached(reference)}

    def attach(self, bundles):
        """Attach each bundle to the manifest of its platform in the copy."""
        for (name, _), bundle in bundles.items():
            self.repository.attach(bundle.to(self.digests[name]))
        return self.repository


def without(bundles, *keys):
    return {key: bundle for key, bundle in bundles.items() if key not in keys}


def nothing_attached(signed):
    return Tampered(signed).repository


def nothing_attached_to_the_index(signed):
    copy = Tampered(signed)
    return copy.attach(without(copy.bundles, ("", SIGN), ("", PROVENANCE)))


def attestations_alone(signed):
    """cosign accepts that: it takes any statement for a signature."""
    copy = Tampered(signed)
    return copy.attach(without(copy.bundles, *((name, SIGN) for name in ("", *PLATFORMS))))


def nothing_attached_to_a_platform(signed):
    copy = Tampered(signed)
    return copy.attach(without(copy.bundles, *((ARM64, kind) for kind in (SIGN, SBOM, PROVENANCE))))


def sbom_missing(signed):
    copy = Tampered(signed)
    return copy.attach(without(copy.bundles, (ARM64, SBOM)))


def sbom_of_the_other_platform(signed):
    copy = Tampered(signed)
    return copy.attach(copy.bundles | {(ARM64, SBOM): copy.bundles[AMD64, SBOM]})


def changed_sbom(signed):
    copy = Tampered(signed)
    changed = copy.bundles[ARM64, SBOM].with_predicate(lambda sbom: sbom["components"].clear())
    return copy.attach(copy.bundles | {(ARM64, SBOM): changed})


def changed_provenance(signed):
    copy = Tampered(signed)
    changed = copy.bundles[AMD64, PROVENANCE].with_predicate(lambda provenance: provenance.update(runDetails={}))
    return copy.attach(copy.bundles | {(AMD64, PROVENANCE): changed})


def changed_layer(signed):
    """One more layer, and so another manifest and index, to which all bundles of the old ones are attached."""
    content = gzip.compress(tarfile.TarInfo("added").tobuf() + bytes(1024))

    def change(name, data):
        manifest = json.loads(data)
        manifest["layers"].append({**manifest["layers"][0], "digest": digest(content), "size": len(content)})
        return json.dumps(manifest).encode() if name == ARM64 else data

    copy = Tampered(signed, change=change, blobs=[content])
    return copy.attach(copy.bundles)


def platform_of_an_older_version(signed):
    """A platform's image that is signed, with its own signature and attestations, in an index that was not signed."""
    older = signed.images.manifest(signed.images.platforms(signed.images.manifest("old"))[ARM64])
    copy = Tampered(signed, change=lambda name, manifest: older if name == ARM64 else manifest)
    mine, theirs = copy.bundles, copy.bundles_of("old")
    return copy.attach({key: (theirs if key[0] == ARM64 else mine)[key] for key in mine})


def bundles_of_an_older_version(signed):
    copy = Tampered(signed)
    return copy.attach(copy.bundles_of("old"))


ALL = expected_kinds(PLATFORMS)
OF_ARM64 = {(ARM64, kind) for kind in (SIGN, SBOM, PROVENANCE)}
OF_INDEX = {("", SIGN), ("", PROVENANCE)}
NOT_SIGNED, OTHER_IMAGE = " (not signed with KEY)", " (about …, not about this image)"


def refusals(missing, reason):
    """The reasons of `verify --key` with all attestations required; these are those of platforms."""
    names = {SIGN: "signature", SBOM: "sbom", PROVENANCE: "provenance"}
    return {
        name: [
            f"{names[kind]}: none by KEY{reason}"
            for kind in names
            if (name, kind) in missing and (name or kind == SIGN)
        ]
        for name, _ in missing
    }


@pytest.mark.parametrize(
    ("tamper", "missing", "reason"),
    [
        (nothing_attached, ALL, ""),
        (nothing_attached_to_the_index, OF_INDEX, ""),
        (attestations_alone, {(name, SIGN) for name in ("", *PLATFORMS)}, ""),
        (nothing_attached_to_a_platform, OF_ARM64, ""),
        (sbom_missing, {(ARM64, SBOM)}, ""),
        (sbom_of_the_other_platform, {(ARM64, SBOM)}, OTHER_IMAGE),
        (changed_sbom, {(ARM64, SBOM)}, NOT_SIGNED),
        (changed_provenance, {(AMD64, PROVENANCE)}, NOT_SIGNED),
        (changed_layer, OF_ARM64 | OF_INDEX, OTHER_IMAGE),
        (platform_of_an_older_version, OF_INDEX, OTHER_IMAGE),
        (bundles_of_an_older_version, ALL, OTHER_IMAGE),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_was_tampered_with_is_refused(signed, verifier, key, tamper, missing, reason):
    repository = tamper(signed)
    assert unverified(repository, "1", key, verifier) == missing
    assert signed.refusals(f"{repository.reference}:1", key, **REQUIRED) == (6, refusals(missing, reason))


def test_another_key_is_refused(signed, verifier, other_key):
    assert unverified(signed.images, "latest", other_key, verifier) == ALL
    refused = signed.refusals(f"{signed.images.reference}:latest", other_key)
    assert refused == (6, refusals({(name, SIGN) for name in ("", *PLATFORMS)}, NOT_SIGNED))
