"""The gateway between a client and a registry that is played here: what passes is tried again, what is real is handed on."""

import errno
import http.client
import json
import threading

import pytest
from upstream import Upstream, digest

from buildlib.core.settings import Retry
from buildlib.failures.classify import classify
from buildlib.registry.gateway import configuration, normal, open_gateway
from buildlib.registry.client import Client
from buildlib.process.retry import Budget

POLICY = Retry(attempts=6, delay=0.001, max_delay=0.01, total=60.0)


@pytest.fixture
def upstream():
    with Upstream() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


class Caller:
    """What buildx is: asks the gateway, and knows the password."""

    def __init__(self, gateway, upstream, told):
        self.gateway, self.told, self.registry = gateway, told, upstream.address.replace(":", "__")

    def __call__(self, method, path, body=None, headers=(), *, password=True):
        connection = http.client.HTTPConnection(self.gateway.address, timeout=20)
        known = {"Authorization": self.gateway.authorization} if password else {}
        connection.request(method, path.replace("REG", self.registry), body, {**known, **dict(headers)},
                           encode_chunked="Transfer-Encoding" in dict(headers))  # fmt: skip
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data


@pytest.fixture
def ask(upstream):
    told, naps = [], []
    client = Client(Budget(POLICY), naps.append, lambda *words: told.append(words), mirrors={}, login=lambda _: None)
    with open_gateway(client) as gateway:
        caller = Caller(gateway, upstream, told)
        caller.client, caller.naps = client, naps
        yield caller


BLOB = bytes(range(256)) * 5000
NAME = digest(BLOB)


def test_nobody_comes_in_without_the_password(ask, upstream):
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


def test_a_token_that_ran_out_is_asked_for_again(ask, upstream):
    upstream.blobs[NAME] = BLOB
    ask("GET", f"/v2/REG/a/b/blobs/{NAME}")
    upstream.tokens.clear()
    upstream.tokens.add("another")  # the next is not called as the first
    assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
    assert upstream.asked["GET /token"] == 2


@pytest.mark.parametrize(
    "fault", [(503, b""), (500, b""), (502, b"<html>"), (429, b""), "reset", (403, b"API rate limit exceeded")]
)
@pytest.mark.parametrize("where", ["/token", "/blobs/"])
def test_what_passes_is_tried_again(ask, upstream, fault, where):
    upstream.blobs[NAME] = BLOB
    upstream.faults[where] = [fault, fault]
    assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
    assert [(attempt, failure.transient) for _, failure, attempt, _ in ask.told] == [(1, True), (2, True)]


def test_a_manifest_is_read_as_the_registry_has_it(ask, upstream):
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
        (f"a/b@sha256:{'0' * 64}", [], "unknown", "what came is something else"),
    ],
)
def test_a_manifest_that_cannot_be_had_has_a_cause(ask, upstream, reference, faults, kind, cause):
    upstream.blobs[f"sha256:{'0' * 64}"] = BLOB
    upstream.faults["/manifests/"] = faults
    with pytest.raises(OSError) as caught:
        ask.gateway.manifest(f"{upstream.address}/{reference}")
    assert cause in str(caught.value)
    assert classify(f"ERROR: {caught.value}").kind == kind


def test_who_is_told_when_to_come_back_comes_then(ask, upstream):
    upstream.blobs[NAME] = BLOB
    upstream.faults["/blobs/"] = [(429, b"", {"Retry-After": "7"})]
    assert ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB
    assert len(ask.naps) == 1 and 7 <= ask.naps[0] < 8


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_broke(ask, upstream, ranges):
    upstream.blobs[NAME], upstream.ranges = BLOB, ranges
    ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
    upstream.faults["/blobs/"] = ["cut", "cut"] if ranges else ["cut"]
    answer, data = ask("GET", f"/v2/REG/a/b/blobs/{NAME}")
    assert (answer.status, data) == (200, BLOB)


def test_a_part_that_was_asked_for_goes_on_too(ask, upstream):
    upstream.blobs[NAME] = BLOB
    ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
    upstream.faults["/blobs/"] = ["cut"]
    answer, data = ask("GET", f"/v2/REG/a/b/blobs/{NAME}", headers={"Range": "bytes=1000-"})
    assert (answer.status, data) == (206, BLOB[1000:])


def uploaded(ask):
    begun, _ = ask("POST", "/v2/REG/a/b/blobs/uploads/")
    assert begun.status == 202
    return ask("PUT", f"{begun.getheader('Location')}?digest={NAME}", BLOB)


