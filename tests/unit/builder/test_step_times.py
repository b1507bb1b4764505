"""Step times from the names and intervals of vertexes, their summary, and the limit for emulated compilers."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import settings

from buildlib.builder.emulation_limit import EmulationLimit, Running
from buildlib.builder.progress import Progress
from buildlib.builder.step_times import HELP, StepName, StepTime, native_platforms, read_name, step_times, summary
from buildlib.builder.vertexes import Vertex, VertexUpdate
from buildlib.core.errors import Refused
from buildlib.lint.rules.emulated_compile import compiles

ON_AMD64 = {"linux/amd64"}.__contains__


def name(title, platform="", target="", stage=""):
    return StepName(title=title, platform=platform, target=target or platform, stage=stage)


def took(seconds, title="RUN make", platform="linux/arm64", *, emulated=True, target="", stage=""):
    target = target or platform
    return StepTime(title=title, platform=platform, target=target, stage=stage, seconds=seconds, emulated=emulated)


def ran(text, start, end, **more):
    vertex = Vertex(name="")
    times = (f"2026-11-26T10:{moment // 60:02}:{moment % 60:02}Z" for moment in (start, end))
    vertex.update(VertexUpdate(digest=text, name=text, started=next(times), completed=next(times), **more))
    return vertex


# --- names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[linux/arm64 builder 2/4] RUN cargo build", name("RUN cargo build", "linux/arm64", stage="builder")),
        ("[linux/amd64->arm64 builder  2/14] RUN x", name("RUN x", "linux/amd64", "linux/arm64", "builder")),
        ("[linux/amd64->arm/v7 b 1/1] RUN x", name("RUN x", "linux/amd64", "linux/arm/v7", "b")),
        ("[linux/amd64->windows/amd64 b 1/1] RUN x", name("RUN x", "linux/amd64", "windows/amd64", "b")),
        ("[linux/arm/v7 stage-1 3/3] COPY a /b", name("COPY a /b", "linux/arm/v7", stage="stage-1")),
        ("[linux/amd64/v3 1/2] FROM x", name("FROM x", "linux/amd64/v3")),
        ("[target linux/arm64 stage.a 2/2] RUN x", name("RUN x", "linux/arm64", stage="stage.a")),
        ("[builder 2/4] RUN x", name("RUN x", "linux/riscv64", stage="builder")),
        ("[2/4] RUN x", name("RUN x", "linux/riscv64")),
        ("[2/4] ONBUILD RUN  a \\\n  && b", name("ONBUILD RUN a \\ && b", "linux/riscv64")),
        ("[a 2/4] RUN [\"x\", \"[1/2]\"]", name('RUN ["x", "[1/2]"]', "linux/riscv64", stage="a")),
        ("[linux/arm64 internal] load metadata for docker.io/library/debian", None),
        ("[internal] load build context", None), ("exporting to image", None), ("[auth] a/b:pull token for 1/2", None),
        ("", None), ("[", None), ("[[1/2] RUN x", None), ("importing cache manifest from [1/2] x", None),
    ],
)  # fmt: skip
def test_the_name_of_a_step(text, expected):
    assert read_name(text, "linux/riscv64") == expected


@given(st.text() | st.from_regex(r"\[[a-z/ 0-9>-]{0,30}\] .{0,20}"))
def test_any_name_is_read(text):
    step = read_name(text)
    assert step is None or (text.startswith("[") and "\n" not in step.title)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("RUN x", True),
        ("ONBUILD RUN x", True),
        ("COPY RUN /", False),
        ("RUNNER x", False),
        ("FROM x", False),
        ("", False),
    ],
)
def test_only_run_starts_programs(title, expected):
    assert name(title).is_run is expected


# --- times ----------------------------------------------------------------------------------------------------------------


def test_the_times_of_a_recorded_build():
    decoder = Progress()
    for line in (Path(__file__).parent / "emulated_build.jsonl").read_text().splitlines():
        list(decoder.lines(line))
    times = step_times(decoder.vertexes.values(), ON_AMD64)
    assert [(step.title, step.platform, step.target, step.stage, round(step.seconds, 3), step.emulated) for step in times] == [
        ("FROM docker.io/library/debian:trixie-slim", "linux/amd64", "linux/amd64", "cross", 0.0, False),
        ("FROM docker.io/library/debian:trixie-slim", "linux/arm64", "linux/arm64", "stage-1", 0.0, False),
        ("COPY make /usr/bin/", "linux/arm64", "linux/arm64", "stage-1", 0.017, False),
        ("COPY make /usr/bin/", "linux/amd64", "linux/arm64", "cross", 0.018, False),
        ("RUN make 20000", "linux/arm64", "linux/arm64", "stage-1", 2.96, True),
        ("RUN make 20000", "linux/amd64", "linux/amd64", "cross", 0.216, False),
        ("RUN make 20000", "linux/amd64", "linux/arm64", "cross", 0.19, False),
        ("RUN make 20000", "linux/amd64", "linux/amd64", "stage-1", 0.209, False),
        ("COPY --from=cross /usr/bin/make /b", "linux/amd64", "linux/amd64", "stage-1", 0.077, False),
        ("COPY --from=cross /usr/bin/make /b", "linux/arm64", "linux/arm64", "stage-1", 0.011, False),
    ]  # fmt: skip
    assert not any(step.emulated for step in step_times(decoder.vertexes.values(), lambda _: True))


def test_a_step_without_a_platform_runs_on_the_one_of_the_build():
    vertexes = [ran("[b 2/2] RUN make", 5, 9), ran("[b 1/2] FROM x", 0, 4), ran("[2/2] RUN y", 4, 5, cached=True),
                ran("exporting", 9, 99), Vertex(name="[b 3/3] RUN never-started")]  # fmt: skip
    assert step_times(vertexes, ON_AMD64, "linux/arm64") == (
        took(4.0, "FROM x", emulated=False, stage="b"), took(0.0, "RUN y"), took(4.0, stage="b"),
    )  # fmt: skip


def test_titles_are_cleaned_and_bounded():
    vertexes = [ran("[2/2] RUN login --password=hunter22 " + "x" * 5000, 0, 1), ran("[3/3] RUN echo s3cr3t!", 2, 3)]
    first, second = step_times(vertexes, ON_AMD64)
    assert (first.title[:28], len(first.title)) == ("RUN login --password=*** xxx", 1000)
    assert second.title == "RUN echo s3cr3t!"
    assert step_times(vertexes, ON_AMD64, clean=lambda text: text.replace("s3cr3t!", "***"))[1].title == "RUN echo ***"


# --- summary ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((), ""),
        ((took(340, "RUN cargo build"), took(21, "FROM x", emulated=False)), "340 of 361 s were emulated: RUN cargo build"),
        ((took(9.9),), ""),
        ((took(10),), "10 of 10 s were emulated: RUN make"),
        ((took(19), took(81, emulated=False)), ""),
        ((took(20), took(80, emulated=False)), "20 of 100 s were emulated: RUN make"),
        ((took(200), took(100, platform="linux/riscv64"), took(9, "RUN apt-get update")), "309 of 309 s were emulated: RUN make"),
        ((took(30, "RUN b"), took(30, "RUN a"), took(40, "RUN c")),
         "100 of 100 s were emulated: RUN c (40 s), RUN a (30 s), RUN b (30 s)"),
        (tuple(took(2, f"RUN {number:02}") for number in range(20)), "40 of 40 s were emulated: RUN 00"),
        ((took(50, f"RUN {'x' * 99}"),), f"50 of 50 s were emulated: RUN {'x' * 56}…"),
    ],
)  # fmt: skip
def test_the_summary(times, expected):
    assert summary(times) == expected


def test_what_runs_without_emulation():
    nodes = [{"endpoint": "ssh://a", "arches": ["arm64", "armv7"]}]
    assert native_platforms("x86_64", settings()) == {"linux/amd64"}
    assert native_platforms("aarch64", settings()) == {"linux/arm64"}
    assert native_platforms("x86_64", settings(builder={"nodes": nodes})) == {
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
    }


# --- the limit ------------------------------------------------------------------------------------------------------------------


def limited(seconds=60.0, **more):
    return EmulationLimit(seconds=seconds, runs_natively=ON_AMD64, compiles=compiles, **more)


@pytest.mark.parametrize(
    ("text", "compiler"),
    [
        ("[linux/arm64 b 2/4] RUN cargo build", "cargo"), ("[b 2/4] RUN set -e; make", "make"),
        ("[b 2/4] RUN <<EOF (ninja -C x...)", "ninja"), ("[linux/amd64->arm64 b 2/4] RUN cargo build", None),
        ("[linux/arm64 b 2/4] RUN apt-get install gcc", None), ("[linux/arm64 b 2/4] COPY make /", None),
        ("exporting to image", None),
    ],
)  # fmt: skip
def test_which_steps_are_watched(text, compiler):
    running = limited(platform="linux/riscv64").watched(text, 5.0)
    assert (running and running.compiler) == compiler
    assert limited(0).watched(text, 5.0) is None


def test_the_first_step_over_the_limit_is_the_error():
    steps = [Running(title="RUN make", platform="linux/arm64", compiler="make", since=moment) for moment in (50.0, 0.0)]
    assert limited().overdue("build a", steps, 60.0) is None
    error = limited().overdue("build a", steps, 60.1)
    assert isinstance(error, Refused) and (error.message, error.help) == (
        "build a: stopped: make has run under emulation of linux/arm64 for more than 60 s (builder.emulation_limit): RUN make",
        HELP,
    )


def test_the_decoder_measures_from_the_start_of_a_step_to_its_end():
    now = 100.0
    decoder = Progress("build a", limited(), clock=lambda: now)

    def update(**more):
        vertex = {"digest": "a", "name": "[linux/arm64 2/2] RUN make", "started": "2026-01-01T00:00:00Z", **more}
        list(decoder.lines(json.dumps({"vertexes": [vertex]})))

    update(started=None)
    assert decoder.overdue(1e9) is None
    update()
    now = 150.0
    update()  # the same start again
    assert decoder.overdue(160.0) is None
    assert decoder.overdue(160.1) is not None
    update(completed="2026-01-01T00:01:00Z")
    assert decoder.overdue(1e9) is None
