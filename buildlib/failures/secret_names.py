"""Which names (of variables, flags, keys) stand for secrets. Pure.

The words are those of gitleaks' rule `generic-api-key` (auth, credential, creds, key, passwd, password, secret, token; names that
only look like it are its allowlist), with `pass`, `pwd` and their compounds from Yelp's detect-secrets (KeywordDetector) and
`connection string` from Buildkite's agent (--redacted-vars).
"""

from __future__ import annotations

import re
from functools import lru_cache

# The parts of a name: API_KEY, api-key, apiKey, APIKey.
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET = frozenset({
    "auth", "oauth", "authorization", "credential", "credentials", "cred", "creds", "passw", "passwd", "password", "passwords",
    "passphrase", "passcode", "secret", "secrets", "token", "tokens", "pwd", "pat",
})  # fmt: skip
# The end of a part that is written without a separator: PGPASSWORD, npmtoken, SSHPASS.
_SECRET_END = (
    "passwd", "password", "passphrase", "secret", "token", "apikey", "accesskey", "secretkey", "privatekey", "authkey", "signingkey",
    "credential", "credentials", "sshpass", "dbpass", "userpass", "keypass", "storepass",
)  # fmt: skip
# A name that ends so says something about a secret, or where it is: TOKEN_FILE, AWS_ACCESS_KEY_ID, SSH_AUTH_SOCK, AUTH_TYPE.
_ABOUT = frozenset({
    "file", "files", "path", "paths", "dir", "directory", "folder", "sock", "socket", "id", "ids", "name", "names", "user", "username",
    "type", "kind", "method", "mode", "url", "uri", "endpoint", "server", "host", "port", "size", "length", "len", "count", "limit",
    "max", "min", "ttl", "expiry", "expires", "expiration", "timeout", "alias", "ring", "board", "version", "format", "algorithm",
    "provider", "providers", "helper", "program", "command", "plugin", "plugins", "prompt", "stdin", "enabled", "disabled", "required",
    "signature", "selector", "fingerprint",
})  # fmt: skip
# Keys that are not secret, by the part before: PUBLIC_KEY, foreign-key; gitleaks' list, and those of caches, SSH, databases, and of
# CI systems, whose values are parts of paths (bamboo_planKey, BUILDKITE_STEP_KEY, SONAR_PROJECT_KEY).
_OPEN_KEY = frozenset({
    "public", "pub", "bucket", "foreign", "hot", "idx", "natural", "primary", "schema", "sequence", "cache", "host", "known",
    "authorized", "index", "sort", "partition", "routing", "project", "plan", "build", "job", "step", "object", "issue",
})  # fmt: skip
# Before `tokens`, whose number a program is given: MAX_TOKENS.
_NUMBER = frozenset({"max", "min", "num", "total"})
# The shell's working directories.
_DIRECTORIES = frozenset({"pwd", "oldpwd"})


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether the value under this name is a secret. `key` alone is too common a word for that."""
    parts = [part.lower() for part in _PART.findall(name)]
    if not parts or (len(parts) == 1 and parts[0] in _DIRECTORIES):
        return False
    if parts[-1] in _ABOUT or (parts[-1] == "tokens" and not _NUMBER.isdisjoint(parts)):
        return parts[-2:] == ["secret", "id"]  # of Vault's AppRole
    if any(part in _SECRET or part.endswith(_SECRET_END) for part in parts):
        return True
    before = parts[-2] if len(parts) > 1 else ""
    if parts[-1] in ("pass", "pw"):
        return bool(before) or name.isupper()
    if parts[-1] in ("key", "keys"):
        return bool(before) and before not in _OPEN_KEY
    return parts[-1] in ("jwt", "bearer") or parts[-2:] == ["connection", "string"]
