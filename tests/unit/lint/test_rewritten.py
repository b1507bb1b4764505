"""The same Dockerfiles with their scripts written in another way: what is found in them stays the same."""

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
# A choice that has nothing to do with what stands behind it.
CHOICE = """case "$(uname -m)" in x86_64) curl -LO https://example.com/zz-x86_64.tgz;; \\
  aarch64) curl -LO https://example.com/zz-aarch64.tgz;; *) exit 1;; esac; """


def ended(body):
    return body.rstrip().rstrip(";")


WAYS = {
    "more before it": lambda head, body: f"{head}apt-get update && rm -rf /var/lib/apt/lists/* && {body}",
    "more behind it": lambda head, body: f'{head}{body} \\\n  && [ -f /x ] \\\n  && [[ -n "$x" ]] && z <<<"$y"',
    "a choice before it": lambda head, body: head + CHOICE + body,
    "comments within": lambda head, body: head + body.replace("\\\n", '\\\n  # it\'s [ "this"\n'),
    "empty lines within": lambda head, body: head + body.replace("\\\n", "\\  \n\n"),
    "a document": lambda head, body: f"{head}<<EOZ\n{body}\nEOZ",
    "a group": lambda head, body: f"{head}{{ {ended(body)}; }} 2>&1 | tee /log",
    "a condition": lambda head, body: f"{head}if true; then {ended(body)}; fi",
    "a function": lambda head, body: f"{head}f() {{ {ended(body)}; }}; f",
    "a word": lambda head, body: f"{head}bash -c '{body}'" if not re.search(r"'|^\s*#", body, re.MULTILINE) else head + body,
}  # fmt: skip


def told(text):
    return Counter(one.rule for one in check(Path("Dockerfile"), text.encode(), {}) if one.severity != "info")


@pytest.fixture(scope="module")
def plain():
    """Cases of scripts in lines, with what is found in them."""
    texts = {case.values[1] for case in CASES if not re.search(r"<<|`|^SHELL|^# escape", case.values[1], re.MULTILINE)}
    return {text: told(text) for text in sorted(texts) if RUN.search(text)}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_found_stays_the_same(plain, way):
    assert len(plain) > 180
    rewritten = {text: RUN.sub(lambda found: WAYS[way](found["head"], found["body"]), text) for text in plain}
    assert {text: found for text, new in rewritten.items() if (found := told(new)) != plain[text]} == {}
