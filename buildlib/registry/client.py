"""A registry client that retries each request: tokens, manifests, blobs, uploads.

Of the distribution specification it implements which hosts answer for a registry, authentication (`tokens`), and resuming downloads.
What a request means is up to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.cookiejar import DefaultCookiePolicy
from itertools import count
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from buildlib.failures.classify import Failure
from buildlib.machine.docker_daemon import Login
from buildlib.process.retry import Budget, with_retries
from buildlib.registry import http
from buildlib.registry.http import Answer, Request, network_failure, range_of, transient_status
from buildlib.registry.origins import origin_of
from buildlib.registry.reference import host_of, is_loopback
from buildlib.registry.tokens import Tokens

# Seconds: the upper bound of the first wait. A request is small, most faults pass at once, and a build has dozens of requests.
DELAY = 0.1
# Seconds until an answer must begin, doubled with each try: one that hangs is soon tried again, a slow one gets its time.
PATIENCE, MAX_PATIENCE, CONNECT = 4.0, 120.0, 10.0
DIGESTED = 5e6  # bytes per second that any registry verifies and stores
MAX_REDIRECTS = 10  # as Go's clients
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

# All media types of manifests, as other clients send them; registries convert to older ones for a client that sends none.
MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.list.v2", "docker.distribution.manifest.v2",
    )
)  # fmt: skip

OnFailure = Callable[[str, Failure, int, float | None], None]


class Client:
    """Sends requests to registries. Threads share it.

    `budget` is the command's. `on_failure` gets the title, failure, number and next wait of each failed try. Mirrors are asked
    before the registry that they serve, except about images of the project, which are below `own` ("ghcr.io/acme"): a mirror's old
    answer would decide which tags are moved. `login` returns (user, password) for a host, ("", token) for an identity token.
    """

    def __init__(
        self, budget: Budget, sleep: Callable[[float], object], on_failure: OnFailure, *, bundle: str = "",
        mirrors: Mapping[str, tuple[str, ...]], own: str = "", login: Login,
    ) -> None:  # fmt: skip
        self.budget, self.sleep, self.on_failure, self.mirrors, self.login = budget, sleep, on_failure, mirrors, login
        self.own = own
        self.tokens = Tokens(login, self._send_with_retries)
        bundle = bundle or next((path for path in BUNDLES if Path(path).exists()), "")
        self.bundle = bundle  # the file of trusted certificates; "" is the one that requests brings
        self.sessions = {local: _session(bundle, local=local) for local in (False, True)}

    def close(self) -> None:
        """Close all connections."""
        for session in self.sessions.values():
            session.close()

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
        is_own = bool(self.own) and f"{registry}{path.removeprefix('/v2')}".startswith(f"{self.own}/")
        for host in self.hosts(registry, reading=method in ("GET", "HEAD") and not is_own):
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
                for chunk in response.raw.stream(http.CHUNK, decode_content=False):
                    piece, skip = chunk[skip:], max(0, skip - len(chunk))
                    if piece:
                        received, failures = received + len(piece), 0
                        yield piece
                return
            except GeneratorExit:  # the rest is not wanted
                response.close()
                raise
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
        """Send a request once, and again with a new token if the registry asks for one. `number` is that of the try, from 0.

        A host to which the registry has redirected the request gets neither the registry's token nor its credentials.
        """
        if not request.may_authorize:
            return self.send(request, number)
        token = self.tokens.known(request)
        answer = self.send(request, number, token)
        if answer.status != 401 or origin_of(answer.received.url or request.url) != request.origin:
            return answer
        challenge = answer.received.headers.get("WWW-Authenticate", "")
        answer.received.close()
        authorized = self.tokens.authorize(request, challenge, refused=token)
        return authorized if isinstance(authorized, Answer) else self.send(request, number, authorized)

    def _send_with_retries(self, title: str, request: Request) -> Answer:
        return self.retried(title, lambda number: self.send(request, number))

    def send(self, request: Request, number: int = 0, token: str = "") -> Answer:
        """Send a request once. `token` is the Authorization header, "" for none; later tries are more patient."""
        patience = min(PATIENCE * 2**number, MAX_PATIENCE)
        if request.body is not None and not isinstance(request.body, bytes):
            patience += request.body.seek(0, 2) / DIGESTED  # the registry verifies what it has received
        headers = {**request.headers, **({"Authorization": token} if token else {})}
        try:
            return self._follow(replace(request, headers=headers), (CONNECT, patience))
        except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
            return Answer(failure=network_failure(error, request.title))

    def _follow(self, request: Request, timeout: tuple[float, float]) -> Answer:
        """Send a request once and follow its redirects. `timeout` is in seconds, to connect and until an answer begins."""
        title = request.title
        for _ in range(1 + MAX_REDIRECTS):
            if request.body is not None and not isinstance(request.body, bytes):
                request.body.seek(0)
            response = self.sessions[is_loopback(request.host)].request(
                request.method, request.url, headers=request.headers, data=request.body, stream=True, timeout=timeout
            )
            location = response.headers.get("Location")
            if response.status_code not in http.REDIRECTS or location is None:
                failure = transient_status(response, title)
                return Answer(failure=failure) if failure else Answer(response)
            if response.raw.length_remaining in range(http.CHUNK):  # None if it is not known
                response.raw.read()  # a connection whose answer was read is used again
            response.close()
            following = http.redirected(request, response.status_code, location)
            if not isinstance(following, Request):
                return Answer(failure=following, final=True)
            request = following
        return Answer(failure=Failure("unknown", f"{title}: more than {MAX_REDIRECTS} redirects"), final=True)


class _Session(requests.Session):
    """A session that follows no redirects, not even far enough to read ~/.netrc for them, and keeps no cookies."""

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


def _session(bundle: str, *, local: bool) -> requests.Session:
    session = _Session()
    session.auth = lambda request: request  # no credentials from ~/.netrc
    session.trust_env = not local  # as in Go, no proxy is used for the loopback
    session.verify = bundle or True
    # Digests are those of the content as it is stored; requests would accept gzip.
    session.headers["Accept-Encoding"] = "identity"
    for prefix in ("http://", "https://"):
        session.mount(prefix, HTTPAdapter(pool_connections=32, pool_maxsize=32))
    return session
