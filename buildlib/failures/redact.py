"""Remove secrets from text before it is stored or shown.

A secret is recognized by its form (tokens with known prefixes, JSON web tokens, private keys), by where it is (the password or
the signature in a URL, an Authorization header), by the name before it (--build-arg NPM_TOKEN=...), or because it is the value
of an environment variable with such a name. `secret_names` knows the names.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

from buildlib.failures.secret_names import is_secret_name

HIDDEN = "***"
MIN_LENGTH = (
    6  # characters; what is shorter is also found in words that are not secret (Buildkite's agent has the same limit)
)
# Values of settings, which have names like SSL_AUTH too.
SETTINGS = frozenset({
    "always", "anonymous", "default", "digest", "disable", "disabled", "enable", "enabled", "kerberos", "keyring", "negotiate",
    "optional", "plaintext", "prompt", "required", "undefined", "unknown",
})  # fmt: skip
FINGERPRINT = re.compile(r"(?:0x)?[0-9A-Fa-f]{8,40}")  # of a public key, in GPG_KEY of Docker's official images
URL_PASSWORD = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:]{0,256}:([^\s@]{1,512})@")

# A value: one quoted text, or quoted texts (the last quote may be missing) and other characters up to a space. `,`, `;` and `&` do
# not end it: passwords contain them.
DOUBLE, SINGLE = r"\"(?:\\.|[^\"\\\n])*+", r"'[^'\n]*+"
VALUE = re.compile(rf"(?:{DOUBLE}\"|{SINGLE}')(?=[,;:)\]}}\s]|\Z)|(?:{DOUBLE}\"?|{SINGLE}'?|\\.|[^\s\"'\\]++|\\)+")
# A name and what separates it from its value: NAME=, "name":, name: "; also within a JSON string, where quotes are escaped.
# After any other colon a sentence continues (`failed to fetch oauth token: unexpected status`), unless the name is that of a
# variable or begins the line.
NAMED = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]++)(?:(?:\\?[\"'])?[ \t]?(?P<equals>=)[ \t]?|\\?[\"'][ \t]?:[ \t]?"
    r"|[ \t]?(?P<colon>:)[ \t]{0,4}(?P<quote>[\"'])?)"
)
PLAIN_NAME = re.compile(r"(?:token|secret|passw(?:or)?d|passphrase|key)s?$", re.IGNORECASE)
FLAG = re.compile(
    r"(?<!\S)--?(?!no-)(?P<name>[\w.-]++)[ \t]++(?!--?[a-z][a-z-]*+(?:[\s=]|\Z)|id=)|\bENV\s++(?P<variable>\w++)[ \t]++"
)
ASSIGNMENT = re.compile(
    r"(?:(?P<flag>--?[\w.-]++)=)?(?P<name>[\w.-]+)?(?==)"
)  # --flag=value, NAME=value, --flag=NAME=value

# Forms of secrets, and what replaces their matches; prefixes are those of gitleaks' rules.
PREFIXES = (
    r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|gl[a-z]{2,5}-[\w.-]{16,}|dckr_(?:pat|oat)_[\w-]{16,}|npm_[A-Za-z0-9]{16,}"
    r"|pypi-[\w-]{16,}|cio[A-Za-z0-9]{28,}|rubygems_[a-f0-9]{32,}|oy2[a-z0-9]{43}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}"
    r"|(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}|ABSK[A-Za-z0-9+/]{40,}=*|AIza[\w-]{20,}|ya29\.[\w-]{10,}|sk-[\w-]{20,}"
    r"|(?:sk|rk)_(?:test|live|prod)_[A-Za-z0-9]{10,}|hv[sb]\.[\w-]{16,}|hf_[A-Za-z0-9]{16,}|do[opr]_v1_[a-f0-9]{32,}|dapi[a-f0-9]{32}"
    r"|AKCp[A-Za-z0-9]{60,}|cmVmd[A-Za-z0-9]{59}|AGE-SECRET-KEY-1\w{30,}|SG\.[\w.-]{40,}|sntry[su]_[\w+/=-]{30,}|gl(?:c|sa)_[\w+/=-]{30,}"
    r"|dp\.pt\.[A-Za-z0-9]{30,}|pul-[a-f0-9]{40}|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}|sha256~[\w-]{43}|\w{3}\dQ~[\w~.-]{31,34}"
    r"|eyJ[\w-]{8,}\.[\w-]*(?:\.[\w-]*)?"
    r"|https://(?:hooks\.slack\.com/\w{1,20}|discord(?:app)?\.com/api/webhooks|[\w-]{1,63}\.webhook\.office\.com)/[^\s\"'<>]{16,}"
)
FORMS = (
    (rf"(?-i:\b(?:{PREFIXES}))", HIDDEN),
    (r"-----BEGIN[A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----END))*(?:-----END[A-Z0-9 ]{0,60}-----)?", HIDDEN),
    # https://user:password@host, and a token as the user; also a password with a slash, which is not a host's port.
    (r"(\b[a-z][a-z0-9+.-]{1,20}://)(?!git@)[^\s/\"'<>]{1,512}@", rf"\1{HIDDEN}@"),
    (r"(\b[a-z][a-z0-9+.-]{1,20}://)[^\s/@:\"']{0,256}:(?!\d{1,5}/)[^\s\"'<>]{1,512}@(?!sha256:)", rf"\1{HIDDEN}@"),
    # Authorization: Bearer ..., Basic ...; without the header only what no sentence contains (`basic authentication`).
    (r"(\b(?:proxy-)?authorization\\?[\"']?\s{0,4}[:=]\s{0,4}\\?[\"']?(?:[a-z]{1,12}\s{1,4})?)[^\s\"',;]+", rf"\1{HIDDEN}"),
    (r"(\b(?:bearer|basic)\s{1,4})(?=[^\s\d=]{0,2000}[\d=]|(?-i:[^\sa-z]{0,2000}[a-z]{1,2000}[A-Z]))[A-Za-z0-9+/=._~-]{8,}",
     rf"\1{HIDDEN}"),
    # The signatures in URLs of S3, GCS, Azure and CloudFront, and the _state in those of registries.
    (r"([?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|signature|sig|key-pair-id|awsaccesskeyid|_state|jwt)=)"
     r"[^\s&\"'<>]+", rf"\1{HIDDEN}"),
    # login -p value, as of docker; -u user:password, as of curl, not a container's -u 1000:1000; the lines of a .netrc.
    (r"(\blogin\b[^\n]{0,200}?\s-p[ =]?)\S+", rf"\1{HIDDEN}"),
    (r"(\s(?:-u|--user)[ =]?(?!\d+:\d+\b)[^\s:]{1,256}:)\S+", rf"\1{HIDDEN}"),
    (r"(\blogin\s{1,4}\S{1,256}\s{1,4}password\s{1,4})\S+", rf"\1{HIDDEN}"),
)  # fmt: skip


# Nothing is a secret in such a word: each form has another character, or more of these (the shortest one is xapp- with ten more).
PLAIN = re.compile(r"[a-z0-9,./-]{0,14}")


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The compiled forms; compiled at first use, because most commands have nothing to hide."""
    return tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), replacement) for pattern, replacement in FORMS)


