"""The decoder of BuildKit's raw JSON progress. The recordings are of two builds with buildx 0.13.1 and BuildKit 0.25.1."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.builder import progress
from buildlib.builder.buildx import BuildInputs, build_step
from buildlib.builder.progress import Progress, vertexes_of, with_progress
from buildlib.builder.vertexes import Vertex, VertexUpdate, merge, read_status, seconds, union
from buildlib.core.plan import Outcome, Step
from buildlib.core.targets import TARGETS
from buildlib.failures.classify import classify

HERE = Path(__file__).parent
START = "2026-11-26T10:00:00.5Z"


def at(moment):
    """RFC 3339 as Go writes it, `moment` seconds after START."""
    return f"2026-11-26T10:{int(moment + 0.5) // 60:02}:{(moment + 0.5) % 60:012.9f}Z"


def vertex(digest="a", name="[2/2] RUN make", **more):
    return {"vertexes": [{"digest": digest, "name": name, **more}]}


def log(text, moment=0.0, digest="a"):
    data = base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()
    return {"logs": [{"vertex": digest, "stream": 1, "data": data, "timestamp": at(moment)}]}


def status(moment, digest="a", name="sha256:1", **more):
    return {"statuses": [{"id": name, "vertex": digest, "timestamp": at(moment), "started": START, **more}]}


def decode(*items, **more):
    """What is shown for objects and lines."""
    decoder = Progress(**more)
    shown = [line for item in items for line in decoder.lines(item if isinstance(item, str) else json.dumps(item))]
    return [*shown, *decoder.end()]


def recording(name):
    return (HERE / f"{name}.jsonl").read_text().splitlines()


# --- what is shown ------------------------------------------------------------------------------------------------------

BUILD = """\
#1 [internal] load build definition from Dockerfile
#1 transferring dockerfile:
#1 transferring dockerfile: 242B done
#1 DONE 0.0s
#2 [linux/amd64 internal] load metadata for docker.io/library/debian:trixie-slim
#3 [linux/arm64 internal] load metadata for docker.io/library/debian:trixie-slim
#2 DONE 0.0s
#3 DONE 0.0s
#4 [internal] load .dockerignore
#4 transferring context:
#4 transferring context: 2B done
#4 DONE 0.0s
#5 [linux/amd64 cross 1/3] FROM docker.io/library/debian:trixie-slim
#6 [internal] load build context
#7 [linux/arm64 stage-1 1/4] FROM docker.io/library/debian:trixie-slim
#6 DONE 0.0s
#7 DONE 0.0s
#7 CACHED
#5 DONE 0.0s
#5 CACHED
#6 transferring context:
#6 transferring context: 108B done
#8 [linux/arm64 stage-1 2/4] COPY make /usr/bin/
#9 [linux/amd64->arm64 cross 2/3] COPY make /usr/bin/
#8 DONE 0.0s
#9 DONE 0.0s
#10 [linux/arm64 stage-1 3/4] RUN make 20000
#11 [linux/amd64 cross 3/3] RUN make 20000
#12 [linux/amd64->arm64 cross 3/3] RUN make 20000
#13 [linux/amd64 stage-1 3/4] RUN make 20000
#12 0.125 made 20000
#12 DONE 0.2s
#13 0.190 made 20000
#13 DONE 0.2s
#11 0.201 made 20000
#11 DONE 0.2s
#14 [linux/amd64 stage-1 4/4] COPY --from=cross /usr/bin/make /b
#14 DONE 0.1s
#10 2.947 made 20000
#10 DONE 3.0s
#15 [linux/arm64 stage-1 4/4] COPY --from=cross /usr/bin/make /b
#15 DONE 0.0s
""".splitlines()
FAILED = """\
#11 0.130 made 20000E: no
#11 ERROR: process "/bin/sh -c make 20000 && echo \\"E: no\\" >&2 && exit 3" did not complete successfully: exit code: 3
#12 0.155 made 20000E: no
#13 CANCELED
#12 ERROR: process "/bin/sh -c make 20000 && echo \\"E: no\\" >&2 && exit 3" did not complete successfully: exit code: 3
#10 CANCELED
Dockerfile:4
--------------------
   2 |     ARG TARGETARCH
   3 |     COPY make /usr/bin/
   4 | >>> RUN make 20000 && echo "E: no" >&2 && exit 3
   5 |     FROM debian:trixie-slim
   6 |     COPY make /usr/bin/
