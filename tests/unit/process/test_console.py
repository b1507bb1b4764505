import json

import pytest

from buildlib.process.console import Console
from buildlib.core.errors import UsageError


def test_without_a_watcher_lines_are_plain(capsys):
    console = Console({})
    with console.fold("arm64"), console.working("compile"):
        console.command(("cargo", "build", "--config", "a b"))
        console.output("   Compiling x v1.0.0")
        console.output("[bold] is no markup, \x1b[31mand colours are the tool's\x1b[0m")
    console.done(1.25, "2 crates compiled")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[:3] == ["▸ arm64", "  + cargo build --config 'a b'", "   Compiling x v1.0.0"]
    assert told.err.splitlines()[-1] == "  ✓ 1.2s · 2 crates compiled"


def test_github_gets_folds_and_annotations(capsys):
    console = Console({"GITHUB_ACTIONS": "true", "CI": "true"})
    with console.fold("arm64"):
        console.warn("no QEMU")
    console.error(UsageError("two\nlines", "mend it"))
    assert capsys.readouterr().err.splitlines() == [
        "::group::arm64",
        "::warning::no QEMU",
        "::endgroup::",
        "::error::two%0Alines",
        "  help: mend it",
    ]


def test_tables_are_on_the_summary_page_too(capsys, tmp_path):
    page = tmp_path / "summary"
    page.write_text("before\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(page)}
    Console(env).table(("arch", "passed"), [("arm64", "2"), ("a|b", "3")])
    assert page.read_text() == "before\n| arch | passed |\n| --- | --- |\n| arm64 | 2 |\n| a\\|b | 3 |\n\n"
    Console(env | {"GITHUB_STEP_SUMMARY": str(tmp_path)}).table(
        ("arch",), [("arm64",)]
    )  # a page that cannot be written
    Console({"GITHUB_STEP_SUMMARY": str(page)}).table(("arch",), [("arm64",)])  # of somebody else's
    assert page.read_text().count("arm64") == 1 and capsys.readouterr().out.count("arm64") == 3


@pytest.mark.parametrize(("env", "err"), [({}, ""), ({"GITHUB_ACTIONS": "true"}, "::error::arm64 · a: failed\n")])
def test_a_failed_test_is_an_annotation(capsys, env, err):
    Console(env).fault("arm64 · a: failed")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("✗ arm64 · a: failed\n", err)


def test_a_fold_is_closed_when_the_work_fails(capsys):
    with pytest.raises(KeyError), Console({"GITHUB_ACTIONS": "true"}).fold("x"):
        raise KeyError
    assert capsys.readouterr().err == "::group::x\n::endgroup::\n"


def test_results_go_to_stdout(capsys):
    console = Console({})
    console.json({"ä": [1]})
    console.table(("a", "b"), [("1", "x" * 150)])
    told = capsys.readouterr()
    assert told.err == "" and json.loads(told.out[: told.out.index("}") + 1]) == {"ä": [1]}
    assert "x" * 150 in told.out


def test_quiet_says_only_what_is_wrong(capsys):
    console = Console({}, quiet=True)
    with console.fold("x"):
        console.command(("cargo",))
        console.note("n")
        console.done(1.0)
    console.warn("w")
    assert capsys.readouterr().err == "warning: w\n"


def test_nobody_at_the_terminal_is_no(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert Console({}).agree("Install?") is False
