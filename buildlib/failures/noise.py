"""Lines of a log that state no failure: noise, and warnings after which a tool continued. Pure."""

from __future__ import annotations

import re

# What rustc, cargo and Rust's panics put before the words of another tool. Newer versions of cargo name the package.
QUOTED = re.compile(
    r"""(?:=\snote:\s+ | cargo:{1,2}warning= | called\s`Result::unwrap\(\)`\son\san\s`Err`\svalue:\s
      | thread\s'[^':]*'(?:\s\(\d+\))?\spanicked\sat\s'
      | warning:\s(?:[\w-]+@\d\S*:\s | (?=sccache:\s | \S+:\d+:(?:\d+:)?\s(?:fatal\s)?error:\s)))+""",
    re.VERBOSE,
)
# Not a tool's statement about its failure: rustc's excerpts, test names, command lines, help, backtraces, BuildKit's headlines,
# echoes of a cancelled step, buildlib's own last words, which repeat the cause, and what Go's HTTP/2 server logs in buildx about
# its connection to the builder: at the end of a build, also of one that succeeds (docker/buildx issue 298).
NOISE = re.compile(
    r"""\s*(?:
        \d*\s*\|(?:\s|$) | -->\s | :::\s | \d+\s\|\s*>>>
      | test\s.*\s\.\.\.(?:\s(?!FAILED|thread\s')|$) | (?:PASS|SLOW|LEAK|FLAKY)\s.*\[\s*[\d.>]
      | (?:Compiling|Download(?:ed|ing)|Updating|Checking|Fresh|Finished|Running|Locking|Adding|Unpacking|Documenting
          |Fetch(?:ing|ed)
        |Replaced)\s
      | (?:Get|Hit):\d+\s | [+$]+\s\S | \#\s | echo\s["'] | (?:\#\#)?\[(?:command|group|debug|section)\]
      | >\s*\[.*\]\s+(?:RUN|COPY|FROM|ADD)\b
      | (?:=\s)?help:\s | some\sarguments\sare\somitted | "[^"]*"\s+(?:"|-cc1\b) | running:?\s | Command\sfailed:\scd\s
      | stack\sbacktrace:$ | \d{1,3}:\s+(?:<unknown>|0x[\da-f]+\b|\w+::|<\S+\sas\s) | error:\s\S+:\scargo\sexited\swith\scode\s
      | error:\s\S+:\scargo\sended\swith\s
      | HEAD\sis\snow\sat\s | Switched\sto\s | commit\s[\da-f]{4,40}\b | (?:Your\sbranch|Merge|Checking\sout|Submodule\spath)\b
      | [*|\\/\s]+[\da-f]{7,40}\s | \[[\w./-]+\s(?:\(root-commit\)\s)?[\da-f]{7,40}\]\s | (?:Author|Date|Subject):\s
      | <\s(?!HTTP/|x-ratelimit-remaining)[\w-]+:\s | \[[^\]]*\d+/\d+\]\s+(?:RUN|COPY|FROM|ADD|ENV|WORKDIR)\b
      | (?:INFO|DEBUG|TRACE|(?:\[\d+/\d+\]\s)?(?:Step|STEP)\s\d+(?:/\d+)?(?=:|\s:))\b
      | (?:---|~~~|\+\+\+)\s+:\w+:\s | (?:TASK|PLAY|RUNNING\sHANDLER)\s\[ | \{\s\(
      | \d{4}/\d\d/\d\d\s\d\d:\d\d:\d\d\shttp2:\sserver(?:\sconnection\serror\sfrom|:\serror\sreading\spreface)\s
      | (?:ERROR:\s*)?(?:failed\sto\s(?:solve|build):\s*)*(?:Canceled:\s*)?(?:failed\s.*:\s)?context\scanceled\s*$
      | CANCELED\s*$
    )""",
    re.VERBOSE,
)
# Warnings: the tool continues after them. One may still be the reason for a later failure.
WARNING = re.compile(
    r"""\s*(?:\#\#\[warning\]|::warning|\[cross\]\ |npm\ )?(?:warn(?:ing)?\b|w:\s|ign:\d|err:\d|level=warning|cargo:{1,2}warning=)
      | .*(?:level=warn|\bretrying\ (?:in|after|\()|\bretrying\.\.\.|\btries\ remaining|\bwill\ retry\b|\bretry\ attempt\b)""",
    re.IGNORECASE | re.VERBOSE,
)
RETRYING = re.compile(r"retrying in |retrying\b.*\.\.\.|.*\bwill retry in ", re.IGNORECASE)
# The last words of a program that started the one that failed: make, ninja, just, npm, tox, Task, docker compose, GitHub's runner
# (src/Runner.Worker/Handlers/ScriptHandler.cs) and act, GitLab's, Jenkins, SSHKit, Bazel, Maven, and shells. They state no cause.
WRAPPER = re.compile(
    r"""\s*(?:
        g?make(?:\[\d+\])?:\s(?:\*\*\*\s(?!No\srule|.*(?:[Ss]top\.$))|.*\bError\s\d+\b|Leaving|Entering|Target\s)
      | ninja:\s(?:build\sstopped|fatal:\ssubcommand) | FAILED:\s\S | samu:\ssubcommand
      | error:\s[Rr]ecipe\s | task:\s(?:\[|Failed\sto\srun\stask)
      | npm\s(?:error|ERR!)\s*(?:$|(?:code\s(?:\d+$|ELIFECYCLE)|path|command|errno\s\d
          |(?:4\d\d|notarget|notsup|network|enoent)\s*$|404\s+(?:Note\sthat|tarball,\sfolder|This\spackage\sname)
          |(?:403|notarget)\s+(?:In\smost\scases|a\spackage\sversion|on\sa\sserver)|need\sauth\sYou\sneed
          |workspace|location|Lifecycle|Exit\sstatus|Failed\sat|A\scomplete|This\sis\sprobably|\S+@\S+\s\w+:\s))
      | error\sCommand\sfailed\swith\sexit\scode | ELIFECYCLE\b | error:\sscript\s".*"\sexited | info\sVisit\shttps://yarnpkg
      | [\w.-]+:\s(?:exit\s\d+\s\(|FAIL\b|commands\sfailed) | evaluation\sfailed\b | ERROR:\s+InvocationError
      | nox\s>\s(?:Command|Session)\s | \S+\sexited\swith\scode\s\d+$ | Aborting\son\scontainer\sexit
      | (?:\#\#\[error\]|::error::|Error:\s)\s*(?:Process\scompleted\swith\sexit\scode
          |The\sprocess\s'.*'\sfailed\swith\sexit\scode|Job\s'.*'\sfailed)
      | (?:❌\s+)?Failure\s-\s | exitcode\s'\d+':\sfailure
      | (?:ERROR:\s)?(?:Job\sfailed(?:\s\([\w\s]+\))?(?::\s(?:command\sterminated\swith\s)?exit\s(?:code|status)\s\d+)?$
          |script\sreturned\sexit\scode|Build\sstep\s.*marked)
      | (?:Error:\s)?error\sbuilding\sat\sSTEP\s.*exit\sstatus\s\d+$ | View\sbuild\sdetails:\s
      | Finished:\s(?:FAILURE|ABORTED) | Cleaning\sup\s | section_(?:start|end): | \[Pipeline\]
      | (?:command\s)?[Ff]ailed\swith\sexit\s(?:code|status)[:\s]+\d+\.?$
      | (?:The\s)?command\s.*(?:exited|failed)\swith\s(?:exit\s)?(?:code|status)?\s*\d+
      | command\sfailed\swith\sexit\sstatus | (?:error:\s)?exit\s(?:status|code):?\s\d+$ | \S+:\s(?:line\s)?\d+:\sexit:\s\d+$
      | Error\sresponse\sfrom\sbuild\sscript | Post\sjob\scleanup
      | failed\sto\srun:\s\S*/bootstrap\s | Build\scompleted\sunsuccessfully\sin\s
      | (?:\#\#\[error\])?(?:Bash|PowerShell)\sexited\swith\scode
    )""",
    re.VERBOSE,
)
# The last words of a job that was ended from outside: GitHub's runner (src/Runner.Worker/JobRunner.cs, StepsRunner.cs) and GitLab's
# (common/build.go). What the job was doing, or trying again, is above them.
CANCELED = re.compile(
    r"""\s*(?:\#\#\[error\]|::error::|Error:\s|ERROR:\s)?\s*(?:The\soperation\swas\scancell?ed\.
      | The\srunner\shas\sreceived\sa\sshutdown\ssignal | The\s(?:action|background\sstep)\s'.*'\shas\stimed\sout\safter\s
      | The\sjob\s(?:running\son\srunner\s.*\s)?has\sexceeded\sthe\smaximum\sexecution\stime
      | Job\sfailed:\s(?:cancell?ed|aborted|execution\stook\slonger\sthan\s)
      | WARNING:\s(?:step_|after_)script\scould\snot\srun\sto\scompletion\sbecause\s)""",
    re.VERBOSE,
)

