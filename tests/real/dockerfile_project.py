"""A project of Dockerfiles alone, and what the tests' registry has of its images."""

import json
import re
import secrets

import requests
from containers import BUILDER, toml
from project import platform as oci
from testbed import buildlib, run

from buildlib.core.targets import TARGETS
from buildlib.emulation.exit_stub import exit_program

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PROGRAM = 'FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH}/app /app\nENTRYPOINT ["/app"]\n'


def program(arch):
    """A static program of a few bytes that exits with 0."""
    return exit_program(TARGETS[arch].qemu)


def targetarch(arch):
    """The value of TARGETARCH: linux/arm/v7 is arm."""
    return TARGETS[arch].oci.split("/")[1]


class DockerfileProject:
    """A repository in the directory `root`, which exists; its images have a prefix in the registry that nothing else has."""

    def __init__(self, root, engine):
        self.root, self.engine, self.env = root, engine, engine.env
        self.prefix = f"images-{secrets.token_hex(6)}"
        self.where = f"{engine.registry}/{self.prefix}"
        if not (root / ".git").exists():
            assert run("git", "init", "--quiet", root).code == 0

    def write(self, files):
        """Write files (path relative to the project: text or bytes), which are executable."""
        for name, data in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
            path.chmod(0o755)

    def settings(self, images, arches):
        """Write buildlib.toml with these tables [images.NAME]."""
        tables = {
            "builder": {"name": BUILDER, "mirrors": self.engine.mirrors},
            **{f"images.{name}": image for name, image in images.items()},
        }
        lines = [f"registry = {toml(self.where)}", f"arches = {toml(list(arches))}"]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in table.items())]
        (self.root / "buildlib.toml").write_text("\n".join(lines) + "\n")

    def call(self, *argv, env=None):
        return buildlib(*argv, cwd=self.root, env=self.env | (env or {}))

    def push(self, *options, env=None):
        return self.call("image", "--push", *options, "--json", env=env)

    def published(self):
        """What the registry has below the prefix: repository -> tags."""
        names = requests.get(f"http://{self.engine.registry}/v2/_catalog?n=1000&last={self.prefix}", timeout=60).json()[
            "repositories"
        ]
        return {name.split("/")[1]: self.tags(name) for name in names if name.startswith(f"{self.prefix}/")}

    def tags(self, repository):
        answer = requests.get(f"http://{self.engine.registry}/v2/{repository}/tags/list", timeout=60)
        return sorted(answer.json()["tags"] or []) if answer.ok else []

    def manifest(self, name, reference="latest"):
        """The bytes that the registry has under a tag or digest, and their digest."""
        url = f"http://{self.engine.registry}/v2/{self.prefix}/{name}/manifests/{reference}"
        answer = requests.get(url, headers={"Accept": f"{INDEX}, {MANIFEST}"}, timeout=60)
        answer.raise_for_status()
        return answer.json(), answer.headers["Docker-Content-Digest"]

    def digest(self, name, tag="latest"):
        return self.manifest(name, tag)[1]

    def layers(self, name, platform):
        """The digests of the layers of one platform."""
        index, _ = self.manifest(name)
        (digest,) = [entry["digest"] for entry in index["manifests"] if oci(entry["platform"]) == platform]
        return [layer["digest"] for layer in self.manifest(name, digest)[0]["layers"]]

    def pushed(self, name, status, arches, tags=("latest",)):
        """The result of an image that was pushed, as JSON has it. Its digest is the one that the registry has."""
        return {
            "component": name, "status": status, "digest": self.digest(name), "platforms": [TARGETS[arch].oci for arch in arches],
            "tags": list(tags), "where": f"{self.where}/{name}", "code": 0, "error": None, "signed": [], "not_started": [],
        }  # fmt: skip

    def refused(self, name, error):
        """The result of an image that the checks refused."""
        return {
            "component": name, "status": "refused", "digest": "", "platforms": [], "tags": [], "where": "", "code": 6,
            "error": error, "signed": [], "not_started": [],
        }  # fmt: skip


def built(done):
    """The directories, which are the build contexts, of the images that buildx built."""
    found = re.findall(r"^  \+ docker buildx build .*/([\w-]+)$", done.err, re.MULTILINE)
    return sorted(set(found))


def results(done):
    """The results that a command printed as JSON, without the steps of the builds, and without what repeats `code` and `error`."""
    assert "Traceback" not in done.err, done
    found = json.loads(done.out)
    for result in found:
        errors = [error["message"] for error in result["errors"]]
        assert (result["ok"], result["exit_code"], errors) == (
            result["error"] is None, result["code"], [result["error"]] if result["error"] else [],
        )  # fmt: skip
    left = ("steps", "ok", "exit_code", "errors")
    return [{key: value for key, value in result.items() if key not in left} for result in found]


def steps(done):
    """The steps of the builds as (component, title, target, whether it was emulated)."""
    return {
        (result["component"], step["title"], step["target"], step["emulated"])
        for result in json.loads(done.out) for step in result["steps"]
    }  # fmt: skip


def cases(done):
    """Arch -> image -> check -> its detail, if all checks of `smoke --json` passed."""
    tested = json.loads(done.out)
    assert {case["result"] for row in tested for suite in row["suites"] for case in suite["cases"]} == {"passed"}, done
    return {
        row["arch"]: {
            suite["name"]: {case["name"]: case["detail"] for case in suite["cases"]} for suite in row["suites"]
        }
        for row in tested
    }
