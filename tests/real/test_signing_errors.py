"""Signing that fails: one error with its help, and no tag moves, whatever was uploaded before."""

import os
import signal
import subprocess
import time

import pytest
import signatures
from faulty_registry import faulty_proxy
from signatures import digest
from signed_project import ATTESTED, SignedProject, unverified
from testbed import BUILDLIB, assert_error, install_packages, run

pytestmark = pytest.mark.slow
ARCH = "amd64-musl"


@pytest.fixture(scope="module")
def behind_proxy(engine, registry, small_workspace, key, tmp_path_factory):
    """A project behind a proxy, with one signed image."""
    with faulty_proxy(registry) as proxy:
        project = SignedProject(small_workspace, tmp_path_factory.mktemp("push") / "main", engine, proxy.address, ARCH)
        project.proxy = proxy
        project.images = signatures.Repository(registry, project.images.name)
        first = project.push_signed(key, *ATTESTED)
        assert first.code == 0, first
        yield project


@pytest.fixture
def project(behind_proxy):
    """The same with other binaries, so that there is something to push, and without faults. Afterwards no tag has moved."""
    behind_proxy.change_binaries()
    behind_proxy.proxy.inject(0)
    before = tags(behind_proxy)
    yield behind_proxy
    behind_proxy.proxy.inject(0)
    assert tags(behind_proxy) == before


def tags(project):
    """What the tags of images name; without the lists of what is attached."""
    names = [name for name in project.images.tags() if not name.startswith("sha256-")]
    return {name: digest(project.images.manifest(name)) for name in names}


# --- keys ------------------------------------------------------------------------------------------------------------------------


def openssl(path, *words):
    install_packages("openssl")
    made = run("openssl", *words, "-out", path)
    assert made.code == 0, made
    return path


def generated(kind, *options):
    return lambda path: openssl(path, "genpkey", "-algorithm", kind, *options)


def openssh(path):
    install_packages("openssh-client")
    made = run("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", path)
    assert made.code == 0, made


