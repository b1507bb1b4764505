"""Lines about what is running: on a terminal, whose screen is computed here, and without one."""

import io
import re
import threading

import pytest

from buildlib.display.progress import Progress
from buildlib.display.status import Status


class Screen(io.StringIO):
    """A terminal of 60 columns that knows carriage return, cursor up and "erase below"."""

    def fileno(self):
        raise OSError

    @property
    def lines(self):
        rows, row, column = [""], 0, 0
        for part in re.findall(r"\x1b\[\d*[A-Z]|\r|\n|[^\x1b\r\n]+", self.getvalue()):
            if part == "\r":
                column = 0
            elif part == "\n":
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            elif part == "\x1b[J":
                rows[row:] = [rows[row][:column]]
            elif part.endswith("A"):
                row -= int(part[2:-1])
            else:
                assert not part.startswith("\x1b"), part
                rows[row] = rows[row][:column] + part + rows[row][column + len(part) :]
                column += len(part)
        return rows


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    return Screen()


def never(text):
    raise AssertionError(text)


def test_lines_stay_below_what_is_printed(screen, clock):
    status = Status(screen, never, clock)
    with status.showing(Progress(title="a", started=0.0)), status.showing(Progress(title="b", started=0.0)):
        status.tick()
        assert screen.lines == ["a · 0:00", "b · 0:00"]
        clock.now = 61.0
        status.tick()
        assert screen.lines == ["a · 1:01", "b · 1:01"]
        with status.printing():
            screen.write("warning: x\n")
        assert screen.lines == ["warning: x", ""]
        status.tick()
        assert screen.lines == ["warning: x", "a · 1:01", "b · 1:01"]
    assert screen.lines == ["warning: x", ""]


def test_what_has_not_changed_is_not_written_again(screen, clock):
    status = Status(screen, never, clock)
    with status.showing(Progress(title="a", started=0.0)):
        for now in (0.0, 0.25, 0.5):
            clock.now = now
            status.tick()
        assert screen.getvalue() == "a · 0:00"


def test_an_error_leaves_no_line_behind(screen, clock):
    status = Status(screen, never, clock)
    with pytest.raises(KeyboardInterrupt), status.showing(Progress(title="a", started=0.0)):
        status.tick()
        raise KeyboardInterrupt
    assert screen.lines == [""]


def test_what_is_over_soon_is_not_shown(screen, clock):
    status = Status(screen, never, clock)
    with status.showing(Progress(title="crate graph", started=0.0, delay=2.0)):
        for clock.now in (0.0, 1.9):
            status.tick()
        assert screen.getvalue() == ""
        clock.now = 2.0
        status.tick()
        assert screen.lines == ["crate graph · 0:02"]
    assert screen.lines == [""]


def test_of_work_without_ticks_a_thread_shows_the_time(screen):
    drawn = threading.Event()
    status = Status(screen, never, lambda: (drawn.set(), 0.0)[1])
    with pytest.raises(KeyError), status.showing(Progress(title="a", started=0.0)), status.ticking():
        drawn.clear()
        assert drawn.wait(30)
        raise KeyError
    threads = [thread for thread in threading.enumerate() if thread.name.endswith("(run)")]
    assert (screen.lines, threads) == ([""], [])


def test_of_many_steps_the_first_are_shown(screen, clock):
    status = Status(screen, never, clock)
    contexts = [status.showing(Progress(title=str(number), started=0.0)) for number in range(6)]
    for context in contexts:
        context.__enter__()
    status.tick()
    assert screen.lines == ["0 · 0:00", "1 · 0:00", "2 · 0:00", "3 · 0:00", "and 2 more"]
    contexts[0].__exit__(None, None, None)
    status.tick()
    assert screen.lines == ["1 · 0:00", "2 · 0:00", "3 · 0:00", "4 · 0:00", "and 1 more"]


def test_a_line_is_shorter_than_the_terminal(screen, clock):
    status = Status(screen, never, clock)
    with status.showing(Progress(title="漢" * 80, started=0.0)):
        status.tick()
        assert screen.lines == ["漢" * 29 + "…"]  # 59 columns


def test_a_terminal_that_has_gone_is_no_error(clock):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    with (status := Status(Gone(), never, clock)).showing(Progress(title="a", started=0.0)):
        status.tick()


def test_without_a_terminal_there_is_a_line_every_half_minute(clock):
    notes = []
    status = Status(None, lambda text: notes.append((clock.now, text)), clock)
    with status.showing(Progress(title="a", started=0.0)):
        for clock.now in range(45):
            status.tick()
        clock.now = 45.0
        with status.showing(Progress(title="b", started=45.0)):
            for clock.now in range(45, 91):
                status.tick()
    status.tick()
    assert notes == [(30, "a · 0:30"), (60, "a · 1:00"), (75, "b · 0:30"), (90, "a · 1:30")]
