"""`buildlib verify IMAGE` with a real registry, behind a proxy that returns something else than it was asked for.

Only Debian's registry is needed: no Docker, no compiler.
"""

import base64
import gzip
import hashlib
import io
import json
import socket
import tarfile
from urllib.parse import urljoin

import pytest
import requests
from faulty_registry import faulty_proxy, recording_host
from testbed import assert_error, buildlib, install_packages, run, skip_or_fail

from buildlib.assembly import oci
from buildlib.emulation.exit_stub import exit_program

SECRET = f"Basic {base64.b64encode(b'me:secret').decode()}"
TAMPERED = "the registry, or a mirror or proxy in front of it, returns something else: do not use this image"
MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(files, mode=0o755):
    """A layer: path -> content, or the target of a symbolic link as a string."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode = mode
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content if isinstance(content, bytes) else b""))
    return out.getvalue()


class Repository:
    """A repository of the registry, to which images are pushed as they are given."""

    def __init__(self, address, name):
        self.url, self.name = f"http://{address}/v2/{name}", name

    def blob(self, data):
        started = requests.post(f"{self.url}/blobs/uploads/", timeout=60)
        url = urljoin(started.url, started.headers["Location"])
        stored = requests.put(url, data=data, params={"digest": digest(data)}, timeout=60)
        assert stored.status_code == 201, stored.text
        return {"digest": digest(data), "size": len(data)}

    def manifest(self, document, tag=""):
        data = json.dumps(document).encode()
        headers = {"Content-Type": document["mediaType"]}
        stored = requests.put(f"{self.url}/manifests/{tag or digest(data)}", data=data, headers=headers, timeout=60)
        assert stored.status_code == 201, stored.text
        return {"digest": digest(data), "size": len(data), "mediaType": document["mediaType"]}

    def image(self, platform, *layers, **config):
        """Push an image for one platform. Returns its entry in an index, with the descriptors of its parts."""
        compressed = [data if data.startswith(b"\x1f\x8b") else gzip.compress(data, mtime=0) for data in layers]
        fields = oci.platform_of(platform)
        diff_ids = [digest(data) for data in layers]
        document = {
            **fields,
            "config": {"Entrypoint": ["/usr/bin/app"], **config},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        parts = {
            "config": self.blob(json.dumps(document).encode()) | {"mediaType": oci.CONFIG},
            "layers": [self.blob(data) | {"mediaType": oci.LAYER} for data in compressed],
        }
        entry = self.manifest({"schemaVersion": 2, "mediaType": oci.MANIFEST, **parts}) | {"platform": fields}
        return entry, parts

    def tag(self, name, *entries):
        return self.manifest({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": list(entries)}, name)


def app(platform, name="usr/bin/app"):
    return layer({name: exit_program(MACHINES[platform])})


@pytest.fixture
def repository(registry, request):
    """A repository of its own for each test, with an image for two platforms under the tag `1`."""
    repository = Repository(registry, f"acme/{digest(request.node.name.encode())[7:17]}")
    repository.parts = {
        platform: repository.image(platform, layer({"etc/x": b"x"}), app(platform)) for platform in MACHINES
    }
    repository.index = repository.tag("1", *(entry for entry, _ in repository.parts.values()))
    return repository


@pytest.fixture
def home(tmp_path):
    """A home directory with credentials for any host in ~/.netrc, and `docker login`s: a function that adds one."""
    (tmp_path / ".docker").mkdir()
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login netrc password netrc\n")
    netrc.chmod(0o600)
    auths = {}

    def login(address):
        auths[address] = {"auth": SECRET.removeprefix("Basic ")}
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": auths}))

    login.path = tmp_path
    return login


@pytest.fixture
def verify(home):
    """A function that runs `buildlib verify` in that home directory."""

    def verify(reference, **env):
        retries = {"BUILDLIB_RETRY_ATTEMPTS": "3", "BUILDLIB_RETRY_DELAY": "0.1"}
        env = {"HOME": str(home.path), "DOCKER_CONFIG": None, "NETRC": None, **retries, **env}
        return buildlib("verify", reference, cwd=home.path, env=env)

    return verify


@pytest.fixture
def proxy(registry):
    with faulty_proxy(registry) as proxy:
        yield proxy


@pytest.fixture
def other():
    with recording_host() as other:
        yield other


def test_an_image_that_is_what_its_digests_say(repository, proxy, verify):
    for reference in ("1", f"@{repository.index['digest']}"):
        verified = verify(f"{proxy.address}/{repository.name}{reference if '@' in reference else f':{reference}'}")
        assert verified.code == 0, verified
        assert [line.split(" · ")[1:3] for line in verified.out.splitlines()] == [
            [platform, "/usr/bin/app"] for platform in MACHINES
        ], verified


def flipped(data):
    """The same size, one bit of difference."""
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("what", ["layer", "configuration", "manifest"])
def test_modified_content_is_refused(repository, proxy, verify, what):
    entry, parts = repository.parts["linux/amd64"]
    name = {"layer": parts["layers"][-1], "configuration": parts["config"], "manifest": entry}[what]["digest"]
    changed = []
    proxy.misbehave(changes={name: lambda data: changed.append(flipped(data)) or changed[-1]})
    message = f"{proxy.address}/{repository.name}@{name}: digest mismatch: got "
    refused = verify(f"{proxy.address}/{repository.name}:1")
    assert_error(refused, 6, f"{message}{digest(changed[0])}, expected {name}", TAMPERED)


def test_a_modified_index_is_refused(repository, proxy, verify):
    """Under its digest, and under a tag, for which the registry states the digest."""
    name, image = repository.index["digest"], f"{proxy.address}/{repository.name}"
    changed = []
    proxy.misbehave(
        changes={"/manifests/": lambda data: changed.append(data.replace(b"arm64", b"arm65")) or changed[-1]}
    )
    for reference in (f"{image}@{name}", f"{image}:1"):
        refused = verify(reference)
        assert_error(refused, 6, f"{reference}: digest mismatch: got {digest(changed[-1])}, expected {name}", TAMPERED)


def test_a_swapped_manifest_is_refused(repository, proxy, verify):
    """A valid manifest of the same repository, for another platform or another release."""
    (one, _), (two, _) = repository.parts.values()
    swap = requests.get(
        f"{repository.url}/manifests/{two['digest']}", headers={"Accept": oci.MANIFEST}, timeout=60
    ).content
    proxy.misbehave(changes={one["digest"]: lambda _: swap})
    refused = verify(f"{proxy.address}/{repository.name}:1")
    assert refused.code == 6 and f"{proxy.address}/{repository.name}@{one['digest']}: " in refused.err, refused


@pytest.mark.parametrize(
    "change", [lambda data: data[:-5], lambda data: data + b"12345", lambda _: b""], ids=["less", "more", "nothing"]
)
def test_another_size_is_refused(repository, proxy, verify, change):
    part = repository.parts["linux/amd64"][1]["layers"][-1]
    proxy.misbehave(changes={part["digest"]: change})
    size = len(change(bytes(part["size"])))
    message = f"{proxy.address}/{repository.name}@{part['digest']}: {size} bytes, expected {part['size']}"
    assert_error(verify(f"{proxy.address}/{repository.name}:1"), 6, message, TAMPERED)


# A file of a gigabyte and a half of zeros in a megabyte and a half.
HUGE = tarfile.TarInfo("x")
HUGE.size = 1500 * 2**20
ENDLESS = gzip.compress(HUGE.tobuf()) + gzip.compress(bytes(2**20)) * 1500


@pytest.mark.parametrize(
    ("layers", "refusal"),
    [
        ([app("linux/amd64"), layer({"usr/bin/.wh.app": b""})], "/usr/bin/app: program: not in the image"),
        (
            [app("linux/amd64"), layer({"usr/.wh..wh..opq": b"", "usr/lib/x": b""})],
            "/usr/bin/app: program: not in the image",
        ),
        ([app("linux/amd64", "opt/real"), layer({"usr/bin/app": "../../../opt/real"})], ""),
        ([layer({"usr/bin/sh": b"", "bin": "usr/bin"}), app("linux/amd64", "bin/app")], ""),
        ([app("linux/amd64"), layer({"usr/bin/app": "/etc/passwd"})], "/usr/bin/app: program: not in the image"),
        ([app("linux/amd64"), ENDLESS], "decompresses to more than"),
    ],
    ids=["whiteout", "opaque directory", "link", "link of a directory", "link out of the image", "endless layer"],
)
def test_layers_are_read_as_a_container_engine_reads_them(repository, verify, registry, layers, refusal):
    repository.tag("2", repository.image("linux/amd64", *layers)[0])
    verified = verify(f"{registry}/{repository.name}:2")
    assert (verified.code, refusal in verified.out) == (6 if refusal else 0, True), verified
    assert "Traceback" not in verified.err


# --- credentials -----------------------------------------------------------------------------------------------------------


def test_the_password_goes_to_the_registry_and_its_realm_only(repository, proxy, home, verify, other):
    """Blobs are at another host, as at most large registries."""
    home(proxy.address)
    _, parts = repository.parts["linux/amd64"]
    blobs = {part["digest"]: requests.get(f"{repository.url}/blobs/{part['digest']}", timeout=60).content
             for part in (parts["config"], *parts["layers"])}  # fmt: skip
    other.answers = {f"/{name}": (200, {}, data) for name, data in blobs.items()}
    proxy.misbehave(redirects={name: f"http://{other.address}/{name}" for name in blobs})
    verified = verify(f"{proxy.address}/{repository.name}:1")
    assert verified.code == 0, verified
    assert proxy.authorizations == [SECRET]
    assert len(other.seen) >= 2 and other.secrets == []


def test_content_of_a_redirect_is_verified(repository, proxy, verify, other):
    name = repository.parts["linux/amd64"][1]["layers"][-1]["digest"]
    other.answers = {"/x": (200, {}, b"something else")}
    proxy.misbehave(redirects={name: f"http://{other.address}/x"})
    refused = verify(f"{proxy.address}/{repository.name}:1")
    assert refused.code == 6 and f"@{name}: " in refused.err, refused


def test_the_host_of_a_redirect_does_not_name_the_realm(repository, proxy, home, verify, other):
    home(proxy.address)
    challenge = {"WWW-Authenticate": f'Bearer realm="http://{other.address}/token",service="s",scope="x"'}
    other.answers = {"/x": (401, challenge, b"")}
    proxy.misbehave(redirects={"/blobs/": f"http://{other.address}/x"})
    failed = verify(f"{proxy.address}/{repository.name}:1")
    assert failed.code == 4 and "401" in failed.err, failed
    assert [path for path, _, _ in other.seen] == ["/x"] and other.secrets == []


@pytest.mark.parametrize(
    ("challenge", "reason"),
    [
        ('Bearer service="s"', "a challenge without a realm is refused"), ("Bearer realm", "a challenge without a realm is refused"),
        ("Bearer", "a challenge without a realm is refused"), ('Bearer realm=""', "a challenge without a realm is refused"),
        ('Bearer realm="http://evil.invalid/token"', "a password would be sent unencrypted"),
        ('Bearer realm="file:///etc/passwd"', "not an http or https URL"),
        ('Bearer realm="http://127.0.0.1@evil.invalid/"', "not an http or https URL"),
    ],
)  # fmt: skip
def test_an_unexpected_realm_is_one_error(repository, proxy, home, verify, challenge, reason):
    home(proxy.address)
    proxy.misbehave(challenge=challenge)
    failed = verify(f"{proxy.address}/{repository.name}:1")
    assert failed.code == 4 and reason in failed.err and "Traceback" not in failed.err, failed
    assert failed.err.count("error: ") == 1, failed


@pytest.fixture
def secure_proxy(registry, tmp_path):
    """The same over https: at this machine's address on its network, with a certificate that SSL_CERT_FILE trusts."""
    install_packages("openssl")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of TEST-NET-1; nothing is sent
        except OSError as error:
            skip_or_fail("a network", str(error))
        host = probe.getsockname()[0]
    pem = tmp_path / "registry.pem"
    made = run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=registry", "-keyout", pem,
               "-out", tmp_path / "certificate.pem", "-addext", f"subjectAltName=IP:{host}")  # fmt: skip
    assert made.code == 0, made
    pem.write_text(pem.read_text() + (tmp_path / "certificate.pem").read_text())
    with faulty_proxy(registry, host=host, certificate=pem) as proxy:
        proxy.env = {"SSL_CERT_FILE": str(tmp_path / "certificate.pem"), "NO_PROXY": host, "no_proxy": host}
        proxy.env |= {"REQUESTS_CA_BUNDLE": None, "CURL_CA_BUNDLE": None}  # they have precedence
        yield proxy


