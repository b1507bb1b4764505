"""What the classifier reads out of logs; the cases are in failure_cases.toml."""

import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildlib.failures.classify import classify, rules

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))["case"]
CLASSES = {
    "transient-network", "rate-limited", "auth", "not-found", "emulation", "resource", "builder", "usage", "compile", "test",
    "unknown",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_log_is_read(case):
    failure = classify(case["log"])
    assert (failure.kind, case.get("says", "") in failure.cause) == (case["class"], True), failure
    assert failure.retry is case.get("retry", case["class"] in ("transient-network", "rate-limited"))
    assert failure.wait == case.get("wait")
    assert failure.line == case.get("line", failure.line)


def test_the_number_is_that_of_the_line_in_the_file():
    log = "Get:1 x\n" * 40_000 + "curl: (52) Empty reply from server\n" + "done\n" * 40_000
    assert len(log) < 1_000_000
    assert classify(log).line == 40_001
    assert classify("x\n" * 2_000_000 + "curl: (52) Empty reply from server\n").line == 2_000_001
    assert classify("curl: (52) Empty reply from server\n" + "x\n" * 2_000_000).line == 1


def test_exit_codes_speak_where_words_do_not():
    assert classify("", 0).kind == "unknown"
    assert classify("curl: (52) Empty reply from server", 0).kind == "unknown"
    assert classify("", 137).kind == "resource"
    assert classify("oops", 125, "docker").kind == "builder"
    assert classify("oops", 125, "cargo").kind == "unknown"


def test_every_rule_says_why_and_what_to_do():
    rows = tomllib.loads((Path(__file__).parents[3] / "buildlib" / "failures" / "failures.toml").read_text(encoding="utf-8"))["rule"]
    assert [row["phrases"][0] for row in rows if not row.get("reason")] == []
    assert {row["class"] for row in rows} | {"unknown"} == CLASSES
    assert [row["phrases"][0] for row in rows if not row.get("cure") and row["class"] not in ("compile", "test")] == []
    assert {name for row in rows for name in row.get("yields_to", ())} <= CLASSES
    assert [phrase for rule in rules() for phrase in rule.phrases if phrase != phrase.lower()] == []


@pytest.mark.parametrize(
    "unit",
    [
        "error: x\n", "#7 1.0 429 500 503 eof\n", "\r\r", "\x1b]", "\x1b[", "warning: connection reset\n", "a" * 80 + "\n",
        '{"logs":[{"vertex":1}]}\n', "retrying in 1s\n", '{\n"vertexes"',
        '{\n{\n"vertexes"\n}\n', "error: aborting due to 1\n", "make: *** x\n", "failed to solve: failed ",
    ],
    ids=repr,
)  # fmt: skip
def test_a_megabyte_takes_no_time(unit):
    log = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    began = time.process_time()
    classify(log)
    # These are the worst; 0.2 s are promised for a log, on a quiet machine. What explodes takes minutes.
    assert time.process_time() - began < 3.0


FRAGMENTS = st.sampled_from(sorted({line for case in CASES for line in case["log"].splitlines()}))


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.text(), FRAGMENTS)).map("\n".join),
    st.integers(-300, 300),
    st.sampled_from(["", "docker", "cargo"]),
)
def test_any_text_has_a_class(text, code, tool):
    failure = classify(text, code, tool)
    assert failure.kind in CLASSES
    assert failure.line is None or 1 <= failure.line <= text.count("\n") + 1
    assert failure.wait is None or failure.wait >= 0
