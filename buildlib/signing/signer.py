"""What signs the images of a command: one key and one client, for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildlib.binaries.dist import SUMS
from buildlib.core.errors import UsageError
from buildlib.core.signing_settings import VARIABLE
from buildlib.process.commit import Source, source
from buildlib.process.context import Context
from buildlib.registry.content import Repository, repository_of
from buildlib.registry.digests import digest_of
from buildlib.registry.reference import parse
from buildlib.registry.session import client_for

if TYPE_CHECKING:
    from buildlib.registry.client import Client
    from buildlib.signing.images import Attached, Predicates
    from buildlib.signing.keys import PrivateKey


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs images with the key of the settings. Threads share it."""

    key: PrivateKey
    client: Client
    attest: tuple[str, ...]  # the names of the attestations that the settings ask for
    source: Source  # of the workspace, for provenances

    def sign(self, name: str, document: bytes, digest: str, predicates: Predicates) -> list[Attached]:
        """Sign an index, or a manifest, and its images in the repository `name`. Errors as for `signing.images.sign`."""
        from buildlib.signing import images

        return images.sign(self.repository(name), document, digest, self.key, predicates)

    def put(self, name: str, index: bytes, digest: str) -> None:
        """Upload an index without a tag. Errors as for `registry.uploads.push_manifest`."""
        from buildlib.registry.referrers import INDEX
        from buildlib.registry.uploads import push_manifest

        push_manifest(self.repository(name), digest, index, INDEX)

    def repository(self, name: str) -> Repository:
        """The repository of this name, with its registry."""
        return repository_of(self.client, parse(name))


def key_source(context: Context) -> str:
    """The key of the settings: env://NAME, or a path, which in a file of settings is relative to the workspace."""
    key = context.config.signing.key
    return key if key.startswith(VARIABLE) else str(context.workspace.root / key)


@contextmanager
def opened_signer(context: Context) -> Iterator[Signer | None]:
    """The signer of a command, None if the settings name no key.

    Raises:
        UsageError: The key cannot be used, or there are attestations without a key.
    """
    settings = context.config.signing
    if not settings.key:
        if settings.attest:
            raise UsageError("attestations need a key to sign them", "add --sign KEY, or leave out --attest")
        yield None
        return
    from buildlib.signing.keys import private_key

    key = private_key(key_source(context), context.host.env)
    with closing(client_for(context)) as client:
        # Git is asked only for what a provenance says.
        made = source(context) if "provenance" in settings.attest else Source(revision="")
        yield Signer(key, client, settings.attest, made)


# --- the command `sign` ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One thing that is signed now. `platform` is "" for an index and a directory, `added` whether the signature is new."""

    path: str
    digest: str
    platform: str = ""
    added: bool


def sign_image(context: Context, signer: Signer, word: str) -> list[Signed]:
    """Sign what a registry has under a tag or digest: the index, and the image of each platform.

    Raises:
        NetworkError, BuildError: The registry does not have it, or does not take signatures.
    """
    from buildlib.image_gate import manifests

    reference = parse(word)
    digest, document = repository_of(signer.client, reference).named(reference)
    manifests.read(document, word)  # an error for what is neither a manifest nor an index
    name = word.removeprefix("docker://")
    if context.run.dry:
        return [Signed(path=name, digest=digest, added=True)]
    attached = signer.sign(f"{reference.registry}/{reference.repository}", document, digest, lambda _: ())
    return [Signed(path=name, digest=one.digest, platform=one.platform, added=one.added) for one in attached]


def sign_directory(context: Context, signer: Signer, folder: Path) -> Signed:
    """Sign what the manifest of a directory lists. UsageError for one that does not exist, others as for `signing.directory.sign`."""
    from buildlib.signing import directory

    if folder != context.dist and not folder.exists():
        raise UsageError(f"{folder}: no such file or directory")
    added = directory.sign(context, folder, signer.key)
    return Signed(path=str(folder / SUMS), digest=digest_of((folder / SUMS).read_bytes()), added=added)
