"""Kinds of files, comments and settings that turn findings off, fixes, and input of any content and size."""

import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from buildlib.lint.check import check, kind
from buildlib.lint.finding import SEVERITIES
from buildlib.lint.fix import apply_edits
from buildlib.lint.parsing.mask import mask_scripts
from buildlib.lint.parsing.shell_tree import parse

PINNED = "FROM --platform=linux/amd64 debian\n"


def findings(text, **severities):
    return check(
        Path("Dockerfile"), text.encode(), {name.replace("_", "-"): value for name, value in severities.items()}
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Dockerfile", "dockerfile"), ("a/Containerfile", "dockerfile"), ("Dockerfile.arm64", "dockerfile"),
        ("release.Dockerfile", "dockerfile"), ("x.dockerfile", "dockerfile"), ("Dockerfile-dev", "dockerfile"),
        ("Dockerfile_windows", "dockerfile"), ("Dockerfile.dockerignore", ""), ("dockerfile.go", ""), ("dockerfile_test.go", ""),
        ("Dockerfile.md", ""), ("mydockerfiles", ""), ("Cross.toml", "cross"), (".cargo/config.toml", "cargo"),
        ("config.toml", ""), (".github/workflows/ci.yml", "workflow"), ("ci.yml", ""), ("docker-compose.yml", ""),
    ],
)  # fmt: skip
def test_the_kind_of_a_file(path, expected):
    assert kind(Path(path)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "# buildlib ignore=hardcoded-platform\nFROM --platform=linux/amd64 debian\n",
        "# buildlib ignore=arg-lost-after-from, hardcoded-platform\n# reason\n\nFROM --platform=linux/amd64 debian\n",
        "# buildlib global ignore=hardcoded-platform\nFROM debian\nFROM --platform=linux/amd64 debian\n",
        "FROM debian\n# buildlib ignore=hardcoded-arch-download\nRUN true && \\\n  # more\n  curl -LO https://a.test/b-amd64.tgz\n",
        "FROM debian\nRUN true && \\\n  # buildlib ignore=hardcoded-arch-download\n  curl -LO https://a.test/b-amd64.tgz\n",
    ],
)
def test_a_comment_turns_a_finding_off(text):
    assert findings(text) == []


def test_a_comment_turns_no_other_finding_off():
    text = f"# buildlib ignore=hardcoded-platform\n{PINNED}{PINNED}"
    assert [finding.line for finding in findings(text)] == [3]
    text = f"# buildlib ignore=arch-specific-base\n{PINNED}"
    assert [finding.rule for finding in findings(text)] == ["hardcoded-platform"]


TARGET = "FROM --platform=$TARGETPLATFORM debian\n"


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (f"# hadolint ignore=DL3029\n{PINNED}", []),
        (f"# hadolint ignore=DL3006,DL3029\n# reason\n{PINNED}", []),
        (f"# hadolint ignore=DL3065\n{TARGET}", []),
        (f"# hadolint global ignore=DL3029\nFROM debian\n{PINNED}", []),
        (f"# check=skip=FromPlatformFlagConstDisallowed\n{PINNED}", []),
        (
            f"# syntax=docker/dockerfile:1\n# check=skip=StageNameCasing,RedundantTargetPlatform;error=true\n{TARGET}",
            [],
        ),
        (f"#check=error=true;skip=all\n{PINNED}{TARGET}FROM arm64v8/debian\n", []),
        ("# check=skip=InvalidBaseImagePlatform\nFROM arm64v8/debian\n", []),
        (f"# hadolint ignore=DL3006\n{PINNED}", ["hardcoded-platform"]),
        (f"# hadolint ignore=DL3029\nFROM debian\n{PINNED}", ["hardcoded-platform"]),
        (f"# hadolint ignore=hardcoded-platform\n{PINNED}", ["hardcoded-platform"]),
        (f"# check=skip=RedundantTargetPlatform\n{PINNED}", ["hardcoded-platform"]),
        (f"# check=error=true\n{PINNED}", ["hardcoded-platform"]),
        (f"# a text\n# check=skip=all\n{PINNED}", ["hardcoded-platform"]),
        (f"FROM debian\n# check=skip=all\n{PINNED}", ["hardcoded-platform"]),
        ("# check=skip=all\nFROM debian\nADD https://a.test/b-amd64.tgz /\n", ["hardcoded-arch-download"]),
    ],
)
def test_comments_of_hadolint_and_buildkit_turn_equivalent_rules_off(text, rules):
    assert [finding.rule for finding in findings(text)] == rules


