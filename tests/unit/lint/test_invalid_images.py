"""Texts in FROM, --from and --mount that are not the name of an image, and messages, which are one line each."""

from pathlib import Path

import pytest

from buildlib.lint.check import check

INVALID = [
    'FROM "x/y:1-centos"  # for -aarch64\nRUN true\n',
    'FROM "x/y:1"  # locally I needed "-aarch64"\nARG A="b"\n',
    "FROM 'debian:13' # arm64v8 too\nRUN true\n",
    'FROM debian:13"-amd64\nRUN true\n',
    'FROM "debian:13 -amd64"\n',
    "FROM 'debian:13 arm64'\n",
    "FROM \"debian:13\tamd64\" AS a\nRUN echo 'x'\n",
]
VALID = [
    ('FROM "arm64v8/debian:13"\n', 1),
    ("FROM 'arm64v8/debian:13'\n", 1),
    ("FROM arm64v8/debian:13\n", 1),
    ("FROM debian:13\nCOPY --from=arm64v8/debian:13 /a /a\n", 2),
    ("FROM debian:13\nRUN --mount=from=amd64/debian:13,target=/m cp /m/a /a\n", 2),
]
LINES = [
    "FROM debian:13\nRUN wget 'https://example.org/a\nb-amd64.tgz'\n",
    'FROM debian:13\nRUN wget "https://example.org/a\\\n-amd64.tgz"\n',
    'FROM debian:13\r\nRUN wget "https://example.org/a\\\r\n-amd64.tgz"\r\n',
    "FROM debian:13\nRUN case $(uname -m) in x86_64) A='aarch64\n' ;; *) exit 1 ;; esac; wget $A\n",
    "FROM debian:13\nRUN case $(uname -m) in x86_64) echo \"aarch64\n\" ;; *) exit 1 ;; esac\n",
    'FROM debian:13\nENV A="x \\\n  /usr/lib/x86_64-linux-gnu/a.so"\n',
    'FROM debian:13\nRUN --mount=type=cache,target=/target \\\n  cargo build\n',
    'ARG TARGETARCH="am\\\nd64"\nFROM debian:13\n',
    *INVALID,
]  # fmt: skip


@pytest.mark.parametrize("text", INVALID)
def test_text_that_is_no_image_is_not_reported_as_one(text):
    findings = check(Path("Dockerfile"), text.encode(), {})
    assert [one.rule for one in findings if one.rule in ("arch-specific-base", "wrong-arch-mapping")] == []


@pytest.mark.parametrize(("text", "line"), VALID)
def test_a_quoted_or_plain_name_is_an_image(text, line):
    findings = check(Path("Dockerfile"), text.encode(), {})
    assert [(one.rule, one.line) for one in findings] == [("arch-specific-base", line)]


def test_a_from_that_cannot_be_parsed_is_only_not_read():
    findings = check(Path("Dockerfile"), INVALID[0].encode(), {})
    assert [one.rule for one in findings] == ["not-read"]


@pytest.mark.parametrize("text", LINES)
def test_a_message_is_one_line(text):
    findings = check(Path("Dockerfile"), text.encode(), {})
    assert [one.message for one in findings if len(one.message.splitlines()) != 1] == []