def redact(text: str, values: Iterable[str] = ()) -> str:
    """`text` with `***` in place of each secret. `values` are secrets that are known."""
    text = _without(text, ((start, start + len(value)) for value in values for start in _occurrences(text, value)))
    if PLAIN.fullmatch(text):
        return text
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    return _without(text, _named_values(text))


def _occurrences(text: str, value: str) -> Iterator[int]:
    """The places of a value, overlapping ones too."""
    at = text.find(value) if value else -1
    while at >= 0:
        yield at
        at = text.find(value, at + 1)


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with these ranges hidden; what overlaps is hidden once."""
    parts, end = [], 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += [text[end:start], HIDDEN]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


def _named_values(text: str) -> Iterator[tuple[int, int]]:
    """The ranges of values after names of secrets."""
    for pattern in (NAMED, FLAG):
        end = 0
        for match in pattern.finditer(text):
            if match.start() >= end and _names_secret(match, text):
                start = match.start("quote") if match.groupdict().get("quote") else match.end()
                if value := VALUE.match(text, start):
                    end = value.end()
                    yield value.span()


def _names_secret(match: re.Match[str], text: str) -> bool:
    groups = match.groupdict()
    name = groups["name"] or groups["variable"]
    if not is_secret_name(name):
        return False
    if name.strip("-") == "secret" and ("variable" in groups or text.startswith(("id=", "type="), match.end())):
        return False  # docker's --secret takes names of files and ids
    if "variable" in groups:
        return True
    if groups["equals"]:  # `token == other` and `token => …` are code
        return not (text[match.start("equals") - 1] in " \t" and text.startswith(("=", ">"), match.end("equals")))
    ends_path = text[match.start() - 1 : match.start()] == "/"  # Post "https://…/auth": dial tcp …
    if ends_path or not groups["colon"] or groups["quote"]:
        return not ends_path
    begins_line = not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
    return bool(PLAIN_NAME.search(name)) and (name.isupper() or (begins_line and match[0].endswith(" ")))


def secret_values(env: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets in an environment: values of variables that are named as such, and passwords in URLs, each as tools print it.

    Values that only say where a secret is, or how it is used, are not among them: an existing path, a word such as `required`.
    """
    secrets: dict[str, None] = {}
    for name, value in env.items():
        found = [value] if is_secret_name(name) and not _is_open(name, value) else []
        if "://" in value:
            found += [text for match in URL_PASSWORD.finditer(value) for text in (match[1], unquote(match[1]))]
        for secret in found:
            secrets |= dict.fromkeys(_spellings(secret))
    return tuple(secrets)


