"""Credentials go to their registry and to its realm, and to nobody else: neither through redirects nor from ~/.netrc."""

import base64
import json
import threading
import time
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.settings import Retry
from buildlib.failures.classify import Failure
from buildlib.process.retry import Budget
from buildlib.registry import client as client_module
from buildlib.registry import http
from buildlib.registry.client import Client
from buildlib.registry.http import Answer, Request, body_text
from buildlib.registry.tokens import Tokens, read_challenge, read_token

POLICY = Retry(attempts=3, delay=0.001, max_delay=0.01, total=60.0)
LOGIN = "me", "secret"
BASIC = f"Basic {base64.b64encode(b'me:secret').decode()}"
PATH = "/v2/a/b/manifests/1"


class Server(ThreadingHTTPServer):
    """A host on the loopback. `answers` maps a path to (status, headers, body); `seen` has each request and its headers."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.answers, self.seen, self.bodies = {}, [], []

    @property
    def authorizations(self):
        return [headers.get("Authorization") for _, headers in self.seen]

    def redirect(self, to, status=307):
        return (status, {"Location": to}, b"")

    def challenge(self, realm, scope="repository:a/b:pull"):
        return (401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="s",scope="{scope}"'}, b"")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.server.seen.append((f"{self.command} {path}", dict(self.headers)))
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        answer = self.server.answers.get(path, (404, {}, b""))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        status, headers, body = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_POST = do_PUT = do_GET


@pytest.fixture
def hosts():
    """A function that starts another host."""
    with ExitStack() as stack:

        def start():
            server = stack.enter_context(Server())
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def registry(hosts):
    return hosts()


@pytest.fixture
def other(hosts):
    return hosts()


def client(login=LOGIN):
    return Client(Budget(POLICY), lambda _: None, lambda *_: None, mirrors={}, login=lambda _: login)


def get(host, path=PATH, login=LOGIN, method="GET", **more):
    return client(login).request(Request(method=method, host=host, path=path, headers={}, **more))


# --- redirects -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_authorization_is_not_sent_to_another_host(registry, other, status):
    registry.answers = {
        PATH: [registry.challenge(f"http://{registry.host}/token"), registry.redirect(f"http://{other.host}/x", status)]
    }
    registry.answers["/token"] = (200, {}, b'{"token": "t"}')
    other.answers = {"/x": (200, {}, b"content")}
    assert body_text(get(registry.host).received) == "content"
    assert registry.authorizations == [None, BASIC, "Bearer t"]
    assert other.authorizations == [None]


def test_the_authorization_stays_with_its_host(registry):
    registry.answers = {PATH: [registry.challenge(f"http://{registry.host}/token"), registry.redirect("/x")]}
    registry.answers |= {"/token": (200, {}, b'{"token": "t"}'), "/x": (200, {}, b"content")}
    assert get(registry.host).status == 200
    assert registry.authorizations == [None, BASIC, "Bearer t", "Bearer t"]


def test_the_authorization_does_not_come_back_after_a_detour(registry, other):
    registry.answers = {PATH: registry.redirect(f"http://{other.host}/x"), "/y": (200, {}, b"")}
    other.answers = {"/x": other.redirect(f"http://{registry.host}/y")}
    request = Request(method="GET", host=registry.host, path=PATH, headers={"Authorization": BASIC})
    assert client().send(request).status == 200
    assert registry.authorizations == [BASIC, None]
    assert other.authorizations == [None]


def test_a_challenge_of_another_host_gets_no_credentials(registry, other):
    """The host of a redirect would otherwise name the realm to which the registry's password goes."""
    registry.answers = {PATH: registry.redirect(f"http://{other.host}/x")}
    other.answers = {"/x": other.challenge(f"http://{other.host}/token"), "/token": (200, {}, b'{"token": "t"}')}
    assert get(registry.host).status == 401
    assert [line for line, _ in other.seen] == ["GET /x"]
    assert other.authorizations == [None]