# cargo's headline about a dependency: the reason is below it, or above in the warnings about its tries.
HEADLINE = re.compile(r"error: failed to (?:get `[^`]+` as a dependency of|load source for (?:a )?dependency)\b")


def unquoted(text: str) -> str:
    """The line without what other tools put before the words of the one that failed."""
    quoted = QUOTED.match(text)
    return text[quoted.end() :] if quoted else text


# A line that shows that the tool went on: what it warned about before is not why it failed.
SUCCESS = re.compile(
    r"""\s*(?:Finished\s | (?:Compiling|Downloaded|Unpacking|Setting\sup|Successfully|Installed)\b
      | Resolving\sdeltas:\s100% | DONE\b
      | 100\s+\S+\s+100\s | Digest:\s | Status:\sDownloaded | \S+:\s(?:Pull\scomplete|Pushed)$ | exporting\s | writing\simage\s
      | added\s\d+\spackages
      | test\sresult:\sok | Reading\spackage\slists | Writing\smanifest\sto | Storing\ssignatures)""",
    re.VERBOSE,
)
# Names, in which any word may occur: what is quoted by backticks without spaces, paths, images, Rust's paths, words with hyphens.
NAME = re.compile(
    r"""(?P<scheme>\bhttps?://)[^\s"'<>()\[\]]*[\w/] | `[^`\s]*` | \b(?!routines::)\w+(?:::\w+)+\b
      | (?!^)(?<![\w.])(?P<root>/[\w.~@-]+/)[\w./@~+:-]*\w
      | \b[\w.-]+(?:/[\w.-]+)+:[\w][\w.-]*(?:@sha256:[0-9a-f]+)? | \b[\w.]+(?:-[\w.]+){2,}(?::[\w][\w.-]*)?
      | \b(?:[\w.-]+/){2,}[\w.-]*\w""",
    re.VERBOSE,
)


def nameless(text: str) -> str:
    """The line with `_` in place of names, which state nothing; the beginnings of addresses and paths stay."""
    return NAME.sub(lambda match: f"{match['scheme'] or match['root'] or ''}_", text)
