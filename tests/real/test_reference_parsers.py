"""Dockerfiles and shell scripts are read as BuildKit and shfmt read them: their instructions, commands, variables and images."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from containers import BUILDKIT, go_environment
from random_dockerfiles import dockerfile, script, stages
from random_stages import request
from testbed import HERE, run

from buildlib.base_images import dockerfile as base_images
from buildlib.lint.check import check
from buildlib.lint.parsing import containerfile, shell
from buildlib.lint.parsing.containerfile import Script
from buildlib.lint.parsing.source import Source

SHFMT = "v3.11.0"
TEXTS = 3000


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    """Parses random texts with a reference parser: pairs of text and result, without the texts that the parser refuses."""
    module = tmp_path_factory.mktemp("reference_parsers")
    (module / "main.go").write_text((HERE / "reference_parsers" / "main.go").read_text())
    requirements = f"require (\n\tgithub.com/moby/buildkit {BUILDKIT}\n\tmvdan.cc/sh/v3 {SHFMT}\n)\n"
    (module / "go.mod").write_text(f"module parsers\ngo 1.24\n{requirements}")
    env = go_environment(module) | {"GOFLAGS": "-mod=mod"}
    built = run("go", "build", "-o", "parsers", ".", cwd=module, env=env)
    assert built.code == 0, built

    def parse(parser, make_text, *, at_least):
        generator = random.Random(8)
        texts = [make_text(generator) for _ in range(TEXTS)]
        lines = "".join(f"{json.dumps(text)}\n" for text in texts)
        done = subprocess.run([module / "parsers", parser], input=lines, capture_output=True, text=True, check=True)
        results = [json.loads(line) for line in done.stdout.splitlines()]
        accepted = [(text, result) for text, result in zip(texts, results, strict=True) if result is not None]
        assert len(accepted) > at_least
        return accepted

    return parse


def read_with_lint(text):
    """Per first line of an instruction: its kind, whether it is in exec form, and the words of its heredocs."""
    source = Source(Path("Dockerfile"), text.encode())
    file = containerfile.read(source)
    instructions = [*file.before, *(part for stage in file.stages for part in (stage.head, *stage.instructions))]
    return {
        source.line(instruction.span.start): (
            instruction.kind,
            instruction.exec_form,
            [words for heredoc in instruction.heredocs if (words := heredoc.text.split())],
        )
        for instruction in instructions
    }


def from_buildkit(instructions):
    """BuildKit's result in the form of `read_with_lint`. Lint does not record heredocs that contain only blanks."""
    return {
        instruction["line"]: (
            instruction["kind"],
            instruction["is_array"],
            [words for text in instruction["heredocs"] if (words := text.split())],
        )
        for instruction in instructions
    }


def test_dockerfiles_are_parsed_as_buildkit_parses_them(parse):
    wrong = []
    for text, instructions in parse("dockerfile", dockerfile, at_least=2900):
        actual, expected = read_with_lint(text), from_buildkit(instructions)
        for instruction in instructions:  # lint records the instruction inside ONBUILD and HEALTHCHECK instead
            if instruction["kind"] in ("onbuild", "healthcheck"):
                actual.pop(instruction["line"]), expected.pop(instruction["line"])
        if actual != expected:
            wrong.append((text, actual, expected))
    assert wrong == []


def test_lint_finds_every_command_of_a_script(parse):
    wrong = []
    for text, offsets in parse("shell", script, at_least=2000):
        raw = text.encode()
        starts = {command.words[0].span.start for command in shell.read(Script(raw, 0)).commands if command.words}
        # Lint reads `[` as a test, and does not count a word such as `env` before another command.
        missing = [
            raw[at : at + 40] for at in offsets if at not in starts and not raw[at:].startswith((b"[ ", b"env "))
        ]
        if missing:
            wrong.append((text, missing))
    assert wrong == []


def test_lost_variables_are_those_that_buildkit_reports_as_undefined(parse):
    wrong = []
    for text, uses in parse("variables", stages, at_least=2000):
        lines = sorted(read_with_lint(text))
        reported = {
            (max(line for line in lines if line <= finding.line), finding.message.split()[0])
            for finding in check(Path("Dockerfile"), text.encode(), {})
            if finding.rule == "arg-lost-after-from"
        }
        undefined = {(use["line"], use["name"]) for use in uses}
        missed = {(line, name) for line, name in undefined - reported if _must_be_reported(text, line, name)}
        if reported - undefined or missed:
            wrong.append((text, reported - undefined, missed))
    assert wrong == []


def _must_be_reported(text, line, name):
    """Whether the name is a platform's, or declared by an ARG above or in this stage. A base image may define any other name."""
    above, below = text.split("\n")[:line], text.split("\n")[line:]
    same_stage = below[: next((at for at, text in enumerate(below) if text.startswith("FROM")), len(below))]
    return name not in "VWX" or any(text.startswith(f"ARG {name}") for text in above + same_stage)


def test_the_images_and_secrets_of_a_build_are_those_that_buildkit_asks_for(parse):
    wrong = []
    for text, expected in parse("build", request, at_least=700):
        asked = json.loads(text)
        platform = asked["platform"]
        sources = base_images.read(
            asked["text"],
            asked["args"],
            asked["target"],
            for_platforms=[platform],
            build_platforms={platform: "linux/amd64"},
        )
        images = {f"{image.reference} {image.platform}" for base in sources.bases for image in base.images.values()}
        actual = (
            images, {secret.id: secret.required for secret in sources.secrets}, {key.id: key.required for key in sources.ssh},
        )  # fmt: skip
        # Two mounts of one secret: BuildKit's outline shows the first of them, but the build needs it if one does.
        required = {name: needed or actual[1].get(name) for name, needed in expected["secrets"].items()}
        keys = {name: needed or actual[2].get(name) for name, needed in expected["ssh"].items()}
        if actual != (set(expected["images"]), required, keys):
            wrong.append((asked, actual, expected))
    assert wrong == []
