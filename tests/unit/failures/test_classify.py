"""What the classifier reads in logs; the cases are in cases.toml."""

import re
import time
import tomllib
from pathlib import Path

import phrases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildlib.core.errors import MissingRequirements
from buildlib.failures.classify import Failure, classify
from buildlib.failures.log import Log
from buildlib.failures.rule import RULES, rule_tables, rules

CASES = [case for name in ("cases.toml", "kinds.toml")
         for case in tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["case"]]  # fmt: skip
CLASSES = {
    "transient-network", "rate-limited", "auth", "certificate", "not-found", "emulation", "resource", "builder", "usage", "compile",
    "test",
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


def test_parts_of_a_long_log_are_read_as_one():
    """The last 50 kB are searched first; the cause, and what began the output of a test, may be above them."""
    output = f"{'x' * 1000}\n" * 200
    failure = classify(
        f"error: linker `cc` not found\n{output}error: could not compile `a` (lib) due to 1 previous error\n"
    )
    assert (failure.kind, failure.cause, failure.line) == ("compile", "error: linker `cc` not found", 1)
    failure = classify(f"running 1 test\n{output}curl: (52) Empty reply from server\n")
    assert (failure.kind, failure.retry) == ("unknown", False)
    assert classify(f"test result: ok. 1 passed\n{output}curl: (52) Empty reply from server\n").retry


def test_exit_code_decides_where_the_output_does_not():
    assert classify("", 0).kind == "unknown"
    assert classify("curl: (52) Empty reply from server", 0).kind == "unknown"
    assert classify("", 137).kind == "resource"
    assert classify("oops", 125, "docker").kind == "builder"
    assert classify("oops", 125, "cargo").kind == "unknown"


def test_every_rule_has_a_reason_and_help():
    tables = rule_tables()
    assert [table["phrases"][0] for table in tables if not table.get("reason")] == []
    assert {table["class"] for table in tables} | {"unknown"} == CLASSES
    without_help = [
        table["phrases"][0] for table in tables if not table.get("help") and table["class"] not in ("compile", "test")
    ]
    assert without_help == []
    assert {name for table in tables for name in table.get("yields_to", ())} <= CLASSES
    known_keys = {
        "name", "order", "class", "phrases", "pattern", "unless", "above", "below", "yields_to", "detail", "diagnostic",
        "output_below", "fault", "reason", "source", "help",
    }  # fmt: skip
    assert {key for table in tables for key in table} <= known_keys
    assert {table.get("fault", "") for table in tables} == {"", "machine", "command"}
    assert [phrase for rule in rules() for phrase in rule.phrases if phrase != phrase.lower()] == []


def test_the_order_of_rules_is_unambiguous():
    orders = [table["order"] for table in rule_tables()]
    assert orders == sorted(set(orders))


def test_the_words_of_every_file_have_a_rule_and_a_source():
    """A source is a repository whose version the file states, a standard, a program, or words without one."""
    names = {table["name"] for table in rule_tables() if "name" in table}
    used, wrong = set(), []
    for path in RULES.iterdir():
        file = tomllib.loads(path.read_text(encoding="utf-8"))
        words = [table for table in (*file.get("rule", ()), *file.get("phrases", ())) if "name" not in table]
        used |= {table["of"] for table in file.get("phrases", ())}
        versions = file.get("versions", {})
        for source in (source for table in words for source in table["source"]):
            other = re.match(r"(?:observed|unconfirmed|documentation): \S|RFC \d|[\w.+-]+/[\w.+-]+ .*\d", source)
            if source.split(" ")[0] not in versions and not other:
                wrong.append((path.name, source))
        assert [table["phrases"] for table in words if not table["phrases"] or not table["source"]] == []
    assert (wrong, used) == ([], names)


def test_the_table_of_phrases_is_current():
    assert phrases.PAGE.read_text(encoding="utf-8") == phrases.page(), "run `python tests/unit/phrases.py`"


TIMEOUT = 'Error: Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout'


@pytest.mark.parametrize(
    "passed",
    ["PASS src/a.test.ts\nTests:       1 passed, 1 total", "  12 passing (2s)", "1..2\nok 1 a\nok 2 b", "ok  \texample.com/a\t0.1s",
     "[INFO] Running com.acme.ApiTest\n[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.1 s",
     "[ RUN      ] Net.Get\n[       OK ] Net.Get (3 ms)", "    a_test.go:3: skipped\n--- SKIP: TestA (0.00s)\nok  \ta\t0.1s"],
)  # fmt: skip
def test_what_follows_tests_that_passed_is_not_their_output(passed):
    assert classify(f"{passed}\n{TIMEOUT}").cause == TIMEOUT


@pytest.mark.parametrize(
    "log",
    ["build\tRetry 503 Bad Gateway\t2024-05-07T10:11:12.1234567Z a\nbuild\tRetry 503 Bad Gateway\tb failed\n",
     "##[group]Run : avoid spurious network error (curl)\n: connection reset by peer\n##[endgroup]\nfailed\n",
     "2024-05-07T10:11:12.1234567Z ##[group]Run echo\n2024-05-07T10:11:12.1Z ^[[36;1mecho '502 Bad Gateway'^[[0m\n"
     "2024-05-07T10:11:12.1234567Z ##[endgroup]\n2024-05-07T10:11:12.1234567Z failed\n"],
)  # fmt: skip
def test_what_a_step_is_called_and_will_run_is_not_what_happened(log):
    assert (classify(log).kind, classify(log).cause.split()[-1]) == ("unknown", "failed")


@pytest.mark.parametrize(
    ("log", "cause"),
    [("    default: {0}\n    default:   % Total\n    default: tar: Error is not recoverable: exiting now\n", "{0}"),
     ("> {0}\n>\n> tar: Error is not recoverable: exiting now\n", "{0}"), ("# {0}\n#   a\n# tar: Child returned status 1\n", "{0}"),
     ("error: a\nerror:   b\nerror: c\n", "error: c"), ("tar: {0}\ntar: a\ntar: Exiting\n", "tar: {0}")],
)  # fmt: skip
def test_what_most_lines_begin_with_is_not_the_tools(log, cause):
    reset = "curl: (56) Recv failure: Connection reset by peer"
    assert classify(log.format(reset)).cause == cause.format(reset)


def test_a_script_that_the_log_ends_in_is_read():
    """Without the end of the group, what follows may be the output."""
    assert classify(f"##[group]Run a\n{TIMEOUT}").cause == TIMEOUT


HOST = "registry.example.test"
REQUESTS = {  # what BuildKit puts before the message of Go's net/http
    "token": f'failed to authorize: failed to fetch oauth token: Post "https://{HOST}/token": ',
    "manifest": f'failed to resolve source metadata for {HOST}/a:1: failed to do request: Head "https://{HOST}/v2/a/manifests/1": ',
    "pull": f'failed to copy: httpReadSeeker: failed open: failed to do request: Get "https://{HOST}/v2/a/blobs/sha256:0": ',
    "push": f'failed to push {HOST}/a:1: failed to copy: failed to do request: Put "https://{HOST}/v2/a/blobs/uploads/1": ',
}
FAULTS = (  # those of tests/real/faulty_registry.py
    "read tcp 10.0.0.2:4->10.0.0.3:443: read: connection reset by peer", "EOF", "unexpected EOF", "net/http: TLS handshake timeout",
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)", "dial tcp 10.0.0.3:443: i/o timeout",
    "http2: server sent GOAWAY and closed the connection", "write tcp 10.0.0.2:4->10.0.0.3:443: write: broken pipe",
)  # fmt: skip
OVERLOADED = (
    "500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout", "429 Too Many Requests",
)  # fmt: skip
REFUSED = ("401 Unauthorized", "403 Forbidden", "404 Not Found", "denied: requested access to the resource is denied")


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_to_a_registry_that_breaks_is_tried_again(request_):
    broken = {fault: classify(f"ERROR: failed to solve: {REQUESTS[request_]}{fault}\n").retry for fault in FAULTS}
    assert broken == dict.fromkeys(FAULTS, True)