--------------------
ERROR: failed to solve: process "/bin/sh -c make 20000 && echo \\"E: no\\" >&2 && exit 3" did not complete successfully: exit code: 3
""".splitlines()


def test_a_build_is_shown_as_in_plain_progress():
    assert decode(*recording("emulated_build")) == BUILD


def test_a_failed_build_is_shown_as_in_plain_progress():
    assert decode(*recording("failed_build"))[-len(FAILED) :] == FAILED


@pytest.mark.parametrize("name", ["emulated_build", "failed_build"])
def test_an_object_may_be_spread_over_lines(name):
    rows = recording(name)
    spread = [
        line for row in rows for line in (json.dumps(json.loads(row), indent=2).split("\n") if row[0] == "{" else [row])
    ]
    assert len(spread) > 5 * len(rows) and decode(*spread) == decode(*rows)


def test_each_line_is_shown_at_once():
    decoder = Progress()
    shown = [
        list(decoder.lines(json.dumps(item)))
        for item in (vertex(), vertex(started=START), log("a\nb", 1.25), log("c\n", 12.5), vertex(started=START))
    ]
    assert shown == [[], ["#1 [2/2] RUN make"], ["#1 1.250 a"], ["#1 1.250 bc"], []]


@pytest.mark.parametrize(
    ("moment", "text"), [(0.0, "0.000"), (9.9994, "9.999"), (10.0, "10.00"), (99.99, "99.99"), (100.0, "100.0")]
)
def test_the_seconds_of_a_line_have_the_precision_of_plain_progress(moment, text):
    assert decode(vertex(started=START), log("x\n", moment))[1] == f"#1 {text} x"


def test_output_without_an_end_is_shown_before_the_result():
    ended = vertex(started=START, completed=at(3.44))
    assert decode(vertex(started=START), log("a\r50%", 1), ended)[1:] == ["#1 1.000 a\r50%", "#1 DONE 3.4s"]
    assert decode(vertex(started=START), log("a", 1))[1:] == ["#1 1.000 a"]


def test_characters_may_be_split_between_objects():
    assert decode(vertex(started=START), log(b"\xc3", 1), log(b"\xa4\xff\n", 1))[1:] == ["#1 1.000 ä\ufffd"]


def test_a_line_without_an_end_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(progress, "MAX_PARTIAL", 5)
    assert decode(vertex(started=START), log("abc", 0), log("def", 1), log("g\n", 2))[1:] == [
        "#1 0.000 abcdef", "#1 2.000 g",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"cached": True}, "#1 CACHED"), ({}, "#1 DONE 1.0s"), ({"error": "a\nb"}, "#1 ERROR: a"),
        ({"error": "exit code: 137: context canceled"}, "#1 CANCELED"),
    ],
)  # fmt: skip
def test_the_result_of_a_step(more, shown):
    assert decode(vertex(started=START, completed=at(1), **more))[1] == shown


def test_a_step_that_failed_without_a_start_is_shown():
    assert decode(vertex(error="no")) == ["#1 [2/2] RUN make", "#1 ERROR: no"]


def test_a_step_that_runs_twice_has_the_sum_as_its_time():
    first, second = vertex(started=START, completed=at(1)), vertex(started=at(5), completed=at(7))
    assert decode(vertex(started=START), first, vertex(started=at(5)), second) == [
        "#1 [2/2] RUN make", "#1 DONE 1.0s", "#1 DONE 3.0s",
    ]  # fmt: skip


def test_the_vertexes_of_a_group_are_one_step():
    """The parts of a COPY --link; a weak one does not show the group."""

    def member(digest, *, weak=False, **more):
        return vertex(
            digest, f"part {digest}", progressGroup={"id": "g", "name": "[3/3] COPY a b", "weak": weak}, **more
        )

    weak = member("a", weak=True, started=START, completed=at(1))
    assert decode(weak) == []
    shown = decode(weak, member("b", started=at(2)), log("x\n", 2, "b"), member("b", started=at(2), completed=at(3)))
    assert shown == ["#1 [3/3] COPY a b", "#1 0.000 x", "#1 DONE 2.0s"]


def test_progress_in_bytes_is_shown_now_and_then():
    rows = (vertex(started=START), status(0, total=2_000_000), status(1, total=2_000_000, current=90_000),
            status(2, total=2_000_000, current=100_000), status(8, total=2_000_000, current=100_001),
            status(9, total=2_000_000, current=2_000_000, completed=at(9)))  # fmt: skip
    assert decode(*rows)[1:] == [
        "#1 sha256:1 0B / 2.00MB",
        "#1 sha256:1 100.00kB / 2.00MB 2.0s",
        "#1 sha256:1 100.00kB / 2.00MB 8.0s",
        "#1 sha256:1 2.00MB / 2.00MB 9.0s done",
    ]


def test_a_warning_is_shown():
    warning = {"warnings": [{"vertex": "a", "level": 1, "short": base64.b64encode(b"FromAsCasing: x").decode()}]}
    assert decode(vertex(started=START), warning)[1:] == ["#1 WARN: FromAsCasing: x"]


# --- what is not a progress ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "", "ERROR: no builder", "{not json", '{"a": 1}', "[]", "{" * 50_000, '{"vertexes": 3}', '{"vertexes": [{"name": "x"}]}',
        '{"vertexes": [{"digest": "a", "started": 3}]}', '{"logs": [{"vertex": "a", "data": "no base64!"}]}', '{"vertexes": [nu',
        '{"statuses": [{"id": "x", "current": 1e999}]}', '{"vertexes":' * 5_000, "}", "  indented",
    ],
    ids=lambda line: line[:40],
)  # fmt: skip
def test_any_other_line_is_shown_as_it_is(line):
    assert decode(line) == [line]
    assert decode(vertex(started=START), line, log("x\n"))[1:] == [line, "#1 0.000 x"]


def test_an_empty_object_is_not_shown():
    assert decode("{}", "x") == ["x"]


@pytest.mark.parametrize(
    "lines",
    [("{",), ("{", '  "vertexes": [', "ERROR: killed"), ("{", "{", " ", "}"), ("{", "  no", "}"), ("{", "}x", "y")],
)
def test_the_lines_of_what_turns_out_to_be_no_object_are_shown_as_they_are(lines):
    assert decode(*lines) == list(lines)


def test_an_object_without_an_end_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(progress, "MAX_SIZE", 10)
    decoder = Progress()
    shown = [list(decoder.lines(line)) for line in ("{", "  12345", "  67890", "x")]
    assert shown == [[], [], ["{", "  12345", "  67890"], ["x"]]


def test_vertexes_without_end_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(progress, "MAX_VERTEXES", 2)
    decoder = Progress()
    for number in range(9):
        list(decoder.lines(json.dumps(vertex(f"d{number}", f"n{number}", started=START))))
    assert list(decoder.vertexes) == ["d0", "d1"]


TEXT = st.text(max_size=8)
TIMES = st.sampled_from([START, at(3), "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "", "x", None])
GROUPS = st.none() | st.fixed_dictionaries(
    {}, optional={"id": st.sampled_from("gh"), "name": TEXT, "weak": st.booleans()}
)
DIGESTS = st.sampled_from("abcg")
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "vertexes": st.lists(
            st.fixed_dictionaries(
                {"digest": DIGESTS},
                optional={"name": TEXT, "started": TIMES, "completed": TIMES, "cached": st.booleans(), "error": TEXT,
                          "progressGroup": GROUPS},
            ),
            max_size=3,
        ),
        "statuses": st.lists(
            st.fixed_dictionaries(
                {"id": TEXT},
                optional={"vertex": DIGESTS, "current": st.integers(), "total": st.integers(), "started": TIMES, "completed": TIMES,
                          "timestamp": TIMES},
            ),
            max_size=3,
        ),
        "logs": st.lists(
            st.builds(
                lambda digest, data, time: {"vertex": digest, "data": base64.b64encode(data).decode(), "timestamp": time},
                DIGESTS, st.binary(max_size=9), TIMES,
            ),
            max_size=3,
        ),
    },
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["vertexes", "statuses", "logs", "digest", "vertex", "id", "started"]), inner)
    ),
    max_leaves=8,
)


@given(st.lists(OBJECTS, max_size=8))
def test_any_sequence_of_events_is_decoded(objects):
    decoder = Progress()
    lines = [line for item in objects for line in decoder.lines(json.dumps(item))]
    lines += decoder.end()
    assert [line for line in lines if "\n" in line] == []
    assert all(vertex.seconds >= 0 for vertex in decoder.vertexes.values())
    assert [number for number, shown in enumerate(decoder._shown.values(), 1) if shown.number != number] == []


@given(
    st.lists(st.builds(json.dumps, JSON) | st.text() | st.sampled_from(["{", "}", "  1"]), max_size=8),
    st.integers(0, 60),
)
def test_hostile_and_truncated_lines_do_not_end_the_decoding(lines, cut):
    decoder = Progress()
    for line in [*lines, json.dumps(vertex(started=START))[:cut]]:
        list(decoder.lines(line))
    list(decoder.end())
    assert list(decoder.lines(json.dumps(vertex("new", "[1/1] RUN x", started=START))))[-1].endswith(" [1/1] RUN x")


# --- classification -------------------------------------------------------------------------------------------------------


def test_a_failed_build_has_the_class_and_cause_of_its_raw_output():
    decoded = classify("\n".join(decode(*recording("failed_build"))), 1, "docker")
    raw = classify("\n".join(recording("failed_build")), 1, "docker")
    assert (decoded.kind, decoded.cause) == (raw.kind, raw.cause)


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("E: Failed to fetch http://deb.debian.org/x  Connection timed out\n", "transient-network"),
        ("error[E0308]: mismatched types\n", "compile"), ("exec /foreign: exec format error\n", "emulation"),
    ],
)  # fmt: skip
def test_the_output_of_the_failed_step_is_classified(output, kind):
    failed = 'process "/bin/sh -c x" did not complete successfully: exit code: 1'
    rows = (vertex(started=START), vertex("b", "[3/3] RUN y", started=START), log("Connection refused\n", 1, "b"),
            log(output, 2), vertex(started=START, completed=at(3), error=failed), f"ERROR: failed to solve: {failed}")  # fmt: skip
    assert classify("\n".join(decode(*rows)), 1, "docker").kind == kind


# --- vertexes -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8))
def test_the_union_of_intervals(intervals):
    covered = {moment for start, end in intervals for moment in range(start, end)}
    assert union(intervals) == len(covered)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01.5Z", 1.5), ("1970-01-01T01:00:00.123456789+01:00", 0.123456), (None, None), ("", None),
        ("yesterday", None), ("0001-01-01T00:00:00Z", -62135596800.0),
    ],
)  # fmt: skip
def test_times(text, expected):
    assert seconds(text) == expected


def test_an_object_has_only_known_types():
    assert read_status('{"vertexes": [{"digest": "a", "inputs": ["b"], "name": "n"}], "other": 1}') is not None
    assert read_status('{"vertexes": [{"digest": 1}]}') is None


def ran(name, start, end, *, cached=False, digest="a"):
    vertex = Vertex(name="")
    vertex.update(VertexUpdate(digest=digest, name=name, started=at(start), completed=at(end), cached=cached))
    return {digest: vertex}


def test_what_a_try_has_run_is_cached_in_the_next():
    first, second = ran("n", 0, 5), ran("n", 20, 20, cached=True, digest="b")
    for tries in ((first, second), (second, first)):
        (merged,) = merge(tries)
        assert (merged.cached, merged.seconds) == (False, 5.0)
    (both,) = merge((first, ran("n", 10, 12, digest="b")))
    assert both.seconds == 7.0
    assert first["a"].seconds == 5.0  # not changed


# --- steps --------------------------------------------------------------------------------------------------------------


def test_a_build_with_raw_json_progress():
    inputs = BuildInputs(builder="b", file=Path("/d"), context=Path("/c"), args={"A": "--progress"})
    plain = build_step("build a", inputs, "s", (TARGETS["arm64"],))
    raw = with_progress(plain)
    assert [word for word in raw.argv if word not in plain.argv] == ["rawjson"]
    assert raw.argv[raw.argv.index("--target") :][2:4] == ("--progress", "rawjson")
    decoder = raw.decoder()
    assert (decoder.title, decoder.limit, decoder.overdue(1e9)) == ("build a", None, None)
    assert raw.decoder() is not decoder  # each try has its own


def test_the_vertexes_of_all_tries_of_a_step():
    tries = [Progress(), Progress()]
    for number, decoder in enumerate(tries):
        name = f"[2/2] RUN {number}"
        list(decoder.lines(json.dumps(vertex(name=name, started=START, completed=at(number + 1)))))
    step = Step(title="t", argv=("x",))
    outcome = Outcome(step=step, code=0, seconds=0.0, decoders=tuple(tries))
    assert {vertex.name: vertex.seconds for vertex in vertexes_of(outcome)} == {"[2/2] RUN 0": 1.0, "[2/2] RUN 1": 2.0}
    assert vertexes_of(Outcome(step=step, code=0, seconds=0.0)) == ()
