"""A failed command's output -> what kind of failure it was, the line that says so, and whether a retry helps.

Pure text. The last lines decide: warnings that a tool printed on its way are not its failure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TAIL = 40  # lines: the error block that ends a log; cargo, rustup and apt all close with theirs


@dataclass(frozen=True, slots=True)
class Failure:
    """`kind` is DESIGN's class, `cause` the line that shows it."""

    kind: str
    cause: str
    cure: str = ""

    @property
    def transient(self) -> bool:
        return self.kind in ("transient-network", "rate-limited")


@dataclass(frozen=True, slots=True)
class Rule:
    kind: str
    pattern: re.Pattern[str]
    cure: str


def _rule(kind: str, pattern: str, cure: str) -> Rule:
    return Rule(kind, re.compile(pattern, re.IGNORECASE), cure)


# First match wins. A full disk comes first: it breaks downloads too, and no retry cures it.
RULES = (
    _rule("resource", r"no space left on device|os error 28", "free disk space, or point --target-dir elsewhere"),
    _rule("resource", r"cannot allocate memory|signal: 9, SIGKILL", "give it more memory, or set CARGO_BUILD_JOBS lower"),
    # Words of rustc about source code; a test or module may be called connection_reset.
    _rule("compile", r"^error(\[E\d+\])?: .*(could not compile|aborting due to)|^error\[E\d+\]|linking with .* failed", ""),
    _rule(
        "builder",
        r"cannot connect to the docker daemon|is the docker daemon running|error during connect|failed to find driver"
        r"|dial unix .*: (connect|no such file)",
        "start Docker, or point DOCKER_HOST at one",
    ),
    _rule(
        "auth",
        r"\b40[13]\b (unauthorized|forbidden)|unauthorized: |authorization failed|no basic auth|insufficient_scope"
        r"|access (to the resource is )?denied|: denied",
        "`docker login` at that registry, with a name that may write there",
    ),
    _rule("not-found", r"no match for platform|does not provide the specified platform",
          "the base image has no such platform: name another `base`, or leave the arch out"),
    # The answer of a name server that works: there is no such name. One that does not answer is another case.
    _rule("not-found", r"\bno such host\b", "check the host's name, `builder.mirrors`, and the network"),
    _rule("not-found", r"target stage .* could not be found", "write a stage of that name into Dockerfile.multiarch"),
    _rule("not-found", r"failed to resolve source metadata|: not found$|manifest unknown|repository name not known",
          "check the name of the base image, and `builder.mirrors`"),
    _rule("rate-limited", r"\b429\b too many requests|toomanyrequests", "wait, or log in for a higher limit"),
    _rule(
        "transient-network",
        r"could(n't| not) resolve host|temporary failure (in name resolution|resolving)|dns error|failed to lookup address"
        r"|connection (reset|refused|timed out)|timed? ?out|tls handshake|network is unreachable|error sending request"
        r"|\b50[234]\b (bad gateway|service unavailable|gateway)|spurious network error|unexpected eof|could not download",
        "check the network and proxy settings (HTTPS_PROXY), then run again",
    ),
    _rule(
        "not-found",
        r"unable to locate package|no matching package named|does not support target|\b404\b",
        "check the name and the version",
    ),
)  # fmt: skip


def classify(output: str) -> Failure:
    """The failure that `output` (stderr, or both streams) ends with; `unknown` when no rule reads it."""
    lines = [line for line in output.splitlines() if line.strip()][-TAIL:]
    # Warnings never are the failure: cargo prints `warning: spurious network error` and goes on.
    told = [line for line in lines if not line.lstrip().lower().startswith("warning")]
    for rule in RULES:
        for line in reversed(told):
            if rule.pattern.search(line):
                return Failure(rule.kind, line.strip(), rule.cure)
    return Failure("unknown", told[-1].strip() if told else "")
