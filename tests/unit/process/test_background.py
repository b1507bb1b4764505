"""A program beside the steps: given when it is ready, ended at the end."""

import time

import pytest

from buildlib.process.background import background

pytestmark = pytest.mark.processes


def alive(path):
    """Whether the process whose number is in the file runs."""
    state = path.read_text().split()
    try:
        with open(f"/proc/{state[0]}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_runs_until_the_end(tmp_path):
    ready = tmp_path / "ready"
    words = ("sh", "-c", 'echo $$ > "$R.new"; mv "$R.new" "$R"; exec sleep 600')
    with background(words, {"PATH": "/usr/bin:/bin", "R": str(ready)}, ready.exists, 60) as failure:
        assert (failure, alive(ready)) == (None, True)
    assert not alive(ready)


def test_one_that_ends_or_is_not_ready_in_time_says_what_it_printed(tmp_path):
    printed = tmp_path / "printed"

    def never_ready():
        while not printed.exists():
            time.sleep(0.01)
        return False

    for end, seconds in (("", 60), ("exec sleep 600", 0)):
        words = ("sh", "-c", f'echo so; echo it is >&2; : > "$R"; {end}')
        with background(words, {"PATH": "/usr/bin:/bin", "R": str(printed)}, never_ready, seconds) as failure:
            assert failure == "so\nit is\n"
        printed.unlink()


def test_it_ends_with_an_error_of_the_caller(tmp_path):
    ready = tmp_path / "ready"
    words = ("sh", "-c", 'echo $$ > "$R.new"; mv "$R.new" "$R"; exec sleep 600')
    with pytest.raises(KeyError), background(words, {"PATH": "/usr/bin:/bin", "R": str(ready)}, ready.exists, 60):
        raise KeyError
    assert not alive(ready)
