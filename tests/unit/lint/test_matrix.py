"""Each question for the architecture with each kind of choice and each action: complete, without a default, and swapped."""

from itertools import product
from pathlib import Path

import pytest

from buildlib.lint.check import check

# The question, its answers on amd64 and arm64, and the lines before it.
QUESTIONS = {
    "TARGETARCH": ('"$TARGETARCH"', "amd64", "arm64", "ARG TARGETARCH\nRUN "),
    "TARGETARCH, bare": ("${TARGETARCH}", "amd64", "arm64", "ARG TARGETARCH\nRUN "),
    "TARGETPLATFORM": ('"${TARGETPLATFORM}"', "linux/amd64", "linux/arm64", "ARG TARGETPLATFORM\nRUN "),
    "uname": ('"$(uname -m)"', "x86_64", "aarch64", "RUN "),
    "uname, bare": ("$(uname -m)", "x86_64", "aarch64", "RUN "),
    "uname, backquoted": ("`uname -m`", "x86_64", "aarch64", "RUN "),
    "arch": ('"$(arch)"', "x86_64", "aarch64", "RUN "),
    "dpkg": ('"$(dpkg --print-architecture)"', "amd64", "arm64", "RUN "),
    "apk": ('"$(apk --print-arch)"', "x86_64", "aarch64", "RUN "),
    "rpm": ("\"$(rpm --eval '%{_arch}')\"", "x86_64", "aarch64", "RUN "),
    "go": ('"$(go env GOARCH)"', "amd64", "arm64", "RUN "),
    "a variable": ('"$ARCH"', "x86_64", "aarch64", 'RUN ARCH="$(uname -m)"; '),
    "a variable, shortened": ('"${dpkgArch##*-}"', "amd64", "arm64", 'RUN dpkgArch="$(dpkg --print-architecture)"; '),
    "a variable of any name": ('"$a"', "amd64", "arm64", 'RUN a="$(dpkg --print-architecture)"; '),
}
# The commands on amd64, on arm64, and afterwards.
ACTIONS = {
    "a download": ("curl -LO https://e.com/x-linux-amd64.tgz", "curl -LO https://e.com/x-linux-arm64.tgz", ""),
    "two downloads": ("curl -LO https://e.com/x-linux-x64.zip", "curl -LO https://e.com/y-aarch64.tar.gz", ""),
    "a file name": ("F=x-linux-amd64.tgz", "F=x-linux-arm64.tgz", '; curl -LO "https://e.com/$F"'),
    "a word": ("P=x86_64", "P=aarch_64", "; curl -LO https://e.com/protoc-25-linux-$P.zip"),
    "a URL": ("u='https://e.com/x-amd64.tgz' s=ab", "u='https://e.com/x-arm64.tgz' s=cd", '; wget "$u"; echo "$s  x" | sha256sum -c'),
    "a word, exported": ("export P=x64", "export P=arm64", "; curl -LO https://e.com/node-linux-${P}.tar.gz"),
    "a package": ("apt-get install -y linux-headers-amd64", "apt-get install -y linux-headers-arm64", ""),
    "a package file": ("wget e.com/x_amd64.deb && dpkg -i x_amd64.deb", "wget e.com/x_arm64.deb && dpkg -i x_arm64.deb", ""),
    "a triple": ("T=x86_64-unknown-linux-musl", "T=aarch64-unknown-linux-musl", "; rustup target add $T"),
    "a library": ("cp /usr/lib/x86_64-linux-gnu/libz.so.1 /out/", "cp /usr/lib/aarch64-linux-gnu/libz.so.1 /out/", ""),
    "cargo": ("cargo build --target x86_64-unknown-linux-gnu", "cargo build --target aarch64-unknown-linux-gnu", ""),
    "go": ("GOARCH=amd64 go build ./...", "GOARCH=arm64 go build ./...", ""),
}  # fmt: skip
END = 'echo "unsupported" >&2; exit 1'
CHOICES = {
    "case": "case {q} in {a}) {x} ;; {b}) {y} ;; *) {end} ;; esac",
    "case, in lines": "case {q} in \\\n  {a}) \\\n    {x} \\\n    ;; \\\n  {b}) \\\n    {y} ;; \\\n  *) \\\n    {end} ;; \\\nesac",
    "case, quoted": "case {q} in '{a}') {x} ;; \"{b}\") {y} ;; *) {end} ;; esac",
    "case, several": "case {q} in ({a}|foo) {x} ;; ({b} | bar*) {y} ;; (*) {end} ;; esac",
    "if": 'if [ {q} = "{a}" ]; then {x}; elif [ {q} = "{b}" ]; then {y}; else {end}; fi',
    "if, in lines": 'if [ {q} == {a} ]; then \\\n  {x}; \\\nelif [ {q} == {b} ]; then \\\n  {y}; \\\nelse \\\n  {end}; \\\nfi',
    "if, bash": 'if [[ {q} == "{a}" ]]; then {x}; elif [[ {q} == "{b}" ]]; then {y}; else {end}; fi',
    "if, reversed": 'if [ "{a}" = {q} ]; then {x}; elif [ "{b}" = {q} ]; then {y}; else {end}; fi',
    "if, by test": "if test {q} = {a}; then {x}; elif test {q} = {b}; then {y}; else {end}; fi",
    "if, nested": 'if [ {q} = "{a}" ]; then {x}; else if [ {q} = "{b}" ]; then {y}; else {end}; fi; fi',
    "lists": '{{ [ {q} = "{a}" ] && {x}; }} || {{ [ {q} = "{b}" ] && {y}; }} || {{ {end}; }}',
    "rejected": 'if [ {q} != {a} ] && [ {q} != {b} ]; then {end}; fi; [ {q} != {a} ] || {{ {x}; }}; [ {q} = {a} ] || {{ {y}; }}',
    "a function": "get() {{ case {q} in {a}) {x} ;; {b}) {y} ;; *) {end} ;; esac; }}; get",
}  # fmt: skip
OPEN = {
    "case": "case {q} in {a}) {x} ;; {b}) {y} ;; esac",
    "case that only prints it": 'case {q} in {a}) {x} ;; {b}) {y} ;; *) echo "unsupported" ;; esac',
    "case with a guess": "case {q} in {b}) {y} ;; *) {x} ;; esac",
    "if": 'if [ {q} = "{a}" ]; then {x}; elif [ {q} = "{b}" ]; then {y}; fi',
    "if with a guess": 'if [ {q} = "{b}" ]; then {y}; else {x}; fi',
    "if, bash, with a guess": 'if [[ {q} == "{b}" ]]; then {y}; else {x}; fi',
    "a list with a guess": '[ {q} = "{b}" ] && {{ {y}; }} || {{ {x}; }}',
}
ONLY_ONE = [
    'if [ {q} = "{b}" ]; then {y}; fi',
    "case {q} in {b}) {y} ;; esac",
    "case {q} in {a}) : ;; {b}) {y} ;; *) ;; esac",
]
SWAPPED = {
    "case": "case {q} in {a}) {y} ;; {b}) {x} ;; *) {end} ;; esac",
    "if": 'if [ {q} = "{a}" ]; then {y}; elif [ {q} = "{b}" ]; then {x}; else {end}; fi',
    "of another architecture": "case {q} in {a}) {x} ;; {b}) {y} ;; arm|armv7l|armhf|linux/arm/v7) {y} ;; *) {end} ;; esac",
}


