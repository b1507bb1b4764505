"""The gateway between a client and a fake registry: transient failures are retried, all others are returned."""

import errno
import http.client
import io
import json
import threading

import pytest
import requests
from upstream import Upstream, digest

from buildlib.core.settings import Retry
from buildlib.failures.classify import classify
from buildlib.process.retry import Budget
from buildlib.registry.client import Client
from buildlib.registry.connection import decode_registry, encode_registry
from buildlib.registry.gateway import configuration, open_gateway
from buildlib.registry.http import Answer
from buildlib.registry.reference import parse

POLICY = Retry(attempts=6, delay=0.001, max_delay=0.01, total=60.0)


@pytest.fixture
def upstream():
    with Upstream() as server:
        yield server


class Caller:
    """Sends requests to the gateway as buildx does, with the password. `failures` has every failed try."""

    def __init__(self, gateway, upstream, failures):
        self.gateway, self.failures, self.registry = gateway, failures, upstream.address.replace(":", "__")

    def __call__(self, method, path, body=None, headers=(), *, password=True):
        connection = http.client.HTTPConnection(self.gateway.address, timeout=20)
        login = {"Authorization": self.gateway.authorization} if password else {}
        connection.request(method, path.replace("REG", self.registry), body, {**login, **dict(headers)},
                           encode_chunked="Transfer-Encoding" in dict(headers))  # fmt: skip
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data


@pytest.fixture
def ask(upstream):
    failures, waits = [], []
    client = Client(
        Budget(POLICY), waits.append, lambda *failure: failures.append(failure), mirrors={}, login=lambda _: None
    )
    with open_gateway(client) as gateway:
        caller = Caller(gateway, upstream, failures)
        caller.client, caller.waits = client, waits
        yield caller


BLOB = bytes(range(256)) * 5000
NAME = digest(BLOB)


def test_the_password_is_required(ask, upstream):
    answer, _ = ask("GET", f"/v2/REG/a/b/blobs/{NAME}", password=False)
    assert (answer.status, answer.getheader("WWW-Authenticate")) == (401, 'Basic realm="buildlib"')
    assert ask("GET", "/v2/", headers={"Authorization": "Basic eDp5"}, password=False)[0].status == 401
    assert ask("GET", "/v2/")[0].status == 200
    assert not upstream.asked


def test_one_token_serves_all_requests(ask, upstream):
    upstream.blobs[NAME] = BLOB
    for _ in range(3):
        answer, data = ask("GET", f"/v2/REG/a/b/blobs/{NAME}")
        assert (answer.status, data, answer.getheader("Docker-Content-Digest")) == (200, BLOB, NAME)
    assert upstream.asked == {f"GET /v2/a/b/blobs/{NAME}": 4, "GET /token": 1}
    assert ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")[0].getheader("Content-Length") == str(len(BLOB))


def test_an_expired_token_is_replaced(ask, upstream):
    upstream.blobs[NAME] = BLOB
    ask("GET", f"/v2/REG/a/b/blobs/{NAME}")
    upstream.tokens.clear()
    upstream.tokens.add("another")  # the next token has another name than the first
    assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
    assert upstream.asked["GET /token"] == 2


@pytest.mark.parametrize(
    "fault", [(503, b""), (500, b""), (502, b"<html>"), (429, b""), "reset", (403, b"API rate limit exceeded")]
)
@pytest.mark.parametrize("where", ["/token", "/blobs/"])
def test_transient_failures_are_retried(ask, upstream, fault, where):
    upstream.blobs[NAME] = BLOB
    upstream.faults[where] = [fault, fault]
    assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
    assert [(attempt, failure.transient) for _, failure, attempt, _ in ask.failures] == [(1, True), (2, True)]


def test_a_manifest_is_read_byte_for_byte(ask, upstream):
    upstream.blobs |= {NAME: BLOB, "1.2": BLOB}
    for reference in (f"a/b@{NAME}", "a/b:1.2"):
        upstream.faults["/manifests/"] = ["reset", (503, b""), "cut"]
        assert ask.gateway.manifest(f"{upstream.address}/{reference}") == BLOB


