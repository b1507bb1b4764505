"""Which keys are accepted, and what is said of all others."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from signing_keys import encrypted, made, pem, public_pem

from buildlib.core.errors import UsageError
from buildlib.signing.keys import private_key, public_key

KEY = made().key
DER = KEY.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
RSA, ED25519 = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())
SIGN, VERIFY = (
    "sign with an ECDSA P-256 key, as `cosign generate-key-pair` makes",
    "verify with the public key, such as cosign.pub",
)
PASSWORD = {"COSIGN_PASSWORD": "secret"}
OPENSSL = pem(KEY, encryption=serialization.BestAvailableEncryption(b"secret"))
GOOD = {
    "cosign": (encrypted(DER, b"secret"), PASSWORD),
    "an old cosign": (encrypted(DER, b"secret", "ENCRYPTED COSIGN PRIVATE KEY"), PASSWORD),
    "an empty password": (encrypted(DER, b""), {"COSIGN_PASSWORD": ""}),
    "PKCS#8": (pem(KEY), {}),
    "SEC 1": (pem(KEY, serialization.PrivateFormat.TraditionalOpenSSL), {}),
    "OpenSSL with a password": (OPENSSL, PASSWORD),
    "Windows line ends": (pem(KEY).replace("\n", "\r\n"), {}),
    "text before it": ("# a key\n\n" + pem(KEY), {}),
}


def is_the_key(key):
    return key.key.private_numbers() == KEY.private_numbers()


@pytest.mark.parametrize("text, env", GOOD.values(), ids=GOOD)
def test_a_key_is_read_from_a_file_or_a_variable(text, env, tmp_path):
    file = tmp_path / "cosign.key"
    file.write_bytes(text.encode())
    assert is_the_key(private_key(str(file), env))
    assert is_the_key(private_key("env://SIGNING_KEY", {**env, "SIGNING_KEY": text}))


WRONG = {
    "RSA": (pem(RSA), {}, "an RSA key, expected ECDSA P-256", SIGN),
    "Ed25519": (pem(ED25519), {}, "an Ed25519 key, expected ECDSA P-256", SIGN),
    "P-384": (pem(P384), {}, "an ECDSA secp384r1 key, expected ECDSA P-256", SIGN),
    "a public key": (public_pem(KEY.public_key()), {}, "a public key, expected a private one", SIGN),
    "OpenSSH": (pem(KEY, serialization.PrivateFormat.OpenSSH), {}, "not a private key in PEM", SIGN),
    "a certificate": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", {}, "not a private key in PEM", SIGN),
    "empty": ("", {}, "not a private key in PEM", SIGN),
    "no password": (
        encrypted(DER, b"secret"), {}, "the key is encrypted", "set COSIGN_PASSWORD to its password"
    ),
    "a wrong password": (
        encrypted(DER, b"secret"), {"COSIGN_PASSWORD": "Secret"}, "COSIGN_PASSWORD is not the password of this key",
        "set COSIGN_PASSWORD to its password",
    ),
    "a wrong password for OpenSSL": (
        OPENSSL, {"COSIGN_PASSWORD": "Secret"}, "COSIGN_PASSWORD is not the password of this key",
        "set COSIGN_PASSWORD to its password",
    ),
    "a damaged file": (
        encrypted(DER, b"secret", kdf={"name": "scrypt"}), PASSWORD, "a damaged key file of cosign", "copy it again, or make a new key"
    ),
    "an expensive kdf": (
        encrypted(DER, b"secret", kdf={"name": "scrypt", "params": {"N": 1 << 40, "r": 8, "p": 1}, "salt": "AA=="}), PASSWORD,
        "a damaged key file of cosign", "copy it again, or make a new key",
    ),
    "another cipher": (
        encrypted(DER, b"secret", cipher={"name": "rot13", "nonce": "AA=="}), PASSWORD,
        "encrypted by scrypt and rot13, expected scrypt and nacl/secretbox", "",
    ),
    "a short nonce": (
        encrypted(DER, b"secret", cipher={"name": "nacl/secretbox", "nonce": "AA=="}), PASSWORD,
        "COSIGN_PASSWORD is not the password of this key", "set COSIGN_PASSWORD to its password",
    ),
    "too long": ("x" * (1 << 17), {}, "more than 65536 bytes, expected a key in PEM", ""),
}  # fmt: skip


@pytest.mark.parametrize("text, env, message, help_text", WRONG.values(), ids=WRONG)
def test_any_other_key_is_a_usage_error(text, env, message, help_text, tmp_path):
    file = tmp_path / "cosign.key"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        private_key(str(file), env)
    assert (caught.value.message, caught.value.help) == (f"{file}: {message}", help_text)


def test_a_key_that_cannot_be_read_is_a_usage_error(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    expected = {
        str(tmp_path / "absent"): "No such file or directory", str(tmp_path): "Is a directory",
        str(tmp_path / "binary"): "not a text file, expected a key in PEM", "env://KEY": "the variable KEY is not set",
    }  # fmt: skip
    for source, message in expected.items():
        with pytest.raises(UsageError) as caught:
            private_key(source, {})
        assert caught.value.message == f"{source}: {message}"


@given(st.text())
def test_any_text_is_a_key_or_a_usage_error(text):
    for read in (private_key, public_key):
        with pytest.raises(UsageError):
            read("env://KEY", {"KEY": text})


def test_a_public_key_verifies_what_the_private_one_signs(tmp_path):
    file = tmp_path / "cosign.pub"
    file.write_text(public_pem(KEY.public_key()))
    private, public = private_key("env://KEY", {"KEY": pem(KEY)}), public_key(str(file), {})
    signature = private.sign(b"content")
    assert public.verifies(signature, b"content")
    assert not public.verifies(signature, b"other") and not public.verifies(b"", b"content")
    assert public.hint == private.public.hint and private.sign(b"content") == signature


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (pem(KEY), "a private key, expected a public one"),
        (public_pem(RSA.public_key()), "an RSA key, expected ECDSA P-256"),
        (public_pem(ED25519.public_key()), "an Ed25519 key, expected ECDSA P-256"),
        (public_pem(P384.public_key()), "an ECDSA secp384r1 key, expected ECDSA P-256"),
        ("nothing", "not a public key in PEM"),
    ],
)
def test_any_other_public_key_is_a_usage_error(text, message):
    with pytest.raises(UsageError) as caught:
        public_key("env://KEY", {"KEY": text})
    assert (caught.value.message, caught.value.help) == (f"env://KEY: {message}", VERIFY)
