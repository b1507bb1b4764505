"""Content is verified against its digest and its size while it is read."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.errors import Refused
from buildlib.registry import digests
from buildlib.registry.digests import is_known, verified, verify

DATA = b"content of a blob"
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
SHA512 = f"sha512:{hashlib.sha512(DATA).hexdigest()}"


def refusal(chunks, digest=SHA256, **more):
    with pytest.raises(Refused) as caught:
        list(verified(chunks, "r.test/a@x", digest, **more))
    assert caught.value.code == 6
    return caught.value.message


@given(st.lists(st.binary(max_size=9), max_size=5))
def test_content_is_passed_on_in_its_chunks(chunks):
    data = b"".join(chunks)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert list(verified(chunks, "", digest, len(data))) == chunks
    assert list(verified(chunks, "", digest)) == chunks
    verify(data, "", digest)


@pytest.mark.parametrize("digest", [SHA256, SHA512])
def test_the_registered_algorithms_are_known(digest):
    verify(DATA, "", digest)
    assert refusal([DATA[:-1], b"B"], digest).startswith(f"r.test/a@x: digest mismatch: got {digest[:7]}")


@pytest.mark.parametrize(
    "digest",
    ["", "sha256", "sha256:", f"md5:{'0' * 32}", f"sha256:{'0' * 63}", f"sha256:{'0' * 65}", f"sha512:{'0' * 64}", SHA256.upper(),
     f"sha256:{'g' * 64}", f"sha256:{'0' * 63}\n", f"blake3:{'0' * 64}", f"sha256+b64:{'0' * 64}", f"SHA256:{'0' * 64}"],
)  # fmt: skip
def test_a_digest_that_says_nothing_is_refused(digest):
    assert not is_known(digest)
    assert refusal([DATA], digest) == f"r.test/a@x: digest {digest!r}, expected sha256 or sha512 in hex digits"


def test_other_content_is_refused_with_both_digests():
    other = f"sha256:{hashlib.sha256(b'other').hexdigest()}"
    assert refusal([b"oth", b"er"]) == f"r.test/a@x: digest mismatch: got {other}, expected {SHA256}"


def test_less_or_more_than_the_size_is_refused():
    assert refusal([DATA[:5]], size=len(DATA)) == "r.test/a@x: 5 bytes, expected 17"
    assert refusal([DATA, b"x"], size=len(DATA)) == "r.test/a@x: more than 17 bytes, expected 17"
    assert refusal([DATA], size=3) == "r.test/a@x: more than 3 bytes, expected 3"


def test_reading_stops_where_too_much_arrives():
    read = []

    def endless():
        while True:
            read.append(1)
            yield bytes(10)

    assert refusal(endless(), size=25) == "r.test/a@x: more than 25 bytes, expected 25"
    assert len(read) == 3
    assert refusal(endless(), limit=40) == "r.test/a@x: more than 40 bytes, expected at most 40"
    assert len(read) == 8


def test_a_size_above_the_limit_is_refused_before_anything_is_read():
    assert refusal(iter(()), size=10**15) == f"r.test/a@x: {10**15} bytes, expected at most {digests.MAX_LAYER}"
