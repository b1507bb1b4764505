"""Scripts that a shell rejects: one finding says so, and no rule draws conclusions from what the parser makes of them."""

from pathlib import Path

import pytest

from buildlib.lint.check import check

BROKEN = [
    ("case $TARGETARCH in amd64) A=x86_64 ;; && wget https://example.org/$A.tgz", "case $TARGETARCH in amd64) A=x86_64 ;;"),
    ("case $(uname -m) in x86_64) A=amd64 ;; aarch64) A=arm64", "case $(uname -m) in x86_64) A=amd64 ;; a"),
    ("if [ $(uname -m) = x86_64 ]; then A=amd64; make", "if [ $(uname -m) = x86_64 ]; then A=amd6"),
    ("if [ $(uname -m) = x86_64 ]; A=amd64; fi; make", "if [ $(uname -m) = x86_64 ]; A=amd64; fi"),
    ("if true; then make; else if true; then make; fi", "if true; then make; else if true; then m"),
    ("for a in x86_64 aarch64; do make $a", "for a in x86_64 aarch64; do make $a"),
    ("while read a; do make $a", "while read a; do make $a"),
    ('make && echo "done', '"done'),
    ("make && echo 'done", "'done"),
    ("A=$(uname -m; make $A", "$(uname -m; make $A"),
    ("( make; make install", "( make; make install"),
    ("make && { make install; make check", "&& { make install; make check"),
    ("make ${A", "${A"),
    ("make `uname -m", "`uname -m"),
    ("make && make install &&", "make && make install &&"),
    ("sh -c 'if true; then make'", "if true; then make"),
]  # fmt: skip
VALID = [
    "case $(uname -m) in x86_64) A=amd64 ;; aarch64) A=arm64; esac",
    "if true; then make; fi; for a in b c; do make $a; done",
    'echo "case a in b) if" && make',
    "echo 'for a in b; do' && make # if true; then",
    "make && \\\n    # the rest\n    make install",
    "cat <<EOF > /a\nif true; then\nEOF",
    "<<EOF\nfor a in b; do\n  cat <<X\nfi\nX\ndone\nEOF",
    "f() { make; }; ( f ) && { f; }",
]


def findings(script):
    found = check(Path("Dockerfile"), f"FROM debian:13\nARG TARGETARCH\nRUN {script}\n".encode(), {})
    return [(one.rule, one.message) for one in found]


@pytest.mark.parametrize(("script", "place"), BROKEN)
def test_a_broken_script_is_one_finding(script, place):
    [(rule, message)] = findings(script)
    assert (rule, message) == ("not-read", f"cannot parse {place!r}")


@pytest.mark.parametrize("script", VALID)
def test_a_valid_script_is_read(script):
    assert "not-read" not in [rule for rule, _ in findings(script)]


@pytest.mark.parametrize("word", ["fi", "done", "esac"])
def test_an_end_without_a_start_is_a_finding(word):
    assert ("not-read", f"cannot parse '{word}'") in findings(f"if true; then a; fi; {word}")
    assert findings(f"if true; then a; fi; echo {word}") == []


PAIRS = [
    "LABEL run 'docker run --user $(id -u) x'",
    "LABEL run 'docker run \\\n  --user $(id -u) \\\n  --mount \"source=$(pwd),destination=/a\" \\\n  --x=y'",
    "LABEL run docker run --user $(id -u) --name=a",
    "LABEL run=`id`",
    "LABEL a='x $(id -u) y' b=\"$(id -u)\" \\\n  # why\n  c='`id`'",
    "ENV PS1 $(id) \\u@\\h",
    "ENV A `id` b=c",
    "ARG A='x $(id) y'",
    "MAINTAINER it's $(me) <a@example.org>",
    "WORKDIR /a b",
    "WORKDIR \"/a b\"",
    "STOPSIGNAL $SIGNAL",
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_a_value_that_is_no_shell_text_is_read(pair):
    found = check(Path("Dockerfile"), f"FROM debian:13\n{pair}\nRUN make\n".encode(), {})
    assert [(one.rule, one.line) for one in found] == [("emulated-compile", pair.count("\n") + 3)]


@pytest.mark.parametrize("pair", ["LABEL a=$(id -u)", "LABEL maintainer=A B <a@example.org>", 'ENV A="b\nc"'])
def test_a_pair_that_buildkit_rejects_is_a_finding(pair):
    found = check(Path("Dockerfile"), f"FROM debian:13\n{pair}\nRUN true\n".encode(), {})
    assert [one.rule for one in found] == ["not-read"]
