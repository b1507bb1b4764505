"""Tokens: get what a registry asks for in WWW-Authenticate, once for all threads, and remember it (token specification of Docker)."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import requests

from buildlib.failures.classify import Failure
from buildlib.machine.docker_daemon import Login
from buildlib.registry.http import Answer, Request, body_text, denial, scheme
from buildlib.registry.origins import origin_of, refuse_realm

LIFETIME = 60.0  # seconds of a token that does not state it; the default of the token specification
# The parameters of a WWW-Authenticate header (RFC 9110, 11.6.1), each with the scheme if it is the first of its challenge.
PARAMETER = re.compile(
    r"""(?<![\w-])(?:(?P<scheme>[A-Za-z][\w-]*)[ ]+)?(?P<name>[\w-]+)[ ]*=[ ]*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s",]*))""",
    re.VERBOSE,
)
TOKEN = re.compile(r"[!-~]+")  # what a header can hold

Credentials = tuple[str, str]  # user and password; "" and an identity token


class Key(NamedTuple):
    """What a token is valid for."""

    host: str
    repository: str
    writes: bool


class Tokens:
    """The tokens of one command. Threads share it.

    `login` returns the credentials for a host; `send` sends a request, described by a title, with retries.
    """

    def __init__(self, login: Login, send: Callable[[str, Request], Answer]) -> None:
        self.login, self.send = login, send
        self._lock = threading.Lock()  # of the dictionaries; it is never held during a request
        self._headers: dict[Key, tuple[str, float]] = {}  # the Authorization header, and until when it is valid
        self._denied: dict[Key, Failure] = {}  # a refusal is final for this command
        # One thread gets a token, the others that need the same one wait for it.
        self._requested: dict[Key, threading.Lock] = {}

    def known(self, request: Request) -> str:
        """The Authorization header for a request, "" without a valid one."""
        with self._lock:
            for may_write in (True, request.writes):  # a token for writing is valid for reading too
                value, until = self._headers.get(Key(request.host, request.repository, may_write), ("", 0.0))
                if value and until > time.monotonic():
                    return value
        return ""

    def authorize(self, request: Request, challenge: str, *, refused: str) -> str | Answer:
        """The Authorization header that a challenge asks for, or the final answer without one.

        `refused` is the header that the registry has just refused, "" for none.
        """
        key = Key(request.host, request.repository, request.writes)
        with self._lock:
            requested = self._requested.setdefault(key, threading.Lock())
        with requested:
            header = self.known(request)
            if header and header != refused:  # another thread was faster
                return header
            with self._lock:
                for other in [other for other, value in self._headers.items() if value[0] == refused]:
                    del self._headers[other]
                denied = self._denied.get(key)
            if denied:
                return Answer(failure=denied, final=True)
            answer, lifetime = self._request(request.host, challenge)
            with self._lock:
                if isinstance(answer, str):
                    self._headers[key] = (answer, time.monotonic() + lifetime)
                elif answer.failure and answer.failure.kind == "auth":
                    self._denied[key] = answer.failure
            return answer

    def _request(self, host: str, challenge: str) -> tuple[str | Answer, float]:
        """The Authorization header for a host and the seconds for which it is valid, or the final answer without one."""
        kind, words = read_challenge(challenge)
        login = self.login(host)
        if kind == "basic" and login:
            return _basic(login), 3600.0
        if kind != "bearer":
            cause = f"{host}: 401 Unauthorized, and no credentials for it are stored"
            return Answer(failure=Failure("auth", cause), final=True), 0.0
        answer = self.fetch(host, words, login)
        if answer.response is None:
            return replace(answer, final=True), 0.0
        if answer.status != 200:
            return Answer(failure=denial(answer.response, f"token of {host}"), final=True), 0.0
        header, lifetime = read_token(answer.response)
        if not header:
            cause = f"token of {host}: the answer of {urlsplit(words['realm']).netloc} has no token"
            return Answer(failure=Failure("auth", cause), final=True), 0.0
        return header, lifetime

    def fetch(self, registry: str, words: Mapping[str, str], login: Credentials | None) -> Answer:
        """Get a token from the endpoint that a challenge names: `words` are its realm, service and scope.

        The realm gets the credentials. One that must not have them is a failure, and nothing is sent.
        """
        realm, parameters = (
            words.get("realm", ""),
            {name: words[name] for name in ("service", "scope") if words.get(name)},
        )
        origin = origin_of(f"{scheme(registry)}://{registry}")
        refusal = "not the name of a registry" if origin is None else refuse_realm(origin, realm)
        if refusal:
            named = f"the realm {realm!r} of its challenge" if realm else "a challenge without a realm"
            return Answer(failure=Failure("auth", f"token of {registry}: {named} is refused: {refusal}"))
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
        return self.send(f"token of {registry}", request)


def read_challenge(header: str) -> tuple[str, dict[str, str]]:
    """The scheme, in lower case, and the parameters of the first challenge in a WWW-Authenticate header that is known.

    The scheme is "" if none is "basic" or "bearer".
    """
    challenges: list[tuple[str, dict[str, str]]] = []
    for match in PARAMETER.finditer(header):
        if match["scheme"]:
            challenges.append((match["scheme"].lower(), {}))
        if challenges:
            value = match["plain"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
            challenges[-1][1][match["name"].lower()] = value
    first = header.partition(" ")[0].lower()
    challenges.append((first, {}))  # a scheme without parameters
    return next((challenge for challenge in challenges if challenge[0] in ("basic", "bearer")), ("", {}))


def _basic(login: Credentials) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def read_token(response: requests.Response) -> tuple[str, float]:
    """The Authorization header from the response of a token endpoint, "" without a token, and for how many seconds it is valid."""
    try:
        data = json.loads(body_text(response) or "{}")
        token = data.get("token") or data.get("access_token") or ""
        if not TOKEN.fullmatch(token):
            return "", 0.0
        return f"Bearer {token}", max(LIFETIME, float(data.get("expires_in") or 0)) - 10.0
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
        return "", 0.0
