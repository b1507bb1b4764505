"""Signatures of an image: what is attached, and what proves nothing."""

import json

import pytest
from signing_keys import made
from upstream import INDEX, MANIFEST, Upstream, digest

from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.core.settings import Retry
from buildlib.core.statements import PROVENANCE, SBOM, SIGNATURE, Statement
from buildlib.process.retry import Budget
from buildlib.registry import referrers
from buildlib.registry.client import Client
from buildlib.registry.content import Repository
from buildlib.registry.referrers import Artifact, Subject
from buildlib.signing import images
from buildlib.signing.images import artifact, problems, proofs, sign

POLICY = Retry(attempts=2, delay=0.001, max_delay=0.01, total=60.0)
KEY, OTHER = made("cosign.pub"), made("other.pub")
AMD64, ARM64 = b'{"config": {}, "layers": [1]}', b'{"config": {}, "layers": [2]}'
DOCUMENT = json.dumps({
    "schemaVersion": 2, "mediaType": INDEX,
    "manifests": [
        {"mediaType": MANIFEST, "digest": digest(AMD64), "size": len(AMD64), "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": MANIFEST, "digest": digest(ARM64), "size": len(ARM64),
         "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
        {"mediaType": MANIFEST, "digest": digest(b"a"), "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}},
    ],
}).encode()  # fmt: skip
ROOT = digest(DOCUMENT)


@pytest.fixture(params=[True, False], ids=["lists", "tags"])
def upstream(request):
    with Upstream() as server:
        server.lists = request.param
        server.blobs |= {ROOT: DOCUMENT, digest(AMD64): AMD64, digest(ARM64): ARM64}
        yield server


@pytest.fixture
def repository(upstream):
    client = Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=lambda _: None)
    return Repository(client, upstream.address, "acme/app")


def said(repository, name, key=KEY):
    return [one.predicate_type for one in proofs(repository, name, key.public).statements]


def predicates(platform):
    return [(SBOM, {"for": platform}), (PROVENANCE, {})] if platform else [(PROVENANCE, {})]


def test_the_index_and_each_image_are_signed_once(upstream, repository):
    done = sign(repository, DOCUMENT, ROOT, KEY, predicates)
    assert [(one.platform, one.digest, one.names, one.added) for one in done] == [
        ("", ROOT, ("signature", "provenance"), True),
        ("linux/amd64", digest(AMD64), ("signature", "sbom", "provenance"), True),
        ("linux/arm/v7", digest(ARM64), ("signature", "sbom", "provenance"), True),
    ]
    assert sorted(said(repository, ROOT)) == sorted([SIGNATURE, PROVENANCE])
    for name, platform in ((digest(AMD64), "linux/amd64"), (digest(ARM64), "linux/arm/v7")):
        found = proofs(repository, name, KEY.public)
        subject = ((f"{upstream.address}/acme/app", name.partition(":")[2]),)
        assert found.of(SBOM) == (Statement(predicate_type=SBOM, predicate={"for": platform}, subjects=subject),)
        assert problems(found, KEY.public, (SBOM, PROVENANCE)) == []
    before = dict(upstream.blobs)
    assert not any(one.added for one in sign(repository, DOCUMENT, ROOT, KEY, predicates))
    assert upstream.blobs == before


def test_what_is_missing_is_added_later(repository):
    sign(repository, DOCUMENT, ROOT, KEY)
    assert said(repository, digest(AMD64)) == [SIGNATURE]
    sign(repository, DOCUMENT, ROOT, KEY, predicates)
    assert sorted(said(repository, digest(AMD64))) == sorted([SIGNATURE, SBOM, PROVENANCE])


def test_an_image_can_have_signatures_by_several_keys(repository):
    assert all(one.added for key in (OTHER, KEY) for one in sign(repository, DOCUMENT, ROOT, key))
    assert said(repository, ROOT) == said(repository, ROOT, OTHER) == [SIGNATURE]


def test_an_image_for_one_platform_has_no_index(repository):
    (done,) = sign(repository, AMD64, digest(AMD64), KEY)
    assert (done.platform, done.digest) == ("", digest(AMD64))
    assert said(repository, digest(AMD64)) == [SIGNATURE]


def attach(repository, subject, *artifacts):
    known = referrers.referrers(repository, subject, current=True)
    about = Subject(digest=subject, media_type=MANIFEST, size=1)
    referrers.attach(repository, about, artifacts, is_listed=known.is_listed)


def statement(subject, kind=SIGNATURE):
    return Statement(predicate_type=kind, predicate={}, subjects=(("", subject.partition(":")[2]),))


def test_a_bundle_of_another_image_proves_nothing(repository):
    attach(repository, ROOT, artifact(statement(digest(AMD64)), KEY))
    (line,) = problems(proofs(repository, ROOT, KEY.public), KEY.public, ())
    about = f"about sha256:{digest(AMD64)[7:19]}, not about this image"
    assert line.startswith("signature: none by cosign.pub (sha256:") and line.endswith(f": {about})")


def test_an_attestation_is_not_a_signature(repository):
    attach(repository, ROOT, artifact(statement(ROOT, SBOM), KEY))
    assert problems(proofs(repository, ROOT, KEY.public), KEY.public, (SBOM,)) == ["signature: none by cosign.pub"]


def test_what_else_refers_to_an_image_does_not_hide_its_signature(repository):
    broken = Artifact(media_type=images.BUNDLE, content=b"{}")
    sbom = Artifact(media_type="application/vnd.cyclonedx+json", content=b"{}")
    attach(repository, ROOT, broken, sbom, artifact(statement(digest(AMD64)), KEY), artifact(statement(ROOT), OTHER))
    sign(repository, DOCUMENT, ROOT, KEY)
    found = proofs(repository, ROOT, KEY.public)
    assert (len(found.statements), len(found.rejected)) == (1, 3)
    assert problems(found, KEY.public, ()) == []
    (line,) = problems(found, KEY.public, ("https://example.test/scan",))
    assert line.startswith("https://example.test/scan: none by cosign.pub (sha256:")


def test_an_image_without_signatures(repository):
    assert problems(proofs(repository, ROOT, KEY.public), KEY.public, (SBOM,)) == [
        "signature: none by cosign.pub", "sbom: none by cosign.pub",
    ]  # fmt: skip


def test_too_many_referrers_are_refused_and_not_read(upstream, repository, monkeypatch):
    monkeypatch.setattr(images, "MAX_BUNDLES", 2)
    attach(repository, ROOT, *(Artifact(media_type="x/y", content=bytes([n])) for n in range(3)))
    with pytest.raises(Refused, match="3 referrers, expected at most 2"):
        proofs(repository, ROOT, KEY.public)


def test_a_registry_that_rejects_artifacts_is_an_error_with_help(upstream, repository):
    upstream.faults["/manifests/sha256:"] = [(400, b'{"errors":[{"message":"unknown media type"}]}', {})]
    with pytest.raises(BuildError) as caught:
        sign(repository, AMD64, digest(AMD64), KEY)
    assert caught.value.message.startswith("cannot attach signatures: ")
    assert caught.value.message.endswith(": 400 Bad Request: unknown media type")
    assert caught.value.help == "the registry must accept OCI artifacts with `subject` (image specification 1.1)"


def test_a_registry_that_does_not_answer_is_a_network_error(upstream, repository):
    upstream.faults["/uploads/"] = [(503, b"", {})] * 20
    with pytest.raises(NetworkError):
        sign(repository, AMD64, digest(AMD64), KEY)


@pytest.mark.parametrize(
    ("sbom", "program"),
    [
        ({"metadata": {"component": {"hashes": [{"alg": "MD5", "content": "00"}, {"alg": "SHA-256", "content": "11"}]}}}, "11"),
        ({"metadata": {"component": {"hashes": [{"alg": "SHA-256", "content": 1}]}}}, ""),
        ({"metadata": {"component": {}}}, ""), ({"metadata": None}, ""), ([], ""), (None, ""),
    ],
)  # fmt: skip
def test_the_program_of_an_sbom(sbom, program):
    assert images.program_of(sbom) == program