def test_the_realm_s_redirect_gets_no_password(registry, other):
    registry.answers = {
        PATH: registry.challenge(f"http://{registry.host}/token"),
        "/token": registry.redirect(f"http://{other.host}/t"),
    }
    other.answers = {"/t": (200, {}, b'{"token": "t"}')}
    get(registry.host)
    assert other.authorizations == [None]


@pytest.mark.parametrize("status", [307, 308])
def test_an_identity_token_is_not_sent_to_another_host(registry, other, status):
    """It is in the body of the request."""
    registry.answers = {
        PATH: registry.challenge(f"http://{registry.host}/token"),
        "/token": registry.redirect(f"http://{other.host}/t", status),
    }
    answer = get(registry.host, login=("", "identity"))
    assert (answer.failure.cause, answer.final) == (
        f"POST http://{registry.host}/token: redirect to 'http://{other.host}/t' refused: an upload stays at its host",
        True,
    )
    assert b"identity" in registry.bodies[1] and not other.seen


def test_a_redirect_after_a_post_is_a_get_without_a_body(registry, other):
    registry.answers = {PATH: registry.redirect(f"http://{other.host}/x", 303)}
    other.answers = {"/x": (200, {}, b"")}
    request = Request(
        method="POST", host=registry.host, path=PATH, headers={"Content-Type": "text/plain"}, body=b"secret"
    )
    assert client(None).send(request).status == 200
    assert (other.seen[0][0], other.bodies, "Content-Type" in other.seen[0][1]) == ("GET /x", [b""], False)


def test_a_body_is_sent_again_to_its_own_host(registry):
    registry.answers = {PATH: registry.redirect("/x"), "/x": (201, {}, b"")}
    assert get(registry.host, login=None, method="PUT", body=b"content").status == 201
    assert registry.bodies == [b"content", b"content"]


@pytest.mark.parametrize(
    "location",
    ["ftp://x/", "http://[::1", "http://u:p@127.0.0.1/", "\\\\x\\y:z", "http://127.0.0.1\\@x/", "http://x:y/"],
)
def test_a_redirect_that_is_not_followed_is_a_failure(registry, location):
    registry.answers = {PATH: registry.redirect(location)}
    answer = get(registry.host)
    assert answer.failure.cause.endswith("refused: not an http or https URL")
    assert (answer.failure.transient, len(registry.seen)) == (False, 1)


def test_redirects_in_a_circle_are_a_failure(registry):
    registry.answers = {PATH: registry.redirect(PATH)}
    answer = get(registry.host)
    assert answer.failure.cause == f"GET http://{registry.host}{PATH}: more than 10 redirects"
    assert (answer.failure.transient, len(registry.seen)) == (False, 11)


def test_a_public_registry_does_not_redirect_to_this_machine(registry, monkeypatch):
    """The host of the request counts, not where the connection leads."""
    request = Request(method="GET", host="ghcr.io", path=PATH, headers={})
    failure = http.redirected(request, 307, f"http://{registry.host}/x")
    assert failure == Failure(
        "unknown",
        f"GET https://ghcr.io{PATH}: redirect to 'http://{registry.host}/x' refused: "
        "127.0.0.1 is an address of this machine or its link",
    )


def test_a_large_body_of_a_redirect_is_not_read(registry, other):
    registry.answers = {PATH: (307, {"Location": f"http://{other.host}/x", "Content-Length": str(10**12)}, b"")}
    other.answers = {"/x": (200, {}, b"content")}
    assert body_text(get(registry.host).received) == "content"  # and no timeout: the rest of the body never comes


# --- ~/.netrc, cookies, compression ---------------------------------------------------------------------------------------


@pytest.fixture
def netrc(tmp_path, monkeypatch):
    """Credentials for all hosts of the tests in the user's ~/.netrc, for sessions that read the environment."""
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login netrc password netrc\ndefault login netrc password netrc\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    monkeypatch.setattr(client_module, "is_loopback", lambda _: False)
    assert requests.utils.get_netrc_auth("http://127.0.0.1/") == ("netrc", "netrc")


