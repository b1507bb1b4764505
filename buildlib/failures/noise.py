"""Lines of a log that state no failure: noise, and warnings after which a tool continued. Pure."""

from __future__ import annotations

import re

# What rustc, cargo and Rust's panics put before the words of another tool. Newer versions of cargo name the package.
QUOTED = re.compile(
    r"""(?:=\snote:\s+ | cargo:{1,2}warning= | called\s`Result::unwrap\(\)`\son\san\s`Err`\svalue:\s
      | thread\s'[^']*'(?:\s\(\d+\))?\spanicked\sat\s'
      | warning:\s(?:[\w-]+@\d\S*:\s | (?=sccache:\s | \S+:\d+:(?:\d+:)?\s(?:fatal\s)?error:\s)))+""",
    re.VERBOSE,
)
# Not a tool's statement about its failure: rustc's excerpts, test names, command lines, help, backtraces, BuildKit's headlines,
# echoes of a cancelled step, buildlib's own last words, which repeat the cause, and what Go's HTTP/2 server logs in buildx about
# its connection to the builder: at the end of a build, also of one that succeeds (docker/buildx issue 298).
NOISE = re.compile(
    r"""\s*(?:
        \d*\s*\|(?:\s|$) | -->\s | :::\s | \d+\s\|\s*>>>
      | test\s.*\s\.\.\.(?:\s|$) | ----\s.*\sstdout\s---- | (?:PASS|FAIL|SLOW|TIMEOUT|LEAK|ABORT|SIG\w+|FLAKY|TRY)\s.*\[\s*[\d.>]
      | (?:Compiling|Download(?:ed|ing)|Updating|Checking|Fresh|Finished|Running|Locking|Adding|Unpacking|Documenting|Fetch(?:ing|ed)
        |Replaced)\s
      | (?:Get|Hit):\d+\s | \++\s\S | \#\#\[(?:command|group|debug)\] | >\s*\[.*\]\s+(?:RUN|COPY|FROM|ADD)\b
      | (?:=\s)?help:\s | some\sarguments\sare\somitted | "[^"]*"\s+(?:"|-cc1\b) | running:?\s | Command\sfailed:\scd\s
      | stack\sbacktrace:$ | \d{1,3}:\s+(?:<unknown>|0x[\da-f]+\b|\w+::|<\S+\sas\s) | error:\s\S+:\scargo\sexited\swith\scode\s
      | error:\s\S+:\scargo\sended\swith\s
      | \[[^\]]*\d+/\d+\]\s+(?:RUN|COPY|FROM|ADD|ENV|WORKDIR)\b | (?:INFO|DEBUG|TRACE|Step\s\d+/\d+)\b
      | \d{4}/\d\d/\d\d\s\d\d:\d\d:\d\d\shttp2:\sserver(?:\sconnection\serror\sfrom|:\serror\sreading\spreface)\s
      | (?:ERROR:\s*)?(?:failed\sto\s(?:solve|build):\s*)*(?:Canceled:\s*)?(?:failed\s.*:\s)?context\scanceled\s*$ | CANCELED\s*$
    )""",
    re.VERBOSE,
)
# Warnings: the tool continues after them. One may still be the reason for a later failure.
WARNING = re.compile(
    r"""\s*(?:\#\#\[warning\]|::warning|\[cross\]\ |npm\ )?(?:warn(?:ing)?\b|w:\s|ign:\d|err:\d|level=warning|cargo:{1,2}warning=)
      | .*(?:level=warn|\bretrying\ (?:in|after|\()|\bretrying\.\.\.|\btries\ remaining|\bwill\ retry\b|\bretry\ attempt\b)""",
    re.IGNORECASE | re.VERBOSE,
)
RETRYING = re.compile(r"retrying in ", re.IGNORECASE)


def unquoted(text: str) -> str:
    """The line without what other tools put before the words of the one that failed."""
    quoted = QUOTED.match(text)
    return text[quoted.end() :] if quoted else text