@pytest.mark.parametrize(
    ("reference", "faults", "kind", "cause"),
    [
        ("a/b:none", [], "not-found", "/a/b:none: not found"),
        (f"a/b@{NAME}", [(403, b"no")], "auth", f"/a/b@{NAME}: "),
        ("a/b:1", [(503, b"")] * POLICY.attempts, "transient-network", "all tries are used up: GET "),
    ],
)
def test_a_manifest_that_cannot_be_read_has_a_cause(ask, upstream, reference, faults, kind, cause):
    upstream.faults["/manifests/"] = faults
    with pytest.raises(OSError) as caught:
        ask.gateway.manifest(f"{upstream.address}/{reference}")
    assert cause in str(caught.value)
    assert classify(f"ERROR: {caught.value}").kind == kind


def test_retry_after_is_kept(ask, upstream):
    upstream.blobs[NAME] = BLOB
    upstream.faults["/blobs/"] = [(429, b"", {"Retry-After": "7"})]
    assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
    assert len(ask.waits) == 1 and 7 <= ask.waits[0] < 8


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_is_resumed_where_it_broke(ask, upstream, ranges):
    upstream.blobs[NAME], upstream.ranges = BLOB, ranges
    ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
    upstream.faults["/blobs/"] = ["cut", "cut"] if ranges else ["cut"]
    answer, data = ask("GET", f"/v2/REG/a/b/blobs/{NAME}")
    assert (answer.status, data) == (200, BLOB)


def test_a_partial_download_is_resumed_too(ask, upstream):
    upstream.blobs[NAME] = BLOB
    ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
    upstream.faults["/blobs/"] = ["cut"]
    answer, data = ask("GET", f"/v2/REG/a/b/blobs/{NAME}", headers={"Range": "bytes=1000-"})
    assert (answer.status, data) == (206, BLOB[1000:])


def uploaded(ask):
    started, _ = ask("POST", "/v2/REG/a/b/blobs/uploads/")
    assert started.status == 202
    return ask("PUT", f"{started.getheader('Location')}?digest={NAME}", BLOB)


