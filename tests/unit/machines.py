"""Invented machines for planners, and a runner that records."""

from pathlib import Path

from buildlib.rust.backends import choice
from buildlib.rust.cargo import Toolset
from buildlib.rust.std import Compiler
from buildlib.core import layers
from buildlib.process.console import Console
from buildlib.process.context import Context
from buildlib.machine.host import Host
from buildlib.core.plan import Outcome, Write
from buildlib.core.targets import TARGETS
from buildlib.machine.workspace import Workspace

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

    def exists(self, path):
        return str(path) in self._files


def settings(**flags):
    return layers.resolve(("flag", flags))


def choose(host, target=ARM64, libc="", **flags):
    """The backend that is chosen on an invented machine."""
    return choice.choose(host, settings(**flags), target, lambda _: libc)


def toolset(host, toolchain, target=ARM64, **flags):
    """What compiles for `target` there with `toolchain`."""
    return Toolset(target=target, backend=choose(host, target, **flags), compiler=Compiler(toolchain=toolchain))


class Recorder:
    """Stands for the runner: `answers` maps a job's name or a step's title to (code, output)."""

    def __init__(self, answers=(), *, dry=False):
        self.answers, self.dry, self.asked, self.console = dict(answers), dry, [], Console({})

    def __call__(self, act):
        if isinstance(act, Write):
            act.path.parent.mkdir(parents=True, exist_ok=True)
            act.path.write_text(act.text)
            return Outcome(step=act, code=0, seconds=0)
        return self._answer(act, act.title, " ".join(act.argv))

    def job(self, job):
        return self._answer(job.steps[-1], job.name, job.name)

    def _answer(self, step, key, asked):
        self.asked.append(asked)
        code, output = self.answers.get(key, (0, ""))
        return Outcome(step=step, code=code, seconds=0, stdout=output, output=output, ran=not self.dry)


def context(host, run, root=Path("/w"), **flags):
    manifests = tuple(root.glob("Cargo.toml"))
    workspace = Workspace(root=root, target_dir=root / "target", components=(), manifests=manifests)
    return Context(config=settings(**flags), host=host, workspace=workspace, run=run, console=run.console)
