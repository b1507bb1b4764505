"""Invented machines for planners, and a runner that records what it would run."""

from contextlib import nullcontext
from pathlib import Path

from buildlib.core import layers
from buildlib.core.plan import Artifact, CopyFiles, Outcome, ShareHostUnits, Step, Write
from buildlib.core.stopping import Stop
from buildlib.core.sysroot import Sysroot, SystemLibrary
from buildlib.core.targets import TARGETS
from buildlib.machine.host import Host
from buildlib.machine.workspace import Package, Workspace
from buildlib.process.console import Console
from buildlib.process.context import Context
from buildlib.process.files import copy_files, locked
from buildlib.rust.backends import choice
from buildlib.rust.cargo import Toolset
from buildlib.rust.std import Compiler

ARM64, AMD64, MUSL = TARGETS["arm64"], TARGETS["amd64"], TARGETS["arm64-musl"]
WITH_ZIG = {"zig": Path("/zig/zig"), "zig_version": "0.17.1", "zigbuild": Path("/v/bin/cargo-zigbuild"),
            "zigbuild_version": "0.24.0"}  # fmt: skip


class Machine(Host):
    """A host whose tools are a list and whose files are a set."""

    def __init__(self, tools=(), files=(), **facts):
        facts = {
            "machine": "x86_64",
            "env": {},
            "cwd": Path("/w"),
            "cache": Path("/cache"),
            "python": Path("/py"),
        } | facts
        super().__init__(**facts)
        tools = {tool: f"/usr/bin/{tool}" for tool in tools}
        object.__setattr__(self, "_executables", tools)
        object.__setattr__(self, "_files", frozenset(files))

    def _which(self, name):
        return super()._which(name) if "/" in name else self._executables.get(name)

    def exists(self, path):
        return str(path) in self._files


def is_running(pid):
    """Whether a process runs. One that has ended may remain as a zombie until init asks for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def settings(**flags):
    return layers.resolve(("flag", flags))


def choose(host, target=ARM64, libc="", **flags):
    """The backend that is chosen on an invented machine; `libc` is the glibc that a cross compiler links against."""
    return choice.choose(host, settings(**flags), target, lambda _: libc)


def toolset(host, toolchain, target=ARM64, **flags):
    """What compiles for `target` with `toolchain` on an invented machine."""
    return Toolset(target=target, backend=choose(host, target, **flags), compiler=Compiler(toolchain=toolchain))


def sysroot(glibc="2.36", **more):
    """A sysroot for arm64 with libssl, which loads libcrypto."""
    ssl = SystemLibrary(
        package="libssl3", file="usr/lib/libssl.so.3", sha256="aa", size=1, needed=("libcrypto.so.3", "libc.so.6")
    )
    crypto = SystemLibrary(package="libssl3", file="usr/lib/libcrypto.so.3", sha256="bb", size=2, needed=("libc.so.6",))
    facts = {
        "root": "/s", "multiarch": "aarch64-linux-gnu", "suite": "bookworm", "packages": {"libssl3": "3.0-1", "libssl-dev": "3.0-1"},
        "libraries": {"libssl.so.3": ssl, "libcrypto.so.3": crypto}, "glibc": glibc, "newest": "libssl.so.3",
    }  # fmt: skip
    return Sysroot(**facts | more)


def artifact(path, kind="bin", *, test=False):
    """A program that cargo has compiled in the package /w/p."""
    return Artifact(path=Path(path), name=Path(path).name, kind=kind, manifest=Path("/w/p/Cargo.toml"), test=test)


class Recorder:
    """A runner that runs nothing: `answers` maps a job's name or a step's title to (code, output), `asked` has what was requested."""

    def __init__(self, answers=(), *, dry=False):
        self.answers, self.dry, self.asked, self.console = dict(answers), dry, [], Console({})
        self.stopped, self.hidden, self.clean_up = Stop(), {}, self

    def __call__(self, action):
        if isinstance(action, Write):
            action.path.parent.mkdir(parents=True, exist_ok=True)
            action.path.write_text(action.text)
            return Outcome(step=action, code=0, seconds=0)
        if isinstance(action, CopyFiles):
            copy_files(action)
            return Outcome(step=action, code=0, seconds=0)
        if isinstance(action, ShareHostUnits):  # nothing has been compiled that could be shared
            return Outcome(step=action, code=0, seconds=0)
        return self._answer(action, action.title, " ".join(action.argv))

    def locked(self, folder, waiting):
        """As of the runners: a dry run holds no lock."""
        return (
            nullcontext()
            if self.dry
            else locked(folder, lambda holder: self.console.waiting(waiting, holder), self.console.warn)
        )

    def job(self, job):
        """A job that fails does so in its first command."""
        failed = self.answers.get(job.name, (0, ""))[0] != 0
        commands = [step for step in job.steps if isinstance(step, Step)]
        return self._answer(commands[0] if failed and commands else job.steps[-1], job.name, job.name)

    def _answer(self, step, key, asked):
        self.asked.append(asked)
        code, output = self.answers.get(key, (0, ""))
        return Outcome(step=step, code=code, seconds=0, stdout=output, output=output, ran=not self.dry)


def workspace(*components, root=Path("/w"), **more):
    """A workspace of these binaries and their packages; all packages have the manifest of the root."""
    names = dict.fromkeys(component.package for component in components) or ("lib",)
    members = tuple(Package(name=name, manifest=root / "Cargo.toml") for name in names)
    return Workspace(root=root, target_dir=root / "target", components=components, **{"members": members} | more)


def context(host, run, root=Path("/w"), **flags):
    members = tuple(Package(name="lib", manifest=path) for path in root.glob("Cargo.toml"))
    return Context(config=settings(**flags), host=host, workspace=workspace(root=root, members=members), run=run,
                   console=run.console)  # fmt: skip
