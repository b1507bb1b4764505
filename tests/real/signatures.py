"""What tests of signatures need: published programs that sign and verify, registries with and without the referrers API, and copies
of signed images that were tampered with.

All of it is compiled from Go modules into the cache. The registry's side is read and written here with plain requests, so that a
fault of buildlib's own client is not hidden by the same fault in a test.
"""

import base64
import hashlib
import json
import secrets
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin

import requests
from containers import go_environment
from project import platform
from testbed import HERE, run

from buildlib.machine.host import cache_folder

SIGSTORE_GO = "v1.1.4"  # the one in cosign 3.0.5; it compiles half of the packages of 1.1.3
OCIREGISTRY = "v0.0.0-20251212221603-3adeb8663819"
COSIGN = "v3.0.5"

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
EMPTY = "application/vnd.oci.empty.v1+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"
SBOM = "https://cyclonedx.org/bom"
PROVENANCE = "https://slsa.dev/provenance/v1"
PASSWORD = "correct horse"


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


# --- programs --------------------------------------------------------------------------------------------------------------


def programs(scratch):
    """The program of signing_programs/main.go."""
    source = (HERE / "signing_programs" / "main.go").read_text()
    requirements = f"\tcuelabs.dev/go/oci/ociregistry {OCIREGISTRY}\n\tgithub.com/sigstore/sigstore-go {SIGSTORE_GO}\n"
    module = f"module programs\ngo 1.25.0\nrequire (\n{requirements})\n"
    folder = cache_folder() / "tests" / f"signing-{digest((module + source).encode())[7:19]}"
    return _compiled(folder, scratch, {"go.mod": module, "main.go": source}, ".") / "programs"


def cosign(scratch):
    """The published cosign. It takes 10 minutes on two cores to compile, and is kept in the cache."""
    package = "github.com/sigstore/cosign/v3/cmd/cosign"
    module = f"module throwaway\ngo 1.25.5\nrequire github.com/sigstore/cosign/v3 {COSIGN}\n"
    return _compiled(cache_folder() / "tests" / f"cosign-{COSIGN}", scratch, {"go.mod": module}, package) / "cosign"


def _compiled(folder, scratch, files, *packages):
    if not folder.exists():
        module = scratch / folder.name
        module.mkdir()
        for name, text in files.items():
            (module / name).write_text(text)
        # They need a newer Go than Debian's, which downloads it as a module.
        env = go_environment(scratch) | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "auto"}
        build = ("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", f"{module}/out/", *packages)
        built = run(*build, cwd=module, env=env, timeout=3600)
        assert built.code == 0, built
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = shutil.copytree(module / "out", f"{folder}.{secrets.token_hex(4)}")
        Path(partial).rename(folder)
    return folder


