"""Dockerfiles with the lines that each rule must report, and similar ones in which it must report nothing."""

import random
import re
from base64 import b64encode
from pathlib import Path

import pytest

from buildlib.lint import rules as rules_package
from buildlib.lint.check import check
from buildlib.lint.finding import rules

HERE = Path(__file__).parent
HEAD = re.compile(r"^--- (?P<expected>fires(?P<lines>(?: \d+)+)|silent)(?P<reason>:.*)?\n", re.MULTILINE)


def read_cases():
    for path in sorted(HERE.glob("*.cases")):
        text = path.read_text()
        heads = list(HEAD.finditer(text))
        for number, head in enumerate(heads, 1):
            end = heads[number].start() if number < len(heads) else len(text)
            lines = [int(word) for word in (head["lines"] or "").split()]
            yield pytest.param(
                path.stem, text[head.end() : end], lines, id=f"{path.stem}-{number}-{head['expected'].split()[0]}"
            )


CASES = list(read_cases())


def lines_found(rule, text):
    return [finding.line for finding in check(Path("Dockerfile"), text.encode(), {}) if finding.rule == rule]


@pytest.mark.parametrize(("rule", "text", "lines"), CASES)
def test_a_rule_reports_the_lines_of_a_case(rule, text, lines):
    assert lines_found(rule, text) == lines


@pytest.mark.parametrize(("rule", "text", "lines"), CASES)
def test_the_lines_are_the_same_with_crlf(rule, text, lines):
    assert lines_found(rule, text.replace("\n", "\r\n")) == lines


# host-only-linker and cross-image-platform are rules for TOML (test_toml_and_workflows.py), arch-specific-file
# is about the names of files (test_names.py), not-read has its own tests below.
@pytest.mark.parametrize(
    "rule",
    [
        rule
        for rule in rules()
        if rule not in ("host-only-linker", "cross-image-platform", "arch-specific-file", "not-read")
    ],
)
def test_each_rule_has_ten_cases_of_both_kinds(rule):
    cases = [lines for case_rule, _, lines in (case.values for case in CASES) if case_rule == rule]
    assert sum(bool(lines) for lines in cases) >= 10 and sum(not lines for lines in cases) >= 10


def test_each_rule_has_a_module_of_its_name():
    names = {path.stem.replace("_", "-") for path in Path(rules_package.__file__).parent.glob("*.py")}
    assert names - {"--init--"} == set(rules())


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("FROM debian\n{{ template }}\nRUN true\n", 2, "cannot parse '{{ template }}'"),
        ("FROM debian\nRUN <<EOF\ncat > /x <<=cut\nEOF\n", 3, "cannot parse '<<=cut'"),
    ],
    ids=["in an instruction", "in a script"],
)
def test_text_that_cannot_be_parsed_is_reported(text, line, message):
    findings = check(Path("Dockerfile"), text.encode(), {})
    assert [(finding.rule, finding.line, finding.message) for finding in findings] == [("not-read", line, message)]


@pytest.mark.parametrize(
    "data",
    [random.Random(1).randbytes(65_536), b"<!doctype html>\n" + b"<p>Not Found</p>\n" * 500,
     b64encode(random.Random(1).randbytes(57_000)).replace(b"A", b"\n"), "FROM debian\nRUN true\n".encode("utf-16") * 50],
    ids=["noise", "html", "base64", "utf-16"],
)  # fmt: skip
def test_a_file_of_another_kind_is_one_finding(data):
    (finding,) = check(Path("Dockerfile"), data, {})
    assert finding.rule == "not-read"
    assert re.fullmatch(r"not a Dockerfile: it has no FROM, and \d+ places that cannot be parsed", finding.message)


@pytest.mark.parametrize(("count", "end"), [(20, ""), (21, ", nor 1 more place"), (30, ", nor 10 more places")])
def test_of_many_places_that_cannot_be_parsed_only_the_first_are_listed(count, end):
    found = check(Path("Dockerfile"), b"FROM debian\n" + b"{{ template }}\n" * count, {})
    assert [finding.message for finding in found] == [
        *["cannot parse '{{ template }}'"] * 19, f"cannot parse '{{{{ template }}}}'{end}",
    ]  # fmt: skip


