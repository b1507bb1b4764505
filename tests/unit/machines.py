"""Invented machines for planners."""

from pathlib import Path

from buildlib.host import Host


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
