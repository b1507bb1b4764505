"""The line that states why a build failed, and its help; the logs are in causes.toml."""

import tomllib
from pathlib import Path

import pytest

from buildlib.failures.classify import classify
from buildlib.failures.hits import MAX_CAUSE
from buildlib.failures.rule import rules

CASES = tomllib.loads(Path(__file__).with_name("causes.toml").read_text(encoding="utf-8"))["case"]

# What the programs that call cargo print after it.
MAKE = "make[1]: *** [Makefile:3: build] Error 101\nmake: *** [Makefile:9: all] Error 2\n"
JUST = "error: Recipe `build` failed on line 3 with exit code 101\n"
NPM = "npm error code 101\nnpm error path /srv/app\nnpm error command failed\nnpm error command sh -c cargo build\n"
GITHUB = "##[error]Process completed with exit code 101.\nPost job cleanup.\nFailed to save: connect ETIMEDOUT 20.1.2.3:443\n"
BUILDLIB = """error: arm64: cargo exited with code 101: could not compile `a` (lib)
  help: install libssl-dev, or a linker: error: linker `cc` not found
arch   binary  size  glibc  backend  sha256  started  status
arm64                                                 failed
"""
STEP = 'process "/bin/sh -c cargo build" did not complete successfully: exit code: 101\n'


