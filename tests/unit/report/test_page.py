import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.process.history import NO_HISTORY, History, read
from buildlib.report.page import page, plotted, timeline

RUN = {"run": "2026-11-23T02:31:05.000+00:00", "command": "test --arch arm64"}


def step(title, at, seconds, code=0, **more):
    return RUN | {"kind": "step", "title": title, "at": at, "seconds": seconds, "code": code} | more


class Tags(HTMLParser):
    """What is open must be closed, and nothing comes from elsewhere."""

    VOID = ("meta", "br", "rect", "polyline", "circle")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.said = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        assert not {"src", "href"} & {name for name, _ in attrs} and tag not in ("script", "link", "iframe")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


def test_a_run_is_a_bar_a_step():
    lines = [step("arm64 · compile", 100.0, 3.0), step("riscv64 · test", 103.0, 1.5, code=7), step("pack", 101.0, 0.5)]
    made = timeline(lines)
    assert made.count("<rect") == 3 and made.count('class="bad"') == 1
    assert "4.5 s, 3 steps, 1 failed" in made and "buildlib test --arch arm64" in made
    assert "arm64 3.0 s · riscv64 1.5 s · other 0.5 s" in made
    assert timeline([RUN | {"kind": "size", "arch": "arm64", "name": "a", "value": 3}]) == ""


def test_numbers_are_plotted_run_by_run():
    lines = [RUN | {"run": f"2026-11-2{day}", "kind": "size", "arch": "arm64", "name": "app", "value": value}
             for day, value in ((3, 130), (1, 100), (2, 110))]  # fmt: skip
    made = plotted("size", "Sizes", lines)
    assert "arm64 · app" in made and "130 (+30.0 % since 100)" in made
    (points,) = (part.split('"')[0] for part in made.split('points="')[1:])
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys, reverse=True)
    assert plotted("instructions", "x", lines) == ""


def test_the_newest_run_comes_first_and_old_ones_not_at_all():
    lines = [step(f"run {number:02}", 1.0, 1.0, run=f"2026-{number:02}") for number in range(1, 20)]
    made = page(lines)
    assert made.index("run 19") < made.index("run 18") and "run 08" in made and "run 07" not in made


NUMBER = st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(st.none() | st.booleans() | NUMBER | st.text(), st.lists, max_leaves=3)
KINDS = {"run": st.text(), "command": st.text(), "kind": st.sampled_from(["step", "size", "x"])}
FACTS = dict.fromkeys(("title", "at", "seconds", "code", "value", "arch", "name"), ANYTHING)


@given(st.lists(st.fixed_dictionaries(KINDS, optional=FACTS)))
def test_whatever_the_journal_says_is_a_page(lines):
    assert Tags(page(lines)).seen[:4] == ["html", "head", "meta", "title"]


def test_what_is_said_is_no_markup():
    tags = Tags(page([step("<script>alert(1)</script> & more that is long enough to be cut", 1.0, 1.0)]))
    assert "script" not in tags.seen and any("<script>" in said for said in tags.said)


def test_nothing_has_run_yet():
    assert "Nothing has run yet." in page([])


def test_the_journal_is_a_line_a_fact(tmp_path):
    path = tmp_path / "target" / "buildlib" / "journal.jsonl"
    journal = History(path, "build --arch arm64")
    journal("step", title="arm64 · compile", seconds=1.0)
    journal("size", arch="arm64", name="app", value=3)
    with path.open("a") as stream:
        stream.write('{"run": "cut o\n3\n{"kind": "step"}\n')
    first, second = read(path.read_text())
    assert first == {**journal.run, "kind": "step", "title": "arm64 · compile", "seconds": 1.0}
    assert (second["kind"], second["command"], second["run"]) == ("size", "build --arch arm64", first["run"])
    NO_HISTORY("step")
    assert json.loads(path.read_text().splitlines()[0])["command"] == "build --arch arm64"


@pytest.mark.parametrize("where", ["file/x/journal", "folder"])
def test_a_journal_that_cannot_be_written_is_none(tmp_path, where):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    History(tmp_path / where)("step")
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == before
