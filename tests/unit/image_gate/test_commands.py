"""What a command line starts in the end, and where nothing can be said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.image_gate.commands import Command, inner


def started(*argv):
    """Program, PATH and working directory of the inner command."""
    found = inner(Command(argv, "/bin", "/w"))
    return found and (found.argv, found.path, found.folder)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("/usr/bin/env", "python3", "x"), (("python3", "x"), "/bin", "/w")),
        (("env", "-S", "A=1 PATH=/x app -u", "s"), (("app", "-u", "s"), "/x", "/w")),
        (("env", "-S python3 -u", "s.py"), (("python3", "-u", "s.py"), "/bin", "/w")),
        (("env", "-vS", "'a b' c"), (("a b", "c"), "/bin", "/w")),
        (("env", "--split-string=app x", "y"), (("app", "x", "y"), "/bin", "/w")),
        (("env", "--split-string", "app x", "y"), (("app", "x", "y"), "/bin", "/w")),
        (("env", "-iS", "app"), (("app",), None, "/w")),
        (("env", "-i", "A=1", "app"), (("app",), None, "/w")),
        (("env", "-", "PATH=/y", "app"), (("app",), "/y", "/w")),
        (("env", "-u", "PATH", "-C", "x", "app"), (("app",), None, "/w/x")),
        (("env", "-u", "HOME", "app"), (("app",), "/bin", "/w")),
        (("env", "--unset=HOME", "--chdir=/y", "--", "app"), (("app",), "/bin", "/y")),
        (("env", "-0"), None),
        (("env", "--block-signal", "app"), None),
        (("env", "-S", "${X} app"), None),
        (("env", "-S", "'app"), None),
        (("env", "-S"), None),
        (("env", "-u"), None),
        (("env", "A=b"), None),
        (("env",), None),
    ],
)
def test_env(argv, expected):
    assert started(*argv) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("exec app a $X", ("app", "a", "$X")),
        ("java -jar /app.jar", ("java", "-jar", "/app.jar")),
        ("app && other", ("app",)),
        ("app&&other", ("app",)),
        ("app | tee x", ("app",)),
        ("A=1 B='x y' app", ("app",)),
        ("app > /dev/stdout 2>&1", ("app",)),
        ("2>/dev/null app x", ("app", "x")),
        ("app>/x", ("app",)),
        ("exec app <&0", ("app",)),
        ("exec app &>/x", ("app",)),
        ("app 'a; b' \"$X\"", ("app", "a; b", "$X")),
        ("'my app' x", ("my app", "x")),
        ("app \\\n  --x", ("app", "--x")),
        ("exec app; echo done", ("app",)),
        # The shell goes on without it.
        ("app || other", None),
        ("exec app || other", None),
        ("app; other", None),
        ("app & other", None),
        ("app\nother", None),
        # What the shell does itself, or computes.
        ("cd /x && app", None),
        ("set -e\napp", None),
        ("exec -a n app", None),
        ("exec 3>&1", None),
        ("PATH=/x app", None),
        ("$X a", None),
        ('"$@"', None),
        ("`x` a", None),
        ("~/app", None),
        ("/opt/*/app", None),
        ("if true; then x; fi", None),
        ("(app)", None),
        ("{ app; }", None),
        ("! app", None),
        ("[ -f x ] && app", None),
        ("app() { x; }; app", None),
        ("# app", None),
        ("app 'unbalanced", None),
        ("", None),
        ("A=1", None),
        ("> x", None),
    ],
)
def test_shells(text, expected):
    assert started("/bin/sh", "-c", text) == (expected and (expected, "/bin", "/w"))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("sh", "-ec", "app"), ("app",)),
        (("/bin/bash", "-euo", "pipefail", "-c", "app"), ("app",)),
        (("ash", "+x", "-c", "app", "name"), ("app",)),
        (("bash", "-lc", "app"), None),
        (("bash", "--login", "-c", "app"), None),
        (("sh", "-s"), None),
        (("sh", "-c"), None),
        (("sh", "x.sh"), None),
        (("sh",), None),
        (("/sbin/tini", "--", "app", "x"), ("app", "x")),
        (("tini", "-s", "-e", "143", "--", "app"), ("app",)),
        (("docker-init", "app"), ("app",)),
        (("tini", "--unknown", "app"), None),
        (("tini",), None),
        (("dumb-init", "-r", "15:2", "-v", "app"), ("app",)),
        (("gosu", "u:g", "app"), ("app",)),
        (("su-exec", "u"), None),
        (("nohup", "app"), ("app",)),
        (("python3", "app.py"), None),
    ],
)
def test_wrappers(argv, expected):
    assert started(*argv) == (expected and (expected, "/bin", "/w"))


WORDS = st.sampled_from(
    ["env", "sh", "tini", "-c", "-S", "-i", "-", "--", "-u", "exec", "A=b", "'", '"', "$(", "\\", ";", "&&", "a b", ""]
)


@given(st.lists(st.one_of(WORDS, st.text(max_size=12)), min_size=1, max_size=8))
def test_any_words(argv):
    """A shorter or a split command line, or none; never an error."""
    found = inner(Command(tuple(argv), None, "/"))
    assert found is None or (len(found.argv) >= 1 and all(isinstance(word, str) for word in found.argv))
