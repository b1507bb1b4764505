"""The same Dockerfiles with their scripts rewritten: the findings stay the same."""

import re
from collections import Counter
from pathlib import Path

import pytest
from test_cases import CASES

from buildlib.lint.check import check

RUN = re.compile(
    r"^(?P<head>RUN (?:--\S+ (?:\\\n *)?)*)(?P<body>(?![\[<-])(?:[^\n]*\\\n(?:[ \t]*#[^\n]*\n)*)*[^\n]*)",
    re.MULTILINE,
)
# A choice on which the rest of the script does not depend.
CHOICE = """case "$(uname -m)" in x86_64) curl -LO https://example.com/zz-x86_64.tgz;; \\
  aarch64) curl -LO https://example.com/zz-aarch64.tgz;; *) curl -LO "https://example.com/zz-$(uname -m).tgz";; esac; """


def without_end(body):
    return body.rstrip().rstrip(";")


WAYS = {
    "more before it": lambda head, body: f"{head}apt-get update && rm -rf /var/lib/apt/lists/* && {body}",
    "more after it": lambda head, body: f'{head}{body} \\\n  && [ -f /x ] \\\n  && [[ -n "$x" ]] && z <<<"$y"',
    "a choice before it": lambda head, body: head + CHOICE + body,
    "comments within": lambda head, body: head + body.replace("\\\n", '\\\n  # it\'s [ "this"\n'),
    "empty lines within": lambda head, body: head + body.replace("\\\n", "\\  \n\n"),
    "a heredoc": lambda head, body: f"{head}<<EOZ\n{body}\nEOZ",
    "a group": lambda head, body: f"{head}{{ {without_end(body)}; }} 2>&1 | tee /log",
    "a condition": lambda head, body: f"{head}if true; then {without_end(body)}; fi",
    "a function": lambda head, body: f"{head}f() {{ {without_end(body)}; }}; f",
    "an argument": lambda head, body: f"{head}bash -c '{body}'" if not re.search(r"'|^\s*#", body, re.MULTILINE) else head + body,
}  # fmt: skip


def rules_found(text):
    findings = check(Path("Dockerfile"), text.encode(), {})
    return Counter(finding.rule for finding in findings if finding.severity != "info")


@pytest.fixture(scope="module")
def originals():
    """The cases with ordinary RUN instructions, and the rules found in each."""
    texts = {case.values[1] for case in CASES if not re.search(r"<<|`|^SHELL|^# escape", case.values[1], re.MULTILINE)}
    return {text: rules_found(text) for text in sorted(texts) if RUN.search(text)}


@pytest.mark.parametrize("way", WAYS)
def test_findings_stay_the_same(originals, way):
    assert len(originals) > 180
    rewritten = {text: RUN.sub(lambda match: WAYS[way](match["head"], match["body"]), text) for text in originals}
    assert {text: rules for text, new in rewritten.items() if (rules := rules_found(new)) != originals[text]} == {}