@pytest.mark.parametrize(
    "faults", [[], [(500, b"")], ["reset"], [(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')]], ids=str
)
def test_an_upload_is_restarted(ask, upstream, faults):
    upstream.faults["/uploads/u"] = list(faults)
    answer, _ = uploaded(ask)
    assert (answer.status, answer.getheader("Docker-Content-Digest"), upstream.blobs) == (201, NAME, {NAME: BLOB})
    assert answer.getheader("Location") == f"/v2/{ask.registry}/a/b/blobs/{NAME}"
    assert not ask.gateway.uploads


def test_an_upload_in_parts(ask, upstream):
    started, _ = ask("POST", "/v2/REG/a/b/blobs/uploads/")
    location = started.getheader("Location")
    part, _ = ask("PATCH", location, BLOB[:1000])
    assert (part.status, part.getheader("Range")) == (202, "0-999")
    chunks = iter([BLOB[1000:5000], BLOB[5000:]])
    answer, _ = ask("PUT", f"{location}?digest={NAME}", chunks, {"Transfer-Encoding": "chunked"})
    assert answer.status == 201
    assert upstream.blobs == {NAME: BLOB}


def test_a_full_disk_is_a_resource_failure(ask, monkeypatch):
    class Full:
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr("buildlib.registry.connection.tempfile.SpooledTemporaryFile", lambda **_: Full())
    answer, _ = uploaded(ask)
    assert answer.status == 424 and classify(f"ERROR: {answer.reason}").kind == "resource"


def test_a_blob_of_the_same_registry_is_mounted(ask, upstream):
    upstream.blobs[NAME] = BLOB
    answer, _ = ask("POST", f"/v2/REG/a/b/blobs/uploads/?mount={NAME}&from={ask.registry}/c/d")
    assert (answer.status, answer.getheader("Location")) == (201, f"/v2/{ask.registry}/a/b/blobs/{NAME}")
    assert ask("POST", f"/v2/REG/a/b/blobs/uploads/?mount={NAME}&from=docker.io/c/d")[0].status == 202


def test_a_manifest_is_pushed(ask, upstream):
    upstream.faults["/manifests/"] = [(503, b""), (201, b"", {"Docker-Content-Digest": NAME})]
    answer, _ = ask("PUT", "/v2/REG/a/b/manifests/1.0", b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.getheader("Docker-Content-Digest")) == (201, NAME)


def test_a_missing_manifest_is_requested_once(ask, upstream):
    answer, data = ask("GET", "/v2/REG/a/b/manifests/none")
    assert (answer.status, json.loads(data)["errors"][0]["message"]) == (404, "manifest unknown")
    assert upstream.asked["GET /v2/a/b/manifests/none"] == 2 and not ask.failures  # the first answer asked for a token


def test_a_refusal_is_not_retried(ask, upstream):
    upstream.faults["/blobs/"] = [(403, b'{"errors":[{"code":"DENIED","message":"no"}]}')]
    answer, _ = uploaded(ask)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert upstream.asked["POST /v2/a/b/blobs/uploads/"] == 1 and not ask.failures


def test_a_wrong_password_is_refused_with_the_registry_s_message(ask, upstream):
    upstream.password = "me:secret"
    for _ in range(3):
        answer, _ = ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
        assert (answer.status, answer.reason) == (
            403, f"token of {upstream.address}: 401 Unauthorized: incorrect username or password",
        )  # fmt: skip
    assert classify(f"ERROR: unexpected status from HEAD request: {answer.status} {answer.reason}").kind == "auth"
    assert upstream.asked["GET /token"] == 1  # a refusal is final


def test_the_password_of_docker_login_is_used(upstream):
    upstream.blobs[NAME], upstream.password = BLOB, "me:secret"
    client = Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=lambda host: ("me", "secret"))
    with open_gateway(client) as gateway:
        assert Caller(gateway, upstream, [])("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB


def test_the_status_line_has_the_cause_when_all_tries_are_used_up(ask, upstream):
    upstream.faults["/token"] = ["reset"] * 99
    answer, data = ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
    assert answer.status == 424 and "Remote end closed connection" in answer.reason
    assert (
        classify(f"ERROR: failed to solve: unexpected status from HEAD request to X: 424 {answer.reason}").kind
        == "transient-network"
    )
    assert upstream.asked["GET /token"] == POLICY.attempts and data == b""


def test_mirrors_are_asked_before_their_registry(upstream):
    upstream.blobs[NAME] = BLOB
    with Upstream() as mirror:
        client = Client(
            Budget(POLICY),
            lambda _: None,
            lambda *_: None,
            mirrors={upstream.address: (mirror.address,)},
            login=lambda _: None,
        )
        with open_gateway(client) as gateway:
            ask = Caller(gateway, upstream, [])
            assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
            assert mirror.asked[f"GET /v2/a/b/blobs/{NAME}"] == 2
            before = upstream.asked.total()
            mirror.blobs[NAME] = BLOB
            assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
            assert upstream.asked.total() == before


def test_mirrors_are_not_asked_about_own_images(upstream):
    """What a tag points to decides whether it is moved."""
    with Upstream() as mirror:
        mirrors = {upstream.address: (mirror.address,)}
        own = f"{upstream.address}/acme"
        client = Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors=mirrors, own=own, login=lambda _: None)
        for name in ("acme/app", "acme/team/app", "acme2/app"):
            client.reach("GET", upstream.address, f"/v2/{name}/manifests/latest", {})
        asked = {line.removeprefix("GET /v2/") for line in mirror.asked if "/manifests/" in line}
        assert asked == {"acme2/app/manifests/latest"}


def test_threads_share_one_token(ask, upstream):
    upstream.blobs[NAME] = BLOB
    bodies = []
    threads = [
        threading.Thread(target=lambda: bodies.append(ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1])) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [BLOB] * 16 and upstream.asked["GET /token"] == 1


def test_without_credentials_a_password_is_an_error(ask, upstream):
    """A registry without credentials that asks for a password."""
    upstream.faults["/blobs/"] = [(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})]
    answer, _ = ask("GET", f"/v2/REG/a/b/blobs/{NAME}")
    assert (answer.status, answer.reason) == (
        403, f"{upstream.address}: 401 Unauthorized, and no credentials for it are stored",
    )  # fmt: skip
    assert classify(f"ERROR: unexpected status from GET request: {answer.status} {answer.reason}").kind == "auth"


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("registry", "encoded"),
    [
        ("docker.io", "docker.io"), ("ghcr.io", "ghcr.io"), ("localhost", "localhost"), ("127.0.0.1:5000", "127.0.0.1__5000"),
        ("a-b.test:1", "a-b.test__1"), ("[::1]:5000", "hex-5b3a3a315d3a35303030"), ("GHCR.io", "hex-474843522e696f"),
        ("hex-61.test", "hex-61.test"), ("hex-61:5", "hex-61__5"),
    ],
)  # fmt: skip
def test_a_registry_is_part_of_a_repository(registry, encoded):
    assert (encode_registry(registry), decode_registry(encoded)) == (encoded, registry)
    assert parse(f"127.0.0.1:1/{encoded}/a").repository == f"{encoded}/a"


