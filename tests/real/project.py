"""A workspace with ready binaries that pushes to the test bed's registry."""

import hashlib
import io
import json

from bed import buildlib, run
from elftools.elf.elffile import ELFFile

PLATFORMS = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/riscv64"]
ARCHES = "amd64,arm64,armv7,riscv64"


class Project:
    """`root` is its folder, `bed` where its images go."""

    def __init__(self, root, bed):
        self.root, self.bed, self.env, self.repository = root, bed, bed.env, f"{bed.registry}/acme"

    def image(self, *argv, env=None):
        return buildlib("image", "--no-build", *argv, cwd=self.root, env=self.env | (env or {}))

    def push(self, *more, arches=ARCHES, env=None):
        return self.image("--arch", arches, "--push", *more, env=env)

    def settings(self, **builder):
        """Other settings of the builder."""
        (self.root / "buildlib.toml").write_text(self.bed.settings(**builder))

    def raw(self, reference):
        done = run("docker", "buildx", "imagetools", "inspect", "--raw", f"{self.repository}/{reference}", env=self.env)
        return done.out if done.code == 0 else ""

    def digest(self, reference):
        return f"sha256:{hashlib.sha256(self.raw(reference).encode()).hexdigest()}"

    def manifests(self, reference):
        """The images of an index, by platform, attestations left out."""
        told = json.loads(self.raw(reference))["manifests"]
        return {platform(entry["platform"]): entry for entry in told if entry["platform"]["os"] != "unknown"}

    def change(self, arch, name, data):
        """Other bytes in dist/, and in its manifest, as if they had passed the gate."""
        path = self.root / "dist" / arch / name
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o755)
        manifest = self.root / "dist" / "manifest.json"
        told = json.loads(manifest.read_text())
        (entry,) = [entry for entry in told["binaries"] if entry["path"] == f"{arch}/{name}"]
        entry["sha256"] = hashlib.sha256(data).hexdigest()
        manifest.write_text(json.dumps(told))


def platform(told):
    return "/".join(told[key] for key in ("os", "architecture", "variant") if key in told)


def beginning_with(binary, code):
    """The binary with other machine code where it begins: all of its headers are right."""
    elf = ELFFile(io.BytesIO(binary))
    (at, *_) = elf.address_offsets(elf.header.e_entry)
    return binary[:at] + code + binary[at + len(code) :]


# AArch64: mov x0, #1; mov x8, #93 (exit); svc #0
EXITS_1 = bytes.fromhex("200080d2 a80b80d2 010000d4")
CRASHES = bytes(64)