def dockerfile(log):
    """The log as BuildKit's plain progress prints it."""
    lines = [f"#9 1.{number:03} {line}" for number, line in enumerate(log.splitlines())]
    head = ["#8 [linux/amd64 builder 3/4] RUN apt-get update", "#9 [linux/arm64 builder 4/4] RUN cargo build"]
    return "\n".join([*head, *lines, f"#9 ERROR: {STEP}------", f"ERROR: failed to solve: {STEP}"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_log_has_the_expected_cause_and_help(case):
    failure = classify(case["log"])
    assert (failure.kind, failure.fault, failure.cause) == (case["class"], case.get("fault", ""), case["cause"])
    assert failure.help.startswith(case["help"])
    assert bool(failure.help) is bool(case["help"])
    assert not failure.retry


@pytest.mark.parametrize(
    "after", [MAKE, JUST, NPM, GITHUB, BUILDLIB], ids=["make", "just", "npm", "GitHub", "buildlib"]
)
def test_what_calls_cargo_does_not_hide_the_cause(after):
    hidden = [case["name"] for case in CASES if classify(case["log"] + after).cause != case["cause"]]
    assert hidden == []


def test_a_failed_step_of_a_dockerfile_has_the_same_cause():
    hidden = [case["name"] for case in CASES if not case["log"].lstrip().startswith("#") if
              classify(dockerfile(case["log"])).cause != case["cause"]]  # fmt: skip
    assert hidden == []


@pytest.mark.parametrize(
    ("log", "kind", "cause"),
    [
        # A test's own output, and the names of tests.
        ("thread 't' panicked at tests/a.rs:5:5:\nerror: linker `cc` not found\nCould not find directory of OpenSSL installation\n"
         "test t ... FAILED\ntest result: FAILED. 0 passed; 1 failed\nerror: test failed, to rerun pass `--test a`", "test",
         "test t ... FAILED"),
        ("test unknown_target_cpu ... FAILED\ntest result: FAILED. 0 passed; 1 failed", "test",
         "test unknown_target_cpu ... FAILED"),
        # Words in rustc's excerpts, notes and help.
        ("error[E0308]: mismatched types\n --> src/a.rs:3:9\n  |\n3 |     \"error: linker `cc` not found\"\n  |     ^^^ is `cmake` "
         "not installed?\n  = help: Unable to find libclang\nerror: could not compile `a` (lib) due to 1 previous error", "compile",
         "src/a.rs:3:9: error[E0308]: mismatched types"),
        # A build script that did without something, then an error in the source.
        ("warning: a@1.0.0: Could not run `pkg-config --libs x`\nwarning: a@1.0.0: src/a.c:3:5: warning: unused\n   Compiling b v1\n"
         "error: expected `;`\n --> src/b.rs:3:9\n\nerror: could not compile `b` (lib) due to 1 previous error", "compile",
         "src/b.rs:3:9: error: expected `;`"),
        # The first error of a crate, not that of the crate before it.
        ("error[E0432]: unresolved import `x`\n --> a/src/lib.rs:1:5\n\nerror: could not compile `a` (lib) due to 1 previous error\n"
         "error: cannot find macro `m` in this scope\n --> b/src/lib.rs:2:5\n\nerror[E0425]: cannot find value `y` in this scope\n"
         " --> b/src/lib.rs:9:5\n\nerror: could not compile `b` (lib) due to 2 previous errors", "compile",
         "b/src/lib.rs:2:5: error: cannot find macro `m` in this scope"),
        # What zig and ld only warn about.
        ("error: linking with `zigcc.sh` failed: exit status: 1\n  |\n  = note: warning: unsupported linker arg: -znow\n"
         "          warning: unsupported linker arg: -zrelro\n          ld.lld: error: undefined symbol: f\n"
         "          >>> referenced by a.c\n\nerror: could not compile `a` (bin \"a\") due to 1 previous error", "compile",
         "ld.lld: error: undefined symbol: f"),
        ("error: linking with `cc` failed: exit status: 1\n  |\n  = note: /usr/bin/ld: warning: x.o: missing .note.GNU-stack section\n"
         "          /usr/bin/ld: x.o: bad reloc\n          collect2: error: ld returned 1 exit status\n\nerror: could not compile `a` "
         "(bin \"a\") due to 1 previous error", "compile", "/usr/bin/ld: x.o: bad reloc"),
        # Programs about their own files and options.
        ("Error: failed to open the database\n\nCaused by:\n    Permission denied (os error 13)", "unknown",
         "Error: failed to open the database: Permission denied (os error 13)"),
        ("error: unknown argument '--frob'", "unknown", "error: unknown argument '--frob'"),
        ("tar: unrecognized option '--frob'", "usage", "tar: unrecognized option '--frob'"),
        ("Missing dependency: left-pad", "unknown", "Missing dependency: left-pad"),
        ("user 12 was killed by a bear", "unknown", "user 12 was killed by a bear"),
        ("memory allocation of 4096 bytes failed", "resource", "memory allocation of 4096 bytes failed"),
    ],
)  # fmt: skip
def test_the_same_words_in_another_place_are_not_the_cause(log, kind, cause):
    failure = classify(log)
    assert (failure.kind, failure.cause, failure.fault) == (kind, cause, "")


def test_a_long_line_keeps_its_end():
    line = f"process didn't exit successfully: `rustc {'--cfg x ' * 1000}` (signal: 9, SIGKILL: kill)"
    cause = classify(f"error: could not compile `a` (lib)\n\nCaused by:\n  {line}").cause
    assert (len(cause) <= MAX_CAUSE + 3, cause.endswith("(signal: 9, SIGKILL: kill)")) == (True, True)


def test_what_the_log_does_not_say_is_a_placeholder_in_the_help():
    log = "Could not find directory of OpenSSL installation, and this `-sys` crate cannot\n{}"
    assert classify(log.format("$TARGET = riscv64gc-unknown-linux-gnu")).help == (
        "enable the feature `vendored` of `openssl` or `openssl-sys`; or install libssl-dev:riscv64 and set "
        "PKG_CONFIG_PATH_riscv64gc_unknown_linux_gnu=/usr/lib/riscv64-linux-gnu/pkgconfig; or set OPENSSL_DIR"
    )
    assert (
        "libssl-dev:<arch> and set PKG_CONFIG_PATH_<target>=/usr/lib/<gnu>/pkgconfig" in classify(log.format("")).help
    )
    assert "libssl-dev:<arch> and set PKG_CONFIG_PATH_mips_unknown_linux_gnu=" in classify(
        log.format("$TARGET = mips-unknown-linux-gnu")
    ).help  # fmt: skip


def test_every_placeholder_is_a_group_of_its_rule_or_derived_from_one():
    derived = {"target": {"target_", "arch", "gnu"}, "gnu": {"debian_gnu"}}
    for rule in rules():
        groups = {name for pattern in (rule.pattern, rule.above, rule.below) if pattern for name in pattern.groupindex}
        known = groups.union(*(derived.get(name, ()) for name in groups))
        assert {part.partition("}")[0] for part in rule.help.split("{")[1:]} <= known, rule.phrases
