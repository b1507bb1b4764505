"""Invented machines for planners."""

from pathlib import Path

from buildlib import backends, config
from buildlib.host import Host
from buildlib.targets import TARGETS

ARM64, AMD64, MUSL = TARGETS["arm64"], TARGETS["amd64"], TARGETS["arm64-musl"]
WITH_ZIG = {"zig": Path("/zig/zig"), "zig_version": "0.17.1", "zigbuild": Path("/v/bin/cargo-zigbuild")}


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
    return config.resolve(("flag", flags))


def pick(host, target=ARM64, libc="", **flags):
    return backends.pick_backend(host, settings(**flags), target, lambda _: libc)
