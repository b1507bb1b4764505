"""docs/tutorial.md, executed as it is written: its files, its commands, and the results that it shows."""

import os
import re

import pytest
from containers import toml
from testbed import BUILDLIB, REPOSITORY, run

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"(?:`(?P<file>[^`\n]+)`:\n\n)?```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL)


def plain(text):
    """Words without numbers, digests and the spaces between columns, which differ from run to run."""
    return [re.sub(r"\b[0-9a-f]{12}\b|\d+", "#", " ".join(line.split())) for line in text.splitlines()]


def test_the_tutorial_works_as_it_is_written(engine, tmp_path):
    env = {
        **engine.env, "PATH": f"{BUILDLIB.parent}:{os.environ['PATH']}",
        "BUILDLIB_BUILDER_NAME": "buildlib-test", "BUILDLIB_BUILDER_MIRRORS": toml(engine.mirrors),
    }  # fmt: skip
    folder, commands = tmp_path, []
    for block in BLOCK.finditer((REPOSITORY / "docs" / "tutorial.md").read_text("utf-8")):
        if block["file"]:
            (folder / block["file"]).write_text(block["text"])
            continue
        for part in block["text"].removeprefix("$ ").split("\n$ "):
            command, _, shown = part.partition("\n")
            commands.append(command)
            if command.startswith("cd "):
                folder /= command.removeprefix("cd ")
                continue
            done = run(*command.split(), cwd=folder, env=env)
            assert done.code == 0, (command, done)
            assert [line for line in plain(shown) if line not in plain(done.out)] == [], (command, done)
    assert len(commands) == 8, commands
    run("docker", "image", "rm", "hello:0.1.0", env=engine.env)