@pytest.mark.parametrize(("answers", "again"), [(OVERLOADED, True), (REFUSED, False)], ids=["overloaded", "refused"])
def test_an_answer_of_a_registry_decides_about_another_try(answers, again):
    prefix = f"ERROR: failed to solve: failed to push {HOST}/a:1: unexpected status from PUT request to https://{HOST}/v2/a/manifests/1"
    assert {answer: classify(f"{prefix}: {answer}\n").retry for answer in answers} == dict.fromkeys(answers, again)


def test_help_of_a_rule_reaches_the_failure():
    assert classify("ERROR: write /x: no space left on device").help == (
        "free disk space (`df -h`, `docker system prune`), or point --target-dir to another disk"
    )


@pytest.mark.parametrize(
    "unit",
    [
        "error: x\n", "#7 1.0 429 500 503 eof\n", "\r\r", "\x1b]", "\x1b[", "warning: connection reset\n", "a" * 80 + "\n",
        '{"logs":[{"vertex":1}]}\n', "retrying in 1s\n", '{\n"vertexes"',
        '{\n{\n"vertexes"\n}\n', "error: aborting due to 1\n", "make: *** x\n", "failed to solve: failed ",
        "error: failed to run custom build command for `a v1`\n", "Caused by:\n  os error 28)\n", "error: linker `a-",
        "error: x\n --> a:1:1\n", "fatal error: 'a", "thread 'main' panicked at a:1:1:\n", 'running: "a" ', "cargo:warning=error: ",
        "was not found in the pkg-config search path PKG_CONFIG_PATH_a-b-c ", ".proto: file not found ",
        "could not find directory of openssl installation\n", "test a ... FAILED\n", "running 1 test\n", "thread 'a::b' panicked at ",
        "app-1  | ", "[build] ", "2024-05-07T10:11:12Z ", "http://a/b", "a-b-c-", "a::", "`a",
        '{"error": "eof"}\n', "x-ratelimit-remaining: 0 403\n",
        "cp: cannot stat ", "warning: connection reset\nmake: *** [x] Error 1\n", "FAIL [ 1.0s] a\n", "make[1]: *** Error ",
    ],
    ids=repr,
)  # fmt: skip
def test_time_grows_with_the_length_of_the_log(assert_linear, unit):
    assert_linear(classify, unit)


