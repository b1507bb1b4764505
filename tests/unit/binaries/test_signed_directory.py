"""The signature of dist/: what it covers, and when it is refused."""

import hashlib
import json
from dataclasses import replace

import pytest
from signing_keys import made

from buildlib.binaries import build, dist
from buildlib.binaries.verify import verify
from buildlib.core.errors import NothingToDo, Refused, UsageError
from buildlib.signing import directory
from buildlib.signing.verify import of_directory

KEY, OTHER = made("cosign.pub"), made("other.pub")
BUNDLE = "SHA256SUMS.sigstore.json"


@pytest.fixture
def published(compiled):
    """A context whose dist/ has one binary."""
    context, plan, outcome = compiled()
    build._accept(context, plan, outcome)
    return compiled()[0]


@pytest.fixture
def signed(published):
    directory.sign(published, published.dist, KEY)
    return published


def binary_of(context):
    (entry,) = dist.read(context.dist)
    return context.dist / entry["path"]


def refusals(context, key=KEY):
    """The refusals by file, of those that have any."""
    verdicts = of_directory(context, context.dist, key.public, verify(context, [context.dist]))
    return {str(one.path.relative_to(context.dist)): one.refusals for one in verdicts if one.refusals}


def test_what_is_signed_is_accepted_and_signed_once(signed):
    before = (signed.dist / BUNDLE).read_bytes()
    assert refusals(signed) == {}
    assert directory.sign(signed, signed.dist, KEY) is False
    assert (signed.dist / BUNDLE).read_bytes() == before
    assert directory.sign(signed, signed.dist, OTHER) is True
    assert refusals(signed) == {"SHA256SUMS": (f"signature: {BUNDLE}: not signed with cosign.pub",)}


def test_another_build_removes_the_signature(signed, compiled):
    context, plan, outcome = compiled()
    binary = next(iter(build.published(plan, outcome).values()))[0]
    binary.write_bytes(binary.read_bytes() + b"\0")
    build._accept(context, plan, outcome)
    assert not (context.dist / BUNDLE).exists()
    assert refusals(context) == {"SHA256SUMS": (f"signature: none ({BUNDLE} is missing)",)}


def changed_manifest(context):
    """A binary that was exchanged together with its digest in the manifest."""
    file, manifest = binary_of(context), context.dist / "manifest.json"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(file.read_bytes() + b"\0")
    text = manifest.read_text().replace(before, hashlib.sha256(file.read_bytes()).hexdigest())
    data = json.loads(text)
    data["binaries"][0]["size"] += 1
    manifest.write_text(json.dumps(data))
    return file


def test_a_file_that_was_exchanged_with_its_digest_is_refused(signed):
    name = str(changed_manifest(signed).relative_to(signed.dist))
    lines = ("signature: not in SHA256SUMS with this digest",)
    assert refusals(signed) == {name: lines, "SHA256SUMS": (f"{name}: not in SHA256SUMS with this digest",)}


def test_a_file_that_was_exchanged_with_all_digests_is_refused(signed):
    file, sums = binary_of(signed), signed.dist / "SHA256SUMS"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    after = hashlib.sha256(changed_manifest(signed).read_bytes()).hexdigest()
    sums.write_text(sums.read_text().replace(before, after))
    assert refusals(signed) == {"SHA256SUMS": (f"signature: {BUNDLE}: the signature of other content",)}


def test_a_program_that_was_added_is_refused(signed):
    other = binary_of(signed).with_name("other")
    other.write_bytes(binary_of(signed).read_bytes())
    name = str(other.relative_to(signed.dist))
    assert refusals(signed) == {name: ("signature: not in SHA256SUMS with this digest",)}


def test_required_documents_must_be_there(signed):
    signing = replace(signed, config=with_required(signed.config, "sbom", "https://example.test/scan"))
    name = dist.read(signed.dist)[0]["path"]
    assert refusals(signing)["SHA256SUMS"] == (
        f"{name}: no sbom", "https://example.test/scan: attestations of this type are in registries, not in directories",
    )  # fmt: skip


def with_required(config, *names):
    import msgspec

    return msgspec.structs.replace(config, signing=msgspec.structs.replace(config.signing, require=names))


def test_only_what_passed_the_gate_is_signed(published):
    name = str(changed_manifest(published).relative_to(published.dist))
    with pytest.raises(Refused) as caught:
        directory.sign(published, published.dist, KEY)
    assert caught.value.message == f"{published.dist}: {name}: not what passed the gate"
    assert not (published.dist / BUNDLE).exists()


def test_nothing_to_sign(published, tmp_path):
    with pytest.raises(NothingToDo):
        directory.sign(published, tmp_path / "empty", KEY)


def test_a_file_has_no_signature_of_its_own(signed):
    with pytest.raises(UsageError) as caught:
        of_directory(signed, binary_of(signed), KEY.public, [])
    assert caught.value.message == f"{binary_of(signed)}: --key verifies directories and images"
