import json
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.process.history import NO_HISTORY, History, read
from buildlib.report.page import charts, page, timeline

RUN = {"run": "2026-11-23T02:31:05.000+00:00", "command": "test --arch arm64"}


def step(title, at, seconds, code=0, **more):
    return RUN | {"kind": "step", "title": title, "at": at, "seconds": seconds, "code": code} | more


class Tags(HTMLParser):
    """Checks that every tag is closed and that the page loads nothing."""

    VOID = ("meta", "br", "rect", "polyline", "circle")

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []
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
        self.texts.append(data)


def test_a_run_has_one_bar_per_step():
    lines = [step("arm64 · compile", 100.0, 3.0), step("riscv64 · test", 103.0, 1.5, code=7), step("pack", 101.0, 0.5)]
    html = timeline(lines)
    assert html.count("<rect") == 3 and html.count('class="bad"') == 1
    assert "4.5 s, 3 steps, 1 failed" in html and "buildlib test --arch arm64" in html
    assert "arm64 3.0 s · riscv64 1.5 s · other 0.5 s" in html
    assert "0.5 s, 1 step<" in timeline(lines[2:])
    assert timeline([RUN | {"kind": "size", "arch": "arm64", "name": "a", "value": 3}]) == ""


def test_a_failure_that_another_source_made_good_is_not_counted():
    """rustup had no std for the target; its sources had."""
    lines = [
        step("std for riscv64", 100.0, 1.0, code=1), step("std for riscv64, from /usr/src/rust", 101.0, 60.0),
        step("arm64 · compile", 161.0, 1.0, code=101), step("arm64 · compile", 163.0, 1.0), step("push a", 165.0, 1.0, code=1),
    ]  # fmt: skip
    assert "66.0 s, 5 steps, 1 failed, 2 tried again<" in timeline(lines)
    html = timeline(lines[:4])
    assert (
        "64.0 s, 4 steps, 2 tried again<" in html and 'class="bad"' not in html and html.count('class="repeated"') == 2
    )
    assert "60.0 s, 1 step<" in timeline(lines[1:2])
    # In the other order the failure is what counts.
    assert "1 failed" in timeline([step("std for arm64", 1.0, 1.0), step("std for arm64, from /x", 2.0, 1.0, code=101)])


def test_a_long_title_is_cut_at_its_end():
    title = "std for riscv64, from /root/.rustup/toolchains/stable/lib/rustlib/src/rust/library"
    html = timeline([step(title, 1.0, 1.0), step("x" * 46, 2.0, 1.0)])
    assert ">std for riscv64, from /root/.rustup/toolchain…</text>" in html and f"<title>{title}: 1.0 s</title>" in html
    assert f">{'x' * 46}</text>" in html


def test_a_chart_has_one_point_per_run():
    lines = [RUN | {"run": f"2026-11-2{day}", "kind": "size", "arch": "arm64", "name": "app", "value": value}
             for day, value in ((3, 130), (1, 100), (2, 110))]  # fmt: skip
    html = charts("size", "Sizes", lines)
    assert "arm64 · app" in html and "130 (+30.0 % since 100)" in html
    (points,) = (part.split('"')[0] for part in html.split('points="')[1:])
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys, reverse=True)
    assert charts("instructions", "x", lines) == ""


def test_the_newest_run_is_first_and_only_the_latest_are_shown():
    lines = [step(f"run {number:02}", 1.0, 1.0, run=f"2026-{number:02}") for number in range(1, 20)]
    html = page(lines)
    assert html.index("run 19") < html.index("run 18") and "run 08" in html and "run 07" not in html


NUMBER = st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(st.none() | st.booleans() | NUMBER | st.text(), st.lists, max_leaves=3)
KINDS = {"run": st.text(), "command": st.text(), "kind": st.sampled_from(["step", "size", "x"])}
FACTS = dict.fromkeys(("title", "at", "seconds", "code", "value", "arch", "name"), ANYTHING)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.lists(st.fixed_dictionaries(KINDS, optional=FACTS)))
def test_whatever_the_history_contains_the_page_is_html(lines):
    assert Tags(page(lines)).seen[:4] == ["html", "head", "meta", "title"]


def test_titles_of_steps_are_escaped():
    tags = Tags(page([step("<script>alert(1)</script> & more that is long enough to be cut", 1.0, 1.0)]))
    assert "script" not in tags.seen and any("<script>" in text for text in tags.texts)


def test_an_empty_history_is_a_page_too():
    assert "No command has been recorded yet." in page([])


def test_the_history_is_one_json_object_per_line(tmp_path):
    path = tmp_path / "target" / "buildlib" / "journal.jsonl"
    history = History(path, "build --arch arm64")
    history("step", title="arm64 · compile", seconds=1.0)
    history("size", arch="arm64", name="app", value=3)
    with path.open("a") as stream:
        stream.write('{"run": "cut o\n3\n{"kind": "step"}\n')
    first, second = read(path.read_text())
    assert first == {**history.run, "kind": "step", "title": "arm64 · compile", "seconds": 1.0}
    assert (second["kind"], second["command"], second["run"]) == ("size", "build --arch arm64", first["run"])
    NO_HISTORY("step")
    assert json.loads(path.read_text().splitlines()[0])["command"] == "build --arch arm64"


@pytest.mark.parametrize("place", ["file/x/journal", "folder"])
def test_a_history_that_cannot_be_written_changes_nothing(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")}
    History(tmp_path / place)("step")
    assert {path: path.is_dir() or path.read_bytes() for path in tmp_path.rglob("*")} == before
