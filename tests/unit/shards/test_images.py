"""The image that joins the parts: uploaded by its digest, signed, and only then tagged."""

import json
from dataclasses import replace

import pytest
from image_workspace import ClientRunner
from machines import Recorder, context
from signing_keys import made
from upstream import INDEX, MANIFEST, Upstream, digest

from buildlib.builder.buildx import INPUTS
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
def joined(upstream):
    """A function that returns the image of a component."""
    return lambda name, annotations=None: Joined(
        component=name, repository=f"{upstream.address}/acme/{name}", index=DOCUMENT, images={"linux/arm64": digest(ARM64)},
        tags=("1", "latest"), annotations=annotations or {}, entries={},
    )  # fmt: skip


@pytest.fixture
def publish(machine, upstream, repository, joined, tmp_path):
    """A function that publishes the joined image of the settings `web`, signed by `signer` if there is one."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    settings = {"images": {"web": {"dockerfile": "Dockerfile", "context": "."}}}

    def publish(signer=None, annotations=None, **more):
        found = context(machine(), Recorder(**more), root=tmp_path, **settings)
        return images._publish(found, repository, joined("web", annotations), signer)

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


def test_an_image_of_the_same_inputs_stays(publish, signer, upstream):
    """Another commit changes labels. Tags that point to the image of the same binaries are left there, and it is signed."""
    known = json.dumps(json.loads(DOCUMENT) | {"annotations": {INPUTS: "same", "other": "commit"}}).encode()
    upstream.blobs |= {"1": known, digest(known): known}
    result = publish(signer, annotations={INPUTS: "same"})
    assert (result.status, result.digest, result.signed) == (Status.DONE, digest(known), ("signature", "provenance"))
    assert (upstream.blobs["1"], upstream.blobs["latest"], digest(DOCUMENT) in upstream.blobs) == (known, known, False)
    assert publish(annotations={INPUTS: "same"}).status == Status.UNCHANGED
    assert publish(annotations={INPUTS: "other"}).digest == digest(DOCUMENT)


def test_an_image_that_fails_does_not_stop_the_others(joined, machine, upstream, tmp_path, capsys):
    run = ClientRunner()
    found = replace(context(machine(), run, root=tmp_path), console=run.console)
    upstream.faults["/acme/api/"] = [(500, b"", {})] * 50
    failed, done = images.publish(found, [joined("api"), joined("web")])
    assert (failed.component, failed.status, failed.error.code) == ("api", Status.FAILED, 5)
    assert (done.component, done.status, done.digest) == ("web", Status.DONE, digest(DOCUMENT))
    assert upstream.blobs["latest"] == DOCUMENT


def test_a_dry_run_changes_nothing(publish, signer, upstream):
    assert publish(signer, dry=True).status == Status.PLANNED
    assert set(upstream.blobs) == {digest(ARM64)}
