"""A small service with static binaries, whose images are signed and attested, and what a registry has of them."""

import json
import re
import secrets
import shutil

from containers import Engine
from project import Project
from signatures import PROVENANCE, SBOM, SIGN, Repository, digest
from testbed import buildlib, run

NAME = "signed"
ARCHES = "amd64-musl,arm64-musl"
PLATFORMS = ("linux/amd64", "linux/arm64")
ATTESTED = ("--attest", "sbom,provenance")
REQUIRED = {"BUILDLIB_SIGNING_REQUIRE": "sbom,provenance"}
KINDS = (SIGN, SBOM, PROVENANCE)
# A dependency, so that its SBOM has a component.
FILES = {
    "Cargo.toml": """\
[package]
name = "signed"
version = "1.2.0"
edition = "2021"
[dependencies]
below = { path = "below" }
[workspace]
""",
    "src/main.rs": "fn main() {\n    below::hello();\n}\n",
    "below/Cargo.toml": '[package]\nname = "below"\nversion = "0.3.0"\nedition = "2021"\n',
    "below/src/lib.rs": 'pub fn hello() {\n    println!("signed 1.2.0");\n}\n',
    ".gitignore": "/target\n/dist\n",
}


def compiled(root, arches):
    """Write the workspace into the new directory `root`, commit it, and compile it for these arches (with commas)."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    built = buildlib("build", "--arch", arches, cwd=root)
    assert built.code == 0, built
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.test")
    for words in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message", "first")):
        assert run("git", *words, cwd=root).code == 0
    return root


class SignedProject(Project):
    """A copy of the compiled workspace that pushes to a registry."""

    def __init__(self, compiled, root, engine, registry, arches=ARCHES):
        shutil.copytree(compiled, root)
        super().__init__(root, Engine(engine.env, registry, engine.mirrors))
        self.prefix, self.arches = f"signed-{secrets.token_hex(4)}", arches
        self.images = Repository(registry, f"{self.prefix}/{NAME}")
        self.write_settings()

    def write_settings(self, **builder):
        settings = self.root / "buildlib.toml"
        settings.write_text(self.engine.settings(**builder).replace('/acme"', f'/{self.prefix}"'))

    def image(self, *argv, env=None):
        """`buildlib image` for all arches with the binaries that exist; no retry waits long."""
        retries = {"BUILDLIB_RETRY_ATTEMPTS": "3", "BUILDLIB_RETRY_DELAY": "0.1"}
        return super().image("--arch", self.arches, *argv, env=retries | (env or {}))

    def push_signed(self, key, *options, env=None):
        return self.image("--push", "--sign", key.private, *options, env=key.env | (env or {}))

    def call(self, *argv, env=None):
        return buildlib(*argv, cwd=self.root, env=self.env | (env or {}))

    def verify(self, reference, key, **env):
        return self.call("verify", reference, "--key", key.public, env=env)

    def refusals(self, reference, key, **env):
        """Exit code of `verify --key`, and what it refuses: the platform, "" for the index -> reasons without digests."""
        done = self.call("verify", reference, "--key", key.public, "--json", env=env)
        assert "Traceback" not in done.err, done
        found = {}
        for verdict in json.loads(done.out):
            lines = [
                re.sub("(sha256:)?[0-9a-f]{12,}", "…", line).replace(str(key.public), "KEY")
                for line in verdict["refusals"]
            ]
            # Each bundle has its reason, up to three are named.
            lines = [re.sub(r"\(…: ([^;]*)(; …: \1)*\)$", r"(\1)", line) for line in lines]
            found |= {verdict["path"].split(" · ")[1].replace("index", ""): lines} if lines else {}
        return done.code, found

    def change_binaries(self):
        """Let the next push have something to do: other programs, with their SBOMs, as if they had passed the gate."""
        for arch in self.arches.split(","):
            program, sbom = (self.root / "dist" / arch / name for name in (NAME, f"{NAME}.cdx.json"))
            before, after = program.read_bytes(), program.read_bytes() + secrets.token_bytes(64)
            described = sbom.read_bytes().replace(digest(before)[7:].encode(), digest(after)[7:].encode())
            self.replace_binary(arch, NAME, after)
            manifest = self.root / "dist" / "manifest.json"
            text = manifest.read_text().replace(digest(sbom.read_bytes())[7:], digest(described)[7:])
            manifest.write_text(text)
            sbom.write_bytes(described)


def expected_kinds(platforms):
    """What a signed and attested image has: (platform, kind), "" for the index."""
    return {("", SIGN), ("", PROVENANCE)} | {(name, kind) for name in platforms for kind in KINDS}


def unverified(repository, reference, key, verifier, kinds=KINDS):
    """What should be attached to an image, and is not accepted by the published verifier: (platform, kind), "" for the index."""
    index = repository.manifest(reference)
    subjects = {"": digest(index), **repository.platforms(index)}
    accepted = set()
    for name, subject in subjects.items():
        for bundle in repository.bundles(subject):
            statement, _ = verifier.statement(bundle, key.public, subject)
            accepted |= {(name, statement["predicateType"])} if statement else set()
    return {(name, kind) for name, kind in expected_kinds(subjects.keys() - {""}) if kind in kinds} - accepted


def config_of(repository, manifest):
    return json.loads(repository.blob(manifest["config"]["digest"]))
