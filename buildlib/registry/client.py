"""A registry client that retries each request: tokens, manifests, blobs, uploads.

Of the distribution specification it implements which hosts answer for a registry, authentication, and resuming downloads. What a
request means is up to the caller.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import parse_dict_header
from urllib3.exceptions import HTTPError

from buildlib.failures.classify import Failure
from buildlib.process.retry import Budget, with_retries
from buildlib.registry.http import Answer, Request, body_text, denial, network_failure, range_of, transient_status
from buildlib.registry.reference import host_of, is_loopback

# Seconds: the upper bound of the first wait. A request is small, most faults pass at once, and a build has dozens of requests.
DELAY = 0.1
# Seconds until an answer must begin, doubled with each try: one that hangs is soon tried again, a slow one gets its time.
PATIENCE, MAX_PATIENCE, CONNECT = 4.0, 120.0, 10.0
DIGESTED = 5e6  # bytes per second that any registry verifies and stores
CHUNK = 1 << 18  # bytes
LIFETIME = 60.0  # seconds of a token that does not state it; the default of the token specification
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

# All media types of manifests, as other clients send them; registries convert to older ones for a client that sends none.
MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2", "docker.distribution.manifest.v2",
    )
)  # fmt: skip

OnFailure = Callable[[str, Failure, int, float | None], None]
Login = Callable[[str], tuple[str, str] | None]
Key = tuple[str, str, bool]  # host, repository, whether it writes: what a token is valid for


class Client:
    """Sends requests to registries. Threads share it.

    `budget` is the command's. `on_failure` gets the title, failure, number and next wait of each failed try. Mirrors are asked
    before the registry that they serve. `login` returns (user, password) for a host, ("", token) for an identity token.
    """

    def __init__(
        self, budget: Budget, sleep: Callable[[float], object], on_failure: OnFailure, *, bundle: str = "",
        mirrors: Mapping[str, tuple[str, ...]], login: Login,
    ) -> None:  # fmt: skip
        self.budget, self.sleep, self.on_failure, self.mirrors, self.login = budget, sleep, on_failure, mirrors, login
        self.tokens: dict[Key, tuple[str, float]] = {}
        self.denied: dict[Key, Failure] = {}  # a refusal is final for this command
        # One thread gets a token from a host, the others wait for it.
        self.locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        bundle = bundle or next((path for path in BUNDLES if Path(path).exists()), "")
        self.bundle = bundle  # the file of trusted certificates; "" is the one that requests brings
        self.sessions = {local: _session(bundle, local=local) for local in (False, True)}

    def hosts(self, registry: str, *, reading: bool) -> tuple[str, ...]:
        """The hosts that answer for a registry, in order; mirrors only serve pulls."""
        return (*(self.mirrors.get(registry, ()) if reading else ()), host_of(registry))

    def request(self, request: Request) -> Answer:
        """Send a request with retries. 401 and 403 are returned as responses if no token helps."""
        return self.retried(request.title, lambda number: self.once(request, number))

    def reach(
        self, method: str, registry: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[Request, Answer]:
        """Send a request to the registry's hosts in order, up to the first that answers with success.

        Returns that request and its answer, otherwise those with the most informative error.
        """
        attempts = []
        for host in self.hosts(registry, reading=method in ("GET", "HEAD")):
            request = Request(method=method, host=host, path=path, headers=headers, body=body)
            attempts.append((request, self.request(request)))
            if attempts[-1][1].status < 400:
                return attempts[-1]
        # A refusal says more than a mirror that does not have the image or cannot be reached.
        informative = [attempt for attempt in attempts if attempt[1].status not in (404, 999)]
        return (informative or attempts)[-1]

    def retried(self, title: str, once: Callable[[int], Answer]) -> Answer:
        """Call `once` with the number of the try, from 0, until its answer has no transient failure."""
        numbers = count()
        return with_retries(
            lambda: once(next(numbers)), lambda answer: None if answer.final else answer.failure, self.budget,
            attempts=self.budget.policy.attempts, delay=min(DELAY, self.budget.policy.delay), sleep=self.sleep,
            on_failure=lambda failure, attempt, wait: self.on_failure(title, failure, attempt, wait),
        )  # fmt: skip

    def read(self, request: Request, answer: Answer) -> Iterator[bytes]:
        """The body of an answer, resumed where the connection broke. OSError with the cause if the rest cannot be read."""
        response, (first, last) = answer.received, range_of(request.headers)
        base = first if response.status_code == 206 else 0
        received = skip = failures = 0
        while True:
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    piece, skip = chunk[skip:], max(0, skip - len(chunk))
                    if piece:
                        received, failures = received + len(piece), 0
                        yield piece
                return
            except (HTTPError, OSError) as error:
                failure, failures = network_failure(error, request.title), failures + 1
                over = failures >= self.budget.policy.attempts or not failure.transient
                self.on_failure(request.title, failure, failures, None if over else 0.0)
                if over:
                    raise OSError(failure.cause) from None
            headers = {**request.headers, "Range": f"bytes={base + received}-{last}"}
            rest = self.request(replace(request, headers=headers))
            if rest.status not in (200, 206):
                raise OSError(
                    rest.failure.cause if rest.failure else f"{request.title}: status {rest.status} when resumed"
                )
            # A server without ranges starts again at the beginning.
            response, skip = rest.received, received if rest.status == 200 else 0

    # --- one try -------------------------------------------------------------------------------------------------

    def once(self, request: Request, number: int = 0) -> Answer:
        """Send a request once, and again with a new token if the registry asks for one. `number` is that of the try, from 0."""
        key = request.host, request.repository, request.writes
        token = self._token(key)
        answer = self.send(request, number, token)
        if answer.status != 401:
            return answer
        challenge = answer.received.headers.get("WWW-Authenticate", "")
        answer.received.close()
        authorized = self._authorize(request, key, challenge, token)
        return authorized if isinstance(authorized, Answer) else self.send(request, number, authorized)

    def send(self, request: Request, number: int = 0, token: str = "") -> Answer:
        """Send a request once. `token` is the Authorization header, "" for none; later tries are more patient."""
        patience = min(PATIENCE * 2**number, MAX_PATIENCE)
        if request.body is not None and not isinstance(request.body, bytes):
            patience += request.body.seek(0, 2) / DIGESTED  # the registry verifies what it has received
            request.body.seek(0)
        headers = {**request.headers, **({"Authorization": token} if token else {})}
        try:
            response = self.sessions[is_loopback(request.host)].request(
                request.method,
                request.url,
                headers=headers,
                data=request.body,
                stream=True,
                timeout=(CONNECT, patience),
            )
        except (requests.RequestException, HTTPError, OSError) as error:
            return Answer(failure=network_failure(error, request.title))
        failure = transient_status(response, request.title)
        return Answer(failure=failure) if failure else Answer(response)

    # --- authentication -----------------------------------------------------------------------------------------------

    def _token(self, key: Key) -> str:
        host, repository, writes = key
        for may_write in (True, writes):  # a token for writing is valid for reading too
            value, until = self.tokens.get((host, repository, may_write), ("", 0.0))
            if value and until > time.monotonic():
                return value
        return ""

    def _authorize(self, request: Request, key: Key, challenge: str, refused: str) -> str | Answer:
        """The Authorization header that the challenge asks for, or the final answer if there is none."""
        with self.locks[request.host]:
            token = self._token(key)
            if token and token != refused:  # another thread was faster
                return token
            self.tokens = {other: value for other, value in self.tokens.items() if value[0] != refused}
            kind, _, parameters = challenge.partition(" ")
            words, login = challenge_words(parameters), self.login(request.host)
            if kind.lower() == "basic" and login:
                header, lifetime = _basic(login), 3600.0
            elif kind.lower() == "bearer" and words.get("realm"):
                if key in self.denied:
                    return Answer(failure=self.denied[key], final=True)
                answer = self.fetch_token(request.host, words, login)
                if answer.response is None:
                    return replace(answer, final=True)
                if answer.status != 200:
                    self.denied[key] = denial(answer.response, f"token of {request.host}")
                    return Answer(failure=self.denied[key], final=True)
                header, lifetime = read_token(answer.response)
            else:
                cause = f"{request.host}: 401 Unauthorized, and no credentials for it are stored"
                return Answer(failure=Failure("auth", cause), final=True)
            self.tokens[key] = (header, time.monotonic() + lifetime)
            return header

    def fetch_token(self, registry: str, words: Mapping[str, str], login: tuple[str, str] | None) -> Answer:
        """Get a token from the endpoint that a challenge names: `words` are its realm, service and scope."""
        realm, parameters = words["realm"], {name: words[name] for name in ("service", "scope") if words.get(name)}
        query = urlencode({**parameters, "client_id": "buildlib"})
        request = Request(
            method="GET", host=urlsplit(realm).netloc, path=f"{realm}{'&' if '?' in realm else '?'}{query}", headers={}
        )
        if login and not login[0]:  # an identity token is exchanged (OAuth 2)
            form = urlencode({"grant_type": "refresh_token", "refresh_token": login[1]})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request = replace(request, method="POST", path=realm, headers=headers, body=f"{query}&{form}".encode())
        elif login:
            request = replace(request, headers={"Authorization": _basic(login)})
        return self.retried(f"token of {registry}", lambda number: self.send(request, number))


def challenge_words(parameters: str) -> dict[str, str]:
    """The parameters of a WWW-Authenticate header: realm, service, scope."""
    words: dict[str, str | None] = parse_dict_header(parameters)  # type: ignore[no-untyped-call]  # types-requests has none
    return {name: value for name, value in words.items() if value is not None}


def _session(bundle: str, *, local: bool) -> requests.Session:
    session = requests.Session()
    session.auth = lambda request: request  # no credentials from ~/.netrc
    session.trust_env = not local  # as in Go, no proxy is used for the loopback
    session.verify = bundle or True
    for prefix in ("http://", "https://"):
        session.mount(prefix, HTTPAdapter(pool_connections=32, pool_maxsize=32))
    return session


def _basic(login: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def read_token(response: requests.Response) -> tuple[str, float]:
    """The Authorization header from the response of a token endpoint, and for how many seconds it is valid."""
    try:
        data = json.loads(body_text(response) or "{}")
        token = data.get("token") or data.get("access_token") or ""
        return f"Bearer {token}", max(LIFETIME, float(data.get("expires_in") or 0)) - 10.0
    except (ValueError, AttributeError, TypeError):
        return "Bearer ", 0.0
