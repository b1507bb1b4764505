"""Upload blobs and manifests. Each request is tried again, and an upload that broke off starts anew.

Model: OCI distribution specification 1.1, "Push".
"""

from __future__ import annotations

import io
from typing import IO
from urllib.parse import urlencode, urlsplit

from buildlib.core.errors import BuildError
from buildlib.failures.classify import Failure, classify
from buildlib.registry.client import Client
from buildlib.registry.content import Repository
from buildlib.registry.http import Answer, Request, body_text, denial, scheme
from buildlib.registry.origins import upload_url

OCTETS = {"Content-Type": "application/octet-stream"}


def push_blob(repository: Repository, data: bytes, digest: str) -> None:
    """Upload a blob unless the repository has it.

    Raises:
        NetworkError, BuildError: The registry refuses it, or does not answer.
    """
    if not has_blob(repository, digest):
        push_file(repository, io.BytesIO(data), digest)


def has_blob(repository: Repository, digest: str) -> bool:
    """Whether the repository has a blob. What goes wrong with the question is reported by the upload that follows a no."""
    answer = _send(repository, "HEAD", f"blobs/{digest}")
    if answer.response is not None:
        answer.received.close()
    return answer.status == 200


def push_file(repository: Repository, body: IO[bytes], digest: str) -> None:
    """Upload a blob that the repository does not have from a file, which is closed. Errors as for `push_blob`."""
    title = f"{repository}@{digest}"
    answer = upload(repository.client, repository.registry, repository.name, body, digest)
    _require_created(answer, title, f"upload of {title}")
    answer.received.close()


def push_manifest(repository: Repository, version: str, data: bytes, media_type: str) -> None:
    """Put a manifest or an index under a tag or its digest.

    Raises:
        NetworkError, BuildError: The registry refuses it, or does not answer.
    """
    title = f"{repository}{'@' if ':' in version else ':'}{version}"
    answer = _send(repository, "PUT", f"manifests/{version}", {"Content-Type": media_type}, data)
    _require_created(answer, title, f"PUT {title}")


def _send(
    repository: Repository, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Send a request to the registry itself: mirrors take no uploads."""
    (host,) = repository.client.hosts(repository.registry, reading=False)
    answer = repository.client.request(
        Request(method=method, host=host, path=f"/v2/{repository.name}/{path}", headers=headers or {}, body=body)
    )
    if answer.response is not None and answer.status < 400:
        answer.received.close()
    return answer


def _require_created(answer: Answer, title: str, request: str) -> None:
    if answer.failure:
        raise answer.failure.error(f"{title}: {answer.failure.cause}", answer.failure.help, answer.failure.kind)
    if answer.status >= 300:
        with answer.received as response:
            refusal = denial(response, request)
        error = refusal.error if answer.status in (401, 403) else BuildError
        raise error(f"{title}: {refusal.cause}", refusal.help if answer.status in (401, 403) else "")


def mount(client: Client, registry: str, repository: str, digest: str, source: str) -> Answer | None:
    """Reuse a blob of the repository `source` of the same registry; None if it must be uploaded."""
    parameters = urlencode({"mount": digest, "from": source})
    (host,) = client.hosts(registry, reading=False)
    answer = client.request(
        Request(method="POST", host=host, path=f"/v2/{repository}/blobs/uploads/?{parameters}", headers={})
    )
    if answer.status != 201 and answer.response is not None:
        answer.received.close()  # 202: an upload that is not continued
    return answer if answer.status == 201 else None


def upload(client: Client, registry: str, repository: str, body: IO[bytes], digest: str) -> Answer:
    """Upload a blob with POST, which returns a location, and PUT to it; `body` is closed.

    After a broken connection the location is not used again: the retry starts with POST.
    """
    (host,) = client.hosts(registry, reading=False)

    def once(_: int) -> Answer:
        started = client.request(Request(method="POST", host=host, path=f"/v2/{repository}/blobs/uploads/", headers={}))
        if started.status != 202:
            return Answer(started.response, started.failure, final=True)
        started.received.close()
        location, refusal = upload_url(f"{scheme(host)}://{host}", started.received.headers.get("Location", ""))
        if refusal:
            cause = f"upload to {host}/{repository}: the location {location!r} is refused: {refusal}"
            return Answer(failure=Failure("unknown", cause), final=True)
        location += f"{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"
        put = client.once(
            Request(method="PUT", host=urlsplit(location).netloc, path=location, headers=OCTETS, body=body)
        )
        if put.status == 404:  # the registry does not know the upload any more
            failure = classify(f"PUT {host}/{repository}: 404 Not Found: {body_text(put.received)}")
            return Answer(put.response, failure, final=not failure.transient)
        return put

    with body:
        return client.retried(f"upload to {host}/{repository}", once)
