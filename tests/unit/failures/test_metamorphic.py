"""What is around a failure does not change its class and cause: wrappers, prefixes, benign output, truncation.

The seeds are the logs of cases.toml, kinds.toml and causes.toml, and a line made of each phrase of each rule. Every seed is
combined with a part of all surroundings, chosen by its number, so that all pairs occur and the run stays short.
"""

import tomllib
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from buildlib.failures.classify import Failure, classify
from buildlib.failures.rule import rules

HERE = Path(__file__).parent
PER_SEED = 5  # combinations of each seed; the product has several hundred thousand

# What a program prints after the one that it started has failed.
WRAPPERS = {
    "none": "",
    "make": "make[1]: *** [Makefile:3: build] Error 1\nmake[1]: Leaving directory '/src'\nmake: *** [Makefile:9: all] Error 2\n",
    "ninja": "ninja: build stopped: subcommand failed.\n",
    "just": "error: Recipe `build` failed on line 3 with exit code 101\n",
    "npm": "npm error Lifecycle script `build` failed with error:\nnpm error code 1\nnpm error path /srv/app\n"
        "npm error workspace app@1.0.0\n",
    "old npm": "npm ERR! code ELIFECYCLE\nnpm ERR! errno 1\nnpm ERR! app@1.0.0 build: `cargo build`\nnpm ERR! Exit status 1\n",
    "tox": "build: exit 101 (12.50 seconds) /srv> cargo build pid=7\n  build: FAIL code 101 (12.6=setup[0.1]+cmd[12.5] seconds)\n"
           "  evaluation failed :( (12.7 seconds)\n",
    "nox": "nox > Command cargo build failed with exit code 101\nnox > Session build failed.\n",
    "Task": 'task: Failed to run task "build": exit status 101\n',
    "compose": "app-1 exited with code 101\n",
    "GitHub": "##[error]Process completed with exit code 101.\nPost job cleanup.\nFailed to save: connect ETIMEDOUT 20.1.2.3:443\n",
    "GitHub's log view": "Error: Process completed with exit code 1.\n",
    "GitHub, ended from outside": "##[error]The operation was canceled.\n",
    "GitLab, ended from outside": "WARNING: step_script could not run to completion because the timeout was exceeded.\n"
        "ERROR: Job failed: execution took longer than 1h0m0s seconds\n",
    "act": "[CI/build]   ❌  Failure - Main cargo build\n[CI/build] exitcode '1': failure\nError: Job 'build' failed\n",
    "GitLab": "Cleaning up project directory and file based variables\nERROR: Job failed: exit code 1\n",
    "Jenkins": "[Pipeline] }\nERROR: script returned exit code 1\nFinished: FAILURE\n",
    "Kamal": "command failed with exit status 101\n",
}  # fmt: skip
# What is before each line.
PREFIXES = {
    "none": "",
    "GitHub": "2024-05-07T10:11:12.1234567Z ",
    "Jenkins": "[2024-05-07T10:11:12.123Z] ",
    "clock": "10:11:12  ",
    "GitLab": "2024-05-07T10:11:12.123456Z 01O ",
    "compose": "app-1  | ",
    "Kamal": " INFO [9d3f1a2b] ".lstrip(),
    "job": "[build] ",
    "act": "[CI/build]   | ",
    "BuildKit": "#9 12.34 ",
    "syslog": "Jun 15 10:16:11 host builder[12]: ",
    "gh run view": "Build and test\tRetry after 503 Service Unavailable\t2024-05-07T10:11:12.1234567Z ",
    "Cloud Build": 'Step #1 - "timeout": ',
    "Earthly": "               +build | ",
    "OBS": "[  112s] ",
}
# What tools print when all is well, with words of failures in names.
NEIGHBOURS = {
    "none": "",
    "cargo": "    Updating crates.io index\n  Downloaded timeout-503 v1.0.0\n   Compiling rate-limit v0.3.1\n"
        "   Compiling connection-reset v1.0.0\n",
    "apt": "Get:1 http://deb.debian.org/debian trixie InRelease [140 kB]\nReading package lists...\n"
        "Setting up libssl-dev:amd64 (3.5.1) ...\n",
    "git": "Cloning into 'not-found'...\nReceiving objects: 100% (9/9), done.\n"
        "HEAD is now at 3f2b1c0 fix: connection reset by peer, 502 Bad Gateway\n",
    "docker": "1.0: Pulling from acme/retry-429-proxy\n5f70bf18a086: Already exists\n"
        "Status: Downloaded newer image for acme/retry-429-proxy:5.0.3-timeout\n",
    "tests": "running 1 test\ntest http::connection_refused ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n\n",
    "npm": "added 503 packages, and audited 429 packages in 4s\nfound 0 vulnerabilities\n",
    "curl": "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n"
        "100  503  100  503    0     0   4290      0 --:--:-- --:--:-- --:--:--  4290\n",
}  # fmt: skip
SURROUNDINGS = list(product(WRAPPERS, PREFIXES, NEIGHBOURS))
# Forms in which a tool prints a phrase; the first one that the phrase's own rule reads is a seed.
FORMS = ("{}", "error: {}", "{} x", "x: {}", "error: {} x", "error: x: {}", "{}x", "ERROR: failed to solve: {}", "Error: {}",
         "fatal: {}", "E: {}", "curl: (7) {}", "{}403", "{} '/x'", "{}x` y", "error: {}x` y", "{}x' y", "warning: {}")  # fmt: skip


