"""Which variables are secret: names, values, and every way in which a tool prints them. Both directions."""

import base64
import json
import shlex
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from buildlib.failures import redact
from buildlib.failures.redact import HIDDEN
from buildlib.failures.secret_names import is_secret_name

SECRET = (
    "DB_PASS", "REDIS_PASS", "MYSQL_PASS", "SSH_KEY", "ENCRYPTION_KEY", "JWT_KEY", "MASTER_KEY", "LICENSE_KEY",
    "DEPLOY_KEY", "SIGNING_KEY", "APP_KEY", "AZURE_STORAGE_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "GITHUB_TOKEN", "GH_TOKEN", "GH_PAT", "CI_JOB_TOKEN", "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "NPM_TOKEN", "NPM_CONFIG__AUTH", "NPM_CONFIG__AUTHTOKEN", "_authToken",
    "PGPASSWORD", "MYSQL_PWD", "MSSQL_SA_PASSWORD", "SSHPASS", "PASS", "PASSWORD", "TOKEN",
    "CARGO_REGISTRY_TOKEN", "CARGO_REGISTRIES_X_TOKEN", "DOCKERHUB_TOKEN", "REGISTRY_PASSWORD",
    "DOCKER_AUTH_CONFIG", "SECRET_KEY_BASE", "SECRET_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AccountKey",
    "SharedAccessKey", "API_KEY", "apikey", "x-api-key", "OPENAI_API_KEY", "GPG_PASSPHRASE", "GPG_PRIVATE_KEY",
    "TWINE_PASSWORD", "VAULT_TOKEN", "SENTRY_AUTH_TOKEN", "HTTP_BASIC_AUTH", "COSIGN_PRIVATE_KEY",
    "ANDROID_KEYSTORE_PASSWORD", "client_secret", "authToken", "--password", "--registry-token", "npm_secret",
    "MY_SECRETS", "S3_SECRET", "LDAP_BIND_PW", "ADMIN_PW", "CI_JOB_JWT", "API_BEARER", "VAULT_SECRET_ID", "secretId",
)  # fmt: skip
OPEN = (
    "PWD", "OLDPWD", "PATH", "HOME", "USER", "KEYBOARD", "MONKEY", "TURKEY", "KEYMAP", "XAUTHORITY", "AUTHOR",
    "GIT_AUTHOR_NAME", "GIT_COMMITTER_EMAIL", "TOKENIZERS_PARALLELISM", "SSH_AUTH_SOCK", "SSH_AGENT_PID",
    "SSH_ASKPASS", "GIT_ASKPASS", "PASSWD_FILE", "TOKEN_FILE", "POSTGRES_PASSWORD_FILE",
    "GOOGLE_CREDENTIALS_PATH", "AWS_ACCESS_KEY_ID", "CACHE_KEY", "PUBLIC_KEY", "SSH_HOST_KEY", "key", "KEY",
    "primary_key", "foreign-key", "COMPASS", "COMPATIBLE", "PASSES", "NUM_PASSES", "PATTERN", "AUTH_TYPE",
    "AUTH_METHOD", "TOKEN_URL", "ACTIONS_ID_TOKEN_REQUEST_URL", "OAUTH_ENDPOINT",
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "RUSTFLAGS", "DBUS_SESSION_BUS_ADDRESS", "XDG_SESSION_ID",
    "LS_COLORS", "GITHUB_REPOSITORY", "KEYRING", "pathspec", "author", "unauthorized", "--password-stdin",
    "tokenize", "passthrough", "CARGO_REGISTRY_CREDENTIAL_PROVIDER", "bamboo_planKey", "bamboo_shortJobKey",
    "BUILDKITE_STEP_KEY", "SONAR_PROJECT_KEY", "JIRA_ISSUE_KEY", "S3_OBJECT_KEY", "MAX_TOKENS", "MAX_OUTPUT_TOKENS",
)  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_the_name_of_a_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", OPEN)
def test_another_name(name):
    assert not is_secret_name(name)


def test_values_that_say_where_or_how_are_not_secret(tmp_path):
    key = tmp_path / "id_ed25519"
    key.touch()
    values = redact.secret_values({
        "SSH_KEY": str(key), "DOCKER_AUTH": "required", "X_TOKEN": "none", "Y_TOKEN": "true", "DEBUG_TOKEN": "1",
        "GPG_KEY": "A035C8C19219BA821ECEA86B64E628F8D684696D", "PWD": "/work/project", "OLDPWD": "/work/other",
        "MY_PWD": str(tmp_path), "DATABASE_URL": "postgres://db.acme.test/app", "HTTPS_PROXY": "http://proxy.acme.test:8080",
    })  # fmt: skip
    assert values == ()