def test_syntax_that_the_grammar_does_not_know_is_parsed():
    script = r"""x=$(ls | grep c$)
sed -i s/a$/b/ /x
ls "$(case a in b) c;; esac)/d" "$(case "$a" in b) c ;; *) ;; esac)/d"
"""
    assert check(Path("Dockerfile"), f"FROM debian\nRUN <<EOF\n{script}EOF\n".encode(), {}) == []


# One line for each message, with its finding.
MESSAGES = """
FROM --platform=linux/amd64 a | the stage is always for linux/amd64, whatever platform is built
FROM amd64/debian | amd64/debian is for amd64 only
FROM balenalib/raspberrypi3-debian | balenalib/raspberrypi3-debian is for one kind of device only
FROM --platform=$BUILDPLATFORM a | the image contains programs for the build platform
RUN curl -LO https://a.test/b-amd64.tgz | the download is for amd64 on every platform: https://a.test/b-amd64.tgz
RUN apt-get install -y libc6:i386 | the package is for 386 on every platform: libc6:i386
ADD https://a.test/b-arm64.tgz / | the added file is for arm64 on every platform: https://a.test/b-arm64.tgz
COPY b-arm64.tgz / | the copied file is for arm64 on every platform: b-arm64.tgz
RUN echo 'deb [arch=amd64] https://a.test s main' | the package source is for amd64 on every platform: amd64
ENV GOARCH=amd64 | amd64 is for amd64 on every platform
RUN echo $TARGETARCH | TARGETARCH is not declared in this stage: it is empty here
ARG TARGETVARIANT=v8 | TARGETVARIANT is always v8 here, whatever platform is built
RUN A=$(uname -m | sed s/amd64/arm64/) | amd64 is replaced by arm64, which is for another architecture
RUN [ "$(uname -m)" = x86_64 ] && wget a-arm64.tgz | arm64 in a branch for amd64
RUN [ "$(uname -m)" = x86_64 ] && A=arm64 | A is set to arm64 in a branch for amd64
RUN [ "$(uname -m)" = x86_64 ] && cargo build --target aarch64-unknown-linux-gnu | aarch64-unknown-linux-gnu in a branch for amd64
RUN case $(arch) in x86_64) A=x64;; arm64) A=b;; esac | handles amd64, arm64 only; other architectures are ignored without an error
RUN case "$(uname -m)" in x86_64) wget b;; *) wget c;; esac | `*)` handles all architectures except amd64 and does not fail
RUN if [ $ARCH = arm64 ]; then wget b; else wget c; fi | `else` handles all architectures except arm64 and does not fail
RUN --mount=type=cache,target=/target true | the cache /target is shared by all platforms
RUN make | make runs on the target platform, under emulation unless the builder has that platform
""".strip().splitlines()


@pytest.mark.parametrize("case", MESSAGES)
def test_messages(case):
    line, _, message = case.rpartition(" | ")
    text = line if line.startswith("FROM") else f"FROM debian\n{line}"
    findings = check(Path("Dockerfile"), f"{text}\n".encode(), {})
    assert message in [finding.message for finding in findings]
    assert all(finding.help for finding in findings)


@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        ("FROM amd64/debian AS b-arm64\nFROM b-$TARGETARCH\n", "amd64/debian in a stage for arm64",
         "use the files for the architecture of the branch"),
        ("FROM --platform=linux/amd64 debian AS b-arm64\nFROM b-$TARGETARCH\n", "platform linux/amd64 in a stage for arm64",
         "use the files for the architecture of the branch"),
        ("FROM debian AS a\nARG B=c\nFROM $B\n", "B is declared in a stage, but FROM reads only ARGs before the first FROM",
         "declare ARG B before the first FROM"),
        ("ARG V=1\nFROM debian\nRUN echo $V\nARG V\n", "V is declared after this line: it is empty here",
         "declare ARG V before this line"),
    ],
)  # fmt: skip
def test_messages_about_several_lines(text, message, help):
    findings = check(Path("Dockerfile"), text.encode(), {})
    assert [(finding.message, finding.help) for finding in findings] == [(message, help)]
