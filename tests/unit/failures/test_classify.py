"""What the classifier reads in logs; the cases are in cases.toml."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildlib.failures import rule as module
from buildlib.failures.classify import classify
from buildlib.failures.log import Log
from buildlib.failures.rule import RULE_FILES, rule_tables, rules

CASES = tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))["case"]
CLASSES = {
    "transient-network", "rate-limited", "auth", "not-found", "emulation", "resource", "builder", "usage", "compile", "test",
    "unknown",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_log_has_the_expected_class_cause_and_retry(case):
    failure = classify(case["log"])
    assert (failure.kind, case.get("says", "") in failure.cause) == (case["class"], True), failure
    assert failure.retry is case.get("retry", case["class"] in ("transient-network", "rate-limited"))
    assert failure.wait == case.get("wait")
    assert failure.line == case.get("line", failure.line)


def test_line_number_is_that_of_the_whole_file():
    log = "Get:1 x\n" * 40_000 + "curl: (52) Empty reply from server\n" + "done\n" * 40_000
    assert len(log) < 1_000_000
    assert classify(log).line == 40_001
    assert classify("x\n" * 1_100_000 + "curl: (52) Empty reply from server\n").line == 1_100_001
    assert classify("curl: (52) Empty reply from server\n" + "x\n" * 1_100_000).line == 1


def test_exit_code_decides_where_the_output_does_not():
    assert classify("", 0).kind == "unknown"
    assert classify("curl: (52) Empty reply from server", 0).kind == "unknown"
    assert classify("", 137).kind == "resource"
    assert classify("oops", 125, "docker").kind == "builder"
    assert classify("oops", 125, "cargo").kind == "unknown"


def test_every_rule_has_a_reason_and_help():
    tables = list(rule_tables())
    assert [table["phrases"][0] for table in tables if not table.get("reason")] == []
    assert {table["class"] for table in tables} | {"unknown"} == CLASSES
    without_help = [
        table["phrases"][0] for table in tables if not table.get("help") and table["class"] not in ("compile", "test")
    ]
    assert without_help == []
    assert {name for table in tables for name in table.get("yields_to", ())} <= CLASSES
    patterns = {"pattern", "unless", "above", "below"}
    known_keys = {
        "class",
        "phrases",
        *patterns,
        "yields_to",
        "detail",
        "diagnostic",
        "output_below",
        "fault",
        "reason",
        "help",
    }
    assert {key for table in tables for key in table} <= known_keys
    assert {table.get("fault", "") for table in tables} == {"", "machine", "command"}
    assert [phrase for rule in rules() for phrase in rule.phrases if phrase != phrase.lower()] == []


def test_help_of_a_rule_reaches_the_failure():
    assert classify("ERROR: write /x: no space left on device").help == (
        "free disk space (`df -h`, `docker system prune`), or point --target-dir to another disk"
    )


def test_every_rule_file_is_read_exactly_once():
    folder = Path(module.__file__).with_name("rules")
    assert sorted(RULE_FILES) == sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "unit",
    [
        "error: x\n", "#7 1.0 429 500 503 eof\n", "\r\r", "\x1b]", "\x1b[", "warning: connection reset\n", "a" * 80 + "\n",
        '{"logs":[{"vertex":1}]}\n', "retrying in 1s\n", '{\n"vertexes"',
        '{\n{\n"vertexes"\n}\n', "error: aborting due to 1\n", "make: *** x\n", "failed to solve: failed ",
        "error: failed to run custom build command for `a v1`\n", "Caused by:\n  os error 28)\n", "error: linker `a-",
        "error: x\n --> a:1:1\n", "fatal error: 'a", "thread 'main' panicked at a:1:1:\n", 'running: "a" ', "cargo:warning=error: ",
        "was not found in the pkg-config search path PKG_CONFIG_PATH_a-b-c ", ".proto: file not found ",
        "could not find directory of openssl installation\n",
    ],
    ids=repr,
)  # fmt: skip
def test_time_grows_with_the_length_of_the_log(assert_linear, unit):
    assert_linear(classify, unit)


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


def test_blank_lines_take_no_memory_and_the_others_keep_their_numbers():
    log = Log("\n" * 100_000 + "a\n\n\nb")
    assert [(line.number, line.text) for line in map(log.line, range(len(log)))] == [
        (1, ""), (100_001, "a"), (100_002, ""), (100_004, "b"),
    ]  # fmt: skip
