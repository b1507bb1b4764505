"""Kinds of mistakes that a linter makes: for each, problems that must be reported, and after each a similar text that must not be."""

import re
from pathlib import Path

import pytest

from buildlib.lint.check import check

HEAD = re.compile(r"^--- (?P<expected>.*)\n", re.MULTILINE)


def read_pairs():
    """A file for each kind. The expected line counts the FROM that is put before a text without one."""
    for path in sorted(Path(__file__).parent.joinpath("kinds").glob("*.pairs")):
        _, *parts = HEAD.split(path.read_text())
        for number in range(0, len(parts), 2):
            text = parts[number + 1]
            text = text if re.search(r"^FROM ", text, re.MULTILINE) else f"FROM debian:13\n{text}"
            words = [] if parts[number] == "silent" else parts[number].split()
            expected = sorted((int(line), rule) for line, rule in zip(words[::2], words[1::2], strict=True))
            yield pytest.param(
                text, expected, id=f"{path.stem}-{number // 4 + 1}-{'reported' if expected else 'silent'}"
            )


PAIRS = list(read_pairs())


@pytest.mark.parametrize(("text", "expected"), PAIRS)
def test_all_errors_and_warnings_in_a_text(text, expected):
    found = check(Path("Dockerfile"), text.encode(), {})
    assert sorted((one.line, one.rule) for one in found if one.severity != "info") == expected
    assert not any(one.rule == "not-read" for one in found)


def test_each_kind_has_eleven_problems_and_a_similar_text_for_each():
    for path in Path(__file__).parent.joinpath("kinds").glob("*.pairs"):
        expected = HEAD.findall(path.read_text())
        assert len(expected) >= 22
        assert [one == "silent" for one in expected] == [number % 2 == 1 for number in range(len(expected))]
