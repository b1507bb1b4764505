"""Lint reads Dockerfiles as BuildKit does, and shell as shfmt does; what it says of variables is what BuildKit's linter says."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from bed import HERE, run
from dockerfiles import dockerfile, script, stages
from engine import BUILDKIT, go

from buildlib.lint.parsing import containerfile, shell
from buildlib.lint.check import check
from buildlib.lint.parsing.containerfile import Script
from buildlib.lint.parsing.source import Source

SHFMT = "v3.11.0"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Texts that chance makes, each with what a real reader says of it; those that it refuses are left out."""
    module = tmp_path_factory.mktemp("readers")
    (module / "main.go").write_text((HERE / "readers" / "main.go").read_text())
    (module / "go.mod").write_text(
        f"module readers\ngo 1.24\nrequire (\n\tgithub.com/moby/buildkit {BUILDKIT}\n\tmvdan.cc/sh/v3 {SHFMT}\n)\n"
    )
    tools = go(module) | {"GOFLAGS": "-mod=mod"}
    built = run("go", "build", "-o", "readers", ".", cwd=module, env=tools)
    assert built.code == 0, built

    def read(what, make, *, least):
        chance = random.Random(8)
        texts = [make(chance) for _ in range(3000)]
        asked = "".join(f"{json.dumps(text)}\n" for text in texts)
        done = subprocess.run([module / "readers", what], input=asked, capture_output=True, text=True, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        taken = [(text, answer) for text, answer in zip(texts, answers, strict=True) if answer is not None]
        assert len(taken) > least
        return taken

    return read


def ours(text):
    """Each instruction's line, kind, whether it is a list, and the words of its heredocs."""
    source = Source(Path("Dockerfile"), text.encode())
    file = containerfile.read(source)
    every = [*file.before, *(one for stage in file.stages for one in (stage.head, *stage.instructions))]
    return {
        source.line(one.span.start): (
            one.kind,
            one.exec_form,
            [words for text in one.heredocs if (words := text.text.split())],
        )
        for one in every
    }


def theirs(instructions):
    """The same of BuildKit's. A document of nothing but blanks is none to us."""
    return {
        one["line"]: (one["kind"], one["is_array"], [words for text in one["heredocs"] if (words := text.split())])
        for one in instructions
    }


def test_dockerfiles_are_read_as_buildkit_reads_them(reader):
    wrong = []
    for text, instructions in reader("dockerfile", dockerfile, least=2900):
        told, meant = ours(text), theirs(instructions)
        for one in instructions:  # what these hand on is an instruction of its own, here
            if one["kind"] in ("onbuild", "healthcheck"):
                told.pop(one["line"]), meant.pop(one["line"])
        if told != meant:
            wrong.append((text, told, meant))
    assert wrong == []


def test_no_command_of_a_script_is_lost(reader):
    lost = []
    for text, starts in reader("shell", script, least=2000):
        raw = text.encode()
        found = {one.words[0].span.start for one in shell.read(Script(raw, 0)).commands if one.words}
        # `[` is a test to us, and a word before another command is none.
        missing = [raw[at : at + 40] for at in starts if at not in found and not raw[at:].startswith((b"[ ", b"env "))]
        if missing:
            lost.append((text, missing))
    assert lost == []


def test_lost_variables_are_those_that_buildkit_does_not_know(reader):
    wrong = []
    for text, uses in reader("variables", stages, least=2000):
        lines = sorted(ours(text))
        told = {
            (max(line for line in lines if line <= one.line), one.message.split()[0])
            for one in check(Path("Dockerfile"), text.encode(), {})
            if one.rule == "arg-lost-after-from"
        }
        undefined = {(use["line"], use["name"]) for use in uses}
        missed = {(line, name) for line, name in undefined - told if _is_the_builders(text, line, name)}
        if told - undefined or missed:
            wrong.append((text, told - undefined, missed))
    assert wrong == []


def _is_the_builders(text, line, name):
    """Whether a name is a platform's, or an ARG's above or in this stage; another one may be what anybody has set."""
    above, below = text.split("\n")[:line], text.split("\n")[line:]
    own = below[: next((at for at, text in enumerate(below) if text.startswith("FROM")), len(below))]
    return name not in "VWX" or any(text.startswith(f"ARG {name}") for text in above + own)
