"""A workspace with one component, whose gated binaries for two platforms are in dist/."""

import json
from dataclasses import replace

import machines
from machines import Machine, Recorder, context

from buildlib.core.plan import OciLayout, Outcome
from buildlib.core.settings import Retry
from buildlib.core.stopping import Stop
from buildlib.core.targets import TARGETS
from buildlib.elf import digest
from buildlib.emulation.exit_stub import exit_program
from buildlib.machine.workspace import Component
from buildlib.process.files import disk_error, layout
from buildlib.process.retry import Budget

STATIC = (TARGETS["amd64-musl"], TARGETS["armv7-musl"])
# Programs that pass the gate, and exit at once.
PROGRAMS = {"amd64-musl": exit_program("x86_64"), "arm64-musl": exit_program("aarch64")}
EXECUTABLE = tuple(TARGETS[name] for name in PROGRAMS)
COMPONENT = Component(name="a", package="p", version="1.2.3", description="does it", license="MIT")
GIT = {"commit": (0, "1700000000 abc\n")}
FACTS = {
    "machine": 62, "bits": 64, "little": True, "flags": 0, "kind": "ET_EXEC", "loader": "", "glibc": "", "needed": [], "rpath": "",
    "arm": 0,
}  # fmt: skip


class LayoutRecorder(Recorder):
    """A recorder that also writes OCI layouts."""

    def __call__(self, action):
        if isinstance(action, OciLayout):
            self.asked.append(f"layout {action.folder.name}")
            try:
                layout(action)
            except OSError as error:
                raise disk_error(error) from None
            return Outcome(step=action, code=0, seconds=0)
        return super().__call__(action)


class ClientRunner(LayoutRecorder):
    """Also answers for the client of registries."""

    def __init__(self, answers=GIT, *, dry=False):
        super().__init__(answers, dry=dry)
        self.budget = Budget(Retry(attempts=4, delay=0.001, max_delay=0.01, total=60.0))
        self.env, self.failures, self.stopped = {"DOCKER_CONFIG": "/nowhere"}, [], Stop()

    def sleep(self, _):
        pass

    def failed(self, *failure):
        self.failures.append(failure)


def entry(arch, binary, sha256, minimum_glibc=""):
    """One binary in dist/manifest.json."""
    return {
        "arch": arch, "binary": binary, "path": f"{arch}/{binary}", "target": TARGETS[arch].triple, "backend": "zig",
        "floor": minimum_glibc, "toolchain": "1.95.0", "profile": "release", "size": 3, "sha256": sha256, "facts": FACTS,
        "started": "--version", "seconds": 1.0,
    }  # fmt: skip


def add_binary(dist, arch, binary, data):
    """Put a binary into dist/ and its entry into the manifest."""
    manifest = dist / "manifest.json"
    entries = json.loads(manifest.read_text())["binaries"] if manifest.exists() else []
    path = dist / arch / binary
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    entries = [other for other in entries if other["path"] != f"{arch}/{binary}"]
    manifest.write_text(json.dumps({"schema": 1, "binaries": [*entries, entry(arch, binary, digest(path))]}))


def add_sbom(dist, arch, binary, document):
    """Put an SBOM into dist/ beside a binary, and into its entry of the manifest."""
    manifest, path = dist / "manifest.json", dist / arch / f"{binary}.cdx.json"
    path.write_text(json.dumps(document))
    entries = json.loads(manifest.read_text())["binaries"]
    found = {"path": f"{arch}/{binary}.cdx.json", "size": path.stat().st_size, "sha256": digest(path)}
    entries = [one | ({"sbom": found} if one["path"] == f"{arch}/{binary}" else {}) for one in entries]
    manifest.write_text(json.dumps({"schema": 1, "binaries": entries}))


def workspace(tmp_path, answers=GIT, *, dry=False, env=None, **flags):
    """The context of a command in that workspace; `answers` and `dry` are the runner's, `flags` are settings.

    Images are made with Docker unless a setting says something else: nobody is asked whether it is there.
    """
    machine = Machine(env=env or {}, cache=tmp_path / "cache")
    plain = context(machine, LayoutRecorder(answers, dry=dry), tmp_path, **{"engine": "docker", **flags})
    for target in STATIC:
        add_binary(tmp_path / "dist", target.name, "a", b"elf " + target.name.encode())
    return replace(plain, workspace=machines.workspace(COMPONENT, root=plain.workspace.root))


def static_workspace(tmp_path, **more):
    """As `workspace`, with PROGRAMS, whose images need no engine and no network."""
    plain = workspace(tmp_path, **more)
    for name, data in PROGRAMS.items():
        add_binary(tmp_path / "dist", name, "a", data)
    run = ClientRunner(plain.run.answers, dry=plain.run.dry)
    return replace(plain, run=run, console=run.console)