@pytest.mark.parametrize(
    "flag", ["$TARGETPLATFORM", "${TARGETPLATFORM}", '"$TARGETPLATFORM"', "${TARGETPLATFORM:-linux/amd64}"]
)
def test_the_fix_of_a_redundant_platform_removes_the_flag(flag):
    text = f"FROM debian\nFROM --platform={flag} alpine AS a\n"
    assert apply_edits(text.encode(), findings(text)) == b"FROM debian\nFROM alpine AS a\n"


def test_settings_change_severities():
    assert [finding.severity for finding in findings(PINNED)] == ["error"]
    assert [finding.severity for finding in findings(PINNED, hardcoded_platform="info")] == ["info"]
    assert findings(PINNED, hardcoded_platform="off") == []


HOOKS = Path(__file__).parents[3] / ".pre-commit-hooks.yaml"
NAMES = [
    "Dockerfile", "a/Containerfile", "Dockerfile.arm64", "b/release.Dockerfile", "x.dockerfile", "Dockerfile-dev", "Dockerfile_w",
    "Dockerfile.dockerignore", "dockerfile.go", "dockerfile_test.go", "Dockerfile.md", "mydockerfiles", "Cross.toml", "a/cross.toml",
    ".cargo/config.toml", "a/.cargo/config", "config.toml", ".github/workflows/ci.yml", "workflows/ci.yaml", "ci.yml",
    "docker-compose.yml", "Dockerfile~", "Dockerfile.orig", "Dockerfile.tmpl", "web-Dockerfile", "Dockerfile.toml", "Dockerfile.yml",
    "Dockerfiles/a", "a.rs",
]  # fmt: skip


def test_the_hook_of_pre_commit_selects_the_files_that_lint_looks_for():
    (hook,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert (hook["id"], hook["entry"], hook["language"]) == ("buildlib-lint", "buildlib lint", "python")
    selected = [name for name in NAMES if re.search(hook["files"], name) and not re.search(hook["exclude"], name)]
    assert selected == [name for name in NAMES if kind(Path(name))]


QUESTION = "$(dpkg --print-architecture)"


@pytest.mark.parametrize(
    ("command", "replacement"),
    [
        ("echo 'deb [arch=amd64 trusted=yes] https://a.test/ s main'", f"""'"{QUESTION}"'"""),
        ('add-apt-repository "deb [arch=amd64] https://a.test/ $S s"', QUESTION),
        ("""sh -c 'echo "deb [arch=amd64] https://a.test/ s"'""", QUESTION),
        ("echo deb [arch=amd64] https://a.test/ s", QUESTION),
    ],
)
def test_the_fix_of_a_package_source_asks_dpkg(command, replacement):
    data = f"FROM debian\nRUN {command}\n".encode()
    fixed = apply_edits(data, check(Path("Dockerfile"), data, {}))
    assert fixed.decode() == f"FROM debian\nRUN {command.replace('amd64', replacement)}\n"
    assert check(Path("Dockerfile"), fixed, {}) == []


# --- input of any content and size -----------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        "FROM debian AS a", "FROM --platform=linux/amd64 b", "FROM a-${TARGETARCH}", "ARG TARGETARCH", "ARG V=1", "ENV A=$V",
        'case "$TARGETARCH" in amd64) A=x86_64;;', "arm64) A=aarch64;; esac", "curl -L https://a/b-amd64.tgz | tar xz", "RUN \\",
        "RUN <<EOF", "EOF", "COPY <<'X' /y", "X", 'CMD ["a", "b', "ONBUILD RUN true", "# escape=`", 'RUN ["a",', "fi", "\\", "",
        "if [ $A = arm64 ]; then", "\t# comment \\", "RUN --mount=type=cache,target=/target,id=$V true", "HEALTHCHECK NONE",
        'SHELL ["pwsh"]', "ä $ö ${", "$(`",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=600), st.lists(LINES, max_size=30).map(lambda lines: "\n".join(lines).encode())),
       st.sampled_from(["Dockerfile", "Cross.toml", ".cargo/config.toml", ".github/workflows/a.yml"]))  # fmt: skip