def test_a_path_that_does_not_exist_may_be_a_secret():
    assert "/x9Abc/qqwe+12" in redact.secret_values({"DB_PASS": "/x9Abc/qqwe+12"})


def test_paths_in_a_text_stay_readable():
    env = {"PWD": "/work/project", "OLDPWD": "/work", "SSH_AUTH_SOCK": "/tmp/ssh-x/agent", "DB_PASS": "hunter22"}
    text = "/work/project/src/main.rs: hunter22 is in /work and /tmp/ssh-x/agent"
    assert redact.redact(text, redact.secret_values(env)) == (
        "/work/project/src/main.rs: *** is in /work and /tmp/ssh-x/agent"
    )


def test_the_password_in_a_url_is_a_secret_wherever_it_appears():
    values = redact.secret_values({"DATABASE_URL": "postgres://app:p%40ss%2Fword@db.acme.test/app"})
    assert redact.redact("connecting as app with p@ss/word, p%40ss%2Fword", values) == "connecting as app with ***, ***"


def test_each_line_of_a_secret_is_one():
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nQyNTUxOQAAACDXyZ\n-----END OPENSSH PRIVATE KEY-----\n"
    assert redact.redact("bad line: QyNTUxOQAAACDXyZ", redact.secret_values({"SSH_KEY": key})) == "bad line: ***"


def test_overlapping_secrets_are_hidden_completely():
    assert redact.redact("xabcdefghix", ("abcdef", "defghi")) == "x***x"
    assert redact.redact("abcdefghi", ("def", "abcdefghi")) == HIDDEN


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("docker run -e DB_PASS=a,b;c&d app", "docker run -e DB_PASS=*** app"),
        ("JWT_KEY=abc", "JWT_KEY=***"),
        ("ENV DB_PASS hunter2", "ENV DB_PASS ***"),
        ("docker buildx build --build-arg ENCRYPTION_KEY=x .", "docker buildx build --build-arg ENCRYPTION_KEY=*** ."),
        ('PASSWORD="a \\" b" c', "PASSWORD=*** c"),
        ("DB_PASS='it'\"'\"'s' x", "DB_PASS=*** x"),
        ("--password=a --registry ghcr.io", "--password=*** --registry ghcr.io"),
        ("--registry-token a --registry ghcr.io", "--registry-token *** --registry ghcr.io"),
        ("postgres://app:pa/ss@db/app", "postgres://***@db/app"),
        ('{"auths":{"x":{"auth":"YTpi"}},"n":1}', '{"auths":{"x":{"auth":***}},"n":1}'),
        ('{\\"token\\":\\"abc\\"} x', '{\\"token\\":*** x'),
        ('Config { password: "abc", port: 1 }', "Config { password: ***, port: 1 }"),
        ("curl -u user:abc https://a.test", "curl -u user:*** https://a.test"),
        ("machine ghcr.io login me password abc", "machine ghcr.io login me password ***"),
        ("api_key: abc\nport: 1", "api_key: ***\nport: 1"),
        ("Authorization: token abc", "Authorization: token ***"),
        ("Bearer AbCdEfGh", "Bearer ***"),
        ("connection: Endpoint=sb://x/;SharedAccessKey=abc=", "connection: Endpoint=sb://x/;SharedAccessKey=***"),
    ],
)  # fmt: skip
def test_only_the_secret_is_hidden(text, hidden):
    assert redact.redact(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "docker login --username a --password-stdin ghcr.io", "docker run -u 1000:1000 app", "ssh://git@github.com/acme/a",
        "basic authentication is required", "bearer challenge without a realm", "RUN --mount=type=secret,id=npm,target=/x cat /x",
        "--secret=id=npm,src=/etc/npmrc", "CACHE_KEY=linux-amd64", "cargo:rerun-if-env-changed=DB_PASS",
        "PWD=/work/project cargo build", "monkey = 1", "let key = map.get(k)?;",
        "if token == other {", "Some(token) => token,", "AUTH_TYPE=basic", "GIT_AUTHOR_NAME=me",
        "error: expected one of `!` or `::`, found `token`", "ghcr.io/acme/a@sha256:00", "keyboard: de", "author: me",
        "AWS_ACCESS_KEY_ID is not set", "task-scheduler-with-a-long-name", "asiasoutheast1region",
    ],
)  # fmt: skip
def test_other_text_stays(text):
    assert redact.redact(text) == text
    assert redact.redact_argv(text.split(" ")) == text.split(" ")