def rules_of(choice):
    """For each question and action with this choice: a description, and the set of rules found."""
    for (question, (q, a, b, head)), (action, (x, y, after)) in product(QUESTIONS.items(), ACTIONS.items()):
        body = choice.format(q=q, a=a, b=b, x=x, y=y, end=END) + after
        for start in ("", "apt-get update && "):
            text = f"FROM debian:12\n{head}{start}{body}\n"
            findings = check(Path("Dockerfile"), text.encode(), {})
            rules = {finding.rule for finding in findings if finding.severity != "info"}
            yield f"{question}, {action}: {text}", rules


@pytest.mark.parametrize("choice", CHOICES)
def test_a_complete_choice_has_no_findings(choice):
    assert {case: rules for case, rules in rules_of(CHOICES[choice]) if rules} == {}


@pytest.mark.parametrize("choice", OPEN)
def test_a_choice_that_ignores_other_architectures_is_reported(choice):
    assert {case: rules for case, rules in rules_of(OPEN[choice]) if rules != {"missing-arch-case"}} == {}


@pytest.mark.parametrize("choice", ONLY_ONE, ids=["if", "case", "case with an empty branch"])
def test_a_step_for_one_architecture_is_reported_only_if_something_after_it_needs_what_it_sets(choice):
    expected = {action: {"missing-arch-case"} if after else set() for action, (_, _, after) in ACTIONS.items()}
    found = [(case.partition(":")[0].rpartition(", ")[2], case, rules) for case, rules in rules_of(choice)]
    named = {action: action if action in expected else f"a word, {action}" for action, _, _ in found}
    assert {case: rules for action, case, rules in found if rules != expected[named[action]]} == {}


@pytest.mark.parametrize("choice", SWAPPED)
def test_files_of_another_architecture_are_reported(choice):
    assert {case: rules for case, rules in rules_of(SWAPPED[choice]) if rules != {"wrong-arch-mapping"}} == {}
