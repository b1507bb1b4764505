"""`doctor --report`: what an issue should say, also where nothing works, without secrets, and as text that cannot be Markdown."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import AMD64, ARM64, WITH_ZIG, Machine, Recorder, context, workspace

from buildlib.core.targets import TARGETS
from buildlib.doctor import bug_report, checks
from buildlib.doctor.bug_report import Section
from buildlib.machine import cargo_config
from buildlib.machine.host import Daemon
from buildlib.machine.workspace import Component
from buildlib.process.console import Console
from buildlib.process.history import History
from buildlib.report.bug_report import MAX_CHARACTERS, markdown


def sections(context, *targets, problem=""):
    """The rows of each section by its title. What doctor checks has tests of its own."""
    return {section.title: section.rows for section in bug_report.sections(context, targets, problem)}


def machine(daemon, **facts):
    host = Machine(**facts)
    object.__setattr__(host, "daemon", daemon)
    return host


@pytest.fixture(autouse=True)
def no_checks(monkeypatch):
    monkeypatch.setattr(checks, "all_requirements", lambda *_: ())


NO_DOCKER = Daemon(error="no socket")


def test_a_target_has_its_choices_with_reasons():
    host = machine(NO_DOCKER, **WITH_ZIG)
    found = sections(context(host, Recorder({"x": (0, "")}), backend="zig"), ARM64, TARGETS["amd64-musl"])
    rows = dict(found["target arm64"])
    assert (rows["triple"], rows["backend"], rows["minimum glibc"]) == (
        "aarch64-unknown-linux-gnu",
        "zig: requested",
        "2.31",
    )
    assert dict(found["target amd64-musl"])["minimum glibc"] == "static"
    assert found["containers"] == (("engine", "no socket"),)
    assert found["settings"] == (("backend", "'zig' (flag)"),)
    assert list(found)[:2] == ["versions", "containers"] and list(found)[-4:] == [
        "settings", "environment", "missing", "errors of the last commands",
    ]  # fmt: skip


def test_flags_and_variables_have_reasons(rustup):
    env = {"RUSTFLAGS": "-C linker=clang --cfg x"}
    config = cargo_config.resolve([], env, Path("/w"))
    host = machine(NO_DOCKER, tools=["cc"], env=env, cargo_config=config, toolchains=(rustup,), **WITH_ZIG)
    opened = context(host, Recorder({"x": (0, "")}), backend="zig")
    rows = dict(sections(opened, AMD64)["target amd64"])
    assert (rows["compiler"], rows["error"]) == (
        "rustc 1.95.0 (rustup), /r/toolchains/stable/bin/rustc",
        "no binaries in /w",
    )
    rows = dict(
        sections(replace(opened, workspace=workspace(Component(name="a", package="a", version="1.0.0"))), AMD64)[
            "target amd64"
        ]
    )
    assert rows["rustflags"] == "-C linker=clang --cfg x (RUSTFLAGS)"
    assert (
        rows["CARGO_ENCODED_RUSTFLAGS"] == "--cfg x (the configured flags without what cannot be meant for the target)"
    )
    assert rows["LDFLAGS"] == "-Wl,--undefined-version (lld refuses version scripts that name absent symbols)"
    assert "cargo-zigbuild build --target x86_64-unknown-linux-gnu.2.31 " in rows["command"] and "PATH" not in rows


def test_what_goes_wrong_is_said_in_its_place(tmp_path, monkeypatch):
    """A glibc that zig cannot link for, a workspace that cannot be read, checks that fail."""

    def fail(*_):
        raise bug_report.BuildError("cargo cannot download")

    monkeypatch.setattr(checks, "all_requirements", fail)
    host = machine(NO_DOCKER, **WITH_ZIG)
    found = sections(context(host, Recorder(), backend="zig", glibc="2.5"), ARM64, problem="Cargo.toml: no targets")
    assert found["workspace"] == (("cannot be read", "Cargo.toml: no targets"),)
    ((name, message),) = found["notes"]
    assert name == "arm64" and "zig links for glibc" in message
    assert found["missing"] == (("error", "cargo cannot download"),)
    assert "target arm64" not in found


def test_variables_that_change_builds_and_the_last_errors_are_reported(tmp_path):
    env = {
        "CARGO_NET_OFFLINE": "true",
        "https_proxy": "http://proxy.test",
        "EDITOR": "vi",
        "RUSTFLAGS": "-Ctarget-cpu=native",
    }
    opened = context(machine(NO_DOCKER, env=env), Recorder(), root=tmp_path)
    history = History(tmp_path / "target" / "buildlib" / "journal.jsonl", "build")
    for number in range(5):
        history("error", message=f"failure {number}", help="", code=1)
        history("step", title="x", at=1.0, seconds=1.0, code=1)
    found = sections(opened, AMD64)
    assert found["environment"] == (
        ("CARGO_NET_OFFLINE", "true"), ("RUSTFLAGS", "-Ctarget-cpu=native"), ("https_proxy", "http://proxy.test"),
    )  # fmt: skip
    assert [message for _, message in found["errors of the last commands"]] == ["failure 2", "failure 3", "failure 4"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x", "", ""),
        ("Cargo.toml", "[package", "no cargo on PATH"),
        ("buildlib.toml", "unknown = 1", "unknown"),
        ("buildlib.toml", "", ""),
    ],
)
def test_it_works_without_a_workspace_and_with_a_broken_one(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    opened, message = bug_report.context(Console({}), {"PATH": "/nowhere", "HOME": "/nowhere"}, tmp_path)
    assert (problem in message, bool(message), opened.workspace.root) == (True, bool(problem), tmp_path)
    assert opened.run.dry
    object.__setattr__(opened.host, "daemon", NO_DOCKER)
    assert [section.title for section in bug_report.sections(opened, (ARM64,), message)][
        -1
    ] == "errors of the last commands"
    assert bug_report.title(opened).startswith("buildlib ")


# --- as Markdown ---------------------------------------------------------------------------------------------------------------


def test_the_report_is_one_block_of_code_in_a_fold():
    found = [Section("versions", (("zig", "0.17.1"), ("cargo-zigbuild", "0.24"), ("rustup", ""))), Section("notes", ())]
    assert markdown(found, "buildlib 1 <b>", {}) == (
        "<details>\n<summary>buildlib 1 &lt;b&gt;</summary>\n\n```text\nversions\n  zig             0.17.1\n"
        "  cargo-zigbuild  0.24\n\nnotes\n  none\n```\n\n</details>"
    )


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("CARGO_REGISTRY_TOKEN", "abcdefgh1234", "***"), ("https_proxy", "http://user:hunter22@proxy.test", "http://***@proxy.test"),
        ("command", "cargo build --config token=abcdefgh1234", "cargo build --config token=***"),
        ("settings", "{'API_TOKEN': 'abcdefgh1234'} (flag)", "{'API_TOKEN': ***} (flag)"),
        ("other", "the value is hunter22x", "the value is ***"),
        ("CC", "/usr/bin/cc", "/usr/bin/cc"), ("a", "/home/me/p:/home/me", "~/p:~"), ("a", "/home/me2/p", "/home/me2/p"),
        ("a", "\x1b[31mred\u202e", "\\x1b[31mred\\u202e"),
    ],
)  # fmt: skip
def test_secrets_the_home_directory_and_control_characters_are_replaced(name, value, shown):
    env = {"HOME": "/home/me", "MY_PASSWORD": "hunter22x"}
    text = markdown([Section("s", ((name, value),))], "t", env)
    assert text.splitlines()[5].strip() == f"{name}  {shown}"


def test_no_value_ends_the_block():
    text = markdown([Section("s", (("a", "```\n</details> @acme #1 ````"),))], "t", {})
    fence = "`" * 5
    assert text.splitlines()[3] == f"{fence}text" and text.splitlines()[-3] == fence and text.count(fence) == 2


def test_a_long_report_fits_an_issue():
    text = markdown([Section(f"{at}", (("a", "`" + "x" * 9000),)) for at in range(99)], "t", {})
    assert MAX_CHARACTERS < len(text) < 65_536


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5), st.dictionaries(st.text(), st.text(), max_size=3))
def test_whatever_the_values_are_the_block_has_one_beginning_and_one_end(rows, env):
    text = markdown([Section("s", tuple(rows))], "t", env)
    fence = re.search(r"^(`{3,})text$", text, re.MULTILINE)[1]
    assert [line for line in text.splitlines() if line.startswith(fence)] == [f"{fence}text", fence]
    json.dumps(text)
