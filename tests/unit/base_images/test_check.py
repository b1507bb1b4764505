"""Base images and their platforms, asked of an emulated registry."""

import hashlib
import json

import pytest
from upstream import Upstream, digest

from buildlib.base_images import check, registry_tags
from buildlib.base_images.check import BaseDigest
from buildlib.base_images.dockerfile import Base, Image
from buildlib.core.errors import BuildError, NetworkError, Refused
from buildlib.core.settings import Retry
from buildlib.process.retry import Budget
from buildlib.registry.client import Client
from buildlib.registry.reference import parse

RETRY = Retry(attempts=3, delay=0.01, max_delay=0.05, total=5.0)
AMD64, ARM64, ARMV7, RISCV64 = "linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"


class Registry:
    """A registry whose tags are documents, in the repository acme/base."""

    def __init__(self, server):
        self.server = server
        self.name = f"{server.address}/acme/base"
        self.client = Client(
            Budget(RETRY), lambda _: None, lambda *_: None, mirrors={}, login=lambda _: None
        )  # fmt: skip

    def put(self, data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.server.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def manifest(self, platform):
        system, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        return {
            "config": self.put({"os": system, "architecture": architecture, "variant": variant or None}),
            "layers": [],
        }

    def entry(self, platform, *, named=True):
        fields = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        return {**self.put(self.manifest(platform)), **({"platform": fields} if named else {})}

    def index(self, *platforms):
        return {"manifests": [self.entry(platform) for platform in platforms]}

    def tag(self, tag, document):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.server.blobs[tag] = data
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def list_tags(self, *names, link=""):
        """What the registry answers, once, when it is asked for tags."""
        body = json.dumps({"name": "acme/base", "tags": names}).encode()
        headers = {"Link": f'<{link}>; rel="next"'} if link else {}
        self.server.faults.setdefault("/tags/list", []).append((200, body, headers))

    def base(self, tag, *platforms, line=3):
        name = f"{self.name}{tag if tag.startswith('@') else f':{tag}'}"
        images = {platform: Image(name, name, platform) for platform in platforms}
        return Base(text=name, line=line, instruction="FROM", title="d/Dockerfile", images=images)

    def check(self, *bases):
        return check.check(self.client, bases)

    def asked(self, part):
        return sum(count for name, count in self.server.asked.items() if part in name)


@pytest.fixture
def registry():
    with Upstream() as server:
        registry = Registry(server)
        yield registry
        registry.client.close()


def test_the_digests_of_images_that_have_all_platforms(registry):
    first = registry.tag("1", registry.index(AMD64, "linux/arm64/v8", "linux/arm/v6", "unknown/unknown"))
    second = registry.tag("2", registry.manifest(AMD64))
    by_digest = registry.put(registry.index(RISCV64))["digest"]
    assert registry.check(
        registry.base("1", AMD64, ARM64, ARMV7), registry.base("1", ARM64, line=9), registry.base("2", AMD64),
        registry.base(f"@{by_digest}", RISCV64), Base(text="$X", line=1, instruction="FROM", title="D", missing=("X",)),
    ) == (
        BaseDigest(f"{registry.name}:1", first), BaseDigest(f"{registry.name}:2", second),
        BaseDigest(f"{registry.name}@{by_digest}", by_digest),
    )  # fmt: skip
    assert registry.server.asked["GET /v2/acme/base/manifests/1"] <= 2  # one more for the token
    assert registry.check() == ()


def test_a_missing_platform_is_one_error_with_the_tag_that_has_it(registry):
    registry.tag("3.18-alpine", registry.index(AMD64, ARM64))
    registry.tag("3.19-alpine", registry.index(AMD64, ARM64))
    for tag in ("3.20-alpine", "3.21-alpine"):
        registry.tag(tag, registry.index(AMD64, ARM64, RISCV64))
    registry.tag("single", registry.manifest(AMD64))
    registry.list_tags("latest", "3.18-alpine", "3.19-alpine", link="/v2/acme/base/tags/list?n=3&last=3.19-alpine")
    registry.list_tags("3.20-alpine", "3.21-alpine", "3.21")
    with pytest.raises(Refused) as error:
        registry.check(registry.base("3.18-alpine", AMD64, RISCV64), registry.base("single", AMD64, line=5))
    name = registry.name
    assert error.value.message == f"d/Dockerfile:3: {name}:3.18-alpine has no {RISCV64}; it has {AMD64}, {ARM64}"
    assert error.value.help == f"use {name}:3.20-alpine instead of {name}:3.18-alpine: it has {AMD64} and {RISCV64}"


def test_all_images_without_a_platform_are_in_the_error(registry):
    registry.tag("single", registry.manifest("linux/arm64/v8"))
    registry.tag("empty", {"manifests": []})
    registry.tag("arm", registry.index("linux/arm/v7", "linux/386"))
    with pytest.raises(Refused) as error:
        registry.check(
            registry.base("single", ARM64, AMD64, ARMV7), registry.base("empty", AMD64, line=4),
            registry.base("arm", ARM64, AMD64, ARMV7, line=7),
        )  # fmt: skip
    assert error.value.message.split("\n") == [
        f"d/Dockerfile:3: {registry.name}:single has no {AMD64} and no {ARMV7}; it has {ARM64}",
        f"d/Dockerfile:4: {registry.name}:empty has no {AMD64}; it has no platform",
        f"d/Dockerfile:7: {registry.name}:arm has no {ARM64} and no {AMD64}; it has {ARMV7}, linux/386",
    ]
    assert error.value.help == "use another base image, or build without these platforms"


def test_the_configuration_tells_the_platform_where_the_index_does_not(registry):
    nested = registry.put(registry.index(ARMV7))
    registry.tag("1", {"manifests": [registry.entry(ARM64, named=False), nested]})
    with pytest.raises(Refused, match=r"has no linux/amd64; it has linux/arm64, linux/arm/v7$"):
        registry.check(registry.base("1", ARM64, ARMV7, AMD64))


def test_a_configuration_without_a_platform(registry):
    registry.tag("1", {"config": registry.put({}), "layers": []})
    with pytest.raises(Refused, match=r"has no linux/amd64; it has one that its configuration does not state$"):
        registry.check(registry.base("1", AMD64))


def test_an_image_for_one_architecture_names_the_general_one(registry, monkeypatch):
    found = {"docker.io/arm64v8/debian:trixie": ARM64, "docker.io/library/debian:trixie": f"{ARM64} {AMD64}"}
    monkeypatch.setattr(check, "_found", lambda _, reference: check._Found("d", tuple(found[str(reference)].split())))
    name = "docker.io/arm64v8/debian:trixie"
    images = {AMD64: Image("arm64v8/debian:trixie", name, AMD64)}
    with pytest.raises(Refused) as error:
        registry.check(Base(text="x", line=1, instruction="FROM", title="D", images=images))
    assert error.value.message == "D:1: arm64v8/debian:trixie has no linux/amd64; it has linux/arm64"
    assert error.value.help == "use debian:trixie instead of arm64v8/debian:trixie: it has linux/amd64"


def test_a_tag_that_does_not_exist_names_the_nearest(registry):
    registry.list_tags("trixie-slim", "bookworm")
    with pytest.raises(BuildError) as error:
        registry.check(registry.base("trixi-slim", AMD64))
    assert type(error.value) is BuildError
    assert error.value.message == f"d/Dockerfile:3: {registry.name}:trixi-slim: not found"
    assert error.value.help == f"{registry.name}:trixi-slim: did you mean {registry.name}:trixie-slim?"


def test_a_registry_that_does_not_answer_is_an_error_of_the_network(registry):
    registry.tag("1", registry.index(AMD64))
    registry.server.faults["manifests/1"] = [(503, b"", {})] * 2
    assert len(registry.check(registry.base("1", AMD64))) == 1  # tried again
    registry.server.faults["manifests/1"] = [(503, b"", {})] * 20
    with pytest.raises(NetworkError, match=r"^d/Dockerfile:3: .*503"):
        registry.check(registry.base("1", AMD64))


@pytest.mark.parametrize(
    "document",
    [b"no JSON", b"[]", b"{}", b'{"manifests": 1}', b'{"schemaVersion": 1}', b'{"manifests": [{"digest": "x"}]}', b"[" * 99999],
)  # fmt: skip
def test_what_is_no_image_is_an_error(registry, document):
    registry.tag("1", document)
    with pytest.raises(BuildError, match=r"^d/Dockerfile:3: "):
        registry.check(registry.base("1", AMD64))


@pytest.mark.parametrize(
    "answer", [(200, b"no JSON", {}), (200, b'{"tags": [1]}', {}), (404, b"", {}), (200, b'{"tags": null}', {})]
)
def test_a_list_of_tags_that_cannot_be_read_leaves_out_the_suggestion(registry, answer):
    registry.tag("1.0-slim", registry.manifest(AMD64))
    registry.server.faults["/tags/list"] = [answer]
    with pytest.raises(Refused) as error:
        registry.check(registry.base("1.0-slim", ARM64))
    assert error.value.help == "use another base image, or build without these platforms"


def test_pages_of_tags_end(registry):
    # A registry that repeats a page, and names another host for the next one.
    registry.list_tags("a", "b", "not a tag", link="https://elsewhere.test/v2/x/tags/list?last=b")
    registry.list_tags("c", link="/v2/acme/base/tags/list?last=c")
    for _ in range(3):
        registry.list_tags("c", link="/v2/acme/base/tags/list?last=c")
    assert registry_tags.tags(registry.client, parse(f"{registry.name}:1")) == ("a", "b", "c")
    assert registry.asked("/tags/list") == 3


def test_the_number_of_pages_is_bounded(registry, monkeypatch):
    monkeypatch.setattr(registry_tags, "MAX_PAGES", 4)
    for number in range(9):
        registry.list_tags(f"t{number}", link="?last=x")
    assert registry_tags.tags(registry.client, parse(registry.name)) == ("t0", "t1", "t2", "t3")


def test_current_digests_are_asked_for_without_the_manifest(registry):
    stated = registry.put(registry.index(AMD64))["digest"]
    registry.server.faults["manifests/1"] = [(200, b"", {"Docker-Content-Digest": stated})]
    computed = registry.tag(
        "2", registry.index(ARM64)
    )  # the emulated registry states the tag as the digest, which is none
    names = [f"{registry.name}:1", f"{registry.name}:2", f"{registry.name}:3@{stated}", f"{registry.name}:1"]
    assert check.current(registry.client, names) == (
        BaseDigest(names[0], stated), BaseDigest(names[1], computed), BaseDigest(names[2], stated),
    )  # fmt: skip
    assert registry.asked("GET /v2/acme/base/manifests/1") == 0
    with pytest.raises(BuildError, match=r":4: not found\n.*:5: not found$"):
        check.current(registry.client, [f"{registry.name}:4", f"{registry.name}:5"])


def test_bases_without_a_digest(registry):
    tagged, fixed = registry.base("1", AMD64), registry.base(f"@sha256:{'a' * 64}", AMD64)
    unknown = Base(text="$X", line=1, instruction="FROM", title="D", missing=("X",))
    assert check.without_digest([tagged, fixed, unknown]) == (tagged,)
