"""What a build shows of its progress: on a terminal, in a pipe, and at Ctrl-C."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest
from testbed import BUILDLIB, as_in_a_shell, buildlib

MANIFEST = """\
[package]
name = "app"
version = "0.1.0"
edition = "2021"

[dependencies]
dep = { path = "dep" }

[workspace]
"""
# The build script holds the build until the test has seen it.
SCRIPT = """\
fn main() {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(SECONDS);
    while std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
"""


@pytest.fixture
def project(tmp_path):
    """A program with a warning, and a dependency with a build script that takes two seconds."""
    dep = tmp_path / "app" / "dep"
    for folder in (dep, dep.parent):
        (folder / "src").mkdir(parents=True)
    (dep.parent / "Cargo.toml").write_text(MANIFEST)
    (dep.parent / "src" / "main.rs").write_text('fn main() {\n    let unused = 1;\n    println!("app 0.1.0");\n}\n')
    (dep / "Cargo.toml").write_text('[package]\nname = "dep"\nversion = "0.1.0"\nedition = "2021"\n')
    (dep / "src" / "lib.rs").touch()
    (dep / "build.rs").write_text(SCRIPT.replace("SECONDS", "2"))
    return dep.parent


def on_a_terminal(*argv, cwd, interrupt_at=None, **env):
    """Run a command on a terminal of 60 columns. Ctrl-C is pressed when `interrupt_at` was shown. Returns exit code and output."""
    terminal, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS", "NO_COLOR")}
    process = subprocess.Popen(
        [BUILDLIB, *argv], cwd=cwd, env={**inherited, "TERM": "xterm", **env}, stdin=program, stdout=program, stderr=program,
        start_new_session=True, preexec_fn=take_terminal,  # noqa: PLW1509
    )  # fmt: skip
    os.close(program)
    output = b""
    while True:
        try:
            output += os.read(terminal, 65536)
        except OSError:  # Linux's way to say that nobody has the other end open any more
            break
        if interrupt_at and interrupt_at in output:
            os.write(terminal, b"\x03")
            interrupt_at = None
    os.close(terminal)
    return process.wait(60), output.decode().replace("\r\n", "\n")


def take_terminal():
    """As a shell does: Ctrl-C reaches the process, and is not ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    as_in_a_shell()


def test_a_terminal_shows_one_line_that_changes_and_one_that_stays(project):
    code, shown = on_a_terminal("build", cwd=project, NO_COLOR="1")
    assert code == 0, shown
    # What is drawn ends with a carriage return, after which it is erased.
    drawn = re.findall(r"(?:^|\n|\x1b\[J)([^\n\r]*)\r(?=\x1b\[J)", shown)
    assert any(re.fullmatch(r"\w+ · compile \d/4 · dep · 0:0\d", line) for line in drawn), shown
    assert max(map(len, drawn)) < 60
    lines = re.sub(r"[^\n\r]*\r\x1b\[J", "", shown).splitlines()
    assert re.fullmatch(r"▸ \w+ · zig \(.*", lines[0]) and lines[1] == "warning: unused variable: `unused`", lines
    assert [line for line in lines if "Compiling" in line or "Finished" in line] == []
    done = next(
        at for at, line in enumerate(lines) if re.fullmatch(r"✓ \w+ · compile · 3 crates compiled · \d+\.\ds", line)
    )
    assert re.fullmatch(r"arch +binary +size +status", re.sub(r" +(glibc|backend|sha256|started)", "", lines[done + 1]))
    assert max(map(len, lines[done + 1 : done + 3])) <= 60, lines
    assert lines[done + 3].startswith("not shown in 60 columns: "), lines
    # Colours change the looks alone.
    code, coloured = on_a_terminal("build", cwd=project)
    assert code == 0 and "\x1b[32m✓ " in coloured and "compile · nothing to compile · " in coloured, coloured


def test_a_pipe_gets_the_command_line_warnings_and_the_end(project):
    built = buildlib("build", cwd=project)
    assert built.code == 0, built
    assert "\r" not in built.err and "\x1b" not in built.err
    lines = [line for line in built.err.splitlines() if ": waiting for " not in line]  # for a cargo of somebody else
    assert (
        lines[0].startswith("▸ ") and lines[1].startswith("  + ") and lines[2] == "warning: unused variable: `unused`"
    )
    assert [line for line in lines if re.fullmatch(r"  ✓ \d+\.\ds · 3 crates compiled", line)], lines
    assert not any(word in built.err for word in ("Compiling", "Finished", "Building"))
    assert [line for line in built.out.splitlines() if line != line.rstrip()] == []
    (project / "src" / "main.rs").write_text('fn main() {\n    println!("app 0.1.0");\n}\n')
    verbose = buildlib("build", "-v", cwd=project)
    assert verbose.code == 0 and "   Compiling app v0.1.0" in verbose.err and "     Running `" in verbose.err, verbose
    quiet = buildlib("build", "-q", cwd=project)
    assert (quiet.code, quiet.err) == (0, ""), quiet


def test_ctrl_c_leaves_a_clean_terminal(project):
    (project / "dep" / "build.rs").write_text(SCRIPT.replace("SECONDS", "120"))
    code, shown = on_a_terminal("build", cwd=project, interrupt_at=b" dep ", NO_COLOR="1")
    assert code == 130, shown
    assert shown.endswith("\r\x1b[Jerror: interrupted\n"), shown
    assert "\x1b[?25l" not in shown  # the cursor was never hidden