@pytest.mark.parametrize("name", ["hex-", "hex-6", "hex-ff", "hex-61x"])
def test_a_name_that_was_not_encoded_stays(name):
    assert decode_registry(name) == name


@pytest.mark.parametrize(
    ("reference", "name", "shown"),
    [
        ("debian", "docker.io/library/debian", "docker.io/library/debian"),
        ("index.docker.io/acme/a:1", "docker.io/acme/a:1", "docker.io/acme/a:1"),
        ("127.0.0.1:5000/acme/a:1", "127.0.0.1__5000/acme/a:1", "127.0.0.1:5000/acme/a:1"),
        ("[::1]:5000/a", "hex-5b3a3a315d3a35303030/a", "[::1]:5000/a"),
        (f"ghcr.io/a:1@{NAME}", f"ghcr.io/a:1@{NAME}", f"ghcr.io/a:1@{NAME}"),
    ],
)
def test_names_of_the_gateway_are_shown_as_the_user_knows_them(ask, reference, name, shown):
    assert ask.gateway.name(reference) == f"{ask.gateway.address}/{name}"
    line = "pushing manifest for {} with docker\n"
    assert ask.gateway.translate(line.format(f"{ask.gateway.address}/{name}")) == line.format(shown)


def test_urls_of_the_gateway_are_shown_as_those_of_the_registry(ask):
    url = f"http://{ask.gateway.address}/v2/"
    assert ask.gateway.translate(f"HEAD {url}ghcr.io/a/manifests/1, {url}127.0.0.1__5000/b") == (
        "HEAD https://ghcr.io/a/manifests/1, http://127.0.0.1:5000/b"
    )


def test_credentials_of_docker_hub_are_those_of_its_host():
    """`machine.docker_daemon.login` maps the host to the name under which `docker login` stores them."""
    hosts = []
    client = Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=hosts.append)
    challenge = requests.Response()
    challenge.status_code, challenge.raw = 401, io.BytesIO()
    challenge.headers["WWW-Authenticate"] = 'Basic realm="x"'
    client.send = lambda *_: Answer(challenge)
    request, answer = client.reach("GET", parse("debian").registry, "/v2/library/debian/manifests/latest", {})
    assert (request.url, answer.failure.kind, hosts) == (
        "https://registry-1.docker.io/v2/library/debian/manifests/latest", "auth", ["registry-1.docker.io"],
    )  # fmt: skip


# --- Docker's configuration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{}", "no json", "[]", '{"auths":null,"credHelpers":null}'])
def test_docker_s_configuration_gets_a_password(ask, text):
    config = json.loads(configuration(text, ask.gateway))
    assert config["auths"] == {ask.gateway.address: {"auth": ask.gateway.authorization.removeprefix("Basic ")}}
    assert not config.get("credHelpers")


def test_the_rest_of_docker_s_configuration_is_kept(ask):
    real = {"auths": {"ghcr.io": {"auth": "eDp5"}}, "credsStore": "pass", "currentContext": "c"}
    config = json.loads(configuration(json.dumps(real), ask.gateway))
    assert config["auths"].keys() == {"ghcr.io", ask.gateway.address}
    # docker would ask the store instead of the file.
    assert config == {**real, "auths": config["auths"], "credHelpers": {ask.gateway.address: ""}}