def test_netrc_is_not_used(registry, other, netrc):
    registry.answers = {PATH: registry.redirect(f"http://{other.host}/x"), "/y": registry.redirect("/z")}
    other.answers = {"/x": (200, {}, b""), "/z": (200, {}, b"")}
    assert get(registry.host, login=None).status == 200
    get(registry.host, "/y", login=None)
    assert registry.authorizations + other.authorizations == [None] * 4


def test_netrc_is_not_used_for_the_realm(registry, other, netrc):
    registry.answers = {PATH: registry.challenge(f"http://{other.host}/token")}
    other.answers = {"/token": other.redirect("/t"), "/t": (200, {}, b'{"token": "t"}')}
    get(registry.host, login=None)
    assert other.authorizations == [None, None]


@pytest.mark.parametrize(
    ("host", "proxied"),
    [("ghcr.io", True), ("127.0.0.1:5000", False), ("localhost", False), ("127.0.0.1.nip.io", True)],
)
def test_a_proxy_is_used_except_for_this_machine(registry, monkeypatch, host, proxied):
    """The proxy refuses to connect; a host that is looked up or connected to directly gives another error."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, f"http://{registry.host}")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    registry.server_close()
    sent = []
    monkeypatch.setattr(
        client_module.HTTPAdapter, "send", lambda _, request, **more: sent.append(more["proxies"]) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        client().send(Request(method="GET", host=host, path="/v2/", headers={}))
    assert bool(dict(sent[0])) == proxied


def test_no_cookies_are_kept(registry):
    registry.answers = {PATH: (200, {"Set-Cookie": "session=1; Path=/"}, b"")}
    shared = client()
    for _ in range(2):
        shared.request(Request(method="GET", host=registry.host, path=PATH, headers={}))
    assert [headers.get("Cookie") for _, headers in registry.seen] == [None, None]


def test_content_is_requested_as_it_is_stored(registry):
    registry.answers = {PATH: (200, {}, b"")}
    get(registry.host)
    assert registry.seen[0][1]["Accept-Encoding"] == "identity"


def test_an_error_of_any_size_is_read_in_bounded_memory(registry, monkeypatch):
    monkeypatch.setattr(http, "MAX_TEXT", 1000)
    registry.answers = {PATH: (400, {}, b"x" * 5_000_000)}
    answer = get(registry.host)
    assert body_text(answer.received) == body_text(answer.received) == "x" * 1000


# --- the realm ------------------------------------------------------------------------------------------------------------


class Sent:
    """Stands for the client: keeps what is sent, and answers with a token."""

    def __init__(self, body=b'{"token": "t"}', seconds=0.0, at_once=1):
        self.requests, self.body, self.seconds = [], body, seconds
        self.barrier = threading.Barrier(at_once, timeout=60)  # no answer before so many requests have been sent

    def __call__(self, title, request):
        self.requests.append(request)
        self.barrier.wait()
        time.sleep(self.seconds)
        response = requests.Response()
        response.status_code, response._content, response._content_consumed = 200, self.body, True
        return Answer(response)


REQUEST = Request(method="GET", host="ghcr.io", path="/v2/a/b/manifests/1", headers={})


def authorize(challenge, login=LOGIN, sent=None, request=REQUEST):
    return Tokens(lambda _: login, sent or Sent()).authorize(request, challenge, refused="")


@pytest.mark.parametrize(
    ("challenge", "cause"),
    [
        (
            'Bearer realm="http://auth.ghcr.io/token"',
            "the realm 'http://auth.ghcr.io/token' of its challenge is refused: a password would be sent unencrypted",
        ),
        (
            'Bearer realm="https://169.254.169.254/x"',
            "the realm 'https://169.254.169.254/x' of its challenge is refused: 169.254.169.254 is an address of a private network",
        ),
        (
            'Bearer realm="https://ghcr.io\\\\@evil.test/"',
            "the realm 'https://ghcr.io\\\\@evil.test/' of its challenge is refused: not an http or https URL",
        ),
        ('Bearer service="s"', "a challenge without a realm is refused: not an http or https URL"),
        ("Bearer", "a challenge without a realm is refused: not an http or https URL"),
        ("Bearer realm", "a challenge without a realm is refused: not an http or https URL"),
        ('Bearer realm=""', "a challenge without a realm is refused: not an http or https URL"),
        ("Bearer realm=token", "the realm 'token' of its challenge is refused: not an http or https URL"),
    ],
)
def test_a_realm_that_must_not_have_the_password_is_one_auth_failure(challenge, cause):
    sent = Sent()
    tokens = Tokens(lambda _: LOGIN, sent)
    for _ in range(2):
        answer = tokens.authorize(REQUEST, challenge, refused="")
        assert (answer.failure.kind, answer.failure.cause, answer.final) == ("auth", f"token of ghcr.io: {cause}", True)
    assert sent.requests == []


def test_a_token_is_fetched_from_the_parameters_of_a_challenge():
    """`doctor --network` calls this with what it has read itself."""
    sent = Sent()
    tokens = Tokens(lambda _: LOGIN, sent)
    assert tokens.fetch("ghcr.io", {}, LOGIN).failure.kind == "auth"
    assert tokens.fetch("gh cr", {"realm": "https://a.test/"}, LOGIN).failure.kind == "auth"
    assert sent.requests == []
    assert tokens.fetch("ghcr.io", {"realm": "https://a.test/t", "scope": "x"}, LOGIN).status == 200
    assert (sent.requests[0].url, sent.requests[0].headers) == (
        "https://a.test/t?scope=x&client_id=buildlib",
        {"Authorization": BASIC},
    )


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
            ("bearer", {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"}),
        ),
        ("bearer realm=https://a/t , service=s", ("bearer", {"realm": "https://a/t", "service": "s"})),
        ('BASIC Realm="x"', ("basic", {"realm": "x"})),
        ("Basic", ("basic", {})),
        ("Bearer  ", ("bearer", {})),
        ('Negotiate, Basic realm="x"', ("basic", {"realm": "x"})),
        ('Digest realm="d", nonce="n", Bearer realm="b"', ("bearer", {"realm": "b"})),
        (r'Bearer realm="a\"b\\c"', ("bearer", {"realm": r'a"b\c'})),
        ('Bearer realm="a', ("bearer", {"realm": ""})),
        ("", ("", {})),
        ("Negotiate", ("", {})),
        ("realm=x", ("", {})),
        (",,,=", ("", {})),
    ],
)
def test_challenges(header, challenge):
    assert read_challenge(header) == challenge


@given(st.one_of(st.text(), st.text('Bearrealm="\\, -x')))
def test_any_challenge_is_read_or_refused(header):
    answer = authorize(header)
    assert isinstance(answer, str) or answer.failure.kind == "auth"


@pytest.mark.parametrize("unit", ["a", '="', "a ", '"', "\\"])
def test_a_long_challenge_takes_no_long_time(unit, assert_linear):
    assert_linear(lambda text: read_challenge(f'a="{text}' if unit == "\\" else text), unit)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"<html>",
        b'{"token": ""}',
        b'{"token": 5}',
        b'{"token": ["a"]}',
        b'{"token": "a b"}',
        b'{"token": "a\\nb"}',
        b'{"token": "\\u00e4"}',
        b'{"token": "t", "expires_in": "soon"}',
        b'{"token": "t", "expires_in": 1' + b"0" * 400 + b"}",
        b"[" * 100_000,
        b"\xff",
        b'{"token": {}}',
    ],
)
def test_an_answer_without_a_token_is_an_auth_failure(body):
    answer = authorize('Bearer realm="https://auth.test/t"', sent=Sent(body))
    assert (answer.failure.kind, answer.failure.cause) == (
        "auth",
        "token of ghcr.io: the answer of auth.test has no token",
    )


def test_the_life_of_a_token():
    def lifetime(text):
        response = requests.Response()
        response._content, response._content_consumed = text, True
        return read_token(response)

    assert lifetime(b'{"token": "t"}') == lifetime(b'{"token": "t", "expires_in": -5}') == ("Bearer t", 50.0)
    assert lifetime(b'{"access_token": "t", "expires_in": 300}') == ("Bearer t", 290.0)
    assert lifetime(b'{"token": "t", "expires_in": NaN}')[1] in (50.0, 0.0)


@pytest.mark.parametrize("path", ["http://ghcr.io/v2/a/b/blobs/uploads/u", "http://evil.test/v2/a/b/blobs/uploads/u"])
def test_no_credentials_go_over_http(monkeypatch, path):
    """A registry names such a URL as the location of an upload: whoever listens would ask for the password."""
    shared, sent = client(), []
    challenge = requests.Response()
    challenge.status_code, challenge.headers["WWW-Authenticate"] = 401, "Basic realm=x"
    monkeypatch.setattr(shared, "send", lambda request, number=0, token="": sent.append(token) or Answer(challenge))
    shared.tokens._headers[("ghcr.io", "a/b", True)] = ("Bearer t", time.monotonic() + 99)
    host = path.split("/")[2]
    assert shared.once(Request(method="PUT", host=host, path=path, headers={})).status == 401
    assert sent == [""]


# --- threads ----------------------------------------------------------------------------------------------------------------


def together(calls):
    """Run all calls at once, and return their results."""
    results, barrier = [None] * len(calls), threading.Barrier(len(calls))

    def run(number, call):
        barrier.wait()
        try:
            results[number] = call()
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def request(host, repository, method="GET"):
    return Request(method=method, host=host, path=f"/v2/{repository}/blobs/x", headers={})


def test_threads_request_each_token_once():
    sent = Sent(seconds=0.05)
    tokens = Tokens(lambda _: LOGIN, sent)
    challenge = 'Bearer realm="https://auth.test/t"'
    wanted = [
        request(f"r{host}.test", f"a/{name}", method)
        for host in range(3)
        for name in range(3)
        for method in ("GET", "PUT")
    ]
    calls = [lambda r=r: tokens.authorize(r, challenge, refused="") for r in wanted for _ in range(4)]
    assert together(calls) == ["Bearer t"] * len(calls)
    assert len(sent.requests) <= len(wanted)
    assert all(tokens.known(r) == "Bearer t" for r in wanted)


def test_tokens_of_different_repositories_are_requested_at_the_same_time():
    sent = Sent(at_once=20)
    tokens = Tokens(lambda _: LOGIN, sent)
    calls = [
        lambda n=n: tokens.authorize(request("r.test", f"a/{n}"), 'Bearer realm="https://auth.test/t"', refused="")
        for n in range(20)
    ]
    assert together(calls) == ["Bearer t"] * 20  # otherwise the barrier breaks


def test_threads_do_not_lose_each_other_s_tokens(monkeypatch):
    """Tokens are refused and stored for several hosts at once: each stored token is still known afterwards."""
    counter = iter(range(10**6))

    def send(title, request):  # an answer of its own for each thread: two with the same token would be refused together
        return Sent(json.dumps({"token": f"t{next(counter)}"}).encode())(title, request)

    tokens = Tokens(lambda _: LOGIN, send)

    def work(host):
        header = ""
        for number in range(100):
            wanted = request(host, f"a/{number}")
            header = tokens.authorize(wanted, 'Bearer realm="https://auth.test/t"', refused=header)
            if tokens.known(wanted) != header:
                return f"lost {host} {number}"
        return "ok"

    assert together([lambda h=h: work(f"r{h}.test") for h in range(8)]) == ["ok"] * 8
