"""The command: which files are checked, with which settings, and what is shown."""

import io
import json
import os
from pathlib import Path

import pytest

from buildlib.core import layers
from buildlib.core.errors import UsageError
from buildlib.lint import command
from buildlib.lint.check import check
from buildlib.process.console import Console

PINNED = b"FROM --platform=linux/amd64 debian\n"


def config(**lint):
    return layers.resolve(("buildlib.toml", {"lint": lint}))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("Dockerfile", "b/x.Dockerfile", "target/Dockerfile", "node_modules/a/Dockerfile", "third/Dockerfile"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(PINNED)
    Path("notes.md").write_text("FROM --platform=linux/amd64 x")
    return tmp_path


def test_directories_are_searched_and_files_are_checked_whatever_their_name(tree):
    def paths(*words, **lint):
        return [str(path) for path in command.lint([Path(word) for word in words], config(**lint), Path()).paths]

    assert paths(".") == ["Dockerfile", "b/x.Dockerfile", "third/Dockerfile"]
    assert paths(".", exclude=["third/*"]) == ["Dockerfile", "b/x.Dockerfile"]
    assert paths("notes.md", "b") == ["notes.md", "b/x.Dockerfile"]
    assert paths("target/Dockerfile", "target/Dockerfile") == ["target/Dockerfile"]
    with pytest.raises(UsageError) as caught:
        paths("nowhere")
    assert (caught.value.message, caught.value.help) == ("nowhere: no such file or directory", "")


def test_a_path_that_cannot_be_read_is_an_error_and_not_an_empty_result(tree):
    os.mkfifo("fifo")
    Path("loop").symlink_to("loop")
    for word, reason in (("fifo", "Not a directory"), ("loop", "Too many levels of symbolic links")):
        with pytest.raises(UsageError) as caught:
            command.lint([Path(word)], config(), Path())
        assert caught.value.message == f"{word}: {reason}"


def test_a_large_file_in_a_directory_is_skipped(tree):
    Path("b/x.Dockerfile").write_bytes(PINNED + b"#" * command.LARGEST)
    assert command.lint([Path("b")], config(), Path()).paths == ()


def test_a_large_file_that_is_named_is_an_error(tree):
    """It is not read: it may be larger than the memory."""
    with Path("b/x.Dockerfile").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError) as caught:
        command.lint([Path("b/x.Dockerfile")], config(), Path())
    assert caught.value.message == "b/x.Dockerfile: larger than 1 MiB, the largest file that lint reads"


def test_a_single_rule_by_name_or_number(tree):
    for word in ("hardcoded-platform", "BL002", "bl002"):
        assert len(command.lint([Path("Dockerfile")], config(), Path(), [word]).findings) == 1
    assert command.lint([Path("Dockerfile")], config(), Path(), ["BL001"]).findings == ()
    with pytest.raises(UsageError) as caught:
        command.lint([Path("Dockerfile")], config(), Path(), ["hardcoded-platfrom"])
    assert (caught.value.message, caught.value.help) == (
        "unknown lint rule 'hardcoded-platfrom'", "did you mean 'hardcoded-platform'?",
    )  # fmt: skip


def test_severities_in_the_settings():
    assert command.severities(config(severity={"BL002": "off"})) == {"hardcoded-platform": "off"}
    with pytest.raises(UsageError) as caught:
        config(severity={"BL002": "eror"})
    assert (caught.value.message, caught.value.help) == (
        "buildlib.toml: unknown lint.severity.BL002 'eror' (expected error, warning, info or off)", "did you mean 'error'?",
    )  # fmt: skip
    with pytest.raises(UsageError) as caught:
        command.severities(config(severity={"BL099": "off"}))
    assert caught.value.message == "unknown lint rule 'BL099'"


def test_findings_of_severity_info_are_not_a_failure(tree):
    assert command.lint([Path("Dockerfile")], config(), Path()).failed
    assert not command.lint([Path("Dockerfile")], config(severity={"BL002": "info"}), Path()).failed


def test_findings_in_the_baseline_are_not_reported(tree, capsys):
    def lint():
        return command.lint([Path("Dockerfile"), Path("b")], config(baseline="known.json"), tree)

    Path("known.json").touch()
    before = lint()
    assert (len(before.findings), before.known) == (2, 0)
    command.show(Console({}), before, "json")
    Path("known.json").write_text(capsys.readouterr().out)
    assert (lint().findings, lint().known, lint().failed) == ((), 2, False)
    assert command.summary(lint()) == "2 files, nothing new, 2 in the baseline"
    Path("Dockerfile").write_bytes(b"# moved\n" + PINNED + PINNED)  # the second one is new
    assert [(finding.file, finding.line) for finding in lint().findings] == [("Dockerfile", 3)]
    assert command.summary(lint()) == "2 files, 1 error, 2 in the baseline"


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", '[{"file": 1}]', None])
def test_a_baseline_that_cannot_be_read(tree, text):
    if text is not None:
        Path("known.json").write_text(text)
    with pytest.raises(UsageError) as caught:
        command.lint([Path("Dockerfile")], config(baseline="known.json"), tree)
    problem = ": No such file or directory" if text is None else " is not output of `lint --format json`"
    assert caught.value.message == f"lint.baseline: {tree / 'known.json'}{problem}"
    assert caught.value.help == "buildlib lint --format json > known.json"


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_every_format_is_printed(tree, capsys, form):
    command.show(Console({}), command.lint([Path("Dockerfile")], config(), Path()), form)
    out = capsys.readouterr()
    assert "hardcoded-platform" in out.out
    assert ("1 file, 1 error" in out.err) == (form in ("text", "github"))


