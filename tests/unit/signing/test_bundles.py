"""Bundles: what is in them, and which prove nothing."""

import base64
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing_keys import made

from buildlib.core.statements import SBOM, Statement
from buildlib.signing import bundles
from buildlib.signing.bundles import Invalid, opened, sealed, sealed_file, verify_file

KEY, OTHER = made("cosign.pub"), made("other.pub")
STATEMENT = Statement(
    predicate_type=SBOM, predicate={"ä": [1, "</script>"]}, subjects=(("r.test/a", "00" * 32), ("", "11" * 32))
)
BUNDLE = sealed(STATEMENT, KEY)


def changed(**changes):
    """The bundle with a changed envelope."""
    data = json.loads(BUNDLE)
    data["dsseEnvelope"] |= changes
    return json.dumps(data).encode()


def test_a_bundle_has_the_form_that_the_specifications_say():
    payload = STATEMENT.encode()
    data = json.loads(BUNDLE)
    signature = base64.b64decode(data["dsseEnvelope"]["signatures"][0].pop("sig"))
    assert data == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": KEY.public.hint}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(), "payloadType": "application/vnd.in-toto+json", "signatures": [{}],
        },
    }  # fmt: skip
    assert KEY.public.verifies(signature, b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload))
    assert json.loads(payload) == {
        "_type": "https://in-toto.io/Statement/v1", "predicateType": SBOM, "predicate": {"ä": [1, "</script>"]},
        "subject": [{"name": "r.test/a", "digest": {"sha256": "00" * 32}}, {"name": "", "digest": {"sha256": "11" * 32}}],
    }  # fmt: skip


@given(
    st.text(), st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists),
    st.lists(st.tuples(st.text(), st.binary(min_size=32, max_size=32).map(bytes.hex))),
)  # fmt: skip
def test_what_is_sealed_can_be_opened_with_the_key_alone(kind, predicate, subjects):
    statement = Statement(predicate_type=kind, predicate=predicate, subjects=tuple(subjects))
    bundle = sealed(statement, KEY)
    assert opened(bundle, KEY.public) == statement
    with pytest.raises(Invalid, match=r"not signed with other\.pub"):
        opened(bundle, OTHER.public)


WRONG = {
    "another payload": (changed(payload=base64.b64encode(b"{}").decode()), "not signed with cosign.pub"),
    "another type": (
        changed(payloadType="text/plain"),
        "payload of type 'text/plain', expected 'application/vnd.in-toto+json'",
    ),
    "no signature": (changed(signatures=[]), "not signed with cosign.pub"),
    "an empty signature": (changed(signatures=[{"sig": ""}]), "not signed with cosign.pub"),
    "a signature of a file": (sealed_file(b"content", KEY), "holds no statement"),
    "another document": (b'{"mediaType": "text/plain"}', f"of type 'text/plain', expected '{bundles.BUNDLE}'"),
}


@pytest.mark.parametrize("data, reason", WRONG.values(), ids=WRONG)
def test_another_bundle_proves_nothing(data, reason):
    with pytest.raises(Invalid) as caught:
        opened(data, KEY.public)
    assert str(caught.value) == reason


def test_one_good_signature_of_several_is_enough():
    good = json.loads(BUNDLE)["dsseEnvelope"]["signatures"][0]
    assert opened(changed(signatures=[{"sig": ""}, good]), KEY.public) == STATEMENT


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"_type": "x", "predicateType": "y", "subject": []}', b"\xff", b"[" * 100_000]
)
def test_a_signed_payload_that_is_no_statement_proves_nothing(payload):
    signature = KEY.sign(b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload))
    data = changed(
        payload=base64.b64encode(payload).decode(), signatures=[{"sig": base64.b64encode(signature).decode()}]
    )
    with pytest.raises(Invalid, match="invalid statement"):
        opened(data, KEY.public)


NAMES = st.sampled_from(["mediaType", "dsseEnvelope", "payload", "signatures", "sig"])
DOCUMENTS = st.recursive(st.none() | st.integers() | st.text(), lambda one: st.dictionaries(NAMES, one))


@given(st.binary() | DOCUMENTS.map(lambda one: json.dumps(one).encode()))
def test_anything_else_is_invalid(data):
    with pytest.raises(Invalid):
        opened(data, KEY.public)
    with pytest.raises(Invalid):
        verify_file(data, b"", KEY.public)


def test_the_signature_of_a_file():
    data = json.loads(sealed_file(b"content", KEY))
    digest = base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert data["messageSignature"]["messageDigest"] == {"algorithm": "SHA2_256", "digest": digest}
    verify_file(sealed_file(b"content", KEY), b"content", KEY.public)
    for bundle, content, key, reason in (
        (sealed_file(b"content", KEY), b"content", OTHER, "not signed with other.pub"),
        (sealed_file(b"content", KEY), b"other", KEY, "the signature of other content"),
        (BUNDLE, b"content", KEY, "holds no signature of a file"),
    ):
        with pytest.raises(Invalid) as caught:
            verify_file(bundle, content, key.public)
        assert str(caught.value) == reason
