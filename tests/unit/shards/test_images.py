"""The image that joins the parts: uploaded by its digest, signed, and only then tagged."""

import json

import pytest
from machines import Recorder, context
from signing_keys import made
from upstream import INDEX, MANIFEST, Upstream, digest

from buildlib.core.errors import NetworkError
from buildlib.core.plan import Status
from buildlib.core.settings import Retry
from buildlib.core.statements import PROVENANCE, SIGNATURE
from buildlib.process.commit import Source
from buildlib.process.retry import Budget
from buildlib.registry.client import Client
from buildlib.registry.content import Repository
from buildlib.shards import images
from buildlib.shards.images import Joined
from buildlib.signing.images import proofs
from buildlib.signing.signer import Signer

ARM64 = b'{"config": {}, "layers": []}'
DOCUMENT = json.dumps({
    "schemaVersion": 2, "mediaType": INDEX,
    "manifests": [
        {"mediaType": MANIFEST, "digest": digest(ARM64), "size": len(ARM64), "platform": {"os": "linux", "architecture": "arm64"}},
    ],
}).encode()  # fmt: skip
POLICY = Retry(attempts=2, delay=0.001, max_delay=0.01, total=60.0)
KEY = made("cosign.key")


@pytest.fixture
def upstream():
    with Upstream() as server:
        server.lists = True
        server.blobs[digest(ARM64)] = ARM64
        yield server


@pytest.fixture
def repository(upstream):
    client = Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=lambda _: None)
    return Repository(client, upstream.address, "acme/web")


@pytest.fixture
def publish(machine, upstream, repository, tmp_path):
    """A function that publishes the joined image of the settings `web`, signed by `signer` if there is one."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    settings = {"images": {"web": {"dockerfile": "Dockerfile", "context": "."}}}

    def publish(signer=None, **more):
        joined = Joined(
            component="web", repository=f"{upstream.address}/acme/web", index=DOCUMENT, images={"linux/arm64": digest(ARM64)},
            tags=("1", "latest"), annotations={}, entries={},
        )  # fmt: skip
        found = context(machine(), Recorder(**more), root=tmp_path, **settings)
        return images._publish(found, repository, joined, signer)

    return publish


class Watching(Signer):
    """A signer that remembers what the registry had when it began."""

    def sign(self, name, document, name_of_index, predicates):
        self.client.seen = {"1", "latest", digest(DOCUMENT)} & set(self.client.upstream.blobs)
        return super().sign(name, document, name_of_index, predicates)


@pytest.fixture
def signer(upstream, repository):
    repository.client.upstream = upstream
    return Watching(KEY, repository.client, ("provenance",), Source(revision="0123"))


def test_the_index_exists_when_it_is_signed_and_tags_move_later(publish, signer, upstream, repository):
    result = publish(signer)
    assert signer.client.seen == {digest(DOCUMENT)}
    assert (result.status, result.digest, result.signed) == (Status.DONE, digest(DOCUMENT), ("signature", "provenance"))
    assert upstream.blobs["1"] == upstream.blobs["latest"] == DOCUMENT
    for name in (digest(DOCUMENT), digest(ARM64)):
        kinds = sorted(one.predicate_type for one in proofs(repository, name, KEY.public).statements)
        assert kinds == sorted([PROVENANCE, SIGNATURE])
    again = publish(signer)
    assert (again.status, again.signed) == (Status.UNCHANGED, result.signed)


def test_no_tag_moves_if_the_index_cannot_be_signed(publish, signer, upstream):
    upstream.faults["/uploads/"] = [(503, b"", {})] * 50
    with pytest.raises(NetworkError):
        publish(signer)
    assert not {"1", "latest"} & set(upstream.blobs)


def test_without_a_key_the_index_is_tagged(publish, upstream):
    result = publish()
    assert (result.status, result.signed) == (Status.DONE, ())
    assert upstream.blobs["1"] == upstream.blobs["latest"] == upstream.blobs[digest(DOCUMENT)] == DOCUMENT
    assert publish().status == Status.UNCHANGED


def test_a_dry_run_changes_nothing(publish, signer, upstream):
    assert publish(signer, dry=True).status == Status.PLANNED
    assert set(upstream.blobs) == {digest(ARM64)}