# What the log model and the names are made of.
WORDS = (
    "http://",
    "::",
    "`",
    "-",
    "/",
    ":",
    "[",
    "] ",
    "| ",
    "#1 1.0 ",
    "'",
    '"',
    "(",
    "1:2:3",
    "test ",
    " ... ",
    "error: ",
    "not found",
    "running 1 test",
)
SUCCESSFUL = {
    "cargo": "   Compiling a v0.1.0 (/src)\n    Finished `release` profile [optimized] target(s) in 1.20s\n",
    "cargo after a retry": "warning: spurious network error (2 tries remaining): [28] Timeout was reached\n  Downloaded libc v0.2.1\n"
                           "    Finished `dev` profile target(s) in 1.20s\n",
    "cargo test": "running 1 test\ntest http::returns_503 ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n",
    "BuildKit": "#5 [2/2] RUN true\n#5 DONE 0.3s\n#6 exporting to image\n#6 writing image sha256:1b done\n#6 DONE 0.1s\n",
    "docker pull": "1: Pulling from library/alpine\nDigest: sha256:1b\nStatus: Downloaded newer image for alpine:1\n",
    "apt": "Get:1 http://deb.debian.org/debian trixie InRelease [140 kB]\nReading package lists...\nSetting up curl (8.1) ...\n",
    "apt after a retry": "Ign:1 http://deb.debian.org/debian trixie InRelease\nGet:1 http://deb.debian.org/debian trixie InRelease\n"
                         "Reading package lists...\n",
    "pip": "Collecting a\nInstalling collected packages: a\nSuccessfully installed a-1.0\n",
    "npm": "npm warn deprecated a@1.0: use b\nadded 12 packages, and audited 13 packages in 2s\n",
    "skopeo": "Getting image source signatures\nCopying config 1b done\nWriting manifest to image destination\n",
    "git": "Cloning into 'a'...\nReceiving objects: 100% (9/9), done.\nResolving deltas: 100% (2/2), done.\n",
    "nothing": "",
}  # fmt: skip
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


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.text(max_size=12), FRAGMENTS, st.sampled_from(WORDS)), min_size=1, max_size=8),
    st.sampled_from(["", " ", "\n", ": "]),
)
def test_no_pattern_takes_long(parts, separator):
    """A line or a log of 100 kB that repeats any sequence takes a few milliseconds; a pattern that backtracks takes minutes."""
    unit = separator.join(parts)
    text = (unit + separator) * (100_000 // max(1, len(unit) + len(separator)))
    start = time.process_time()
    classify(text)
    assert time.process_time() - start < 5  # seconds; machines differ, and a run of others may be measured too


@pytest.mark.parametrize("tool", SUCCESSFUL)
def test_a_successful_log_has_no_failure(tool):
    assert classify(SUCCESSFUL[tool]) == Failure("unknown", "")


def test_a_log_that_ends_while_a_tool_tries_again_is_judged_by_the_last_warning():
    warning = "warning: spurious network error (2 tries remaining): [6] Could not resolve hostname (Could not resolve host: a.test)\n"
    assert classify(warning).kind == "transient-network"
    assert classify(warning + "make: *** [Makefile:2: build] Error 101\n").kind == "transient-network"
    assert classify(warning + "  Downloaded libc v0.2.1\n   Compiling libc v0.2.1\n").kind == "unknown"
    assert classify(warning + "error: the frobnicator refused\n").kind == "unknown"


def test_json_lines_are_read_as_what_they_say():
    log = '{"stream":"Step 1/2 : FROM a\\n"}\n{"errorDetail":{"message":"toomanyrequests: x"},"error":"toomanyrequests: x"}\n'
    assert (classify(log).kind, classify(log).cause, classify(log).line) == ("rate-limited", "toomanyrequests: x", 2)
    rendered = (
        '{"reason":"compiler-message","message":{"rendered":"error[E0308]: mismatched types\\n --> src/a.rs:3:9\\n"}}\n'
    )
    assert classify(rendered).cause == "src/a.rs:3:9: error[E0308]: mismatched types"
    assert classify('{"level":"warn","msg":"connection reset by peer"}\nDONE 1.0s\n').kind == "unknown"


def test_a_certificate_is_never_retried_and_is_the_machines_affair():
    failure = classify("x509: certificate signed by unknown authority")
    assert (failure.kind, failure.retry, failure.error) == ("certificate", False, MissingRequirements)


SSL = "HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded with url: /simple/a/ (Caused by SSLError("
VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
HANDSHAKE = "[('SSL routines', 'tls_process_server_certificate', 'certificate verify failed')]"
NOT_TRUSTED = {
    "pip 9": f"{VERIFY} (_ssl.c:749)",
    "pip 10": f"{SSL}SSLError(1, '{VERIFY} (_ssl.c:777)'),))",
    "pip 24": f"{SSL}SSLCertVerificationError(1, '{VERIFY}: unable to get local issuer certificate (_ssl.c:1000)')))",
    "pyOpenSSL": f'{SSL}SSLError("bad handshake: Error({HANDSHAKE},)",),))',
}


@pytest.mark.parametrize("version", NOT_TRUSTED)
def test_a_certificate_that_pip_refuses_is_found_in_lines_of_any_width(version):
    """A console wraps its message, and the words of one part may say something else: that retries were exceeded."""
    fetch = "Could not fetch URL https://pypi.org/simple/a/: There was a problem confirming the ssl certificate"
    message = f"{fetch}: {NOT_TRUSTED[version]} - skipping"
    failures = set()
    for width in range(60, 161):
        rows = [message[start : start + width] for start in range(0, len(message), width)]
        failures.add(classify("\n".join([*rows, "ERROR: No matching distribution found for a"])))
    assert {(failure.kind, failure.retry) for failure in failures} == {("certificate", False)}