@pytest.mark.parametrize(
    "faults", [[], [(500, b"")], ["reset"], [(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')]], ids=str
)
def test_an_upload_begins_anew(ask, upstream, faults):
    upstream.faults["/uploads/u"] = list(faults)
    answer, _ = uploaded(ask)
    assert (answer.status, answer.getheader("Docker-Content-Digest"), upstream.blobs) == (201, NAME, {NAME: BLOB})
    assert answer.getheader("Location") == f"/v2/{ask.registry}/a/b/blobs/{NAME}"
    assert not ask.gateway.uploads


def test_an_upload_in_parts(ask, upstream):
    begun, _ = ask("POST", "/v2/REG/a/b/blobs/uploads/")
    place = begun.getheader("Location")
    part, _ = ask("PATCH", place, BLOB[:1000])
    assert (part.status, part.getheader("Range")) == (202, "0-999")
    assert (
        ask("PUT", f"{place}?digest={NAME}", iter([BLOB[1000:5000], BLOB[5000:]]), {"Transfer-Encoding": "chunked"})[
            0
        ].status
        == 201
    )
    assert upstream.blobs == {NAME: BLOB}


def test_a_full_disk_is_said(ask, monkeypatch):
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


def test_a_manifest_is_put(ask, upstream):
    upstream.faults["/manifests/"] = [(503, b""), (201, b"", {"Docker-Content-Digest": NAME})]
    answer, _ = ask("PUT", "/v2/REG/a/b/manifests/1.0", b"{}", {"Content-Type": "application/json"})
    assert (answer.status, answer.getheader("Docker-Content-Digest")) == (201, NAME)


def test_what_is_not_there_is_asked_for_once(ask, upstream):
    answer, data = ask("GET", "/v2/REG/a/b/manifests/none")
    assert (answer.status, json.loads(data)["errors"][0]["message"]) == (404, "manifest unknown")
    assert upstream.asked["GET /v2/a/b/manifests/none"] == 2 and not ask.told  # the first was told to bring a token


def test_who_is_refused_is_refused_once(ask, upstream):
    upstream.faults["/blobs/"] = [(403, b'{"errors":[{"code":"DENIED","message":"no"}]}')]
    answer, _ = uploaded(ask)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert upstream.asked["POST /v2/a/b/blobs/uploads/"] == 1 and not ask.told


def test_a_wrong_password_is_a_refusal_with_the_registry_s_words(ask, upstream):
    upstream.password = "me:secret"
    for _ in range(3):
        answer, _ = ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
        assert (answer.status, answer.reason) == (
            403, f"token of {upstream.address}: 401 Unauthorized: incorrect username or password",
        )  # fmt: skip
    assert classify(f"ERROR: unexpected status from HEAD request: {answer.status} {answer.reason}").kind == "auth"
    assert upstream.asked["GET /token"] == 1  # a no stays a no


def test_the_password_of_docker_login_is_used(upstream):
    upstream.blobs[NAME], upstream.password = BLOB, "me:secret"
    client = Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=lambda host: ("me", "secret"))
    with open_gateway(client) as gateway:
        assert Caller(gateway, upstream, [])("GET", f"/v2/REG/a/b/blobs/{NAME}")[1] == BLOB


def test_when_all_tries_are_used_up_the_reason_is_in_the_status_line(ask, upstream):
    upstream.faults["/token"] = ["reset"] * 99
    answer, data = ask("HEAD", f"/v2/REG/a/b/blobs/{NAME}")
    assert answer.status == 424 and "Remote end closed connection" in answer.reason
    assert (
        classify(f"ERROR: failed to solve: unexpected status from HEAD request to X: 424 {answer.reason}").kind
        == "transient-network"
    )
    assert upstream.asked["GET /token"] == POLICY.attempts and data == b""


def test_a_mirror_is_asked_first_and_its_registry_after_it(upstream):
    upstream.blobs[NAME] = BLOB
    with Upstream() as mirror:
        threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
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
        mirror.shutdown()


def test_threads_share_one_token(ask, upstream):
    upstream.blobs[NAME] = BLOB
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(ask("GET", f"/v2/REG/a/b/blobs/{NAME}")[1])) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [BLOB] * 16 and upstream.asked["GET /token"] == 1


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("debian:12", ("docker.io", "library/debian:12")), ("acme/a", ("docker.io", "acme/a")),
        ("ghcr.io/acme/a@sha256:0", ("ghcr.io", "acme/a@sha256:0")), ("localhost/a", ("localhost", "a")),
        ("127.0.0.1:5000/a:1", ("127.0.0.1:5000", "a:1")), ("index.docker.io/debian", ("docker.io", "library/debian")),
    ],
)  # fmt: skip
def test_references_are_read_as_docker_reads_them(reference, found):
    assert normal(reference) == found


def test_names_lead_here_and_are_shown_as_they_were(ask):
    name = ask.gateway.name("127.0.0.1:5000/acme/a:1")
    assert name == f"{ask.gateway.address}/127.0.0.1__5000/acme/a:1"
    assert ask.gateway.translate(f"pushing {name} to http://{ask.gateway.address}/v2/ghcr.io/a") == (
        "pushing 127.0.0.1:5000/acme/a:1 to https://ghcr.io/a"
    )


@pytest.mark.parametrize("told", ["", "{}", "no json", "[]", '{"auths":null,"credHelpers":null}'])
def test_docker_s_configuration_gets_a_password(ask, told):
    config = json.loads(configuration(told, ask.gateway))
    assert config["auths"] == {ask.gateway.address: {"auth": ask.gateway.authorization.removeprefix("Basic ")}}
    assert not config.get("credHelpers")


def test_docker_s_configuration_stays_as_it_is_otherwise(ask):
    told = {"auths": {"ghcr.io": {"auth": "eDp5"}}, "credsStore": "pass", "currentContext": "c"}
    config = json.loads(configuration(json.dumps(told), ask.gateway))
    assert config["auths"].keys() == {"ghcr.io", ask.gateway.address}
    # A store would be asked in the file's place.
    assert config == {**told, "auths": config["auths"], "credHelpers": {ask.gateway.address: ""}}
