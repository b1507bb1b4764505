"""Findings as text, JSON, SARIF and annotations."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from buildlib.lint.check import check
from buildlib.lint.finding import rules
from buildlib.lint.formats import as_data, github_commands, sarif, text_lines

LEVELS = {"error", "warning", "note", "none"}
PINNED = b"FROM --platform=linux/amd64 debian\n"


def test_text_and_data_have_place_message_and_help():
    (finding,) = check(Path("Dockerfile"), "ARG V=1\nFROM debian\nRUN ä=1; echo $V\n".encode(), {})
    assert as_data([finding]) == [
        {
            "file": "Dockerfile", "line": 3, "end_line": 3, "column": 16, "end_column": 17, "rule": "arg-lost-after-from",
            "number": "BL005", "severity": "error", "message": "V is not declared in this stage: it is empty here",
            "help": "declare ARG V before this line", "fixable": True,
        }
    ]  # fmt: skip
    assert text_lines([finding]) == [
        "Dockerfile:3:16: error: V is not declared in this stage: it is empty here [arg-lost-after-from]",
        "  help: declare ARG V before this line",
    ]


def test_annotations_escape_what_github_would_interpret():
    (finding,) = check(Path("a,b:c%\r\nd/Dockerfile"), PINNED, {})
    assert github_commands([finding]) == [
        "::error file=a%2Cb%3Ac%25%0D%0Ad/Dockerfile,line=1,endLine=1,col=6,title=hardcoded-platform::"
        "the stage is always for linux/amd64, whatever platform is built; "
        "remove --platform, or use --platform=$BUILDPLATFORM in a stage that only builds files"
    ]
    several_lines = replace(finding, file="Dockerfile", severity="info", message="100%\r\nof: a,b", help="c")
    assert github_commands([several_lines]) == [
        "::notice file=Dockerfile,line=1,endLine=1,col=6,title=hardcoded-platform::100%25%0D%0Aof: a,b; c"
    ]


def test_text_from_a_file_cannot_add_lines_or_commands():
    (finding,) = check(Path("a\n::error::x/Dockerfile"), PINNED, {})
    finding = replace(finding, message="\x1b[2J\n::error::y", help="\x9b")
    assert text_lines([finding]) == [
        "a\\n::error::x/Dockerfile:1:6: error: \\x1b[2J\\n::error::y [hardcoded-platform]", "  help: \\x9b",
    ]  # fmt: skip
    assert github_commands([finding]) == [
        "::error file=a%0A%3A%3Aerror%3A%3Ax/Dockerfile,line=1,endLine=1,col=6,title=hardcoded-platform::\\x1b[2J%0A::error::y; \\x9b"
    ]


def test_sarif_has_rule_level_and_region():
    log = sarif(check(Path("Dockerfile"), PINNED, {}))
    (run,) = log["runs"]
    assert log["version"] == "2.1.0" and [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
        f"BL{number:03}" for number in range(1, len(rules()) + 1)
    ]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"], run["tool"]["driver"]["rules"][result["ruleIndex"]]["name"]) == (
        "BL002", "error", "hardcoded-platform",
    )  # fmt: skip
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "Dockerfile"},
                "region": {"startLine": 1, "startColumn": 6, "endLine": 1, "endColumn": 28},
            }
        }
    ]


def is_uri(text):
    return re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})+", text) is not None


@pytest.mark.parametrize(
    "path",
    ["Dockerfile", "./a/Dockerfile", "a b/Dockerfile", "ä/Dockerfile", "/srv/a#b/Dockerfile", "a%b?c/Dockerfile"],
)
def test_sarif_has_the_structure_that_the_schema_requires(path):
    """The required properties and the types of SARIF 2.1.0 for everything that is printed."""
    log = sarif(check(Path(path), b"FROM debian\nRUN make\nFROM --platform=linux/amd64 debian\n", {}))
    assert list(log) == ["$schema", "version", "runs"] and log == json.loads(json.dumps(log))
    (run,) = log["runs"]
    assert set(run) == {"tool", "columnKind", "results"} and run["columnKind"] == "unicodeCodePoints"
    driver = run["tool"]["driver"]
    assert (
        driver["name"] and driver["version"] and len({rule["id"] for rule in driver["rules"]}) == len(driver["rules"])
    )
    for rule in driver["rules"]:
        assert set(rule) == {"id", "name", "shortDescription", "help", "defaultConfiguration"}
        assert (
            rule["shortDescription"]["text"]
            and rule["help"]["text"]
            and rule["defaultConfiguration"]["level"] in LEVELS
        )
    assert len(run["results"]) == 2
    for result in run["results"]:
        assert set(result) == {"ruleId", "ruleIndex", "level", "message", "locations"}
        assert (
            driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
            and result["level"] in LEVELS
            and result["message"]["text"]
        )
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert all(isinstance(number, int) and number >= 1 for number in region.values())
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert is_uri(uri) and unquote(uri.removeprefix("file://")) == str(Path(path))


def test_sarif_keeps_to_the_limits_of_code_scanning():
    """A run with more than 25,000 results is rejected, and 10 MB of compressed data; of the results the first 5,000 are shown."""
    (info,) = check(Path("Dockerfile"), b"FROM debian\nRUN make\n", {})
    (error,) = check(Path("Dockerfile"), PINNED, {})
    log = sarif([info] * 40_000 + [error] * 20_000)
    (run,) = log["runs"]
    assert [result["level"] for result in run["results"]] == ["error"] * 20_000 + ["note"] * 5_000
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"] == [
        {
            "level": "warning",
            "message": {"text": "35000 findings are left out, because code scanning accepts 25000 results"},
        }
    ]
    assert len(gzip.compress(json.dumps(log).encode(), 1)) < 10_000_000
    assert "invocations" not in sarif([error] * 25_000)["runs"][0]