def _is_open(name: str, value: str) -> bool:
    """Whether a value is not a secret in spite of its name."""
    if value.startswith(("/", "~/", "./")):
        return Path(value).expanduser().exists()
    return value.lower() in SETTINGS or (name.endswith("GPG_KEY") and FINGERPRINT.fullmatch(value) is not None)


def _spellings(secret: str) -> Iterator[str]:
    """A secret and each of its lines: as it is, and as JSON, Python, a URL, a shell and base64 write it, as GitHub's runner does."""
    for line in dict.fromkeys((secret.strip(), *map(str.strip, secret.splitlines()))):
        if len(line) < MIN_LENGTH:
            continue
        yield from (line, repr(line)[1:-1])
        for ascii_only in (False, True):
            escaped = json.dumps(line, ensure_ascii=ascii_only)[1:-1]
            yield from (escaped, json.dumps(escaped, ensure_ascii=ascii_only)[1:-1])  # the second is JSON within JSON
        data = line.encode("utf-8", "surrogateescape")
        yield from (quote(data, safe=""), quote(data), line.replace("'", "'\"'\"'"))
        # Base64 makes four characters of three bytes, so there are three forms, by the number of bytes before. Characters that
        # depend on the bytes around are left out.
        for before, first in ((0, 0), (1, 2), (2, 3)):
            encoded = b64encode(bytes(before) + data).rstrip(b"=").decode()
            yield encoded[first : None if (before + len(data)) % 3 == 0 else -1]


def redact_argv(words: Iterable[str], values: Iterable[str] = ()) -> list[str]:
    """A command line without secrets, including the word after --password or --token."""
    values = tuple(values)
    redacted: list[str] = []
    hide_next = False
    for word in words:
        redacted.append(HIDDEN if hide_next else _redact_word(word, values))
        is_secret_flag = word.startswith("--") and "=" not in word and is_secret_name(word)
        # --secret takes names of files and ids (id=pip,src=/etc/pip.conf); -p takes a password in login commands only.
        hide_next = (is_secret_flag and word != "--secret") or (word == "-p" and "login" in redacted)
    return redacted


def _redact_word(word: str, values: Iterable[str]) -> str:
    """A word of a command line; NAME=value and --flag=NAME=value are hidden up to their end, whatever they contain."""
    assignment = ASSIGNMENT.match(word)
    for name in ("flag", "name") if assignment else ():
        if assignment and is_secret_name(assignment[name] or "") and assignment[name] != "--secret":
            return f"{word[: assignment.end(name)]}={HIDDEN}"
    return redact(word, values)
