"""Where a file is does not matter: neither the working directory nor its path, except names that are of one architecture."""

import os
from pathlib import Path, PurePath

import pytest
from test_cases import CASES
from test_idioms import CASES as IDIOMS
from test_kinds import PAIRS

from buildlib.core import layers
from buildlib.lint import command
from buildlib.lint.check import check
from buildlib.lint.parsing.arch_words import arches_of_path

# Names that contain an architecture within a longer name, and names without one.
NEUTRAL = [
    "Dockerfile", "docker/Dockerfile", "my-amd64-tool/Dockerfile", "docker-arm64/Dockerfile", "rpi-alpine/Dockerfile",
    "kube-proxy-amd64/Dockerfile", "cross-armv7/Dockerfile", "arm64-notes/build/Dockerfile", "x64dbg/Dockerfile", "charm/Dockerfile",
    "images/alarm/Containerfile", "linux_arm64/Dockerfile", "a/b/c/d/e/app.Dockerfile", "Dockerfile.dev", "Dockerfile.charm",
    "Dockerfile-alpine3", "harm64/Dockerfile", "Dockerfile.aarch64-linux-android", "docker/Dockerfile.aarch64-unknown-linux-gnu",
    "amd64.example.org/Dockerfile",
]  # fmt: skip
# A whole directory, or a whole part of the file's name.
OF_ONE_ARCH = {
    "Dockerfile.arm64": "arm64", "arm64/Dockerfile": "arm64", "docker/amd64/Dockerfile": "amd64", "x86_64/Dockerfile": "amd64",
    "Dockerfile.x86_64": "amd64", "Dockerfile-armhf": "armv7", "armv7.Dockerfile": "armv7", "app_arm64.Dockerfile": "arm64",
    "Dockerfile.dev-amd64": "amd64", "arm64v8/Dockerfile": "arm64", "AMD64/debian/12/Dockerfile": "amd64", "s390x/Dockerfile": "s390x",
    "Dockerfile_riscv64": "riscv64", "i386/Dockerfile": "386", "Dockerfile.ppc64le.alpine": "ppc64le",
}  # fmt: skip
TEXTS = sorted({case.values[1] for case in CASES} | {text for text, _ in IDIOMS} | {case.values[0] for case in PAIRS})


def findings(text, path="Dockerfile", place=None):
    rows = check(Path(path), text.encode(), {}, place)
    return [(row.line, row.column, row.end_line, row.end_column, row.rule, row.severity, row.message) for row in rows]


@pytest.mark.parametrize("number", range(len(NEUTRAL)))
def test_a_file_has_the_same_findings_at_every_path(number):
    """Each text is moved to two of the paths; all texts together to all of them."""
    assert len(TEXTS) > 600 and len(NEUTRAL) == 20
    for offset in (0, 7):
        path = NEUTRAL[(number + offset) % len(NEUTRAL)]
        assert {text: found for text in TEXTS[number::20] if (found := findings(text, path)) != findings(text)} == {}


@pytest.mark.parametrize("path", NEUTRAL)
def test_a_longer_name_is_of_no_architecture(path):
    assert arches_of_path(PurePath(path)) == frozenset()


@pytest.mark.parametrize(("path", "arch"), OF_ONE_ARCH.items())
def test_a_file_for_one_architecture_is_one_information(path, arch):
    assert arches_of_path(PurePath(path)) == {arch}
    message = f"by its name, this Dockerfile is for {arch} only"
    assert findings("FROM debian:13\nRUN apt-get update\n", path) == [
        (1, 1, 1, 15, "arch-specific-file", "info", message)
    ]


@pytest.mark.parametrize(
    ("path", "machine"),
    [
        ("arm/Dockerfile", "arm"),
        ("Dockerfile.arm", "arm"),
        ("x86/Dockerfile", "x86"),
        ("arm/armv7/Dockerfile", "arm"),
        ("amd64/arm64/Dockerfile", ""),
    ],
)
def test_a_name_may_be_of_several_architectures_of_one_kind(path, machine):
    text = "FROM debian:13\nRUN make\n"
    expected = f"by its name, this Dockerfile is for {machine} only" if machine else "make runs on the target platform"
    assert [message.partition(",")[0] if not machine else message for *_, message in findings(text, path)] == [expected]