@cache
def seeds() -> tuple[tuple[str, Failure], ...]:
    """Logs with their failures: the cases, and one line for each phrase that alone makes a line which its rule reads."""
    cases = [case["log"] for name in ("cases", "kinds", "causes")
             for case in tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))["case"]]  # fmt: skip
    lines = [line for rule in rules() for phrase in rule.phrases if (line := line_of(rule, phrase))]
    found = [(log.strip("\n") + "\n", classify(log)) for log in (*cases, *lines)]
    return tuple((log, failure) for log, failure in found if failure.kind != "unknown")


def line_of(rule, phrase) -> str:
    """A line with the phrase that has the class of the rule, "" if it needs more than the phrase."""
    for form in FORMS:
        line = form.format(phrase)
        failure = classify(line)
        if failure.kind == rule.kind and failure.help == rule.help_for({}):
            return line
    return ""


def surrounded(log, wrapper, prefix, neighbour) -> str:
    """The log after benign output, every line with the prefix, and the words of what started it."""
    own_prefix = (
        log.lstrip().startswith(("#", "{", "[", "2", "\x1b"))
        or "\n#" in log
        or "\r" in log
        or "\n{" in log
        or "\n------" in log
    )
    before = PREFIXES["none" if own_prefix else prefix]
    ended = "##[error]Process completed" in log  # what follows is not the step's
    text = NEIGHBOURS[neighbour] + log + ("" if ended else WRAPPERS[wrapper])
    return "".join(f"{before}{line}\n" for line in text.splitlines())


def changed(log, failure, names) -> str:
    """How the class or the cause differs in these surroundings; "" if both are the same."""
    other = classify(surrounded(log, *names))
    if (other.kind, other.cause, other.retry) == (failure.kind, failure.cause, failure.retry):
        return ""
    return f"{names}: {failure.kind}: {failure.cause[:90]!r} became {other.kind}: {other.cause[:90]!r}"


@pytest.mark.parametrize("part", range(8))
def test_surroundings_change_neither_class_nor_cause(part):
    differences, number = [], 0
    for index, (log, failure) in enumerate(seeds()):
        if index % 8 == part:
            for turn in range(PER_SEED):
                names = SURROUNDINGS[(index * 37 + turn * 211) % len(SURROUNDINGS)]
                differences.append(changed(log, failure, names))
                number += 1
    assert [difference for difference in differences if difference] == []
    assert number > 400


def test_a_truncated_log_keeps_its_class_or_is_unknown():
    """Cut after the cause, and before the line above it. What only other lines tell (a place, a header) is lost with them."""
    number, lost = 0, 0
    for log, failure in seeds():
        lines = log.split("\n")
        for part in (lines[: failure.line], lines[max(0, (failure.line or 1) - 2) :]) if len(lines) > 3 else ():
            other = classify("\n".join(part))
            assert not (other.retry and not failure.retry), log
            assert other.kind in (failure.kind, "unknown") or "403" in failure.cause, log
            number, lost = number + 1, lost + (other.kind != failure.kind)
    assert (number > 700, lost < number / 12) == (True, True), lost


def test_most_phrases_of_the_rules_are_in_a_seed():
    """The others need lines above, below or around them that only a whole log has."""
    phrases = [(rule.kind, phrase) for rule in rules() for phrase in rule.phrases]
    texts = [(failure.kind, log.lower()) for log, failure in seeds()]
    missing = [phrase for kind, phrase in phrases if not any(kind == other and phrase in text for other, text in texts)]
    assert len(missing) < len(phrases) / 8, missing
