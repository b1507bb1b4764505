"""Dockerfiles with what each rule must find in them, and look-alikes in which it must find nothing."""

import re
from pathlib import Path

import pytest

from buildlib.lint.check import check
from buildlib.lint.finding import rules

HERE = Path(__file__).parent
HEAD = re.compile(r"^--- (?P<what>fires(?P<lines>(?: \d+)+)|silent)(?P<why>:.*)?\n", re.MULTILINE)


def read_cases():
    for path in sorted(HERE.glob("*.cases")):
        text = path.read_text()
        heads = list(HEAD.finditer(text))
        for number, head in enumerate(heads, 1):
            end = heads[number].start() if number < len(heads) else len(text)
            lines = [int(word) for word in (head["lines"] or "").split()]
            yield pytest.param(
                path.stem, text[head.end() : end], lines, id=f"{path.stem}-{number}-{head['what'].split()[0]}"
            )


CASES = list(read_cases())


@pytest.mark.parametrize(("rule", "text", "lines"), CASES)
def test_a_case(rule, text, lines):
    assert [one.line for one in check(Path("Dockerfile"), text.encode(), {}) if one.rule == rule] == lines


@pytest.mark.parametrize(("rule", "text", "lines"), CASES)
def test_the_same_with_line_ends_of_windows(rule, text, lines):
    data = text.replace("\n", "\r\n").encode()
    assert [one.line for one in check(Path("Dockerfile"), data, {}) if one.rule == rule] == lines


@pytest.mark.parametrize("rule", rules())
def test_each_rule_has_ten_of_both(rule):
    if rule in (
        "host-only-linker",
        "cross-image-platform",
        "not-read",
    ):  # of TOML, in test_others; of the grammar, below
        return
    mine = [case.values for case in CASES if case.values[0] == rule]
    assert sum(bool(lines) for _, _, lines in mine) >= 10 and sum(not lines for _, _, lines in mine) >= 10


def test_what_the_grammar_does_not_read_is_said():
    data = b"FROM debian\nENV A=-mstrict-align B=-march=rv32i -mabi=ilp32\nRUN true\n"
    assert [(one.rule, one.line, one.message) for one in check(Path("Dockerfile"), data, {})] == [
        ("not-read", 2, "'-mabi=ilp32' is not read")
    ]


def test_a_place_in_a_script_that_the_grammar_does_not_read_is_said():
    data = b"FROM debian\nRUN <<EOF\ncat > /x <<=cut\nEOF\n"
    assert [(one.rule, one.line, one.message) for one in check(Path("Dockerfile"), data, {})] == [
        ("not-read", 3, "'<<=cut' is not read")
    ]


def test_what_the_grammar_would_lose_its_way_in_is_read():
    script = r"""x=$(ls | grep c$)
sed -i s/a$/b/ /x
ls "$(case a in b) c;; esac)/d" "$(case "$a" in b) c ;; *) ;; esac)/d"
"""
    assert check(Path("Dockerfile"), f"FROM debian\nRUN <<EOF\n{script}EOF\n".encode(), {}) == []
