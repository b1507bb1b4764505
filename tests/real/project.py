"""A workspace with compiled binaries that pushes its images to the tests' registry."""

import hashlib
import io
import json

from elftools.elf.elffile import ELFFile
from testbed import buildlib, run

PLATFORMS = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"]
ARCHES = "amd64,arm64,armv7,riscv64"
DOCTOR_BUILDER = "buildlib-test-doctor"


class Project:
    """A workspace in the directory `root`, whose images are built and pushed with `engine`."""

    def __init__(self, root, engine):
        self.root, self.engine, self.env = root, engine, engine.env
        self.repository = f"{engine.registry}/acme"

    def image(self, *argv, env=None):
        """`buildlib image` with the binaries that exist in dist/."""
        return buildlib("image", "--no-build", *argv, cwd=self.root, env=self.env | (env or {}))

    def push(self, *options, arches=ARCHES, env=None):
        return self.image("--arch", arches, "--push", *options, env=env)

    def write_settings(self, **builder):
        """Write buildlib.toml with these settings of the builder."""
        (self.root / "buildlib.toml").write_text(self.engine.settings(**builder))

    def raw(self, reference):
        """The bytes of a manifest in the registry as text, "" where it does not exist."""
        done = run("docker", "buildx", "imagetools", "inspect", "--raw", f"{self.repository}/{reference}", env=self.env)
        return done.out if done.code == 0 else ""

    def digest(self, reference):
        return f"sha256:{hashlib.sha256(self.raw(reference).encode()).hexdigest()}"

    def manifests(self, reference):
        """The manifests of an index by platform, without attestations."""
        entries = json.loads(self.raw(reference))["manifests"]
        return {platform(entry["platform"]): entry for entry in entries if entry["platform"]["os"] != "unknown"}

    def replace_binary(self, arch, name, data):
        """Replace a file in dist/ and its checksum in the manifest, as if the new file had passed the gate."""
        path = self.root / "dist" / arch / name
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o755)
        file = self.root / "dist" / "manifest.json"
        manifest = json.loads(file.read_text())
        (entry,) = [entry for entry in manifest["binaries"] if entry["path"] == f"{arch}/{name}"]
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        file.write_text(json.dumps(manifest))

    def doctor(self, *options, arch="arm64", env=None):
        """The requirements that this machine does not meet: name -> (state, reason, help)."""
        argv = ("doctor", "--arch", arch, "--json", *options)
        done = buildlib(*argv, cwd=self.root, env=self.env | (env or {}))
        assert done.code in (0, 4) and "Traceback" not in done.err, done
        rows = json.loads(done.out)
        assert (done.code == 4) == any(row["state"] == "fail" for row in rows), done
        return {row["need"]: (row["state"], row["why"], row["help"]) for row in rows if row["state"] != "ok"}

    def fix(self):
        """`doctor --fix`; returns its stderr."""
        done = buildlib("doctor", "--fix", "--yes", "--arch", "arm64", cwd=self.root, env=self.env)
        assert done.code == 0 and "Traceback" not in done.err, done
        return done.err


def platform(entry):
    """The platform of an OCI descriptor in Docker's notation, such as linux/arm/v7."""
    return "/".join(entry[key] for key in ("os", "architecture", "variant") if key in entry)


def with_entry_code(binary, code):
    """The binary with other machine code at its entry point. All of its headers stay valid."""
    elf = ELFFile(io.BytesIO(binary))
    (offset, *_) = elf.address_offsets(elf.header.e_entry)
    return binary[:offset] + code + binary[offset + len(code) :]


# AArch64: mov x0, #1; mov x8, #93 (exit); svc #0
EXITS_1 = bytes.fromhex("200080d2 a80b80d2 010000d4")
CRASHES = bytes(64)
