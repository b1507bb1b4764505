"""Remove secrets from text before it is stored or shown. Pure.

A secret is recognized by its form (tokens of GitHub, GitLab, Docker, cloud providers and registries, JSON web tokens),
by where it is (the user or the signature in a URL, an Authorization header), by the name before it (--build-arg
NPM_TOKEN=...), or because it is the value of an environment variable with such a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

HIDDEN = "***"
# Words in the names of secrets. KEY alone is not one of them: many other things are called that (CACHE_KEY, key=).
NAME = r"(?:token|secret|passw(?:or)?d|passphrase|credential|api_?key|access_?key|private_?key|signing_?key|auth|pwd)"
# A name with one of the words as a part of its own (API_TOKEN, token-file) or at its end (authToken).
SECRET_NAME = re.compile(rf"(?:^|[_-]|\b){NAME}s?(?:$|[_-]|\b)|{NAME}$", re.IGNORECASE)
# A quoted text, or a word. The closing quote may be missing.
VALUE = r"(?:\"[^\"\n]*\"?|'[^'\n]*'?|[^\s\"',;&]+)"
MIN_LENGTH = 6  # characters; a shorter value would also be found inside words that are not secret

# Patterns, and what replaces their matches.
FORMS = (
    # Tokens with a known prefix.
    (r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|gl[a-z]{2,4}-[\w-]{16,}|dckr_(?:pat|oat)_[\w-]{16,}|npm_[A-Za-z0-9]{16,}"
     r"|pypi-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[\w-]{20,}|ya29\.[\w-]{10,}|sk-[\w-]{20,}"
     r"|cio[A-Za-z0-9]{28,}|hvs\.[\w-]{16,}"
     r"|eyJ[\w-]{8,}\.[\w-]*(?:\.[\w-]*)?)", HIDDEN),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!----END))*(?:-----END [A-Z ]*PRIVATE KEY-----)?", HIDDEN),
    # https://user:password@host, and a token as the user.
    (r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/\"'<>]{1,512}@", rf"\1{HIDDEN}@"),
    # Authorization: Bearer ..., Basic ...
    (r"(\b(?:proxy-)?authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:[a-z]{1,12}\s{1,4})?)[^\s\"',;]+", rf"\1{HIDDEN}"),
    (r"(\b(?:bearer|basic)\s{1,4})[A-Za-z0-9+/=._~-]{8,}", rf"\1{HIDDEN}"),
    # The signatures in URLs of S3, GCS, Azure and CloudFront, and the _state in those of registries.
    (r"([?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|token|key-pair-id|awsaccesskeyid|_state|jwt)=)"
     r"[^\s&\"'<>]+", rf"\1{HIDDEN}"),
    # NAME=value, then --name value.
    (rf"({NAME}s?\w{{0,64}}[\"']?\s?=\s?){VALUE}", rf"\1{HIDDEN}"),
    (rf"(--(?:[\w-]{{0,64}}-)?{NAME}s?\s+)(?!-|id=){VALUE}", rf"\1{HIDDEN}"),
    # "name": value in JSON.
    (rf"({NAME}s?\w{{0,64}}[\"']\s?:\s?){VALUE}", rf"\1{HIDDEN}"),
    # NAME: value, only if the name is in upper case, as a variable's is, or begins the line. After any other colon the
    # sentence continues (`failed to fetch oauth token: unexpected status`).
    (rf"((?-i:(?:_[A-Z0-9]{{1,32}}|\b)(?:TOKEN|SECRET|PASSWORD|PASSPHRASE|KEY|CREDENTIALS?)\s?:\s?)){VALUE}", rf"\1{HIDDEN}"),
    (rf"(^\s{{0,64}}[\w-]{{0,64}}(?:token|secret|password|passphrase)s?:\s{{1,4}}){VALUE}", rf"\1{HIDDEN}"),
    # login -p value, as of docker.
    (r"(\blogin\b[^\n]{0,200}?\s-p[ =]?)\S+", rf"\1{HIDDEN}"),
)  # fmt: skip


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The compiled forms; compiled at first use, because most commands have nothing to hide."""
    return tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement) for pattern, replacement in FORMS)


def redact(text: str, values: Iterable[str] = ()) -> str:
    """`text` with `***` in place of each secret. `values` are secrets that are known."""
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    return text


def secret_values(env: Mapping[str, str]) -> tuple[str, ...]:
    """The values of the variables whose names mark them as secrets."""
    return tuple(value for name, value in env.items() if SECRET_NAME.search(name) and len(value) >= MIN_LENGTH)


def redact_argv(words: Iterable[str], values: Iterable[str] = ()) -> list[str]:
    """A command line without secrets, including the word after --password or --token."""
    values = tuple(values)
    redacted: list[str] = []
    hide_next = False
    for word in words:
        redacted.append(HIDDEN if hide_next else redact(word, values))
        is_secret_flag = word.startswith("--") and "=" not in word and SECRET_NAME.search(word.removeprefix("--"))
        # --secret takes names of files and ids (id=pip,src=/etc/pip.conf); -p takes a password in login commands only.
        hide_next = (bool(is_secret_flag) and word != "--secret") or (word == "-p" and "login" in redacted)
    return redacted