@contextmanager
def referrers_registry(program):
    """A registry on the loopback that has the referrers API; yields host:port."""
    with subprocess.Popen([program, "registry"], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@dataclass(frozen=True)
class KeyPair:
    """Paths of a key pair as cosign makes one, and the environment with its password."""

    private: Path
    public: Path

    env = {"COSIGN_PASSWORD": PASSWORD}  # noqa: RUF012


def key_pair(program, where, name):
    pair = KeyPair(where / f"{name}.key", where / f"{name}.pub")
    made = run(program, "key-pair", pair.private, pair.public, env=pair.env)
    assert made.code == 0, made
    return pair


class Verifier:
    """sigstore-go, which verifies bundles for cosign as well, with a public key and without a transparency log."""

    def __init__(self, program, scratch):
        self.program, self.scratch = program, scratch

    def file(self, bundle, key, path):
        """Verify the bundle (a path) of a file."""
        return run(self.program, "verify-file", key, bundle, path)

    def statement(self, bundle, key, subject):
        """The verified statement of a bundle about the manifest with the digest `subject`, and ""; else None and the error."""
        path = self.scratch / f"{secrets.token_hex(8)}.json"
        path.write_text(json.dumps(bundle))
        done = run(self.program, "verify-digest", key, path, subject.removeprefix("sha256:"))
        return (json.loads(done.out)["statement"], "") if done.code == 0 else (None, done.err.strip())


# --- images in a registry ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attached:
    """A bundle that is attached to a manifest (`subject`, a digest), with the manifest that attaches it and its place in the list."""

    subject: str
    bundle: dict
    manifest: dict = field(default_factory=dict)
    entry: dict = field(default_factory=dict)

    @property
    def statement(self):
        """The statement as it is written, whether its signature is valid or not."""
        return json.loads(base64.b64decode(self.bundle["dsseEnvelope"]["payload"]))

    @property
    def kind(self):
        return self.statement["predicateType"]

    def to(self, subject):
        """The same bundle for another manifest."""
        return replace(self, subject=subject)

    def with_predicate(self, change):
        """The same with another predicate below the old signature."""
        statement = self.statement
        change(statement["predicate"])
        payload = base64.b64encode(json.dumps(statement).encode()).decode()
        return replace(
            self, bundle={**self.bundle, "dsseEnvelope": {**self.bundle["dsseEnvelope"], "payload": payload}}
        )


class Repository:
    """A repository of a registry on the loopback."""

    def __init__(self, registry, name):
        self.registry, self.name = registry, name
        self.url, self.reference = f"http://{registry}/v2/{name}", f"{registry}/{name}"

    def other(self):
        """A new repository of the same registry."""
        return Repository(self.registry, f"{self.name.partition('/')[0]}/{secrets.token_hex(6)}")

    def manifest(self, reference):
        """The bytes of a manifest or index; None if the registry has none of that name."""
        answer = requests.get(
            f"{self.url}/manifests/{reference}", headers={"Accept": f"{INDEX}, {MANIFEST}"}, timeout=60
        )
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.content

    def put(self, data, reference=None):
        """Upload a manifest or index; returns its descriptor."""
        media = json.loads(data)["mediaType"]
        url = f"{self.url}/manifests/{reference or digest(data)}"
        stored = requests.put(url, data=data, headers={"Content-Type": media}, timeout=60)
        assert stored.status_code == 201, stored.text
        return {"mediaType": media, "digest": digest(data), "size": len(data)}

    def blob(self, name):
        answer = requests.get(f"{self.url}/blobs/{name}", timeout=60)
        answer.raise_for_status()
        assert digest(answer.content) == name
        return answer.content

    def upload(self, data):
        started = requests.post(f"{self.url}/blobs/uploads/", timeout=60)
        url = urljoin(started.url, started.headers["Location"])
        stored = requests.put(url, data=data, params={"digest": digest(data)}, timeout=60)
        assert stored.status_code == 201, stored.text
        return {"digest": digest(data), "size": len(data)}

    def tags(self):
        answer = requests.get(f"{self.url}/tags/list", timeout=60)
        return sorted(answer.json()["tags"] or []) if answer.ok else []

    def platforms(self, index):
        """Platform -> digest."""
        return {platform(entry["platform"]): entry["digest"] for entry in json.loads(index)["manifests"]}

    # --- referrers

    def referrers(self, subject):
        """The entries of all manifests that refer to `subject`, and whether the registry's API has listed them."""
        answer = requests.get(f"{self.url}/referrers/{subject}", timeout=60)
        if answer.status_code == 404:
            listed = self.manifest(subject.replace(":", "-"))
            return (json.loads(listed)["manifests"] if listed else []), False
        answer.raise_for_status()
        return answer.json()["manifests"] or [], True

    def bundles(self, subject):
        """The content of everything that is attached to `subject` and is JSON."""
        layers = [
            layer
            for entry in self.referrers(subject)[0]
            for layer in json.loads(self.manifest(entry["digest"]))["layers"]
        ]
        contents = [self.blob(layer["digest"]) for layer in layers]
        return [json.loads(content) for content in contents if content.startswith(b"{")]

    def attached(self, subject):
        """All bundles that are attached to `subject`, each the only content of its manifest."""
        found = []
        for entry in self.referrers(subject)[0]:
            manifest = json.loads(self.manifest(entry["digest"]))
            (layer,) = manifest["layers"]
            found.append(Attached(subject, json.loads(self.blob(layer["digest"])), manifest, entry))
        return found

    def all_attached(self, reference):
        """All bundles of an image and of its platforms."""
        data = self.manifest(reference)
        subjects = [digest(data), *self.platforms(data).values()]
        return [bundle for subject in subjects for bundle in self.attached(subject)]

    def attach(self, bundle):
        """Attach a bundle as cosign does, with the list under a tag where the registry has no referrers API.

        The entry in the list has the type of the configuration, as go-containerregistry writes it.
        """
        self.attach_content(bundle.subject, json.dumps(bundle.bundle).encode())

    def attach_content(self, subject, data):
        """Attach anything as if it was a bundle."""
        manifest = self.manifest(subject)
        descriptor = {"mediaType": json.loads(manifest)["mediaType"], "digest": subject, "size": len(manifest)}
        content = self.upload(data)
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
            "config": {"mediaType": EMPTY, **self.upload(b"{}")}, "layers": [{"mediaType": BUNDLE, **content}],
            "subject": descriptor, "annotations": {"dev.sigstore.bundle.content": "dsse-envelope"},
        }  # fmt: skip
        entry = self.put(json.dumps(manifest).encode())
        entries, api = self.referrers(subject)
        if not api:
            manifests = [*entries, {**entry, "artifactType": EMPTY}]
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
            self.put(json.dumps(index).encode(), subject.replace(":", "-"))

    # --- copies

    def copy(self, source, reference, tag, change=lambda platform, manifest: manifest, blobs=()):
        """Copy an image without what is attached to it; returns the digests by platform, and that of the index under "".

        `change` gets the manifest of each platform (bytes) and returns the one to copy, which may name `blobs` as well.
        """
        original = source.manifest(reference)
        index, digests, added = json.loads(original), {}, {digest(blob): blob for blob in blobs}
        for entry in index["manifests"]:
            name = platform(entry["platform"])
            data = change(name, source.manifest(entry["digest"]))
            manifest = json.loads(data)
            for part in (manifest["config"], *manifest["layers"]):
                self.upload(added.get(part["digest"]) or source.blob(part["digest"]))
            entry.update(self.put(data))
            digests[name] = entry["digest"]
        digests[""] = self.put(original if index == json.loads(original) else json.dumps(index).encode(), tag)["digest"]
        return digests
