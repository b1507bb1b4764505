"""Manifests and blobs of an emulated registry that returns something else than it was asked for."""

import hashlib
import json

import pytest
from upstream import Upstream, digest

from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.core.settings import Retry
from buildlib.process.retry import Budget
from buildlib.registry import content, digests
from buildlib.registry.client import Client
from buildlib.registry.content import Repository
from buildlib.registry.gateway import open_gateway

POLICY = Retry(attempts=3, delay=0.001, max_delay=0.01, total=60.0)
MANIFEST = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
NAME, OTHER = digest(MANIFEST), digest(b"other")
HELP = "the registry, or a mirror or proxy in front of it, returns something else: do not use this image"


@pytest.fixture
def upstream():
    with Upstream() as server:
        server.blobs |= {"1": MANIFEST, NAME: MANIFEST}
        yield server


@pytest.fixture
def client():
    return Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=lambda _: None)


@pytest.fixture
def repository(upstream, client):
    return Repository(client, upstream.address, "acme/app")


def blob(repository, *arguments):
    return b"".join(repository.blob(*arguments))


READERS = {
    "manifest": lambda repository, *size: repository.manifest(NAME, *size),
    "configuration": lambda repository, *size: repository.document(NAME, *size),
    "layer": lambda repository, *size: blob(repository, NAME, *size),
}


@pytest.fixture(params=READERS)
def read(request, repository):
    """A function that reads the content under NAME in one of the ways."""
    return lambda *size: READERS[request.param](repository, *size)


def refused(read, *size):
    with pytest.raises(Refused) as caught:
        read(*size)
    return caught.value


def test_what_the_digest_says_is_returned(read):
    assert read() == read(len(MANIFEST)) == MANIFEST


def test_other_content_under_a_digest_is_refused(read, upstream, repository):
    upstream.blobs[NAME] = b"other"
    error = refused(read)
    assert error.message == f"{repository}@{NAME}: digest mismatch: got {OTHER}, expected {NAME}"
    assert (error.code, error.help) == (6, HELP)


def test_another_size_than_the_descriptor_s_is_refused_without_reading(read, repository):
    assert refused(read, 5).message == f"{repository}@{NAME}: {len(MANIFEST)} bytes, expected 5"
    assert (
        refused(read, len(MANIFEST) + 1).message
        == f"{repository}@{NAME}: {len(MANIFEST)} bytes, expected {len(MANIFEST) + 1}"
    )


@pytest.mark.parametrize("read_it", [lambda r: r.manifest(NAME), lambda r: r.manifest("1"), lambda r: r.document(NAME)])
def test_a_document_of_any_size_is_not_read_whole(upstream, repository, monkeypatch, read_it):
    for module in (digests, content):
        monkeypatch.setattr(module, "MAX_DOCUMENT", 1 << 20)
    upstream.blobs |= {NAME: bytes(8 << 20), "1": bytes(8 << 20)}
    with pytest.raises(Refused, match=r"more than 1048576 bytes, expected at most 1048576"):
        read_it(repository)


def test_the_limits():
    assert (digests.MAX_DOCUMENT, digests.MAX_LAYER) == (4 * 2**20, 10 * 2**30)


@pytest.mark.parametrize("name", [f"md5:{'0' * 32}", "sha256:0", "x:y"])
def test_an_unknown_digest_is_refused(upstream, repository, name):
    upstream.blobs[name] = MANIFEST
    for read in (repository.manifest, repository.document, lambda name: blob(repository, name)):
        with pytest.raises(Refused) as caught:
            read(name)
        assert caught.value.message == f"{repository}@{name}: digest {name!r}, expected sha256 or sha512 in hex digits"


def test_sha512(upstream, repository):
    name = f"sha512:{hashlib.sha512(MANIFEST).hexdigest()}"
    upstream.blobs[name] = MANIFEST
    assert repository.manifest(name) == blob(repository, name) == MANIFEST


# --- tags -----------------------------------------------------------------------------------------------------------------


def stated(upstream, value, **headers):
    """Let the registry state this digest for the manifest of a tag."""
    upstream.faults["/manifests/1"] = [(200, MANIFEST, {"Docker-Content-Digest": value, **headers})]


