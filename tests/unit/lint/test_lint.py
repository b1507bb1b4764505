"""Which files, what is said of them and how; comments and settings that take findings back; cures."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import Machine, Recorder, context

from buildlib.core import layers
from buildlib.lint import command
from buildlib.process.console import Console
from buildlib.core.errors import Refused, UsageError
from buildlib.lint.check import check, kind
from buildlib.lint.finding import SEVERITIES, rules
from buildlib.lint.fix import fixed
from buildlib.lint.formats import as_data, github, plain, sarif

PINNED = b"FROM --platform=linux/amd64 debian\n"


def found(text, path="Dockerfile", **severities):
    data = text if isinstance(text, bytes) else text.encode()
    return check(Path(path), data, {name.replace("_", "-"): value for name, value in severities.items()})


def test_a_finding_says_where_what_and_how_to_mend_it():
    (one,) = found("ARG V=1\nFROM debian\nRUN ä=1; echo $V\n")
    assert as_data([one]) == [
        {
            "file": "Dockerfile", "line": 3, "end_line": 3, "column": 16, "end_column": 17, "rule": "arg-lost-after-from",
            "number": "BL005", "severity": "error", "message": "V is not declared in this stage: it is empty here",
            "cure": "ARG V before this line", "fixable": True,
        }
    ]  # fmt: skip
    assert plain([one]) == [
        "Dockerfile:3:16: error: V is not declared in this stage: it is empty here [arg-lost-after-from]",
        "  help: ARG V before this line",
    ]


def test_annotations_escape_what_github_would_read():
    (one,) = found(PINNED, "a,b:c/Dockerfile")
    assert github([one]) == [
        "::error file=a%2Cb%3Ac/Dockerfile,line=1,endLine=1,col=6,title=hardcoded-platform::"
        "the stage is of linux/amd64, whatever the image is built for; "
        "leave it out, or --platform=$BUILDPLATFORM where the stage only makes things"
    ]


def test_sarif_names_rule_level_and_region():
    told = json.loads(sarif(found(PINNED)))
    (run,) = told["runs"]
    assert told["version"] == "2.1.0" and [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [
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


@pytest.mark.parametrize(
    "text",
    [
        "# buildlib ignore=hardcoded-platform\nFROM --platform=linux/amd64 debian\n",
        "# buildlib ignore=arg-lost-after-from, hardcoded-platform\n# why\n\nFROM --platform=linux/amd64 debian\n",
        "# buildlib global ignore=hardcoded-platform\nFROM debian\nFROM --platform=linux/amd64 debian\n",
        "FROM debian\n# buildlib ignore=hardcoded-arch-download\nRUN true && \\\n  # still\n  curl -LO https://a.test/b-amd64.tgz\n",
        "FROM debian\nRUN true && \\\n  # buildlib ignore=hardcoded-arch-download\n  curl -LO https://a.test/b-amd64.tgz\n",
    ],
)
def test_a_comment_takes_a_finding_back(text):
    assert found(text) == []


def test_a_comment_takes_back_no_other_finding():
    text = (
        "# buildlib ignore=hardcoded-platform\nFROM --platform=linux/amd64 debian\nFROM --platform=linux/amd64 debian\n"
    )
    assert [one.line for one in found(text)] == [3]
    assert [one.rule for one in found("# buildlib ignore=arch-specific-base\n" + PINNED.decode())] == [
        "hardcoded-platform"
    ]


def test_severities_are_settings():
    assert [one.severity for one in found(PINNED, hardcoded_platform="info")] == ["info"]
    assert found(PINNED, hardcoded_platform="off") == []


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("Dockerfile", "dockerfile"), ("a/Containerfile", "dockerfile"), ("Dockerfile.arm64", "dockerfile"),
        ("release.Dockerfile", "dockerfile"), ("x.dockerfile", "dockerfile"), ("Dockerfile-dev", "dockerfile"),
        ("Dockerfile_windows", "dockerfile"), ("Dockerfile.dockerignore", ""), ("dockerfile.go", ""), ("dockerfile_test.go", ""),
        ("Dockerfile.md", ""), ("mydockerfiles", ""), ("Cross.toml", "cross"), (".cargo/config.toml", "cargo"),
        ("config.toml", ""), (".github/workflows/ci.yml", "workflow"), ("ci.yml", ""), ("docker-compose.yml", ""),
    ],
)  # fmt: skip
def test_what_a_file_is(path, what):
    assert kind(Path(path)) == what


# --- the flow --------------------------------------------------------------------------------------------------------


def told(**lint):
    return layers.resolve(("buildlib.toml", {"lint": lint}))


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("Dockerfile", "b/x.Dockerfile", "target/Dockerfile", "node_modules/a/Dockerfile", "third/Dockerfile"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(PINNED)
    Path("notes.md").write_text("FROM --platform=linux/amd64 x")
    return tmp_path


def test_folders_are_walked_and_files_are_taken_as_they_are(tree):
    def paths(*words, **lint):
        return [str(path) for path in command.lint([Path(word) for word in words], told(**lint), Path()).paths]

    assert paths(".") == ["Dockerfile", "b/x.Dockerfile", "third/Dockerfile"]
    assert paths(".", exclude=["third/*"]) == ["Dockerfile", "b/x.Dockerfile"]
    assert paths("notes.md", "b") == ["notes.md", "b/x.Dockerfile"]
    assert paths("target/Dockerfile", "target/Dockerfile") == ["target/Dockerfile"]
    with pytest.raises(UsageError, match=r"nowhere: no such file or folder"):
        paths("nowhere")


def test_one_rule_alone_by_name_or_number(tree):
    for word in ("hardcoded-platform", "BL002", "bl002"):
        assert len(command.lint([Path("Dockerfile")], told(), Path(), [word]).findings) == 1
    assert command.lint([Path("Dockerfile")], told(), Path(), ["BL001"]).findings == ()
    with pytest.raises(UsageError) as caught:
        command.lint([Path("Dockerfile")], told(), Path(), ["hardcoded-platfrom"])
    assert caught.value.help == "did you mean 'hardcoded-platform'?"


def test_a_severity_that_is_none_is_an_error():
    with pytest.raises(UsageError, match=r"buildlib\.toml: lint\.severity: BL002 = 'eror'"):
        command.severities(told(severity={"BL002": "eror"}))
    assert command.severities(told(severity={"BL002": "off"})) == {"hardcoded-platform": "off"}


def test_only_information_is_no_failure(tree):
    assert command.lint([Path("Dockerfile")], told(), Path()).failed
    assert not command.lint([Path("Dockerfile")], told(severity={"BL002": "info"}), Path()).failed


def test_a_baseline_knows_what_was_there(tree, capsys):
    def lint():
        return command.lint([Path("Dockerfile"), Path("b")], told(baseline="known.json"), tree)

    Path("known.json").touch()
    before = lint()
    assert (len(before.findings), before.known) == (2, 0)
    command.show(Console({}), before, "json")
    Path("known.json").write_text(capsys.readouterr().out)
    assert (lint().findings, lint().known, lint().failed) == ((), 2, False)
    assert command.summary(lint()) == "2 files, nothing new, 2 in the baseline"
    Path("Dockerfile").write_bytes(b"# moved\n" + PINNED + PINNED)  # the second one is new
    assert [(one.file, one.line) for one in lint().findings] == [("Dockerfile", 3)]
    assert command.summary(lint()) == "2 files, 1 error, 2 in the baseline"


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", '[{"file": 1}]', None])
def test_a_baseline_that_is_none(tree, text):
    if text is not None:
        Path("known.json").write_text(text)
    with pytest.raises(UsageError, match=r"lint\.baseline: .*known\.json: ") as caught:
        command.lint([Path("Dockerfile")], told(baseline="known.json"), tree)
    assert caught.value.help == "buildlib lint --format json > known.json"


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_each_format_is_spoken(tree, capsys, form):
    command.show(Console({}), command.lint([Path("Dockerfile")], told(), Path()), form)
    out = capsys.readouterr()
    assert "hardcoded-platform" in out.out
    assert ("1 file, 1 error" in out.err) == (form in ("text", "github"))


def test_cures_that_need_no_thought(tree):
    text = (
        "ARG V=1\r\nFROM --platform=linux/amd64 debian AS a\r\nRUN echo $V ${TARGETARCH}\r\n"
        "ARG TARGETVARIANT=v7\r\nFROM --platform=$BUILDPLATFORM debian\r\n"
    )
    Path("Dockerfile").write_bytes(text.encode())
    (act,) = command.mend(command.lint([Path("Dockerfile")], told(), Path()))
    assert act.text == (
        "ARG V=1\r\nFROM debian AS a\r\nARG TARGETARCH\r\nARG V\r\nRUN echo $V ${TARGETARCH}\r\n"
        "ARG TARGETVARIANT\r\nFROM debian\r\n"
    )
    assert found(act.text) == []
    Path("Dockerfile").write_bytes(PINNED + b"# \xff\n")  # no UTF-8: left alone
    assert command.mend(command.lint([Path("Dockerfile")], told(), Path())) == []


# --- input from outside ----------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        "FROM debian AS a", "FROM --platform=linux/amd64 b", "FROM a-${TARGETARCH}", "ARG TARGETARCH", "ARG V=1", "ENV A=$V",
        'case "$TARGETARCH" in amd64) A=x86_64;;', "arm64) A=aarch64;; esac", "curl -L https://a/b-amd64.tgz | tar xz", "RUN \\",
        "RUN <<EOF", "EOF", "COPY <<'X' /y", "X", 'CMD ["a", "b', "ONBUILD RUN true", "# escape=`", 'RUN ["a",', "fi", "\\", "",
        "if [ $A = arm64 ]; then", "\t# comment \\", "RUN --mount=type=cache,target=/target,id=$V true", "HEALTHCHECK NONE",
        'SHELL ["pwsh"]', "ä $ö ${", "$(`",
    ]
)  # fmt: skip


ASKED = "$(dpkg --print-architecture)"


@pytest.mark.parametrize(
    ("before", "put"),
    [
        ("echo 'deb [arch=amd64 trusted=yes] https://a.test/ s main'", f"""'"{ASKED}"'"""),
        ('add-apt-repository "deb [arch=amd64] https://a.test/ $S s"', ASKED),
        ("""sh -c 'echo "deb [arch=amd64] https://a.test/ s"'""", ASKED),
        ("echo deb [arch=amd64] https://a.test/ s", ASKED),
    ],
)
def test_a_package_source_asks_dpkg(before, put):
    data = f"FROM debian\nRUN {before}\n".encode()
    mended = fixed(data, check(Path("Dockerfile"), data, {}))
    assert mended.decode() == f"FROM debian\nRUN {before.replace('amd64', put)}\n"
    assert check(Path("Dockerfile"), mended, {}) == []


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=600), st.lists(LINES, max_size=30).map(lambda lines: "\n".join(lines).encode())),
       st.sampled_from(["Dockerfile", "Cross.toml", ".cargo/config.toml", ".github/workflows/a.yml"]))  # fmt: skip
def test_whatever_a_file_holds_is_read(data, path):
    findings = check(Path(path), data, {})
    lines = data.count(b"\n") + 1
    assert all(
        1 <= one.line <= one.end_line <= lines and one.column >= 1 and one.severity in SEVERITIES for one in findings
    )
    assert findings == check(Path(path), data, {})


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES, max_size=20).map(lambda lines: "\n".join(lines).encode()))
def test_a_cure_never_makes_it_worse(data):
    findings = check(Path("Dockerfile"), data, {})
    mended = fixed(data, findings)
    assert sum(bool(one.edits) for one in check(Path("Dockerfile"), mended, {})) <= sum(
        bool(one.edits) for one in findings
    )
    if not any(one.edits for one in findings):
        assert mended == data


@pytest.mark.parametrize(
    "text",
    [
        "FROM debian\n" + "RUN curl -LO https://a.test/b-amd64.tgz\n" * 2000,
        "FROM debian\nRUN true" + " && \\\n  apt-get install -y foo-amd64" * 500 + "\n",
        "FROM debian\nRUN " + "if [ $A = arm64 ]; then " * 60 + "true" + "; fi" * 60 + "\n",
        "FROM debian\n" + "".join(f"FROM a{n - 1} AS a{n}\nARG V{n}\nRUN echo $V{n} $V1\n" for n in range(1, 200)),
        "FROM debian\nENV " + " ".join(f"A{n}=$A{n - 1}" for n in range(500)) + "\nRUN echo $A499\n",
        "FROM debian\nRUN " + "if [ $ARCH = arm64 ]; then " * 3000 + "true" + "; fi" * 3000 + "\n",
        "FROM debian\nRUN " + "$(echo " * 3000 + ")" * 3000 + "\n",
        "FROM debian\nRUN echo " + "${" * 3000 + "\n",
        "FROM debian\nRUN echo " + "$(" * 500 + "\n",
    ],
    ids=["many", "long", "deep", "stages", "variables", "deeper", "deepest", "braces", "substitutions"],
)
def test_a_large_file_takes_no_time(text):
    check(Path("Dockerfile"), b"FROM debian\nRUN true\n", {})  # the grammars are loaded once
    began = time.process_time()
    check(Path("Dockerfile"), text.encode(), {})
    assert time.process_time() - began < 1.0


# --- before images are made ------------------------------------------------------------------------------------------


def test_a_dockerfile_of_one_s_own_is_looked_at_before_images_are_made_of_it(tmp_path, capsys):
    told = context(Machine(), Recorder(), root=tmp_path)
    command.before(told, strict=True)  # there is none
    (tmp_path / "Dockerfile.multiarch").write_bytes(PINNED + b"RUN cargo build\n")
    command.before(told, strict=False)
    assert capsys.readouterr().err == (
        "warning: Dockerfile.multiarch:1: the stage is of linux/amd64, whatever the image is built for [hardcoded-platform]\n"
    )
    with pytest.raises(Refused) as caught:
        command.before(told, strict=True)
    assert (caught.value.message, caught.value.code) == ("Dockerfile.multiarch: 1 error", 6)
