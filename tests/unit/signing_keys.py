"""Keys for tests, in the forms in which files have them."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from nacl.secret import SecretBox

from buildlib.signing.keys import PrivateKey


def made(name="k"):
    return PrivateKey(ec.generate_private_key(ec.SECP256R1()), name)


def pem(key, kind=serialization.PrivateFormat.PKCS8, encryption=None):
    """A private key as a file without encryption has it."""
    encryption = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, kind, encryption).decode()


def public_pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def encrypted(der, password, label="ENCRYPTED SIGSTORE PRIVATE KEY", **changes):
    """A key as cosign writes it; `changes` replace parts of its JSON."""
    salt, nonce = bytes(32), bytes(24)
    key = hashlib.scrypt(password, salt=salt, n=32768, r=8, p=1, dklen=32, maxmem=1 << 26)
    text = {
        "kdf": {"name": "scrypt", "params": {"N": 32768, "r": 8, "p": 1}, "salt": base64.b64encode(salt).decode()},
        "cipher": {"name": "nacl/secretbox", "nonce": base64.b64encode(nonce).decode()},
        "ciphertext": base64.b64encode(SecretBox(key).encrypt(der, nonce).ciphertext).decode(),
    } | changes
    body = base64.encodebytes(json.dumps(text).encode()).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"
