"""The scripts for completion in real shells."""

import os
import subprocess

import pytest
from testbed import install_packages

from buildlib.cli import command_list
from buildlib.core.targets import TARGETS
from buildlib.usage.completion import bash, fish, zsh

COMMANDS = command_list.describe_all()
ARCHES = [*TARGETS, "all", "native"]
# (the words of the command line, the last of which is completed; what is offered)
LINES = [
    (["bu"], ["build", "builder", "builder.create", "builder.remove"]),
    (["--color", "a"], ["auto", "always"]),
    (["--color", "always", "verif"], ["verify"]),
    (["help", "im"], ["image"]),
    (["build", "--ar"], ["--arch"]),
    (["image", "--no-b"], ["--no-build"]),
    (["build", "--arch", ""], ARCHES),
    (["build", "--arch", "ris"], ["riscv64", "riscv64-musl"]),
    (["build", "--arch", "arm64,ris"], ["arm64,riscv64", "arm64,riscv64-musl"]),
    (["build", "--json", "--target", "s390x-unknown-linux-g"], ["s390x-unknown-linux-gnu"]),
    (["build", "--backend", ""], ["auto", "zig", "gcc", "cross"]),
    (["lint", "--format", "s"], ["sarif"]),
    (["completion", ""], ["bash", "zsh", "fish"]),
    (["build", "--component", ""], ["of-component", "the-other"]),
    (["build", "-p", "a,of"], ["a,of-package"]),
    (["build", "--features", "of"], ["of-feature"]),
    (["build", "--profile", "of"], ["of-profile"]),
    (["lint", "Doc"], ["Dockerfile"]),
    (["build", "--dist", "a"], ["a b/"]),
    (["build", "--jobs", "a"], []),
    (["build", "zz"], []),
]


@pytest.fixture(scope="module", autouse=True)
def shells():
    install_packages("bash", "zsh", "fish")


@pytest.fixture
def project(tmp_path):
    """A directory with files, and PATH with a `buildlib` that answers what the scripts ask."""
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "a b").mkdir()
    (tmp_path / "s*r").touch()
    (tmp_path / "star").touch()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "buildlib").write_text(
        '#!/bin/sh\n[ "$1 $2" = "completion --values" ] && printf "of-%s\\nthe-other\\n" "$3"\n'
    )
    (tools / "buildlib").chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    return lambda *argv, script: (
        subprocess.run(argv, input=script, env=env, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    )


def test_in_bash(project):
    ask = "".join(
        f"COMP_WORDS=(buildlib {' '.join(map(_quoted, line))}); COMP_CWORD={len(line)}; _buildlib; "
        'printf "%s\\n" "${COMPREPLY[@]}" ===\n' for line, _ in LINES
    )  # fmt: skip
    printed = project("bash", "--norc", script=f"{bash.script(COMMANDS)}\n{ask}")
    answers = _answers(printed)
    # readline adds the slash of a directory, and completes files where nothing is offered.
    expected = [[one.rstrip("/") for one in offered] for _, offered in LINES]
    assert dict(zip(map(str, LINES), answers, strict=True)) == dict(zip(map(str, LINES), expected, strict=True))


def _answers(printed):
    """The lines between the separators."""
    answers, lines = [], []
    for line in printed.splitlines():
        if line == "===":
            answers.append([one for one in lines if one])
            lines = []
        else:
            lines.append(line)
    return answers


def _quoted(word):
    return f"'{word}'"


def test_what_bash_does_to_words(project):
    ask = (
        "COMP_WORDS=(buildlib build --arch = ris); COMP_CWORD=4; _buildlib; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(buildlib build --backend =); COMP_CWORD=3; _buildlib; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(buildlib --color = never bui); COMP_CWORD=4; _buildlib; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(buildlib test -- --ar); COMP_CWORD=3; _buildlib; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(buildlib verify s); COMP_CWORD=2; _buildlib; printf '%s\\n' \"${COMPREPLY[@]}\" | sort\n"
        "complete -p buildlib\n"
    )
    assert project("bash", "--norc", script=f"{bash.script(COMMANDS)}\n{ask}").splitlines() == [
        "riscv64 riscv64-musl",
        "auto zig gcc cross",
        "build builder builder.create builder.remove",
        "",
        "s*r",
        "star",
        "complete -o bashdefault -o default -F _buildlib buildlib",
    ]


def test_in_fish(project):
    lines = [
        (line, offered) for line, offered in LINES if line != ["build", "zz"]
    ]  # fish has no completion of files there
    ask = "\n".join(
        f"complete -C '{' '.join(['buildlib', *line])}' | string split -f1 \\t; echo ===" for line, _ in lines
    )
    printed = project("fish", "--no-config", script=f"{fish.script(COMMANDS)}\n{ask}\n")
    answers = _answers(printed)
    assert [sorted(answer) for answer in answers] == [sorted(offered) for _, offered in lines]


def test_zsh_can_parse_its_script(project, tmp_path):
    (tmp_path / "_buildlib").write_text(zsh.script(COMMANDS))
    assert project("zsh", "-f", "-n", str(tmp_path / "_buildlib"), script="") == ""
