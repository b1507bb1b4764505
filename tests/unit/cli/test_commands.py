import io
import json

import pytest
from machines import Machine

from buildlib.cli.commands import make
from buildlib.cli.collection import namespace
from buildlib.cli.app import Buildlib, with_paths


def run(*words):
    program = Buildlib(name="buildlib", binary="buildlib", version="0", namespace=namespace)
    with pytest.raises(SystemExit) as caught:
        program.run(["buildlib", *words])
        raise SystemExit(0)
    return caught.value.code


def test_the_same_collection_behind_both_doors():
    import tasks

    assert tasks.namespace is namespace
    assert sorted(namespace.task_names) == [
        "bench", "build", "builder.create", "builder.inspect", "builder.remove", "ci", "config", "dockerfile", "doctor", "explain",
        "image", "lint", "plan", "report", "setup", "smoke", "test", "verify",
    ]  # fmt: skip


def test_words_after_verify_are_paths():
    assert with_paths(["buildlib", "verify", "a", "--json", "b"]) == [
        "buildlib", "verify", "--path", "a", "--json", "--path", "b",
    ]  # fmt: skip
    assert with_paths(["buildlib", "verify", "--glibc", "2.28", "x"])[2:] == ["--glibc", "2.28", "--path", "x"]
    assert with_paths(["buildlib", "explain", "a", "-", "--json"])[2:] == ["--file", "a", "--file", "-", "--json"]
    assert with_paths(["buildlib", "build", "verify"]) == ["buildlib", "build", "verify"]
    assert with_paths(["buildlib"]) == ["buildlib"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["biuld"], "did you mean 'build'?"),
        (["build", "--arhc", "arm64"], "No idea what '--arhc' is!"),
        (["--help=biuld"], "did you mean 'build'?"),
    ],
)
def test_a_wrong_word_is_2_and_one_line(words, said, capsys):
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err


def test_outside_a_workspace_every_command_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in ("build", "plan", "config", "doctor"):
        assert run(command) == 2
        assert f"error: no Cargo.toml in {tmp_path} or above it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "where to?"),
        (("--push", "--load"), "where to?"),
        (("--push", "--output", "x"), "where to?"),
        (("--push", "--network", "none"), "--network none: there is only host"),
        (("--push", "--network", "host"), "--network and --cache are of --in-docker"),
        (("--push", "--cache", "registry"), "--network and --cache are of --in-docker"),
    ],
)
def test_an_image_goes_to_one_place(words, said, capsys):
    assert run("image", *words) == 2
    assert f"error: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sbom", "provenance", "flags"),
    [
        (False, False, ()),
        (True, False, ("--provenance=false", "--sbom=true")),
        (False, True, ("--provenance=mode=max",)),
        (True, True, ("--provenance=mode=max", "--sbom=true")),
    ],
)
def test_attestations_are_what_was_asked_for(sbom, provenance, flags):
    assert make._attested(sbom, provenance) == flags


def test_verify_needs_no_workspace(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("buildlib.process.context.probe", lambda env, cwd: Machine(cwd=cwd))
    (tmp_path / "script").write_text("#!/bin/sh")
    assert run("verify", "script") == 6
    assert capsys.readouterr().out == "✗ script · unknown\n    is not an ELF file\n"
    assert run("verify", "absent") == 1
    assert capsys.readouterr().err == "error: absent: no such file or folder\n"


def test_ctrl_c_is_130(monkeypatch, capsys):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(make, "look_around", pressed)
    assert run("build") == 130
    assert capsys.readouterr().err == "error: interrupted\n"


LOG = "building\ncurl: (52) Empty reply from server\nhttps://a:b@c\n"


def test_a_log_is_explained(tmp_path, capsys):
    for name, text in (("a.log", LOG), ("b.log", "all is well\n")):
        (tmp_path / name).write_text(text)
    words = ("explain", str(tmp_path / "a.log"), str(tmp_path / "b.log"))
    assert run(*words, "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "class": "transient-network", "retry": True, "cause": "curl: (52) Empty reply from server", "line": 2,
        "cure": first["cure"], "wait": None,
    }  # fmt: skip
    assert (second["class"], second["retry"], second["line"]) == ("unknown", False, 1)
    assert run(*words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{tmp_path}/a.log:2: transient-network: a retry helps"
    assert said[1] == "  cause: curl: (52) Empty reply from server"


def test_a_log_from_a_pipe_is_explained(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe no\ntoomanyrequests: try again in 5m")))
    assert run("explain", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["class"], told["wait"], told["line"]) == ("rate-limited", 300.0, 2)


def test_a_log_that_is_not_there_is_said(capsys, tmp_path):
    assert run("explain", str(tmp_path / "none.log")) == 2
    assert "none.log: No such file or directory" in capsys.readouterr().err
