"""The examples in docs/lint.md: each is reported, or not, as the page says."""

import re
from pathlib import Path

import pytest

from buildlib.lint.check import check
from buildlib.lint.finding import rules

PAGE = (Path(__file__).parents[3] / "docs" / "lint.md").read_text(encoding="utf-8")
SECTION = re.compile(
    r"^### (?P<number>BL\d+) (?P<rule>[\w-]+)\n.*?^```(?P<language>\w+)\n(?P<examples>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
EXAMPLE = re.compile(r"^# (?P<not>not )?reported(?:: .+)?\n", re.MULTILINE)
TOML_FILES = {"host-only-linker": ".cargo/config.toml", "cross-image-platform": "Cross.toml"}


def examples():
    for section in SECTION.finditer(PAGE):
        _, *parts = EXAMPLE.split(section["examples"])
        for number in range(0, len(parts), 2):
            expected = parts[number] is None
            name = f"{section['rule']}-{number // 2 + 1}"
            yield pytest.param(section["rule"], section["language"], parts[number + 1], expected, id=name)


EXAMPLES = list(examples())


@pytest.mark.parametrize(("rule", "language", "text", "expected"), EXAMPLES)
def test_an_example_is_as_the_page_says(rule, language, text, expected):
    match language:
        case "toml":
            found = check(Path(TOML_FILES[rule]), text.encode(), {})
        case "text":  # the name of a file
            found = check(Path(text.strip()), b"FROM debian\n", {})
        case _:
            whole = text if re.search(r"^FROM ", text, re.MULTILINE) else f"FROM debian:trixie-slim\n{text}"
            found = check(Path("Dockerfile"), whole.encode(), {})
    assert (rule in [finding.rule for finding in found]) == expected


def test_each_rule_has_three_examples_of_both_kinds():
    counts = {
        rule: [expected for name, _, _, expected in (one.values for one in EXAMPLES) if name == rule]
        for rule in rules()
    }
    assert counts == {rule: [True] * 3 + [False] * 3 for rule in rules()}
    assert [section["number"] for section in SECTION.finditer(PAGE)] == [rule.number for rule in rules().values()]
