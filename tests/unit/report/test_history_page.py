"""The page of `report`: what it says, that it stays small and complete in itself, and that nothing in a history is HTML to it."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.process.history import read
from buildlib.report.history_page.page import MAX_BYTES, page, seconds, size
from buildlib.report.history_page.records import (
    Arch,
    Compilation,
    Crate,
    Image,
    Problem,
    Series,
    Step,
    number,
    text,
)
from buildlib.report.history_page.summary import failed, summarize

RUN = {"run": "2026-11-23T02:31:05.000+00:00", "command": "test --arch arm64"}
LATER = {"run": "2026-11-23T02:31:09.000+00:00", "command": "test --arch arm64"}
HOSTILE = "</style><script>alert(1)</script>\"' onload=x style=background:url(//a.test/x) & <img src=//a.test>"


def step(title, at, seconds, code=0, **more):
    return RUN | {"kind": "step", "title": title, "at": at, "seconds": seconds, "code": code} | more


class Document(HTMLParser):
    """The elements and the text of a page. Every element is closed, and nothing is loaded or run."""

    VOID = ("meta", "link")
    KNOWN = (
        "html", "head", "meta", "link", "title", "style", "body", "h1", "h2", "p", "b", "i", "span", "small", "code", "div", "ol",
        "li", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "svg", "polyline",
    )  # fmt: skip

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.texts, self.attributes = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        assert set(self.seen) <= set(self.KNOWN)
        links = [
            value
            for name, value in self.attributes
            if name in ("src", "href", "srcset", "action", "data", "xlink:href")
        ]
        assert links == ["data:,"]
        styles = [value for name, value in self.attributes if name == "style"]
        assert all(re.fullmatch(r"left:[\d.]+%;width:[\d.]+%", style) for style in styles), styles
        assert not [name for name, _ in self.attributes if name.startswith("on")]

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts += filter(None, [data.strip()])

    @property
    def text(self):
        return " ".join(self.texts)


# --- what the history says -----------------------------------------------------------------------------------------------------


def test_steps_of_a_command_and_totals_of_its_arches():
    lines = [step("arm64 · compile", 100.0, 3.0), step("riscv64 · test", 103.0, 1.5, code=7), step("pack", 101.0, 0.5)]
    summary = summarize([*lines, RUN | {"kind": "size", "arch": "arm64", "name": "a", "value": 3}])
    (run,) = summary.runs
    assert run.steps == (
        Step("arm64 · compile", 100.0, 3.0, 0), Step("pack", 101.0, 0.5, 0), Step("riscv64 · test", 103.0, 1.5, 7),
    )  # fmt: skip
    assert (run.when, run.command, run.code, run.seconds, failed(run)) == (
        "2026-11-23 02:31",
        "test --arch arm64",
        None,
        4.5,
        1,
    )
    assert summary.arches == (
        Arch("arm64", commands=1, seconds=3.0, size=3.0), Arch("riscv64", commands=1, seconds=1.5, failed=1),
    )  # fmt: skip
    assert summarize([RUN | {"kind": "size", "arch": "arm64", "name": "a", "value": 3}]).runs == ()


def test_a_failure_that_another_source_made_good_is_not_one():
    """rustup had no std for the target; its sources had."""
    lines = [
        step("std for riscv64", 100.0, 1.0, code=1), step("std for riscv64, from /usr/src/rust", 101.0, 60.0),
        step("arm64 · compile", 161.0, 1.0, code=101), step("arm64 · compile", 163.0, 1.0), step("push a", 165.0, 1.0, code=1),
    ]  # fmt: skip
    assert [one.last for one in summarize(lines).runs[0].steps] == [False, True, False, True, True]
    assert "66.0 s, 5 steps, 1 failed, 2 tried again" in Document(page(lines)).text
    assert "64.0 s, 4 steps, 2 tried again" in Document(page(lines[:4])).text
    assert "60.0 s, 1 step " in Document(page(lines[1:2])).text
    # In the other order the failure is what counts.
    assert (
        failed(summarize([step("std for arm64", 1.0, 1.0), step("std for arm64, from /x", 2.0, 1.0, code=1)]).runs[0])
        == 1
    )


def test_errors_have_cause_and_help_and_say_whether_the_command_has_succeeded_since():
    error = {"kind": "error", "message": "arm64: no std", "help": "buildlib setup", "code": 4}
    end = {"kind": "end", "code": 4, "seconds": 1.0}
    failing = [RUN | error, RUN | end, LATER | error]
    problem = Problem("arm64: no std", "buildlib setup", "test --arch arm64", "2026-11-23 02:31", 2)
    assert summarize(failing).problems == (problem,)
    assert failed(summarize(failing).runs[1]) == 1
    text = Document(page(failing)).text
    assert "arm64: no std help: buildlib setup 2026-11-23 02:31 buildlib test --arch arm64 , 2 times" in text
    mended = [RUN | error, RUN | end, LATER | {"kind": "end", "code": 0, "seconds": 1.0}, step("x", 1.0, 1.0, **LATER)]
    assert [one.solved for one in summarize(mended).problems] == [True]
    assert "has succeeded since" in Document(page(mended)).text
    # Before it is not since.
    earlier = [LATER | error, RUN | {"kind": "end", "code": 0, "seconds": 1.0}, step("x", 1.0, 1.0)]
    assert [one.solved for one in summarize(earlier).problems] == [False]


def test_only_failures_that_were_tried_again_are_retries():
    failure = {
        "kind": "failure",
        "title": "push",
        "class": "transient-network",
        "cause": "reset",
        "help": "wait",
        "attempt": 1,
    }
    summary = summarize([RUN | failure | {"wait": 1.0}, RUN | failure | {"wait": 2.0}, RUN | failure | {"wait": None}])
    assert summary.retries == (
        Problem("reset", "wait", RUN["command"], "2026-11-23 02:31", 2, "transient-network"),
    )  # fmt: skip


def test_compiled_and_cached_crates_and_the_slowest_of_their_last_compilations():
    lines = [
        RUN | {"kind": "crates", "title": "arm64 · compile", "compiled": 2, "fresh": 1,
               "slowest": [["serde", "1.0.1", 9.0, 0.5], ["app", "0.1.0", 1.0, 0.0]]},
        RUN | {"kind": "crates", "title": "amd64 · compile", "compiled": 1, "fresh": 2, "slowest": [["app", "0.1.0", 2.0, 0.0]]},
        LATER | {"kind": "crates", "title": "arm64 · compile", "compiled": 1, "fresh": 2, "slowest": [["serde", "1.0.1", 3.0, 0.25]]},
    ]  # fmt: skip
    summary = summarize(lines)
    assert summary.crates == (
        Crate("serde 1.0.1", "arm64 · compile", 3.0, 0.25),
        Crate("app 0.1.0", "amd64 · compile", 2.0, 0.0),
    )
    assert summary.compilations[0] == Compilation("2026-11-23 02:31", "arm64 · compile", 1, 2)
    assert {(arch.name, arch.compiled, arch.fresh) for arch in summary.arches} == {("arm64", 3, 3), ("amd64", 1, 2)}
    assert "3 compiled, 3 cached" in Document(page(lines)).text


def test_sizes_and_sections_grow_over_the_commands():
    def at(day, value, **more):
        return RUN | {"run": f"2026-11-2{day}", "kind": "size", "arch": "arm64", "name": "app", "value": value} | more

    lines = [
        at(3, 130, sections={".text": 120, "other": 10}), at(1, 100, sections={".text": 90, "other": 10}), at(2, 110),
        at(4, 130),
    ]  # fmt: skip
    (series,) = summarize(lines).sizes
    assert series == Series(
        "arm64", "app", {"2026-11-21": 100.0, "2026-11-22": 110.0, "2026-11-23": 130.0, "2026-11-24": 130.0},
        [{".text": 90.0, "other": 10.0}, {".text": 120.0, "other": 10.0}],
    )  # fmt: skip
    html = page(lines)
    assert ".text 120 B +33.3 % +33.3 % other 10 B" in Document(html).text
    assert "130 B +18.2 % +30.0 %" in Document(html).text
    (points,) = re.findall(r'points="([^"]*)"', html)
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert (len(xs), list(xs), list(ys)) == (4, sorted(xs), sorted(ys, reverse=True))
    counts = [RUN | {"kind": "instructions", "arch": "arm64", "name": "crc", "value": 12345.6}]
    assert (
        "Instructions per iteration arch name last last change since the first arm64 crc 12,346"
        in Document(page(counts)).text
    )


def test_an_image_has_platforms_with_layers_also_when_it_was_unchanged():
    image = {
        "kind": "image",
        "name": "web",
        "digest": "sha256:aa",
        "tags": ["1.0", "latest"],
        "where": "r.test/acme/web",
    }
    layers = [["sha256:01", 3 << 20], ["sha256:02", 1 << 20]]
    lines = [
        RUN | image | {"status": "done", "platforms": {"linux/amd64": layers, "linux/arm64": []}},
        LATER | image | {"status": "unchanged", "platforms": {"linux/amd64": [], "linux/arm64": []}},
    ]  # fmt: skip
    assert summarize(lines).images == (
        Image("web", "2026-11-23 02:31", "r.test/acme/web", "sha256:aa", ("1.0", "latest"), "unchanged",
              {"linux/amd64": (("sha256:01", 3.0 * 2**20), ("sha256:02", 1.0 * 2**20)), "linux/arm64": ()}),
    )  # fmt: skip
    text = Document(page(lines)).text
    assert "linux/amd64 4.0 MiB 2 layers 3.0 MiB sha256:01 1.0 MiB sha256:02 linux/arm64 not known" in text


def test_the_newest_command_is_first_and_older_ones_are_one_row_per_day():
    lines = [step(f"run {number:02}", 1.0, 1.0, run=f"2026-11-{number:02}T10:00") for number in range(1, 20)]
    text = Document(page(lines)).text
    assert text.index("run 19") < text.index("run 18")
    assert "run 08" in text and "run 07" not in text
    assert "7 older commands day commands failed time 2026-11-07 1 0 1.0 s 2026-11-06" in text


def test_emulation_is_in_the_notes_of_a_command():
    lines = [
        step("build web", 1.0, 1.0),
        RUN | {"kind": "emulation", "name": "web", "text": "9 s of 10 s were emulated"},
    ]
    assert "web: 9 s of 10 s were emulated" in Document(page(lines)).text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 20, "5.0 MiB"), (1e18, "931,322,574.6 GiB")],
)
def test_sizes_have_a_unit(value, expected):
    assert size(value) == expected


def test_times_have_a_unit():
    assert [seconds(value) for value in (0.04, 119.9, 120, 7325)] == ["0.0 s", "119.9 s", "2 min 0 s", "122 min 5 s"]


# --- whatever is in the file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, "1", [], float("nan"), float("inf"), -1, 10**400, 1e19])
def test_what_is_no_number_is_left_out(value):
    assert number(value) is None
    lines = [RUN | {"kind": "size", "arch": "a", "name": "b", "value": value}, step("x", value, value)]
    assert (summarize(lines).sizes, summarize(lines).runs) == ((), ())


def test_texts_are_short_and_show_what_would_change_how_they_read():
    assert (text(None), text(["a"]), text("a\x1b[2J\u202eb\ud800")) == ("", "", "a\\x1b[2J\\u202eb?")
    assert text("x" * 160) == "x" * 160
    assert (len(text("x" * 10_000)), text("x" * 161)[-2:]) == (160, "x…")


NUMBER = st.floats() | st.integers()
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBER | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4,
)  # fmt: skip
KINDS = ["step", "size", "instructions", "crates", "image", "error", "failure", "end", "emulation", "x"]
LINES = {"run": ANYTHING | st.sampled_from(["2026-11-23T02:31"]), "command": ANYTHING, "kind": st.sampled_from(KINDS)}
FACTS = dict.fromkeys(
    ("title", "at", "seconds", "code", "value", "arch", "name", "sections", "slowest", "compiled", "fresh", "message", "help", "cause",
     "class", "wait", "platforms", "tags", "digest", "where", "status", "text"),
    ANYTHING,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.lists(st.fixed_dictionaries(LINES, optional=FACTS)))
def test_whatever_the_history_contains_the_page_is_html(lines):
    html = page(lines, "app")
    assert Document(html).seen[:7] == ["html", "head", "meta", "meta", "meta", "link", "title"]
    html.encode()  # no lone surrogates


def hostile_lines():
    """A history in which every text is hostile."""
    digest, facts = "sha256:" + "a" * 64, {"run": RUN["run"], "command": HOSTILE}
    return [
        facts | {"kind": "step", "title": f"{HOSTILE} · {HOSTILE}", "at": 1.0, "seconds": 1.0, "code": 1},
        facts | {"kind": "error", "message": HOSTILE, "help": HOSTILE, "code": 1},
        facts | {"kind": "failure", "title": HOSTILE, "class": HOSTILE, "cause": HOSTILE, "help": HOSTILE, "attempt": 1, "wait": 1.0},
        facts | {"kind": "crates", "title": HOSTILE, "compiled": 1, "fresh": 1, "slowest": [[HOSTILE, HOSTILE, 1.0, 1.0]]},
        facts | {"kind": "size", "arch": HOSTILE, "name": HOSTILE, "value": 1, "sections": {HOSTILE: 1}},
        facts | {"kind": "instructions", "arch": HOSTILE, "name": HOSTILE, "value": 1},
        facts | {"kind": "emulation", "name": HOSTILE, "text": HOSTILE},
        facts | {"kind": "image", "name": HOSTILE, "digest": HOSTILE, "tags": [HOSTILE], "where": HOSTILE, "status": HOSTILE,
                 "platforms": {HOSTILE: [[HOSTILE, 1], [digest, 1]]}},
    ]  # fmt: skip


def test_every_text_is_escaped():
    document = Document(page(hostile_lines(), HOSTILE))
    assert document.text.count("<script>alert(1)</script>") >= 20


def long_history(commands, names=1):
    """A history of commands that each build and measure for four arches, as the commands write it."""
    arches, lines = ("amd64", "arm64", "armv7", "riscv64"), []
    for hour in range(commands):
        run = {
            "run": f"2026-11-{1 + hour // 24:02}T{hour % 24:02}:00:00.000+00:00",
            "command": "image --push --arch all",
        }
        for arch in arches:
            lines.append(
                run | {"kind": "step", "title": f"{arch} · compile", "at": hour * 3600.0, "seconds": 60.0, "code": 0}
            )
            slowest = [[f"crate-{one}", "1.2.3", 9.87, 1.23] for one in range(12)]
            lines.append(
                run | {"kind": "crates", "title": f"{arch} · compile", "compiled": 12, "fresh": 400, "slowest": slowest}
            )
            sections = {f".section.{one}": 1000 * hour for one in range(11)}
            for name in range(names):
                size = {"arch": arch, "name": f"program-{name}", "value": 5_000_000 + 977 * hour}
                lines.append(run | {"kind": "size", **size, "sections": sections})
                lines.append(run | {"kind": "instructions", **size, "name": f"bench/{name}/neon"})
        layers = {f"linux/{arch}": [["sha256:" + f"{one:064}", 9_000_000] for one in range(9)] for arch in arches}
        lines.append(run | {"kind": "image", "name": "program-1", "digest": "sha256:" + "a" * 64, "tags": ["latest"],
                            "where": "registry.test/acme/program-1", "status": "done", "platforms": layers})  # fmt: skip
        lines.append(
            run
            | {"kind": "error", "message": f"arm64: cargo exited with code {hour}", "help": "see above", "code": 101}
        )
        lines.append(run | {"kind": "end", "code": 0, "seconds": 600.0})
    return lines


@pytest.mark.parametrize(("commands", "names"), [(100, 20), (1000, 1), (1, 2000)])
def test_the_page_stays_below_its_limit(commands, names):
    html = page(long_history(commands, names))
    assert len(html.encode()) < MAX_BYTES
    assert "Sizes of binaries" in Document(html).text


def test_a_history_made_to_be_large_gives_a_small_page():
    many = [line | {"run": f"{at}", "command": "&" * 5000} for at in range(200) for line in hostile_lines()]
    for at, line in enumerate(many):
        line.update(
            {key: f"{'&' * 3000}{at}" for key in ("title", "message", "help", "cause", "name", "arch") if key in line}
        )
    html = page(many, "&" * 5000)
    assert len(html.encode()) < MAX_BYTES
    Document(html)


def test_an_empty_history_is_a_page_too():
    assert Document(page([])).text == "buildlib report buildlib report No command has been recorded yet."


def test_lines_that_were_cut_off_are_skipped():
    text = json.dumps(step("a", 1.0, 1.0)) + '\n{"run": "cut o\n3\n{"kind": "step"}\n[' + "[" * 100_000 + "\n"
    assert list(read(text)) == [step("a", 1.0, 1.0)]