def test_a_registry_over_https(repository, secure_proxy, home, verify):
    home(secure_proxy.address)
    verified = verify(f"{secure_proxy.address}/{repository.name}:1", **secure_proxy.env)
    assert verified.code == 0, verified
    assert secure_proxy.authorizations == [SECRET]


def test_a_registry_over_https_does_not_get_the_password_sent_over_http(repository, secure_proxy, home, verify, other):
    home(secure_proxy.address)
    host = secure_proxy.address.partition(":")[0]
    for realm in (f"http://{other.address}/token", f"http://{secure_proxy.address}/token", f"http://{host}/token"):
        secure_proxy.misbehave(challenge=f'Bearer realm="{realm}",service="s",scope="SCOPE"')
        failed = verify(f"{secure_proxy.address}/{repository.name}:1", **secure_proxy.env)
        assert (
            failed.code == 4
            and f"{realm!r} of its challenge is refused: a password would be sent unencrypted" in failed.err
        ), failed
    assert other.seen == [] and secure_proxy.authorizations == []


def test_netrc_is_read_for_no_host(repository, secure_proxy, verify, other):
    """Neither for the registry, nor for its realm, nor after a redirect to this machine or another."""
    name = repository.parts["linux/amd64"][1]["layers"][-1]["digest"]
    secure_proxy.misbehave(redirects={name: f"https://{secure_proxy.address}/v2/{repository.name}/blobs/{name}?again"})
    verify(f"{secure_proxy.address}/{repository.name}:1", **secure_proxy.env)
    assert secure_proxy.authorizations == [None]
    secure_proxy.misbehave(redirects={name: f"http://{other.address}/x"})
    failed = verify(f"{secure_proxy.address}/{repository.name}:1", **secure_proxy.env)
    assert failed.code == 1 and "is an address of this machine or its link" in failed.err, failed
    assert other.seen == []


@pytest.mark.parametrize(
    "host", ["127.evil.invalid:5000", "127.0.0.1.nip.io.invalid:5000", "localhost.evil.invalid:5000"]
)
def test_a_host_that_looks_like_this_machine_is_not_asked_over_http(verify, proxy, host):
    """The proxy of the network shows what would be sent: a request for a connection, encrypted, and no request for the host."""
    with recording_host() as network:
        names = ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
        settings = dict.fromkeys(names, f"http://{network.address}")
        failed = verify(f"{host}/acme/app:1", **settings, NO_PROXY="", no_proxy="", BUILDLIB_RETRY_ATTEMPTS="1")
        assert failed.code in (1, 5), failed
        assert network.seen == []  # CONNECT is no method that it knows


def test_nothing_is_left_on_the_disk(repository, proxy, verify, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    name = repository.parts["linux/arm64"][1]["layers"][-1]["digest"]
    for changes in ({}, {name: flipped}):
        proxy.misbehave(changes=changes)
        verify(f"{proxy.address}/{repository.name}:1", TMPDIR=str(scratch))
        assert list(scratch.iterdir()) == []