def test_a_word_of_a_command_line_is_hidden_to_its_end():
    words = ("--build-arg", "DB_PASS=a b\nc", "--build-arg=JWT_KEY=a b", "--token=a b", "X=a b", "-e", "PATH=/bin")
    assert redact.redact_argv(words) == [
        "--build-arg", f"DB_PASS={HIDDEN}", f"--build-arg=JWT_KEY={HIDDEN}", f"--token={HIDDEN}", "X=a b", "-e", "PATH=/bin",
    ]  # fmt: skip


# --- fuzzing -----------------------------------------------------------------------------------------------------------------

PRINTABLE = "".join(chr(code) for code in range(33, 127))
VALUES = st.one_of(
    st.text("0123456789abcdef", min_size=16, max_size=64),
    st.text(string.ascii_letters + string.digits + "-_", min_size=16, max_size=64),
    st.binary(min_size=12, max_size=40).map(lambda data: base64.b64encode(data).decode()),
    st.text(PRINTABLE, min_size=12, max_size=24),
    st.text(PRINTABLE + " äß漢", min_size=12, max_size=24).map(lambda text: f"x{text}x"),
).filter(lambda value: not Path(value).exists())
NAMES = st.sampled_from([name for name in SECRET if name.isidentifier()])
SPELLINGS = (
    str, shlex.quote, repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False), lambda text: quote(text, safe=""),
    lambda text: json.dumps({"a": json.dumps({"b": text})}),
)  # fmt: skip


def leaks(secret, text):
    """A piece of the secret that is still there: no six characters of it in a row may remain."""
    return next((secret[at : at + 6] for at in range(len(secret) - 5) if secret[at : at + 6] in text), None)


@given(NAMES, VALUES, st.text(), st.text())
def test_no_piece_of_a_variables_value_survives(name, value, before, after):
    assume(len(value.strip()) >= 6 and not leaks(value, before + after))
    text = redact.redact(f"{before}{value}{after}", redact.secret_values({name: value}))
    assert leaks(value.strip(), text) is None


@given(NAMES, VALUES, st.sampled_from(SPELLINGS))
def test_no_spelling_of_a_variables_value_survives(name, value, spell):
    text = redact.redact(f"got {spell(value)} here", redact.secret_values({name: value}))
    assert leaks(value, text) is None


@given(NAMES, VALUES, st.sampled_from(["", "u:", "us:", "usr:", "user:"]), st.sampled_from(["", "\n", "!!"]))
def test_no_base64_of_a_variables_value_survives(name, value, before, after):
    encoded = base64.b64encode(f"{before}{value}{after}".encode()).decode()
    text = redact.redact(f"got {encoded} here", redact.secret_values({name: value}))
    assert leaks(encoded[8:-8], text) is None


# Without knowing the value: the end of it must be recognizable.
SHAPES = st.sampled_from([
    (str.split, "{name}={value}"), (str.split, "--build-arg {name}={value} ."), (str.split, "export {name}={value}; x"),
    (shlex.quote, "{name}={value}"), (json.dumps, '{{"{name}": {value}, "x": 1}}'), (json.dumps, "{name} = {value}"),
    (json.dumps, "{{{name}: {value}}}"), (str.split, "--my-{name} {value} x"),
])  # fmt: skip


@given(NAMES, VALUES, SHAPES, st.text(), st.text())
def test_no_value_after_the_name_of_a_secret_survives(name, value, shape, before, after):
    spell, form = shape
    if spell is str.split:
        assume(not any(char.isspace() for char in value) and not (form.startswith("--my") and value.startswith("-")))
        spell = str
    spelled = spell(value)
    assume(not leaks(spelled, before + after))
    text = redact.redact(f"{before} {form.format(name=name, value=spelled)}\n{after}")
    assert leaks(spelled, text) is None


@given(
    NAMES, st.text(min_size=6), st.sampled_from(["{name}={value}", "--build-arg={name}={value}", "--{name}={value}"])
)
def test_no_value_in_a_command_line_survives(name, value, form):
    word = form.format(name=name, value=value)
    assert redact.redact_argv(["x", word, "y"]) == ["x", word.removesuffix(value) + HIDDEN, "y"]


@pytest.mark.parametrize(
    "unit",
    ["TOKEN=", "token: ", "a=", '{"token":"', '\\"token\\":\\"', "a://b:", "a://b:c/", " -u a:", "login a password ", "ENV A ",
     "-a ", "bearer a", "A" * 50, "a.", "\\", "'", "PASS='", 'PASS="\\', "authorization: ", "SG.a", "eyJ"],
    ids=repr,
)  # fmt: skip
def test_time_grows_with_the_length_of_the_text(assert_linear, unit):
    assert_linear(lambda text: redact.redact(text, ("abcdefgh", "aaaaaaaa")), unit)
