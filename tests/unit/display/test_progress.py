"""What events make of the state of a step, and the line that shows it; no clock is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.display.progress import Progress, Run, counted, duration, line, remaining
from buildlib.display.terminal import columns

EARLIER = (Run(total=412, worked=400, seconds=200.0),)


def compiling(**more):
    return Progress(**{"title": "arm64 · compile", "started": 100.0, "counts": "crate"} | more)


def read(progress, *lines, now=100.0):
    return [progress.cargo_line(text, now) for text in lines]


# --- what cargo prints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("   Compiling serde v1.0.229", ("   Compiling serde v1.0.229", True)),
        ("\x1b[1;92m   Compiling\x1b[0m serde v1.0.229", ("\x1b[1;92m   Compiling\x1b[0m serde v1.0.229", True)),
        ("\x1b[K\x1b[1;92m   Compiling\x1b[0m serde v1.0.229", ("\x1b[1;92m   Compiling\x1b[0m serde v1.0.229", True)),
        (" Downloading crates ...", (" Downloading crates ...", True)),
        ("    Finished `release` profile [optimized] target(s) in 0.1s", (
            "    Finished `release` profile [optimized] target(s) in 0.1s", True)),
        ("    Building [====>      ] 3/8: serde, syn(build)      \r", ("", True)),
        ("\x1b[1;96m    Building\x1b[0m [==>] 3/8: a\r\x1b[K\x1b[1;96m    Building\x1b[0m [==>] 4/8: a\r", ("", True)),
        ("\x1b[1;96m Downloading\x1b[0m [==>   ] 3 crates, remaining bytes: 1.2MiB\r", ("", True)),
        (" Downloading 3 crates, remaining bytes: 1.2MiB\r", ("", True)),
        ("       Fetch [==>   ] 12.34%, 2.1MiB/s\r", ("", True)),
        ("    Building [=>] 3/8: a\rwarning: unused", ("warning: unused", False)),
        ("    Building [=>] 3/8: a\r\x1b[K\x1b[Kwarning: unused", ("warning: unused", False)),
        ("\x1b[K", ("", True)),
        ("warning: unused variable", ("warning: unused variable", False)),
        ("error: Compiling failed", ("error: Compiling failed", False)),
        # What a build script prints is two columns to the right of it, also the lines of a cargo that it starts.
        ("     Compiling nested v1.0.0", ("     Compiling nested v1.0.0", False)),
        ("  Compiling a.c", ("  Compiling a.c", False)),
        ("  10%\r  20%", ("  10%\r  20%", False)),
        ("a line of Windows\r", ("a line of Windows\r", False)),
        ("", ("", False)),
    ],
)  # fmt: skip
def test_progress_is_told_from_what_the_user_must_see(text, shown):
    assert compiling().cargo_line(text, 100.0) == shown


@given(st.text())
def test_any_text_is_read(text):
    shown, is_progress = compiling().cargo_line(text, 100.0)
    assert shown in text or is_progress or "\r" in text


def test_packages_and_units_are_counted():
    progress = compiling()
    read(progress, "   Compiling anyhow v1.0.105", "   Compiling serde_json v1.0.1", "    Building [> ] 0/8: x\r")
    assert (progress.done, progress.total, progress.current) == (0, 8, "serde_json")
    progress.finished("", 101.0, fresh=False)  # a build script
    progress.finished("serde_json", 102.0, fresh=False)
    assert (progress.done, progress.worked, progress.current, progress.news) == (2, 2, "anyhow", 102.0)
    progress.finished("anyhow", 103.0, fresh=True)
    assert (progress.done, progress.worked, progress.current) == (3, 2, "")
    read(progress, "   Compiling my-app v1.0.0 (/w)")
    progress.finished("my_app", 104.0, fresh=False)  # the name of a library's target has no dashes
    assert progress.running == {}


def test_without_messages_the_bar_counts():
    progress = compiling()
    read(progress, "    Building [> ] 3/20: core, alloc\r", "    Building [> ] 2/20: late\r")
    assert (progress.done, progress.total) == (3, 20)


def test_what_the_bar_has_counted_is_not_counted_again():
    progress = compiling()
    read(progress, "    Building [==> ] 3/8: dep\r")
    for _ in range(3):
        progress.finished("up_to_date", 100.0, fresh=True)
    assert (progress.done, progress.total) == (3, 8)
    progress.finished("dep", 100.0, fresh=False)
    assert (progress.done, progress.worked) == (4, 1)


def test_a_wait_ends_with_the_next_news():
    progress = compiling()
    read(progress, "    Blocking waiting for file lock on build directory")
    assert line(progress, 112.0) == "arm64 · compile · waiting for file lock on build directory · 0:12"
    read(progress, "   Compiling a v1")
    assert line(progress, 112.0) == "arm64 · compile · a · 0:12"


def test_a_wait_names_the_holder_where_it_fits_and_nothing_is_estimated():
    waiting = "waiting for file lock on build directory"
    progress = compiling(waiting=waiting, holder="cargo build, process 7", done=1, worked=1, earlier=EARLIER)
    text = f"arm64 · compile 1/412 · {waiting} · cargo build, process 7 · 0:12"
    assert line(progress, 112.0) == line(progress, 112.0, len(text)) == text
    assert line(progress, 112.0, len(text) - 1) == f"arm64 · compile 1/412 · {waiting} · 0:12"


def test_downloads_are_shown():
    progress = compiling()
    read(progress, "    Updating crates.io index")
    assert line(progress, 101.0) == "arm64 · compile · updating crates.io index · 0:01"
    read(progress, "  Downloaded serde v1.0.229")
    assert line(progress, 101.0) == "arm64 · compile · downloaded serde v1.0.229 · 0:01"


def test_test_binaries_are_counted_when_they_have_ended():
    progress = Progress(title="arm64 · test", started=100.0, counts="test binary", total=2)
    lines = []
    for text in ("    Finished `test` profile", "     Running unittests src/main.rs (target/a-1)",
                 "     Running tests/it.rs (target/it-1)", "   Doc-tests app", "   Doc-tests other"):  # fmt: skip
        _, hidden = progress.cargo_line(text, 100.0)
        lines.append((line(progress, 100.0), hidden))
    assert lines == [
        ("arm64 · test 0/2 · 0:00", True),
        ("arm64 · test 0/2 · unittests src/main.rs · 0:00", False),
        ("arm64 · test 1/2 · tests/it.rs · 0:00", False),
        ("arm64 · test 2/2 · app · 0:00", False),
        ("arm64 · test 2/2 · other · 0:00", False),
    ]


def test_another_tool_says_where_it_is():
    progress = Progress(title="build app", started=0.0)
    progress.at("linux/arm64 builder step 2/5", 7.0)
    progress.at("", 9.0)
    assert (line(progress, 65.0), progress.news) == ("build app · linux/arm64 builder step 2/5 · 1:05", 7.0)


# --- the line --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (None, "arm64 · compile 137/412 · serde_json · 1:12 · about 2:15 left"),
        (80, "arm64 · compile 137/412 · serde_json · 1:12 · about 2:15 left"),
        (60, "arm64 · compile 137/412 · 1:12 · about 2:15 left"),
        (40, "arm64 · compile 137/412 · 1:12"),
        (24, "arm64 · compile 137/412"),
        (12, "arm64 · com…"),
        (1, "…"),
    ],
)
def test_what_does_not_fit_is_left_out_the_least_important_first(width, text):
    progress = compiling(earlier=EARLIER, done=137, worked=137, current="serde_json")
    progress.started = 100.0
    assert line(progress, 172.0, width) == text


def test_an_unknown_or_wrong_total_is_not_shown():
    assert line(compiling(done=1), 100.0) == "arm64 · compile 1 crate · 0:00"
    assert line(compiling(done=7, total=5), 100.0) == "arm64 · compile 7 crates · 0:00"
    assert line(compiling(), 100.0) == "arm64 · compile · 0:00"
    assert line(compiling(total=5), 100.0) == "arm64 · compile 0/5 · 0:00"


def test_the_reason_for_a_long_first_link_is_shown_once_nothing_else_is_left():
    reason = "the first link with zig compiles a C library"
    progress = compiling(first=reason, total=8, done=6, running={"dep": None}, current="dep")
    assert reason not in line(progress, 200.0)  # another crate is not started yet
    read(progress, "   Compiling app v1", now=110.0)
    assert reason not in line(progress, 114.0)
    assert line(progress, 116.0) == f"arm64 · compile 6/8 · app · {reason} · 0:16"
    progress.earlier = (Run(total=8, worked=8, seconds=3.0),)
    assert reason not in line(progress, 116.0)


def test_a_line_has_no_control_characters():
    assert line(Progress(title="a\x1b[2J\n", started=0.0, current="\r\x9b"), 0.0) == "a\\x1b[2J\\n · \\x0d\\x9b · 0:00"


@given(st.text(max_size=80), st.text(max_size=80), st.integers(1, 200))
def test_a_line_fits_whatever_it_is_about(title, current, width):
    shown = line(Progress(title=title, started=0.0, current=current), 5.0, width)
    assert columns(shown) <= width and "\n" not in shown


# --- estimates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runs", "state", "passed", "left"),
    [
        ([(200, 200, 100.0)], {"done": 1, "worked": 1}, 10.0, 90),
        ([(200, 200, 100.0)], {"done": 150, "worked": 50}, 30.0, 20),  # 100 are up to date: half the work
        ([(200, 200, 100.0), (200, 0, 0.4)], {"done": 1, "worked": 1}, 10.0, 90),  # a run without work says nothing
        ([(200, 200, 100.0), (200, 2, 12.0)], {"done": 198}, 2.0, 10),  # the run that had to do about as much
        ([(200, 200, 100.0), (200, 190, 300.0)], {"done": 8}, 0.0, 305),
        ([(200, 200, 100.0)], {"done": 0}, 1.0, 0),  # all of it may be up to date
        ([(200, 200, 2.0)], {"done": 1, "worked": 1}, 0.0, 0),  # not worth a word
        ([(200, 200, 100.0)], {"done": 10, "worked": 10}, 500.0, 0),  # it has taken longer already
        ([(200, 200, 100.0)], {"done": 201, "worked": 1}, 1.0, 0),  # there is more to do than then
        ([], {"done": 3, "total": 9}, 1.0, 0),
    ],
)
def test_what_is_left_follows_from_the_run_that_is_most_alike(runs, state, passed, left):
    earlier = [Run(total=total, worked=worked, seconds=seconds) for total, worked, seconds in runs]
    assert remaining(compiling(earlier=earlier, **state), 100.0 + passed) == left


@given(
    st.lists(st.builds(Run, total=st.integers(0, 999), worked=st.integers(-9, 999), seconds=st.floats(0, 1e6)), max_size=5),
    st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.floats(0, 1e6),
)  # fmt: skip
def test_any_history_gives_an_estimate(runs, total, done, worked, passed):
    progress = compiling(earlier=runs, total=total, done=done, worked=worked)
    left = remaining(progress, 100.0 + passed)
    assert left >= 0 and left % 5 == 0 and line(progress, 100.0 + passed)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (7.9, "0:07"), (60, "1:00"), (3599, "59:59"), (3723, "1:02:03"), (90061, "25:01:01")]
)  # fmt: skip
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(1, "crate", "1 crate"), (0, "crate", "0 crates"), (2, "test binary", "2 test binaries")],
)
def test_nouns(number, noun, text):
    assert counted(number, noun) == text