@pytest.mark.parametrize(
    ("path", "text", "rules"),
    [
        ("arm64/Dockerfile", "FROM arm64v8/debian\nADD https://e.org/t-arm64.tgz /\n", ["arch-specific-file"]),
        ("arm64/Dockerfile", "FROM debian\nADD https://e.org/t-amd64.tgz /\n", ["arch-specific-file", "wrong-arch-mapping"]),
        ("Dockerfile.amd64", "FROM --platform=linux/amd64 debian\n", ["arch-specific-file"]),
        ("Dockerfile.amd64", "FROM --platform=linux/arm64 debian\n", ["arch-specific-file", "wrong-arch-mapping"]),
        ("cross-armv7/Dockerfile", "FROM --platform=linux/amd64 debian\n", ["hardcoded-platform"]),
        ("my-amd64-tool/Dockerfile", "FROM debian\nRUN curl -fLO https://e.org/t-linux-amd64.tgz\n", ["hardcoded-arch-download"]),
        ("docker-arm64/Dockerfile", "FROM debian\nRUN curl -fLO https://e.org/t-linux-amd64.tgz\n", ["hardcoded-arch-download"]),
        ("rpi-alpine/Dockerfile", "FROM arm32v6/alpine\n", ["arch-specific-base"]),
        ("kube-proxy-amd64/Dockerfile", "FROM debian\nRUN GOARCH=amd64 go build\n", ["hardcoded-target-triple", "emulated-compile"]),
        ("amd64/arm64/Dockerfile", "FROM debian\n", []),
        ("Dockerfile.amd64", "FROM rust\nRUN cargo build\n", ["arch-specific-file"]),
        ("app.Dockerfile", "FROM rust\nRUN cargo build\n", ["emulated-compile"]),
        ("arm64/Cross.toml", "[target.aarch64-unknown-linux-gnu]\nimage = 'a'\n", []),
    ],
)  # fmt: skip
def test_what_a_name_changes(path, text, rules):
    assert sorted(row.rule for row in check(Path(path), text.encode(), {})) == sorted(rules)


TEXT = "FROM debian\nRUN curl -fLO https://example.org/tool-linux-amd64.tgz\n"
CONFIG = layers.resolve(("buildlib.toml", {"lint": {}}))


def lint_from(folder, path, monkeypatch):
    monkeypatch.chdir(folder)
    return [(row.line, row.rule, row.message) for row in command.lint([Path(path)], CONFIG, Path()).findings]


@pytest.mark.parametrize(
    "name", ["my-amd64-tool/Dockerfile", "arm64/Dockerfile", "a/Dockerfile.s390x", "docker/Dockerfile"]
)
def test_the_working_directory_changes_nothing_in_a_repository(tmp_path, monkeypatch, name):
    """The repository itself is below a directory with the name of an architecture, which says nothing about its files."""
    root = tmp_path / "amd64" / "repository"
    file = root / name
    file.parent.mkdir(parents=True)
    (root / ".git").mkdir()
    file.write_text(TEXT)
    folders = [root, file.parent, tmp_path, tmp_path / "amd64", Path("/")]
    results = [lint_from(folder, os.path.relpath(file, folder), monkeypatch) for folder in folders]
    results += [lint_from(folder, file, monkeypatch) for folder in folders]
    results += [lint_from(folder, os.path.relpath(file.parent, folder), monkeypatch) for folder in folders]
    assert len(results) == 15 and all(result == results[0] for result in results)
    is_for_one = name.startswith(("arm64", "a/"))
    rules = ["arch-specific-file", "wrong-arch-mapping"] if is_for_one else ["hardcoded-arch-download"]
    assert [rule for _, rule, _ in results[0]] == rules


def test_in_a_worktree_git_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "amd64" / "tree").mkdir(parents=True)
    (tmp_path / "amd64" / "tree" / ".git").write_text("gitdir: elsewhere\n")
    (tmp_path / "amd64" / "tree" / "Dockerfile").write_text(TEXT)
    assert [rule for _, rule, _ in lint_from(tmp_path, "amd64/tree/Dockerfile", monkeypatch)] == [
        "hardcoded-arch-download"
    ]


def test_outside_of_a_repository_the_path_that_is_given_counts(tmp_path, monkeypatch):
    (tmp_path / "arm64").mkdir()
    (tmp_path / "arm64" / "Dockerfile").write_text(TEXT)
    assert [rule for _, rule, _ in lint_from(tmp_path, "arm64", monkeypatch)] == [
        "arch-specific-file",
        "wrong-arch-mapping",
    ]
    assert [rule for _, rule, _ in lint_from(tmp_path / "arm64", "Dockerfile", monkeypatch)] == [
        "hardcoded-arch-download"
    ]
