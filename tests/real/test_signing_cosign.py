"""The published cosign accepts what is signed here, and what it signs is accepted here. It takes ten minutes to compile."""

import json

import pytest
import signatures
from signatures import PROVENANCE, SBOM, SIGN, digest
from signed_project import ATTESTED, REQUIRED, SignedProject, compiled
from testbed import buildlib, run

pytestmark = [pytest.mark.slow, pytest.mark.extended]
ARCHES = "amd64,arm64,armv7,riscv64"
OFFLINE = ("--insecure-ignore-tlog=true", "--allow-http-registry")


@pytest.fixture(scope="module")
def cosign(tmp_path_factory):
    path = signatures.cosign(tmp_path_factory.mktemp("cosign"))

    def cosign(*argv, cwd=None):
        return run(path, *argv, cwd=cwd, env={"COSIGN_PASSWORD": signatures.PASSWORD})

    return cosign


@pytest.fixture(scope="module")
def keys(cosign, tmp_path_factory):
    """Two key pairs that cosign itself has made."""
    pairs = []
    for name in ("cosign", "other"):
        folder = tmp_path_factory.mktemp("key")
        made = cosign("generate-key-pair", "--output-key-prefix", name, cwd=folder)
        assert made.code == 0, made
        pairs.append(signatures.KeyPair(folder / f"{name}.key", folder / f"{name}.pub"))
    return pairs


@pytest.fixture(scope="module")
def workspace(qemu, tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("signed") / "work space", ARCHES)


@pytest.fixture(scope="module")
def signed(workspace, engine, address, keys, tmp_path_factory):
    root = tmp_path_factory.mktemp("push") / "main"
    project = SignedProject(workspace, root, engine, address, ARCHES)
    pushed = project.push_signed(keys[0], *ATTESTED)
    assert pushed.code == 0, pushed
    return project


def subjects(repository, reference):
    index = repository.manifest(reference)
    return {"": digest(index), **repository.platforms(index)}


def test_cosign_accepts_the_image_and_every_platform(signed, cosign, keys):
    key, other = keys
    for name, subject in subjects(signed.images, "latest").items():
        image = f"{signed.images.reference}@{subject}"
        verified = cosign("verify", "--key", key.public, *OFFLINE, image)
        assert verified.code == 0, verified
        kinds = {entry["critical"]["type"] for entry in json.loads(verified.out)}
        assert kinds == {SIGN, PROVENANCE} | ({SBOM} if name else set())
        for option, kind in (("cyclonedx", SBOM), ("slsaprovenance1", PROVENANCE)):
            attested = cosign("verify-attestation", "--type", option, "--key", key.public, *OFFLINE, image)
            assert (attested.code == 0) == (kind in kinds), attested
        refused = cosign("verify", "--key", other.public, *OFFLINE, image)
        assert refused.code != 0 and "accepted signatures do not match threshold" in refused.err, refused
    by_tag = cosign("verify", "--key", key.public, *OFFLINE, f"{signed.images.reference}:latest")
    assert by_tag.code == 0, by_tag


def test_cosign_accepts_dist(workspace, cosign, keys, tmp_path):
    key, other = keys
    signed = buildlib("sign", "dist", "--key", key.private, cwd=workspace, env=key.env)
    assert signed.code == 0, signed
    sums = workspace / "dist" / "SHA256SUMS"
    argv = ("verify-blob", "--bundle", f"{sums}.sigstore.json", "--insecure-ignore-tlog=true", "--key")
    assert cosign(*argv, key.public, sums).code == 0
    assert cosign(*argv, other.public, sums).code != 0
    changed = tmp_path / "SHA256SUMS"
    changed.write_text(sums.read_text() + "\n")
    assert cosign(*argv, key.public, changed).code != 0


def test_what_cosign_signed_is_accepted(signed, cosign, keys, tmp_path):
    """An image that cosign has signed and attested, with nothing from here; and one by both."""
    key, other = keys
    repository = signed.images.other()
    repository.copy(signed.images, "latest", "1")
    image = f"{repository.reference}:1"
    offline = (
        "--key",
        key.private,
        "--tlog-upload=false",
        "--use-signing-config=false",
        "--allow-http-registry",
        "--yes",
    )
    done = cosign("sign", "--recursive", *offline, image)
    assert done.code == 0, done
    verified = signed.verify(image, key)
    assert verified.code == 0, verified
    refused = signed.verify(image, key, **REQUIRED)
    assert refused.code == 6, refused
    (tmp_path / "sbom.json").write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}')
    (tmp_path / "provenance.json").write_text(
        '{"buildDefinition": {"buildType": "t"}, "runDetails": {"builder": {"id": "b"}}}'
    )
    for name, subject in subjects(repository, "1").items():
        for option, file in (("cyclonedx", "sbom.json"), ("slsaprovenance1", "provenance.json"))[0 if name else 1 :]:
            by_digest = f"{repository.reference}@{subject}"
            done = cosign("attest", *offline, "--type", option, "--predicate", tmp_path / file, by_digest)
            assert done.code == 0, done
    verified = signed.verify(image, key, **REQUIRED)
    assert verified.code == 0, verified
    assert signed.verify(image, other).code == 6
    both = signed.call("sign", image, "--key", other.private, env=other.env)
    assert both.code == 0, both
    assert signed.verify(image, other).code == 0 and signed.verify(image, key, **REQUIRED).code == 0


def test_what_cosign_signed_of_dist_is_accepted(signed, cosign, keys):
    key, _ = keys
    sums = signed.root / "dist" / "SHA256SUMS"
    options = ("--tlog-upload=false", "--use-signing-config=false", "--yes", "--new-bundle-format")
    done = cosign("sign-blob", "--key", key.private, *options, "--bundle", f"{sums}.sigstore.json", sums)
    assert done.code == 0, done
    verified = signed.call("verify", "dist", "--key", key.public)
    assert verified.code == 0, verified
