"""No secret survives `redact`, and other text stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildlib.failures import redact
from buildlib.failures.redact import HIDDEN

SECRET = "Zx9Qq7Lk3TbN5wP1"  # no tool prints this word


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{SECRET}@registry.acme.test/v2/",
        f"fatal: unable to access 'https://x-access-token:{SECRET}@github.com/acme/a/'",
        f"https://{SECRET}@github.com/acme/a",
        f"https://user:a@{SECRET}@github.com/acme/a",
        f"Authorization: Bearer {SECRET}",
        f"< authorization: Basic {SECRET}",
        f'{{"auths":{{"ghcr.io":{{"auth":"{SECRET}"}}}}}}',
        f'"password": "{SECRET}"',
        f"https://b.s3.amazonaws.com/x?X-Amz-Algorithm=A&X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}&x=1",
        f"https://a.blob.core.windows.net/x?sv=1&sig={SECRET}",
        f"docker buildx build --build-arg NPM_TOKEN={SECRET} .",
        f"docker buildx build --build-arg 'DB_PASSWORD={SECRET}' .",
        f"docker login --username a --password {SECRET} ghcr.io",
        f"docker login -u a -p {SECRET} ghcr.io",
        f"cargo login --token={SECRET}",
        f"CARGO_REGISTRIES_ACME_TOKEN={SECRET} cargo publish",
        f"  NPM_TOKEN: {SECRET}",
        f"password: {SECRET}",
        f"//registry.npmjs.org/:_authToken={SECRET}",
        f"ghp_{SECRET}{SECRET}",
        f"github_pat_{SECRET}_{SECRET}",
        f"dckr_pat_{SECRET}",
        f"glpat-{SECRET}",
        f"eyJhbGciOiJ{SECRET}.eyJzdWIi{SECRET}.{SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"https://hooks.slack.com/services/T0/B0/{SECRET}",
        f"POST https://discord.com/api/webhooks/1234567890/{SECRET}: 404",
        f"key is {SECRET} here",
    ],
)
def test_secret_is_removed(text):
    assert SECRET not in redact.redact(text, (SECRET,) if text.startswith("key") else ())


@pytest.mark.parametrize(
    "text",
    [
        "unauthorized: authentication required",
        "ERROR: failed to authorize: failed to fetch oauth token: unexpected status from POST request: 401 Unauthorized",
        "failed to fetch anonymous token: Get https://auth.docker.io/token?scope=repository%3Aa%3Apull: EOF",
        "docker buildx build --secret id=pip,src=/etc/pip.conf --build-arg PROFILE=release .",
        "error: no basic auth credentials",
        "cargo build --locked --release",
        "http://127.0.0.1:5000/v2/acme/a@sha256:00",
    ],
)
def test_other_text_stays(text):
    assert redact.redact(text) == text
    assert redact.redact_argv(text.split(" ")) == text.split(" ")


def test_command_line_keeps_its_other_words():
    redacted = redact.redact_argv(
        ("docker", "login", "-u", "a", "-p", SECRET, "--password", SECRET, "https://b:c@d", SECRET), (SECRET,)
    )
    assert redacted == ["docker", "login", "-u", "a", "-p", HIDDEN, "--password", HIDDEN, f"https://{HIDDEN}@d", HIDDEN]


def test_values_of_variables_with_secret_names_are_found():
    env = {
        "GITHUB_TOKEN": SECRET,
        "PASSWORD": "short",
        "PATH": "/usr/bin",
        "CARGO_REGISTRY_TOKEN": "abcdefgh",
        "AUTHOR": "somebody",
    }
    values = redact.secret_values(env)
    assert {SECRET, "abcdefgh"} <= set(values) and not {"short", "/usr/bin", "somebody"} & set(values)


SHAPES = st.sampled_from([
    "https://u:{}@h/", "Authorization: Bearer {}", "--build-arg API_TOKEN={}", '"password":"{}"', "?X-Amz-Signature={}&a=b",
    "MY_SECRET={}",
])  # fmt: skip


@settings(deadline=None)
@given(st.text(), SHAPES, st.text())
def test_secret_is_removed_from_any_context(before, shape, after):
    assert SECRET not in redact.redact(f"{before} {shape.format(SECRET)} {after}")


@pytest.mark.parametrize(
    "unit",
    [
        "token",
        "a://",
        "-----BEGIN PRIVATE KEY-----",
        "--a-token ",
        "eyJaaaaaaaa.",
        "basic ",
        "login ",
        "_A",
        '"',
        "sk-a",
    ],
    ids=repr,
)
def test_time_grows_with_the_length_of_the_text(assert_linear, unit):
    assert_linear(redact.redact, unit)


@pytest.mark.parametrize("name", ["auth", "token", "secret"])
def test_the_end_of_a_url_is_no_name(name):
    text = f'Post "https://registry.test/v2/{name}": dial tcp: lookup registry.test: no such host'
    assert redact.redact(text) == text


@given(st.from_regex(redact.PLAIN, fullmatch=True))
def test_in_a_plain_word_no_form_matches(word):
    """Such a word is returned as it is; every form is tried here."""
    assert not any(pattern.search(word) for pattern, _ in redact._rules())
    assert not list(redact._named_values(word))


def test_the_shortest_token_is_no_plain_word():
    assert redact.redact("xapp-aaaaaaaaaa") == HIDDEN
