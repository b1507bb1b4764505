"""What refers to an image: in registries that list it, and in those where clients keep the list under a tag."""

import json

import pytest
from upstream import INDEX, MANIFEST, Upstream, digest

from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.core.settings import Retry
from buildlib.process.retry import Budget
from buildlib.registry import referrers
from buildlib.registry.client import Client
from buildlib.registry.content import Repository
from buildlib.registry.referrers import Artifact, Referrer, Subject, attach

POLICY = Retry(attempts=3, delay=0.001, max_delay=0.01, total=60.0)
IMAGE = b'{"schemaVersion": 2}'
SUBJECT = Subject(digest=digest(IMAGE), media_type=MANIFEST, size=len(IMAGE))
TAG = SUBJECT.digest.replace(":", "-")
KIND = "application/vnd.dev.sigstore.bundle.v0.3+json"
ONE, TWO = (Artifact(media_type=KIND, content=content, annotations={"a": "b"}) for content in (b"one", b"two"))


@pytest.fixture
def upstream():
    with Upstream() as server:
        server.blobs[SUBJECT.digest] = IMAGE
        yield server


def client(**mirrors):
    return Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors=mirrors, login=lambda _: None)


@pytest.fixture
def repository(upstream):
    return Repository(client(), upstream.address, "acme/app")


def contents(repository):
    """The contents of what refers to the image, sorted."""
    found = referrers.referrers(repository, SUBJECT.digest)
    return sorted(referrers.read(repository, entry, 100) for entry in found.entries)


@pytest.mark.parametrize("lists", [True, False])
def test_what_is_attached_is_found(upstream, repository, lists):
    upstream.lists = lists
    before = referrers.referrers(repository, SUBJECT.digest)
    assert (before.entries, before.is_listed) == ((), lists)
    attach(repository, SUBJECT, (ONE,), is_listed=lists)
    attach(repository, SUBJECT, (TWO, ONE), is_listed=lists)
    assert contents(repository) == [(KIND, b"one"), (KIND, b"two")]
    assert (TAG in upstream.blobs) is not lists


def test_the_manifest_is_that_of_an_artifact(upstream, repository):
    attach(repository, SUBJECT, (ONE,), is_listed=False)
    (entry,) = json.loads(upstream.blobs[TAG])["manifests"]
    manifest = upstream.blobs[entry["digest"]]
    assert json.loads(upstream.blobs[TAG]) == {
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{"mediaType": MANIFEST, "digest": digest(manifest), "size": len(manifest), "artifactType": KIND,
                       "annotations": {"a": "b"}}],
    }  # fmt: skip
    assert json.loads(manifest) == {
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": KIND, "annotations": {"a": "b"},
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": KIND, "digest": digest(b"one"), "size": 3}],
        "subject": {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": len(IMAGE)},
    }  # fmt: skip
    assert {digest(b"{}"), digest(b"one")} <= set(upstream.blobs)


def test_what_others_have_written_into_the_list_stays(upstream, repository):
    other = {
        "mediaType": "x/y",
        "digest": digest(b"z"),
        "size": 1,
        "platform": {"os": "linux"},
        "urls": ["http://a.test"],
    }
    kept = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [other], "annotations": {"of": "another tool"}}
    upstream.blobs[TAG] = json.dumps(kept).encode()
    attach(repository, SUBJECT, (ONE,), is_listed=False)
    written = json.loads(upstream.blobs[TAG])
    assert other in written.pop("manifests") and written == {key: kept[key] for key in written}
    assert len(written) == 3


def test_what_another_client_overwrites_is_added_again(upstream, repository, monkeypatch):
    push, lost = referrers.push_manifest, []

    def losing(repository, version, data, media_type):
        push(repository, version, data, media_type)
        if version == TAG and not lost:
            lost.append(upstream.blobs.pop(TAG))

    monkeypatch.setattr(referrers, "push_manifest", losing)
    attach(repository, SUBJECT, (ONE,), is_listed=False)
    assert lost and contents(repository) == [(KIND, b"one")]


def test_a_list_that_keeps_nothing_is_an_error(upstream, repository, monkeypatch):
    push = referrers.push_manifest
    monkeypatch.setattr(
        referrers,
        "push_manifest",
        lambda r, version, data, kind: None if version == TAG else push(r, version, data, kind),
    )
    with pytest.raises(BuildError) as caught:
        attach(repository, SUBJECT, (ONE,), is_listed=False)
    assert caught.value.message == f"{repository}:{TAG}: the list of signatures does not keep what is added to it"


def listed(upstream, *pages):
    """Have the registry answer with pages, each (status, body, headers)."""
    upstream.lists = True
    upstream.faults["/referrers/"] = list(pages)


def page(*digests, **headers):
    manifests = [{"mediaType": MANIFEST, "digest": one, "size": 1, "annotations": None} for one in digests]
    return 200, json.dumps({"manifests": manifests}).encode(), {"Content-Type": INDEX, **headers}


def test_an_empty_list_may_be_null(upstream, repository):
    """As registries in Go write it: in their own answer, and clients in Go in the list under the tag."""
    listed(upstream, (200, b'{"manifests": null}', {"Content-Type": INDEX}))
    assert referrers.referrers(repository, SUBJECT.digest) == referrers.Referrers((), is_listed=True)
    upstream.blobs[TAG] = b'{"schemaVersion": 2, "manifests": null}'
    attach(repository, SUBJECT, (ONE,), is_listed=False)
    assert len(json.loads(upstream.blobs[TAG])["manifests"]) == 1