class Counting(io.StringIO):
    """A stream that counts how often it is flushed."""

    flushes = 0

    def flush(self):
        self.flushes += 1


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_many_findings_are_written_at_once(tmp_path, monkeypatch, form):
    """Line by line it took five times as long as finding them."""
    (tmp_path / "Dockerfile").write_bytes(PINNED * 2000)
    linted = command.lint([tmp_path], config(), tmp_path)
    out = Counting()
    monkeypatch.setattr("sys.stdout", out)
    command.show(Console({}), linted, form)
    assert (out.getvalue().count("the stage is always for linux/amd64"), out.flushes) == (2000, 1)


def test_json_has_the_help_of_each_finding(tree, capsys):
    command.show(Console({}), command.lint([Path("Dockerfile")], config(), Path()), "json")
    (row,) = json.loads(capsys.readouterr().out)
    assert row["help"] == "remove --platform, or use --platform=$BUILDPLATFORM in a stage that only builds files"
    assert "cure" not in row


def test_text_from_a_file_is_printed_without_markup(tree, capsys):
    Path("Dockerfile").write_text("FROM debian\nRUN curl -LO 'https://a.test/[bold]b-amd64.tgz'\n")
    command.show(Console({}), command.lint([Path("Dockerfile")], config(), Path()), "text")
    assert "every platform: https://a.test/[bold]b-amd64.tgz [hardcoded-arch-download]" in capsys.readouterr().out


def test_the_output_format():
    assert command.output_format(Console({}), "") == "text"
    assert command.output_format(Console({"GITHUB_ACTIONS": "true"}), "") == "github"
    assert command.output_format(Console({"GITHUB_ACTIONS": "true"}), "sarif") == "sarif"
    with pytest.raises(UsageError) as caught:
        command.output_format(Console({}), "jsn")
    assert (caught.value.message, caught.value.help) == (
        "unknown format 'jsn' (expected text, json, sarif or github)", "did you mean 'json'?",
    )  # fmt: skip
    with pytest.raises(UsageError) as caught:
        command.output_format(Console({}), "nope")
    assert (caught.value.message, caught.value.help) == (
        "unknown format 'nope' (expected text, json, sarif or github)",
        "",
    )


def test_fixes_keep_line_ends_and_leave_nothing_to_fix(tree):
    text = (
        "ARG V=1\r\nFROM --platform=linux/amd64 debian AS a\r\nRUN echo $V ${TARGETARCH}\r\n"
        "ARG TARGETVARIANT=v7\r\nFROM --platform=$BUILDPLATFORM debian\r\n"
    )
    Path("Dockerfile").write_bytes(text.encode())
    (write,) = command.fixes(command.lint([Path("Dockerfile")], config(), Path()))
    assert write.text == (
        "ARG V=1\r\nFROM debian AS a\r\nARG TARGETARCH\r\nARG V\r\nRUN echo $V ${TARGETARCH}\r\n"
        "ARG TARGETVARIANT\r\nFROM debian\r\n"
    )
    assert check(Path("Dockerfile"), write.text.encode(), {}) == []


def test_a_file_that_is_not_utf_8_is_not_fixed(tree):
    Path("Dockerfile").write_bytes(PINNED + b"# \xff\n")
    assert command.fixes(command.lint([Path("Dockerfile")], config(), Path())) == []


def test_settings_come_from_the_workspace_without_cargo(tree):
    Path("Cargo.toml").write_text("[workspace.metadata.buildlib.lint]\nexclude = ['a']\n")
    assert command.root_of(tree / "b") == tree
    assert command.settings({"BUILDLIB_LINT_BASELINE": "known.json"}, tree).lint.exclude == ("a",)
    assert command.settings({"BUILDLIB_LINT_BASELINE": "known.json"}, tree).lint.baseline == "known.json"


def test_without_a_workspace_the_current_directory_and_the_defaults_apply(tmp_path):
    assert command.root_of(tmp_path) == tmp_path
    assert command.settings({}, tmp_path).lint == config().lint
