"""A registry's client that retries each single request: tokens, manifests, blobs, uploads.

Of the distribution specification it knows who answers for a name, how one gets in, and how a download goes on where it broke.
What a request means is its sender's business.
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

# Seconds: the first wait's upper bound. A request is small and most faults are gone at once; a build has dozens of them.
DELAY = 0.1
# Seconds for an answer to begin, doubled with each try: one that hangs is soon asked again, one that is slow gets its time.
PATIENCE, MOST_PATIENCE, CONNECT = 4.0, 120.0, 10.0
DIGESTED = 5e6  # bytes a second that any registry checks and stores
CHUNK = 1 << 18  # bytes
LIFETIME = 60.0  # seconds of a token that does not say; the token specification's own number
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

# The kinds of manifests, as a client names them that knows all of them; registries hand out older ones to who names none.
MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2", "docker.distribution.manifest.v2",
    )
)  # fmt: skip

OnFailure = Callable[[str, Failure, int, float | None], None]


class Client:
    """Requests to registries. `budget` is the run's, `tell` hears of each failed try, mirrors are asked before the registry that
    they stand for, `login` knows (user, password) for a registry; an identity token has "" for a user. Threads share it."""

    def __init__(
        self, budget: Budget, sleep: Callable[[float], object], tell: OnFailure, *, bundle: str = "",
        mirrors: Mapping[str, tuple[str, ...]], login: Callable[[str], tuple[str, str] | None],
    ) -> None:  # fmt: skip
        self.budget, self.sleep, self.tell, self.mirrors, self.login = budget, sleep, tell, mirrors, login
        self.tokens: dict[tuple[str, str, bool], tuple[str, float]] = {}
        self.denied: dict[tuple[str, str, bool], Failure] = {}  # a no stays a no for this run
        # One thread asks a host for a token, the others get it too.
        self.locks: dict[str, threading.Lock] = defaultdict(threading.Lock)
        bundle = bundle or next((path for path in BUNDLES if Path(path).exists()), "")
        self.bundle = bundle  # "" where only the libraries' own is there
        self.sessions = {local: _session(bundle, local=local) for local in (False, True)}

    def hosts(self, registry: str, *, reading: bool) -> tuple[str, ...]:
        """The hosts that answer for a registry, the first of choice first; mirrors serve pulls alone."""
        return (*(self.mirrors.get(registry, ()) if reading else ()), host_of(registry))

    def ask(self, request: Request) -> Answer:
        """The answer after as many tries as it takes. 429, 5xx and the network are failures; 401 and 403 come back as responses
        when no token helps."""
        return self.tried(request.title, lambda number: self.once(request, number))

    def reach(
        self, method: str, registry: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[Request, Answer]:
        """What the first of a registry's hosts says that has an answer, with its request; else the refusal that says most."""
        found = []
        for host in self.hosts(registry, reading=method in ("GET", "HEAD")):
            request = Request(method=method, host=host, path=path, headers=headers, body=body)
            found.append((request, self.ask(request)))
            if found[-1][1].status < 400:
                return found[-1]
        # A refusal says more than that a mirror does not have it, or that another cannot be reached.
        telling = [pair for pair in found if pair[1].status not in (404, 999)]
        return (telling or found)[-1]

    def tried(self, title: str, once: Callable[[int], Answer]) -> Answer:
        """What `once` answers, after as many tries as it takes; it gets their numbers, from 0."""
        tries = count()
        return with_retries(
            lambda: once(next(tries)), lambda answer: None if answer.final else answer.failure, self.budget,
            attempts=self.budget.policy.attempts, delay=min(DELAY, self.budget.policy.delay), sleep=self.sleep,
            tell=lambda failure, attempt, wait: self.tell(title, failure, attempt, wait),
        )  # fmt: skip

    def read(self, request: Request, answer: Answer) -> Iterator[bytes]:
        """The body of an answer, going on where it broke. OSError with the cause when the rest cannot be had."""
        response, first, last = answer.response, *range_of(request.headers)
        base = first if response.status_code == 206 else 0
        got = skip = stale = 0
        while True:
            try:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    piece, skip = chunk[skip:], max(0, skip - len(chunk))
                    if piece:
                        got, stale = got + len(piece), 0
                        yield piece
                return
            except (HTTPError, OSError) as error:
                failure, stale = network_failure(error, request.title), stale + 1
                over = stale >= self.budget.policy.attempts or not failure.transient
                self.tell(request.title, failure, stale, None if over else 0.0)
                if over:
                    raise OSError(failure.cause) from None
            headers = {**request.headers, "Range": f"bytes={base + got}-{last}"}
            more = self.ask(replace(request, headers=headers))
            if more.status not in (200, 206):
                raise OSError(more.failure.cause if more.failure else f"{request.title}: {more.status} on the way")
            # A server that knows no ranges begins at the beginning.
            response, skip = more.response, got if more.status == 200 else 0

    # --- one try -------------------------------------------------------------------------------------------------

    def once(self, request: Request, number: int = 0) -> Answer:
        """One try, and a second one with a token where it is asked for. `number` counts from 0: later ones are more patient."""
        key = request.host, request.repository, request.writes
        known = self._token(key)
        answer = self.send(request, number, known)
        if answer.status != 401:
            return answer
        challenge = answer.response.headers.get("WWW-Authenticate", "")
        answer.response.close()
        given = self._let_in(request, key, challenge, known)
        return given if isinstance(given, Answer) else self.send(request, number, given)

    def send(self, request: Request, number: int = 0, token: str = "") -> Answer:
        """One try with one Authorization header, "" for none; 401 is a response."""
        patience = min(PATIENCE * 2**number, MOST_PATIENCE)
        if request.body is not None and not isinstance(request.body, bytes):
            patience += request.body.seek(0, 2) / DIGESTED  # the registry has work to do with what it got
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

    # --- getting in --------------------------------------------------------------------------------------------------

    def _token(self, key: tuple[str, str, bool]) -> str:
        host, repository, writes = key
        for may_write in (True, writes):  # a token to write with is good for reading
            value, until = self.tokens.get((host, repository, may_write), ("", 0.0))
            if value and until > time.monotonic():
                return value
        return ""

    def _let_in(self, request: Request, key: tuple[str, str, bool], challenge: str, refused: str) -> str | Answer:
        """What the challenge asks for, as the Authorization header; or the answer that it ends with."""
        with self.locks[request.host]:
            known = self._token(key)
            if known and known != refused:  # another thread was quicker
                return known
            self.tokens = {name: value for name, value in self.tokens.items() if value[0] != refused}
            kind, _, told = challenge.partition(" ")
            words, login = parse_dict_header(told), self.login(request.host)
            if kind.lower() == "basic" and login:
                given, lifetime = _basic(login), 3600.0
            elif kind.lower() == "bearer" and words.get("realm"):
                if key in self.denied:
                    return Answer(failure=self.denied[key], final=True)
                answer = self.fetch_token(request.host, words, login)
                if answer.response is None:
                    return replace(answer, final=True)
                if answer.status != 200:
                    self.denied[key] = denial(answer.response, f"token of {request.host}")
                    return Answer(failure=self.denied[key], final=True)
                given, lifetime = read_token(answer.response)
            else:
                failure = Failure("auth", f"{request.host}: 401 Unauthorized, and no password for it is known")
                return Answer(failure=failure, final=True)
            self.tokens[key] = (given, time.monotonic() + lifetime)
            return given

    def fetch_token(self, registry: str, words: Mapping[str, str], login: tuple[str, str] | None) -> Answer:
        """What the token endpoint answers that a challenge names: `words` are its realm, service and scope."""
        realm, asked = words["realm"], {name: words[name] for name in ("service", "scope") if words.get(name)}
        query = urlencode({**asked, "client_id": "buildlib"})
        request = Request(
            method="GET", host=urlsplit(realm).netloc, path=f"{realm}{'&' if '?' in realm else '?'}{query}", headers={}
        )
        if login and not login[0]:  # an identity token is traded in (OAuth 2)
            form = urlencode({"grant_type": "refresh_token", "refresh_token": login[1]})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            request = replace(request, method="POST", path=realm, headers=headers, body=f"{query}&{form}".encode())
        elif login:
            request = replace(request, headers={"Authorization": _basic(login)})
        return self.tried(f"token of {registry}", lambda number: self.send(request, number))


def _session(bundle: str, *, local: bool) -> requests.Session:
    session = requests.Session()
    session.auth = lambda request: request  # ~/.netrc is not asked
    session.trust_env = not local  # as in Go, no proxy stands before the loopback
    session.verify = bundle or True
    for prefix in ("http://", "https://"):
        session.mount(prefix, HTTPAdapter(pool_connections=32, pool_maxsize=32))
    return session


def _basic(login: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def read_token(response: requests.Response) -> tuple[str, float]:
    """The Authorization header that a token endpoint has given, and for how many seconds it is good."""
    try:
        told = json.loads(body_text(response) or "{}")
        token = told.get("token") or told.get("access_token") or ""
        return f"Bearer {token}", max(LIFETIME, float(told.get("expires_in") or 0)) - 10.0
    except (ValueError, AttributeError, TypeError):
        return "Bearer ", 0.0
