"""ECDSA P-256 keys: cosign's encrypted key files, and keys in PEM without encryption.

cosign's format (sigstore's pkg/cryptoutils and go-securesystemslib/encrypted): PEM around JSON, scrypt for the password, and NaCl's
secretbox around a PKCS#8 key.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from buildlib.core.errors import UsageError
from buildlib.core.signing_settings import PASSWORD, VARIABLE

ENCRYPTED = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")
LABEL = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]*?)-----END \1-----")
MAX_KEY = 1 << 16  # bytes of a file that holds a key
EXPECTED = "an ECDSA P-256 key, as `cosign generate-key-pair` makes"


class _Parameters(Struct, rename={"n": "N"}):
    # The values that cosign knows. scrypt needs 128 * N * r bytes, so that a file with others could ask for any amount of memory.
    n: Literal[32768, 65536, 131072]
    r: Literal[8]
    p: Literal[1]


class _Kdf(Struct):
    name: str
    params: _Parameters
    salt: bytes


class _Cipher(Struct):
    name: str
    nonce: bytes


class _Encrypted(Struct):
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that verifies signatures. `name` is where it is from, for messages."""

    key: ec.EllipticCurvePublicKey
    name: str

    @property
    def hint(self) -> str:
        """The name of the key in a bundle: base64 of the SHA-256 of its DER form, as cosign writes it."""
        der = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is one of this key for `data`."""
        try:
            self.key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs. `name` is where it is from, for messages."""

    key: ec.EllipticCurvePrivateKey
    name: str

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return PublicKey(self.key.public_key(), self.name)

    def sign(self, data: bytes) -> bytes:
        """The signature in DER. The same data has the same one (RFC 6979), so that signing again adds nothing to a registry."""
        try:
            return self.key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        except UnsupportedAlgorithm:  # OpenSSL before 3.2
            return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


def private_key(source: str, env: Mapping[str, str]) -> PrivateKey:
    """Read the private key in a file or, for env://NAME, in a variable.

    Raises:
        UsageError: It cannot be read or decrypted, or is not an ECDSA P-256 key.
    """
    data = _read(source, env)
    match = LABEL.search(data)
    label = match[1] if match else ""
    if match and label in ENCRYPTED:
        der = _decrypted(source, match[2], env)
        load, encoded, password = serialization.load_der_private_key, der, None
    else:
        load, encoded = serialization.load_pem_private_key, data.encode()
        password = _password(source, env) if label == "ENCRYPTED PRIVATE KEY" else None
    if label.endswith("PUBLIC KEY"):
        raise UsageError(f"{source}: a public key, expected a private one", f"sign with {EXPECTED}")
    try:
        key = load(encoded, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if password is not None:
            raise _wrong_password(source) from None
        raise UsageError(f"{source}: not a private key in PEM", f"sign with {EXPECTED}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != ec.SECP256R1.name:
        raise UsageError(f"{source}: {_kind(key)}, expected ECDSA P-256", f"sign with {EXPECTED}")
    return PrivateKey(key, source)


def public_key(source: str, env: Mapping[str, str]) -> PublicKey:
    """Read the public key in a file or, for env://NAME, in a variable. UsageError for anything else."""
    data = _read(source, env)
    help_text = "verify with the public key, such as cosign.pub"
    if "PRIVATE KEY-----" in data:
        raise UsageError(f"{source}: a private key, expected a public one", help_text)
    try:
        key = serialization.load_pem_public_key(data.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{source}: not a public key in PEM", help_text) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise UsageError(f"{source}: {_kind(key)}, expected ECDSA P-256", help_text)
    return PublicKey(key, source)


def _read(source: str, env: Mapping[str, str]) -> str:
    if source.startswith(VARIABLE):
        name = source.removeprefix(VARIABLE)
        if not env.get(name):
            raise UsageError(f"{source}: the variable {name} is not set", "let it contain the key")
        return env[name]
    try:
        with Path(source).open("rb") as stream:
            data = stream.read(MAX_KEY + 1)
        if len(data) > MAX_KEY:
            raise UsageError(f"{source}: more than {MAX_KEY} bytes, expected a key in PEM")
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{source}: not a text file, expected a key in PEM") from None
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror}", "name the file of the key, or env://NAME") from None


def _password(source: str, env: Mapping[str, str]) -> bytes:
    if PASSWORD not in env:  # an empty password is one
        raise UsageError(f"{source}: the key is encrypted", f"set {PASSWORD} to its password")
    return env[PASSWORD].encode()


def _wrong_password(source: str) -> UsageError:
    return UsageError(f"{source}: {PASSWORD} is not the password of this key", f"set {PASSWORD} to its password")


def _decrypted(source: str, body: str, env: Mapping[str, str]) -> bytes:
    """The PKCS#8 key in an encrypted key of cosign."""
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        box = msgspec.json.decode(base64.b64decode(body), type=_Encrypted)
    except (ValueError, msgspec.DecodeError):
        raise UsageError(f"{source}: a damaged key file of cosign", "copy it again, or make a new key") from None
    if (box.kdf.name, box.cipher.name) != ("scrypt", "nacl/secretbox"):
        raise UsageError(
            f"{source}: encrypted by {box.kdf.name} and {box.cipher.name}, expected scrypt and nacl/secretbox"
        )
    cost = box.kdf.params
    password = _password(source, env)
    key = hashlib.scrypt(
        password, salt=box.kdf.salt, n=cost.n, r=cost.r, p=cost.p, dklen=SecretBox.KEY_SIZE, maxmem=1 << 28
    )
    try:
        return SecretBox(key).decrypt(box.ciphertext, box.cipher.nonce)
    except (CryptoError, ValueError):
        raise _wrong_password(source) from None


def _kind(key: Any) -> str:
    """What a key is, in words: "an RSA key", "an ECDSA secp384r1 key"."""
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return f"an ECDSA {key.curve.name} key"
    name = type(key).__name__.removeprefix("_").removesuffix("Key").removesuffix("Private").removesuffix("Public")
    return f"an {name} key" if name[:1] in "AEIOUR" else f"a {name} key"
