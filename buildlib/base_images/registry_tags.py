"""What a registry says of tags: which ones a repository has, and the digest of one.

OCI distribution specification 1.1: "Listing Tags" (pages, named by a Link header), and HEAD of a manifest. Docker Hub counts a GET of
a manifest as a pull, and a HEAD not.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from buildlib.core.errors import BuildError
from buildlib.registry.client import MANIFESTS, Client
from buildlib.registry.content import repository_of, require_success
from buildlib.registry.digests import is_known
from buildlib.registry.http import body_text
from buildlib.registry.reference import TAG, Reference

PAGE, MAX_PAGES = 1000, 50  # tags that are asked for at once; registries return fewer as they like
NEXT = re.compile(r"<(?P<url>[^>]*)>\s*;(?:[^,]*;)?\s*rel=\"?next\"?", re.IGNORECASE)


class _Page(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


def tags(client: Client, reference: Reference) -> tuple[str, ...]:
    """The tags of the repository, in the registry's order; at most MAX_PAGES pages of them.

    NetworkError or BuildError if the registry does not return them.
    """
    found: dict[str, None] = {}
    path = first = f"/v2/{reference.repository}/tags/list"
    query = f"?n={PAGE}"
    for _ in range(MAX_PAGES):
        title = f"{reference.registry}/{reference.repository}: tags"
        request, answer = client.reach("GET", reference.registry, path + query, {"Accept": "application/json"})
        require_success(answer, title, request.title)
        with answer.received as response:
            text, link = body_text(response), response.headers.get("Link", "")
        try:
            page = msgspec.json.decode(text, type=_Page)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise BuildError(f"{title}: {error}") from None
        new = [tag for tag in page.tags or () if TAG.fullmatch(tag) and tag not in found]
        found.update(dict.fromkeys(new))
        following = NEXT.search(link)
        # The next page is asked of the same host, whatever the header names; a page without a new tag is the last.
        query = f"?{urlsplit(following['url']).query}" if following else ""
        if not new or query in ("", "?"):
            break
        path = first
    return tuple(found)


def current_digest(client: Client, reference: Reference) -> str:
    """The digest of what is under the tag now, or the one in the reference itself.

    NetworkError or BuildError if the registry does not say, Refused as for `Repository.manifest`.
    """
    if reference.digest:
        return reference.digest
    path = f"/v2/{reference.repository}/manifests/{reference.version}"
    request, answer = client.reach("HEAD", reference.registry, path, {"Accept": MANIFESTS})
    title = f"{reference.registry}/{reference.repository}:{reference.version}"
    require_success(answer, title, request.title)
    with answer.received as response:
        stated = response.headers.get("Docker-Content-Digest", "")
    if is_known(stated):
        return stated
    return repository_of(client, reference).named(reference)[0]
