"""Tokens: get what a registry asks for in WWW-Authenticate, once for all threads, and remember it (token specification of Docker)."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlencode, urlsplit

import requests
from requests.utils import parse_dict_header

from buildlib.failures.classify import Failure
from buildlib.machine.docker_daemon import Login
from buildlib.registry.http import Answer, Request, body_text, denial

LIFETIME = 60.0  # seconds of a token that does not state it; the default of the token specification

Credentials = tuple[str, str]  # user and password; "" and an identity token
Key = tuple[str, str, bool]  # host, repository, whether it writes: what a token is valid for


class Tokens:
    """The tokens of one command. Threads share it.

    `login` returns the credentials for a host; `send` sends a request, described by a title, with retries.
    """

    def __init__(self, login: Login, send: Callable[[str, Request], Answer]) -> None:
        self.login, self.send = login, send
        self.headers: dict[Key, tuple[str, float]] = {}  # the Authorization header, and until when it is valid
        self.denied: dict[Key, Failure] = {}  # a refusal is final for this command
        # One thread gets a token from a host, the others wait for it.
        self.locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def known(self, request: Request) -> str:
        """The Authorization header for a request, "" without a valid one."""
        for may_write in (True, request.writes):  # a token for writing is valid for reading too
            value, until = self.headers.get((request.host, request.repository, may_write), ("", 0.0))
            if value and until > time.monotonic():
                return value
        return ""

    def authorize(self, request: Request, challenge: str, *, refused: str) -> str | Answer:
        """The Authorization header that a challenge asks for, or the final answer without one.

        `refused` is the header that the registry has just refused, "" for none.
        """
        key = request.host, request.repository, request.writes
        with self.locks[request.host]:
            header = self.known(request)
            if header and header != refused:  # another thread was faster
                return header
            self.headers = {other: value for other, value in self.headers.items() if value[0] != refused}
            kind, _, parameters = challenge.partition(" ")
            words, login = challenge_words(parameters), self.login(request.host)
            if kind.lower() == "basic" and login:
                header, lifetime = _basic(login), 3600.0
            elif kind.lower() == "bearer" and words.get("realm"):
                if key in self.denied:
                    return Answer(failure=self.denied[key], final=True)
                answer = self.fetch(request.host, words, login)
                if answer.response is None:
                    return replace(answer, final=True)
                if answer.status != 200:
                    self.denied[key] = denial(answer.response, f"token of {request.host}")
                    return Answer(failure=self.denied[key], final=True)
                header, lifetime = read_token(answer.response)
            else:
                cause = f"{request.host}: 401 Unauthorized, and no credentials for it are stored"
                return Answer(failure=Failure("auth", cause), final=True)
            self.headers[key] = (header, time.monotonic() + lifetime)
            return header

    def fetch(self, registry: str, words: Mapping[str, str], login: Credentials | None) -> Answer:
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
        return self.send(f"token of {registry}", request)


def challenge_words(parameters: str) -> dict[str, str]:
    """The parameters of a WWW-Authenticate header: realm, service, scope."""
    words: dict[str, str | None] = parse_dict_header(parameters)  # type: ignore[no-untyped-call]  # types-requests has none
    return {name: value for name, value in words.items() if value is not None}


def _basic(login: Credentials) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def read_token(response: requests.Response) -> tuple[str, float]:
    """The Authorization header from the response of a token endpoint, and for how many seconds it is valid."""
    try:
        data = json.loads(body_text(response) or "{}")
        token = data.get("token") or data.get("access_token") or ""
        return f"Bearer {token}", max(LIFETIME, float(data.get("expires_in") or 0)) - 10.0
    except (ValueError, AttributeError, TypeError):
        return "Bearer ", 0.0