def certificate(path):
    openssl(path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", "-keyout", os.devnull)


def written(text):
    return lambda path: path.write_text(text)


SIGN_WITH = "sign with an ECDSA P-256 key, as `cosign generate-key-pair` makes"
NAME_FILE = "name the file of the key, or env://NAME"
GARBAGE = "-----BEGIN {0}-----\nAAAA\n-----END {0}-----\n"
# What makes the file, the message after its path, and the help.
KEYS = {
    "RSA": (generated("RSA"), "an RSA key, expected ECDSA P-256", SIGN_WITH),
    "Ed25519": (generated("ED25519"), "an Ed25519 key, expected ECDSA P-256", SIGN_WITH),
    "P-384": (
        generated("EC", "-pkeyopt", "ec_paramgen_curve:P-384"), "an ECDSA secp384r1 key, expected ECDSA P-256", SIGN_WITH,
    ),
    "OpenSSH": (openssh, "not a private key in PEM", SIGN_WITH),
    "no PEM": (written("correct horse battery staple\n"), "not a private key in PEM", SIGN_WITH),
    "empty": (written(""), "not a private key in PEM", SIGN_WITH),
    "garbage of cosign": (
        written(GARBAGE.format("ENCRYPTED SIGSTORE PRIVATE KEY")), "a damaged key file of cosign",
        "copy it again, or make a new key",
    ),
    "garbage": (written(GARBAGE.format("PRIVATE KEY")), "not a private key in PEM", SIGN_WITH),
    "a certificate": (certificate, "not a private key in PEM", SIGN_WITH),
    "a directory": (lambda path: path.mkdir(), "Is a directory", NAME_FILE),
    "nothing": (lambda path: None, "No such file or directory", NAME_FILE),
}  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_file_that_is_no_usable_key(project, tmp_path, key, kind):
    path = tmp_path / "key"
    make, message, help_text = KEYS[kind]
    make(path)
    assert_error(project.image("--push", "--sign", path, env=key.env), 2, f"{path}: {message}", help_text)


@pytest.mark.parametrize(
    ("password", "message"),
    [
        (None, "the key is encrypted"),
        ("wrong", "COSIGN_PASSWORD is not the password of this key"),
        ("", "COSIGN_PASSWORD is not the password of this key"),
    ],
    ids=["not set", "wrong", "empty"],
)
def test_a_password_that_does_not_open_the_key(project, key, password, message):
    refused = project.push_signed(key, env={"COSIGN_PASSWORD": password})
    assert_error(refused, 2, f"{key.private}: {message}", "set COSIGN_PASSWORD to its password")


def test_the_public_key_does_not_sign_and_the_private_key_does_not_verify(project, key):
    refused = project.image("--push", "--sign", key.public, env=key.env)
    assert_error(refused, 2, f"{key.public}: a public key, expected a private one", SIGN_WITH)
    refused = project.call("verify", f"{project.images.reference}:latest", "--key", key.private)
    help_text = "verify with the public key, such as cosign.pub"
    assert_error(refused, 2, f"{key.private}: a private key, expected a public one", help_text)


def test_attestations_without_a_key(project):
    assert_error(
        project.image("--push", *ATTESTED),
        2,
        "attestations need a key to sign them",
        "add --sign KEY, or leave out --attest",
    )


@pytest.mark.parametrize("text", [None, ""], ids=["not set", "empty"])
def test_a_variable_without_a_key(project, key, text):
    refused = project.image("--push", "--sign", "env://KEY", env={**key.env, "KEY": text})
    assert_error(refused, 2, "env://KEY: the variable KEY is not set", "let it contain the key")


def test_a_key_in_a_variable(behind_proxy, key, verifier):
    """Neither it nor its password is in the output."""
    text = key.private.read_text()
    done = behind_proxy.image("--push", "--sign", "env://KEY", "--tag", "variable", "-v", env={**key.env, "KEY": text})
    assert done.code == 0, done
    assert unverified(behind_proxy.images, "variable", key, verifier, {signatures.SIGN}) == set()
    shown = done.out + done.err
    assert signatures.PASSWORD not in shown and not any(line in shown for line in text.splitlines()[1:-1])


# --- the registry ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["400", "405", "415"])
def test_a_registry_that_refuses_manifests_with_a_subject(project, key, status):
    project.proxy.inject(0, referrers=status)
    refused = project.push_signed(key, *ATTESTED)
    assert refused.code == 1 and status in refused.err and "Traceback" not in refused.err, refused
    assert project.proxy.refusals.total() >= 1


@pytest.mark.parametrize("kind", ["500", "503", "reset", pytest.param("hang", marks=pytest.mark.extended)])
def test_a_registry_that_fails_after_the_image(project, key, kind):
    """The image is uploaded, its signature is not: three tries, then the error of a network; the next push completes it."""
    project.proxy.inject(0, referrers=kind)
    failed = project.push_signed(key, *ATTESTED)
    assert failed.code == 5 and "Traceback" not in failed.err, failed
    assert max(project.proxy.refusals.values()) == 3


def test_a_registry_that_fails_now_and_then(behind_proxy, key, verifier):
    behind_proxy.change_binaries()
    before = tags(behind_proxy)
    behind_proxy.proxy.inject(0.2, seed=5)
    pushed = behind_proxy.push_signed(key, *ATTESTED, env={"BUILDLIB_RETRY_ATTEMPTS": "10"})
    behind_proxy.proxy.inject(0)
    assert pushed.code == 0 and tags(behind_proxy) != before, pushed
    assert unverified(behind_proxy.images, "latest", key, verifier) == set()


def test_after_a_kill_at_any_time_latest_is_signed(behind_proxy, key, verifier):
    """Each round pushes another image and is killed at another time: what the tag names has all signatures, old or new."""
    seen = set()
    behind_proxy.change_binaries()
    began = time.monotonic()
    assert behind_proxy.push_signed(key, *ATTESTED).code == 0
    duration = time.monotonic() - began
    argv = (BUILDLIB, "image", "--no-build", "--push", "--arch", ARCH, "--sign", key.private, *ATTESTED)
    for number in range(6):
        behind_proxy.change_binaries()
        process = subprocess.Popen(
            [str(word) for word in argv], cwd=behind_proxy.root, env=os.environ | behind_proxy.env | key.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        if number < 5:  # the last round is complete, however slow the machine has become
            time.sleep(duration * (0.5 + number / 8))  # the first half is the build
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        seen.add(behind_proxy.images.manifest("latest"))
        assert unverified(behind_proxy.images, "latest", key, verifier) == set()
    assert len(seen) > 1