def test_the_digest_that_is_stated_for_a_tag_is_verified(upstream, repository):
    stated(upstream, NAME)
    assert repository.manifest("1") == MANIFEST
    stated(upstream, OTHER)
    assert refused(lambda: repository.manifest("1")).message == (
        f"{repository}:1: digest mismatch: got {NAME}, expected {OTHER}"
    )


@pytest.mark.parametrize(
    "value", ["", NAME.removeprefix("sha256:"), OTHER.removeprefix("sha256:"), f"md5:{'0' * 32}", "sha256:0"]
)
def test_a_stated_digest_that_says_nothing_is_ignored(upstream, repository, value):
    """Huawei's registry stated digests without the algorithm, as users of kaniko reported."""
    stated(upstream, value)
    assert repository.manifest("1") == MANIFEST


def test_the_digest_of_a_signed_manifest_is_that_of_a_part_of_it(upstream, repository):
    """Reading it then fails with a message about schema 1."""
    stated(upstream, OTHER, **{"Content-Type": content.SIGNED_SCHEMA_1})
    assert repository.manifest("1") == MANIFEST


def test_a_stated_digest_does_not_replace_the_requested_one(upstream, repository):
    upstream.faults["/manifests/"] = [(200, b"other", {"Docker-Content-Digest": OTHER})]
    assert "digest mismatch" in refused(lambda: repository.manifest(NAME)).message


# --- errors ----------------------------------------------------------------------------------------------------------------


def test_what_the_registry_does_not_have_is_an_error(repository):
    for read, name in ((lambda: repository.manifest("none"), ":none"), (lambda: blob(repository, OTHER), f"@{OTHER}")):
        with pytest.raises(BuildError) as caught:
            read()
        assert (caught.value.message, caught.value.code) == (f"{repository}{name}: not found", 1)


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (400, 1), (418, 1)])
def test_refused_credentials_are_told_from_a_refused_request(upstream, repository, status, code):
    upstream.faults["/manifests/"] = [(status, b'{"errors": [{"message": "no"}]}')] * 9
    with pytest.raises(BuildError, match="no") as caught:
        repository.manifest("1")
    assert caught.value.code == code


def test_a_registry_that_fails_is_a_network_error(upstream, repository):
    upstream.faults["/manifests/"] = [(503, b"")] * 9
    with pytest.raises(NetworkError, match="503"):
        repository.manifest("1")


def test_content_that_breaks_off_is_resumed_or_a_network_error(upstream, repository):
    upstream.blobs[NAME] = data = bytes(1 << 20)
    name = digest(data)
    upstream.blobs[name] = data
    repository.manifest("1")  # gets the token
    upstream.faults["/blobs/"] = ["cut"]
    assert blob(repository, name) == data
    upstream.ranges, upstream.faults["/blobs/"] = False, ["cut"] * 99
    with pytest.raises(NetworkError) as caught:
        blob(repository, name)
    assert caught.value.message.startswith(f"{repository}@{name}: ")


def test_content_that_was_changed_between_two_parts_is_refused(upstream, repository):
    first, second = bytes(1 << 20), b"x" * (1 << 20)
    upstream.blobs[digest(first)] = first
    repository.manifest("1")  # gets the token
    upstream.faults["/blobs/"] = ["cut", (206, second[1 << 19 :])]
    with pytest.raises(Refused, match="digest mismatch"):
        blob(repository, digest(first))


# --- the gateway ------------------------------------------------------------------------------------------------------------


def test_the_gateway_verifies_manifests(upstream, client):
    with open_gateway(client) as gateway:
        assert gateway.manifest(f"{upstream.address}/acme/app@{NAME}") == MANIFEST
        assert gateway.manifest(f"{upstream.address}/acme/app:1") == MANIFEST
        stated(upstream, OTHER)
        with pytest.raises(Refused) as caught:
            gateway.manifest(f"{upstream.address}/acme/app:1")
        assert caught.value.message == f"{upstream.address}/acme/app:1: digest mismatch: got {NAME}, expected {OTHER}"
        upstream.blobs[NAME] = b"other"
        with pytest.raises(Refused) as caught:
            gateway.manifest(f"{upstream.address}/acme/app@{NAME}")
        assert (
            caught.value.message == f"{upstream.address}/acme/app@{NAME}: digest mismatch: got {OTHER}, expected {NAME}"
        )