def test_any_content_is_checked(data, path):
    result = check(Path(path), data, {})
    lines = data.count(b"\n") + 1
    assert all(
        1 <= finding.line <= finding.end_line <= lines and finding.column >= 1 and finding.severity in SEVERITIES
        for finding in result
    )
    assert result == check(Path(path), data, {})


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=20).map(lambda lines: "\n".join(lines).encode()))
def test_fixes_leave_no_more_fixable_findings(data):
    before = check(Path("Dockerfile"), data, {})
    fixed = apply_edits(data, before)
    after = check(Path("Dockerfile"), fixed, {})
    assert sum(bool(finding.edits) for finding in after) <= sum(bool(finding.edits) for finding in before)
    if not any(finding.edits for finding in before):
        assert fixed == data


@pytest.mark.parametrize(
    "text",
    ["ONBUILD " * 5000 + "RUN x", "RUN [" + "[" * 50_000, 'RUN ["a", ' + "[" * 50_000],
    ids=["onbuild", "json", "list"],
)
def test_nesting_of_any_depth_is_read(text):
    check(Path("Dockerfile"), f"FROM debian\n{text}\n".encode(), {})


def test_the_grammars_get_ascii_and_findings_the_text_itself():
    """A scanner that gets another character may read outside of a table of C, and end the process."""
    text = "FROM ä\nENV ü=\U000ee563\nRUN {\U000771a8$(ü; curl -LO https://a.test/é-amd64.tgz\n"
    assert mask_scripts(text.encode()).isascii()
    assert (parse(text.encode()).text or b"").isascii()
    assert "https://a.test/é-amd64.tgz" in " ".join(
        finding.message for finding in findings("FROM a\nADD https://a.test/é-amd64.tgz /\n")
    )


def cpu_seconds(text):
    start = time.process_time()
    check(Path("Dockerfile"), text.encode(), {})
    return time.process_time() - start


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (lambda n: "RUN curl -LO https://a.test/b-amd64.tgz\n" * n, 100),
        (lambda n: "RUN true" + " && \\\n  apt-get install -y foo-amd64" * n, 100),
        (lambda n: "RUN <<EOF\n" + "case $ARCH in amd64) A=b;; esac\n" * n + "EOF\n", 100),
        (lambda n: "RUN " + "if [ $ARCH = arm64 ]; then " * n + "true" + "; fi" * n, 500),
        (lambda n: "".join(f"FROM a{k - 1} AS a{k}\nARG V{k}\nRUN echo $V{k} $V1\n" for k in range(1, n)), 50),
        (lambda n: "".join(f"FROM debian AS a{k}\nARG V{k}\nRUN echo $V{k} $V1\n" for k in range(1, n)), 50),
        (lambda n: "ENV " + " ".join(f"A{k}=$A{k - 1}" for k in range(n)) + "\nRUN echo $A499\n", 500),
        (lambda n: "RUN " + "$(echo " * n + ")" * n, 2000),
        (lambda n: "RUN echo " + "${" * n, 500),
        (lambda n: "RUN echo " + "$(" * n, 3000),
        (lambda n: "RUN true \\\n" + "# comment\n\n" * n + "  true\n", 1000),
        (lambda n: "RUN true \\" + " " * n + "true\n", 20_000),
        (lambda n: "".join(f"FROM a{k - 1} AS a{k}\n" for k in range(1, n)), 1000),
        (lambda n: "RUN " + "".join(f"A{k}=arm64; curl a.test/$A{k}; " for k in range(n)) + "\n", 500),
        (lambda n: "RUN " + "[" * n, 2000),
        (lambda n: "RUN " + "[arch=" * n, 500),
    ],
    ids=["instructions", "list", "choices", "nested", "chained stages", "stages", "variables", "nested substitutions", "braces",
         "open substitutions", "comments", "spaces", "stages without instructions", "assignments", "brackets", "package sources"],
)  # fmt: skip
def test_the_time_for_a_file_grows_with_its_size(make, size):
    """Four times the size takes about four times the CPU time; 16 times if it were quadratic.

    The smallest of several measurements counts, and there are more of them until they agree: load makes only some of them longer.
    """
    small, large = (f"FROM debian\n{make(factor * size)}" for factor in (1, 4))
    measured = []
    for _ in range(20):
        measured.append((cpu_seconds(small), cpu_seconds(large)))
        ratio = min(seconds for _, seconds in measured) / min(seconds for seconds, _ in measured)
        if ratio < 10:
            return
    raise AssertionError(f"{ratio:.1f} times the CPU time for 4 times the size")