def test_all_pages_are_read(upstream, repository):
    following = {"Link": '</v2/acme/app/referrers/next?n=1>; rel="next"'}
    names = [digest(bytes([n])) for n in range(3)]
    listed(upstream, page(names[0], **following), page(names[1], names[2]))
    expected = tuple(Referrer(digest=name, size=1) for name in names)
    assert referrers.referrers(repository, SUBJECT.digest).entries == expected
    assert upstream.asked["GET /v2/acme/app/referrers/next"] == 1


@pytest.mark.parametrize("link", ["<{}/v2/acme/app/referrers/next?n=1>", "<next?n=1>"])
def test_the_next_page_may_be_named_in_any_way(upstream, repository, link):
    listed(
        upstream,
        page(digest(b"a"), Link=f'{link.format(f"http://{upstream.address}")}; rel="next"'),
        page(digest(b"b")),
    )
    assert len(referrers.referrers(repository, SUBJECT.digest).entries) == 2
    assert upstream.asked["GET /v2/acme/app/referrers/next"] == 1


def test_a_next_page_at_another_host_is_not_read(upstream, repository):
    listed(upstream, page(digest(b"a"), Link='<http://evil.test/v2/x>; rel="next"'))
    assert len(referrers.referrers(repository, SUBJECT.digest).entries) == 1


def test_pages_without_an_end_are_read_up_to_a_limit(upstream, repository):
    links = (f'</v2/acme/app/referrers/next?n={n}>; rel="next"' for n in range(100))
    listed(upstream, *(page(digest(b"a"), Link=link) for link in links))
    assert len(referrers.referrers(repository, SUBJECT.digest).entries) == referrers.MAX_PAGES


@pytest.mark.parametrize(
    "answer", [(404, b"", {}), (400, b"", {}), (405, b"", {}), (200, b"<html>", {"Content-Type": "text/html"})], ids=str
)
def test_a_registry_that_does_not_know_the_request_has_the_list_under_a_tag(upstream, repository, answer):
    attach(repository, SUBJECT, (ONE,), is_listed=False)
    listed(upstream, answer)
    found = referrers.referrers(repository, SUBJECT.digest)
    assert (len(found.entries), found.is_listed) == (1, False)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((200, b"{", {"Content-Type": INDEX}), BuildError, "not an index: Input data was truncated"),
        (
            (200, b'{"manifests": [{"digest": 1}]}', {"Content-Type": INDEX}),
            BuildError,
            "not an index: Expected `str`, got `int`",
        ),
        ((403, b"", {}), BuildError, "403 Forbidden"),
    ],
)
def test_a_registry_that_fails_is_an_error(upstream, repository, answer, error, message):
    listed(upstream, answer)
    with pytest.raises(error, match=message):
        referrers.referrers(repository, SUBJECT.digest)


def test_a_registry_that_goes_on_failing_is_a_network_error(upstream, repository):
    listed(upstream, *[(503, b"", {})] * 9)
    with pytest.raises(NetworkError, match="503"):
        referrers.referrers(repository, SUBJECT.digest)


def test_a_list_is_read_from_a_mirror_but_changed_as_the_registry_has_it(upstream):
    with Upstream() as mirror:
        repository = Repository(client(**{upstream.address: (mirror.address,)}), upstream.address, "acme/app")
        attach(repository, SUBJECT, (ONE,), is_listed=False)
        mirror.blobs[TAG] = b'{"manifests": []}'
        assert referrers.referrers(repository, SUBJECT.digest).entries == ()
        assert len(referrers.referrers(repository, SUBJECT.digest, current=True).entries) == 1
        attach(repository, SUBJECT, (TWO,), is_listed=False)
        assert len(json.loads(upstream.blobs[TAG])["manifests"]) == 2


@pytest.mark.parametrize(
    ("manifest", "error", "message"),
    [
        (b"{}", BuildError, "a manifest without layers"),
        (b"[]", BuildError, "not a manifest: Expected `object`, got `array`"),
        (
            json.dumps({"layers": [{"digest": digest(b"a"), "size": 101}]}).encode(),
            Refused,
            "101 bytes, expected at most 100",
        ),
        (json.dumps({"layers": [{"digest": "md5:00", "size": 1}]}).encode(), Refused, "digest 'md5:00'"),
        (json.dumps({"layers": [{"digest": digest(b"a"), "size": 2}]}).encode(), Refused, "1 bytes, expected 2"),
    ],
)
def test_what_is_not_an_artifact_is_an_error(upstream, repository, manifest, error, message):
    upstream.blobs |= {digest(manifest): manifest, digest(b"a"): b"a"}
    with pytest.raises(error, match=message):
        referrers.read(repository, Referrer(digest=digest(manifest)), 100)


def test_a_manifest_that_is_refused_is_an_error_with_the_registrys_reason(upstream, repository):
    upstream.faults["/manifests/"] = [(400, b'{"errors":[{"message":"manifest invalid"}]}', {})]
    with pytest.raises(BuildError, match="400 Bad Request: manifest invalid"):
        attach(repository, SUBJECT, (ONE,), is_listed=True)


def test_a_blob_that_the_registry_has_is_not_uploaded_again(upstream, repository):
    attach(repository, SUBJECT, (ONE,), is_listed=True)
    started = upstream.asked["POST /v2/acme/app/blobs/uploads/"]
    attach(repository, SUBJECT, (ONE,), is_listed=True)
    assert upstream.asked["POST /v2/acme/app/blobs/uploads/"] == started > 0
