"""Layers of base images on their way into another repository, and in the cache."""

import hashlib
import io
import os
import threading
import time

import pytest

from buildlib.core.errors import BuildError, Refused
from buildlib.registry import blob_copies, uploads
from buildlib.registry.blob_cache import ABANDONED, BlobCache
from buildlib.registry.blob_copies import BlobCopies, Source
from buildlib.registry.content import Repository
from buildlib.registry.digests import verified

DATA = b"layer" * 1000
NAME = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


class Client:
    """Knows one mirror: that of docker.io is the registry r.test."""

    def hosts(self, registry, *, reading):
        mirrors = ("r.test",) if reading and registry == "docker.io" else ()
        return (*mirrors, registry)


@pytest.fixture
def registry(monkeypatch):
    """What was requested, in order; `blobs` are (repository, digest), `mounts` those that can be mounted."""

    class State:
        requests, blobs, mounts, lies = [], set(), True, False

    class Answer:
        class received:
            close = staticmethod(lambda: None)

    def has_blob(repository, digest):
        return (str(repository), digest) in State.blobs

    def mount(_, registry, repository, digest, source):
        State.requests.append(f"mount {repository} from {source}")
        known = (f"{registry}/{source}", digest) in State.blobs
        if not State.mounts or not known:
            return None
        if not State.lies:
            State.blobs.add((f"{registry}/{repository}", digest))
        return Answer

    def push_file(repository, body, digest):
        with body:
            assert f"sha256:{hashlib.sha256(body.read()).hexdigest()}" == digest
        State.requests.append(f"upload {repository.name}")
        State.blobs.add((str(repository), digest))

    for name, function in {"has_blob": has_blob, "mount": mount, "push_file": push_file}.items():
        monkeypatch.setattr(blob_copies.uploads, name, function)
    assert blob_copies.uploads is uploads
    return State


def repository(name, registry="r.test"):
    return Repository(Client(), registry, name)


def source(where):
    return Source(NAME, where, lambda: io.BytesIO(DATA))


def test_a_layer_that_is_there_is_left_alone(registry):
    registry.blobs.add(("r.test/a", NAME))
    BlobCopies().provide(repository("a"), source(repository("library/debian", "docker.io")))
    assert registry.requests == []


@pytest.mark.parametrize("base", [repository("library/debian"), repository("library/debian", "docker.io")])
def test_a_layer_of_the_same_registry_or_of_its_mirror_is_mounted(registry, base):
    registry.blobs.add(("r.test/library/debian", NAME))
    BlobCopies().provide(repository("a"), source(base))
    assert registry.requests == ["mount a from library/debian"]


@pytest.mark.parametrize("fault", ["mounts", "lies"])
def test_a_registry_that_does_not_mount_gets_an_upload(registry, fault):
    registry.blobs.add(("r.test/library/debian", NAME))
    setattr(registry, fault, fault == "lies")
    BlobCopies().provide(repository("a"), source(repository("library/debian")))
    assert registry.requests == ["mount a from library/debian", "upload a"]


def test_a_layer_of_another_registry_is_uploaded_once_and_then_mounted(registry):
    """Four images want it at the same time."""
    copies, other = BlobCopies(), source(repository("base", "other.test"))
    threads = [threading.Thread(target=copies.provide, args=(repository(name), other)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, *rest = registry.requests
    assert first.startswith("upload ") and len(rest) == 3
    assert {line.partition(" from ")[2] for line in rest} == {first.removeprefix("upload ")}


class Remote:
    """A repository that counts downloads."""

    def __init__(self, data=DATA):
        self.data, self.downloads = data, 0

    def blob(self, digest, size):
        self.downloads += 1
        yield from verified((self.data[:7], self.data[7:]), "remote", digest, size)


def read(cache, remote):
    with cache.opener(remote, NAME, len(DATA))() as stream:
        return stream.read()


def test_a_layer_is_downloaded_once_also_by_several_threads(tmp_path):
    cache, remote, found = BlobCache(tmp_path), Remote(), []
    threads = [threading.Thread(target=lambda: found.append(read(cache, remote))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, remote.downloads) == ([DATA] * 4, 1)
    assert (read(BlobCache(tmp_path), remote), remote.downloads) == (DATA, 1)  # another command


@pytest.mark.parametrize("damage", [b"", DATA[:-1], DATA + b"x", b"other"])
def test_a_damaged_file_is_downloaded_again(tmp_path, damage):
    path = tmp_path.joinpath(*NAME.split(":"))
    path.parent.mkdir()
    path.write_bytes(damage)
    remote = Remote()
    assert (read(BlobCache(tmp_path), remote), remote.downloads, path.read_bytes()) == (DATA, 1, DATA)


def test_what_is_something_else_leaves_no_file(tmp_path):
    with pytest.raises(Refused):
        read(BlobCache(tmp_path), Remote(b"other"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_disk_that_is_not_writable_is_an_error(tmp_path):
    (tmp_path / "sha256").write_text("in the way")
    with pytest.raises(BuildError, match="sha256: ") as caught:
        read(BlobCache(tmp_path), Remote())
    assert caught.value.help == "free some space, or let XDG_CACHE_HOME name a directory with more"


def test_the_oldest_layers_go_first_and_what_killed_commands_left(tmp_path):
    (tmp_path / "sha256").mkdir()
    now = time.time()
    for age, name in enumerate(("new", "old", "oldest", ".partial", ".abandoned")):
        (tmp_path / "sha256" / name).write_bytes(bytes(100))
        when = now - (ABANDONED + 1 if name == ".abandoned" else age)
        os.utime(tmp_path / "sha256" / name, (when, when))
    BlobCache(tmp_path, kept=200).prune()
    assert sorted(path.name for path in (tmp_path / "sha256").iterdir()) == [".partial", "new", "old"]
