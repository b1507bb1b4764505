"""The signature of dist/: one file beside SHA256SUMS, which covers every file that is listed there."""

import json
import shutil

import pytest
import signatures
from signed_project import NAME
from testbed import assert_error, buildlib

SUMS, BUNDLE = "SHA256SUMS", "SHA256SUMS.sigstore.json"


@pytest.fixture(scope="module")
def workspace(small_workspace, key, tmp_path_factory):
    root = shutil.copytree(small_workspace, tmp_path_factory.mktemp("dist") / "work space")
    signed = buildlib("sign", "dist", "--key", key.private, cwd=root, env=key.env)
    assert signed.code == 0, signed
    return root


@pytest.fixture
def dist(workspace, tmp_path):
    """A copy of the signed dist/ that the test may change."""
    return shutil.copytree(workspace, tmp_path / "main") / "dist"


def test_a_published_verifier_accepts_it(dist, key, other_key, verifier):
    accepted = verifier.file(dist / BUNDLE, key.public, dist / SUMS)
    assert accepted.code == 0, accepted
    assert verifier.file(dist / BUNDLE, other_key.public, dist / SUMS).code != 0
    assert verifier.file(dist / BUNDLE, key.public, dist / "manifest.json").code != 0
    assert sorted(json.loads((dist / BUNDLE).read_text())) == ["mediaType", "messageSignature", "verificationMaterial"]
    for argv in (("dist",), (dist,)):
        verified = buildlib("verify", *argv, "--key", key.public, cwd=dist.parent)
        assert verified.code == 0, verified
    unsigned = buildlib("verify", "dist", cwd=dist.parent)  # as before, without a key
    assert unsigned.code == 0, unsigned


def changed_program(dist):
    path = dist / "arm64-musl" / NAME
    path.write_bytes(path.read_bytes() + b"\0")


def changed_program_and_sums(dist):
    path = dist / "arm64-musl" / NAME
    before = signatures.digest(path.read_bytes())
    changed_program(dist)
    after = signatures.digest(path.read_bytes())
    for name in (SUMS, "manifest.json"):
        text = (dist / name).read_text()
        (dist / name).write_text(text.replace(before[7:], after[7:]))


def changed_sbom(dist):
    path = dist / "arm64-musl" / f"{NAME}.cdx.json"
    path.write_text(path.read_text().replace("below", "above"))


def one_line_less(dist):
    (dist / SUMS).write_text((dist / SUMS).read_text().partition("\n")[2])


def no_signature(dist):
    (dist / BUNDLE).unlink()


def a_truncated_signature(dist):
    (dist / BUNDLE).write_text((dist / BUNDLE).read_text()[:-20])


def no_json(dist):
    (dist / BUNDLE).write_text("signed")


def no_sums(dist):
    (dist / SUMS).unlink()


@pytest.mark.parametrize(
    "tamper",
    [changed_program, changed_program_and_sums, changed_sbom, one_line_less, no_signature, a_truncated_signature, no_json, no_sums],
    ids=lambda tamper: tamper.__name__,
)  # fmt: skip
def test_what_was_tampered_with_is_refused(dist, key, tamper):
    tamper(dist)
    refused = buildlib("verify", "dist", "--key", key.public, cwd=dist.parent)
    assert refused.code == 6 and "Traceback" not in refused.err, refused


def test_another_key_is_refused(dist, other_key):
    refused = buildlib("verify", "dist", "--key", other_key.public, cwd=dist.parent)
    assert refused.code == 6 and "Traceback" not in refused.err, refused


def test_a_new_build_takes_the_old_signature_away(dist, key):
    """What the old signature covers is no longer there; it must not look as if it did."""
    source = dist.parent / "src" / "main.rs"
    source.write_text(source.read_text().replace("hello();", "hello();\n    below::hello();"))
    built = buildlib("build", "--arch", "amd64-musl", cwd=dist.parent)
    assert built.code == 0, built
    refused = buildlib("verify", "dist", "--key", key.public, cwd=dist.parent)
    assert refused.code == 6, refused
    signed = buildlib("sign", "dist", "--key", key.private, cwd=dist.parent, env=key.env)
    assert signed.code == 0, signed
    verified = buildlib("verify", "dist", "--key", key.public, cwd=dist.parent)
    assert verified.code == 0, verified


def test_what_does_not_exist_is_a_mistake_of_the_command_line(workspace, key):
    for words in (("sign", "nowhere", "--key", key.private), ("verify", "nowhere", "--key", key.public)):
        assert_error(buildlib(*words, cwd=workspace, env=key.env), 2, "nowhere: no such file or directory", "")
