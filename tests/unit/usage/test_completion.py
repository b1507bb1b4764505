"""Completion: the scripts, and the values that they ask for; tests/real/test_completion.py starts the shells."""

import json
import os

import pytest

from buildlib.cli import command_list
from buildlib.cli.app import Buildlib
from buildlib.cli.collection import namespace
from buildlib.cli.entry import report_errors
from buildlib.core.targets import TARGETS
from buildlib.process.console import Console
from buildlib.usage.completion import bash, fish, zsh
from buildlib.usage.completion.values import values

COMMANDS = command_list.describe_all()
ARCHES = [*TARGETS, "all", "native"]


@pytest.mark.parametrize("shell", [bash, zsh])
def test_every_option_and_arch_is_in_the_script(shell):
    text = shell.script(COMMANDS)
    for command in COMMANDS:
        assert f"        {command.name})\n" in text
        for one in command.options:
            assert all(word in text for word in one.words)
    assert " ".join(ARCHES) in text and "@" not in text.replace('"$@"', "").replace("[@]", "")


def test_a_quote_in_a_text_does_not_end_the_word():
    text = zsh.script(COMMANDS)
    assert "cargo'\\''s target directory" in text
    assert "cargo\\'s target directory" in fish.script(COMMANDS)


def run(*words):
    program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(report_errors(Console({}), lambda: program.run(["buildlib", *words]), debug=False))
    return caught.value.code


@pytest.mark.parametrize(("shell", "module"), [("bash", bash), ("zsh", zsh), ("fish", fish)])
def test_the_command_prints_the_script(shell, module, capsys):
    assert run("completion", shell) == 0
    assert capsys.readouterr() == (f"{module.script(COMMANDS)}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "error: no shell is named\n  help: one of: bash zsh fish\n"),
        (["zhs"], "error: unknown shell 'zhs'\n  help: did you mean 'zsh'?\n"),
        (["--values", "packge"], "error: unknown kind of values 'packge'\n  help: did you mean 'package'?\n"),
    ],
)  # fmt: skip
def test_another_shell_is_refused(words, message, capsys):
    assert run("completion", *words) == 2
    assert capsys.readouterr() == ("", message)


@pytest.fixture
def workspace(tmp_path):
    """A workspace, and a cargo that answers for it."""
    root = tmp_path / "workspace"
    (root / "member").mkdir(parents=True)
    (root / "Cargo.toml").write_text('[workspace]\nmembers = ["member"]\n[profile.dist]\ninherits = "release"\n')
    (root / "buildlib.toml").write_text(
        "[images.web]\ndockerfile = 'Dockerfile'\n[images.'$(touch x)']\ndockerfile = 'x'\n[images.'a b']\ndockerfile = 'x'\n"
    )
    (root / "member" / "Cargo.toml").write_text("[package]\n")

    def target(name, kind):
        return {"name": name, "kind": [kind], "crate_types": [kind]}

    package = {
        "id": "m", "name": "member", "version": "1.0.0", "manifest_path": str(root / "member" / "Cargo.toml"), "dependencies": [],
        "features": {"default": ["fast"], "fast": []}, "targets": [target("app", "bin"), target("`touch y`", "bin"),
                                                        target("show", "example")],
    }  # fmt: skip
    answer = {"workspace_root": str(root), "target_directory": str(root / "target"), "workspace_members": ["m"],
              "workspace_default_members": ["m"], "packages": [package]}  # fmt: skip
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    cargo = tmp_path / "cargo"
    cargo.write_text(f"#!/bin/sh\ncat {tmp_path}/answer.json\n")
    cargo.chmod(0o755)
    return root, {"CARGO": str(cargo), "PATH": os.environ["PATH"]}


@pytest.mark.processes
@pytest.mark.parametrize("folder", [".", "member"])
def test_values_of_the_workspace(workspace, folder):
    root, env = workspace
    before = sorted(root.rglob("*"))
    assert {kind: values(kind, env, root / folder) for kind in
            ("component", "binary", "package", "example", "feature", "profile")} == {
        "component": ["app", "web"], "binary": ["app"], "package": ["member"], "example": ["show"],
        "feature": ["default", "fast"], "profile": ["bench", "dev", "dist", "release", "test"],
    }  # fmt: skip
    assert sorted(root.rglob("*")) == before


@pytest.mark.processes
def test_where_there_is_nothing_no_values_and_no_error(workspace, tmp_path, capsys):
    root, env = workspace
    assert values("component", env, tmp_path) == []
    assert values("component", {"PATH": "/nowhere"}, root) == []
    (root / "buildlib.toml").write_text("[images\n")
    assert values("component", env, root) == []
    (root / "Cargo.toml").unlink()
    (root / "buildlib.toml").write_text('[images.web]\ndockerfile = "x"\n')
    assert values("component", env, root) == ["web"]
    assert values("binary", env, root) == []
    assert values("profile", env, root) == []
    assert capsys.readouterr() == ("", "")
