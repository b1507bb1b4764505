"""The time of each step of a Dockerfile and where it ran, from BuildKit's raw JSON progress, with a real builder and QEMU.

What BuildKit itself says of the same build comes from its history (`buildctl debug logs`), which its own display prints.
"""

import json
import os
import re
import time
from datetime import datetime
from pathlib import Path

import base_images
import pytest
from test_failures import BASE, DOCKERFILES
from testbed import run

from buildlib.builder import builder
from buildlib.builder.buildx import BuildInputs, build_step
from buildlib.builder.emulation_limit import EmulationLimit
from buildlib.builder.progress import vertexes_of, with_progress
from buildlib.builder.step_times import HELP, native_platforms, read_name, step_times, summary
from buildlib.builder.vertexes import union
from buildlib.core import layers
from buildlib.core.errors import Refused
from buildlib.core.plan import Step
from buildlib.core.settings import Retry
from buildlib.core.targets import TARGETS
from buildlib.failures.classify import classify
from buildlib.lint.emulated import run_compilers
from buildlib.process.console import Console
from buildlib.process.runner import Runner

NAME = "buildlib-test-steps"
AMD64, ARM64 = TARGETS["amd64"], TARGETS["arm64"]
# Not a compiler, but as slow as one: under emulation a loop of a shell takes many times as long.
MAKE = """\
#!/bin/sh
i=0; while [ $i -lt $1 ]; do i=$((i+1)); done
uname -m
"""
DOCKERFILE = f"""\
FROM --platform=$BUILDPLATFORM {base_images.BASE} AS cross
COPY make /usr/bin/
ARG TARGETARCH
RUN make 20000 && echo $TARGETARCH > /program
FROM {base_images.BASE} AS builder
COPY make /usr/bin/
RUN make 20001
FROM {base_images.BASE}
WORKDIR /w
COPY --from=cross /program .
COPY --link --from=builder /usr/bin/make .
RUN true
"""


@pytest.fixture(scope="module")
def runner(engine, tmp_path_factory):
    """A runner for a machine with a builder of its own."""
    config = layers.resolve(("test", {"builder": {"name": NAME, "mirrors": engine.mirrors}}))
    runner = Runner(Console({"CI": "1"}), os.environ | engine.env, Retry())
    runner(builder.remove(NAME))
    for action in builder.create(builder.configured(config), tmp_path_factory.mktemp("builder")):
        outcome = runner(action)
        assert outcome, outcome.output
    yield runner
    runner(builder.remove(NAME))


@pytest.fixture
def build(tmp_path):
    """The step of a build that prints its output, with another cache than any before."""
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "make").write_text(f"{MAKE}# {time.time()}\n")
    (tmp_path / "context" / "make").chmod(0o755)

    def build(dockerfile, *targets, title="build a"):
        file = tmp_path / "context" / "Dockerfile"
        file.write_text(dockerfile)
        inputs = BuildInputs(
            builder=NAME, file=file, context=file.parent, args={"BUILDKIT_MULTI_PLATFORM": "1"},
            more=("--metadata-file", str(tmp_path / "metadata.json"), "--output", "type=cacheonly"),
        )  # fmt: skip
        return build_step(title, inputs, "", targets)

    return build


def history(runner, metadata, progress):
    """What BuildKit itself reports of a build afterwards."""
    reference = json.loads(metadata.read_text())["buildx.build.ref"].rpartition("/")[2]
    argv = (
        "docker",
        "exec",
        f"buildx_buildkit_{NAME}0",
        "buildctl",
        "debug",
        "logs",
        "--progress",
        progress,
        reference,
    )
    answer = runner(Step(title="logs", argv=argv, quiet=True))
    assert answer, answer.output
    return answer.output


def shown_by_buildkit(runner, metadata):
    """The seconds of each step by its name, from the lines `#7 DONE 3.4s` of BuildKit's own display.

    Of steps that consist of several vertexes (COPY --link), BuildKit's display loses the first of two intervals of a vertex if it
    reads both at once, as from its history; these are counted from the history's intervals.
    """
    text = history(runner, metadata, "plain")
    names = dict(re.findall(r"^#(\d+) (\[.*)$", text, re.MULTILINE))
    results = re.findall(r"^#(\d+) (?:DONE (\d+\.\d)s|CACHED)$", text, re.MULTILINE)
    shown = {names[number]: float(seconds or 0) for number, seconds in results if number in names}
    groups = {}
    for line in history(runner, metadata, "rawjson").splitlines():
        for vertex in json.loads(line).get("vertexes", ()):
            if vertex.get("completed") and "progressGroup" in vertex:
                interval = tuple(datetime.fromisoformat(vertex[key]).timestamp() for key in ("started", "completed"))
                groups.setdefault(vertex["progressGroup"]["name"], set()).add(interval)
    assert any("COPY --link" in name for name in groups)
    shown |= {name: union(intervals) for name, intervals in groups.items() if name in shown}
    return {step: seconds for name, seconds in shown.items() if (step := read_name(name))}


def test_the_times_add_up_to_those_of_buildkit(runner, build, tmp_path, capsys):
    outcome = runner(with_progress(build(DOCKERFILE, AMD64, ARM64)))
    assert outcome, outcome.output
    natives = native_platforms(os.uname().machine, layers.resolve())
    times = step_times(vertexes_of(outcome), natives.__contains__)
    expected = shown_by_buildkit(runner, tmp_path / "metadata.json")
    actual = {(step.title, step.platform, step.target, step.stage): step.seconds for step in times}
    assert len(actual) == len(times) == len(expected) >= 11
    assert {(name.title, name.platform, name.target, name.stage): seconds for name, seconds in expected.items()} == {
        key: pytest.approx(seconds, abs=0.0501) for key, seconds in actual.items()
    }
    assert sum(actual.values()) == pytest.approx(sum(expected.values()), abs=0.05 * len(times))

    # On which platform it ran, and for which: uname(2) is the witness, which QEMU answers for its guest.
    native, other = ("linux/amd64", "linux/arm64") if "linux/amd64" in natives else ("linux/arm64", "linux/amd64")
    runs = {
        (step.title.split(" ")[2], step.platform, step.target): step.emulated
        for step in times
        if "RUN make" in step.title
    }
    assert runs == {
        ("20000", native, native): False, ("20000", native, other): False,
        ("20001", native, native): False, ("20001", other, other): True,
    }  # fmt: skip
    machines = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
    for number, platform in re.findall(r"^#(\d+) \[(linux/\w+)\S* \w+ \d/\d\] RUN make", outcome.output, re.MULTILINE):
        assert re.search(rf"^#{number} \d+\.\d+ {machines[platform]}$", outcome.output, re.MULTILINE), outcome.output
    assert {step.title for step in times if step.emulated} == {"RUN make 20001", "RUN true"}
    assert all(not step.emulated for step in times if not step.title.startswith("RUN"))
    assert '"vertexes"' not in outcome.output + capsys.readouterr().err

    again = runner(with_progress(build(DOCKERFILE, AMD64, ARM64)))
    assert {step.seconds for step in step_times(vertexes_of(again), natives.__contains__) if "RUN" in step.title} == {
        0.0
    }


def test_a_build_for_one_platform(runner, build):
    target = ARM64 if os.uname().machine == "x86_64" else AMD64
    outcome = runner(with_progress(build(DOCKERFILE.replace("2000", "6000"), target)))
    natives = native_platforms(os.uname().machine, layers.resolve())
    times = step_times(vertexes_of(outcome), natives.__contains__)
    (native,) = natives
    runs = [
        (step.title[:8], step.platform, step.target, step.emulated)
        for step in times
        if step.stage in ("cross", "builder")
    ]
    assert ("RUN make", native, target.oci, False) in runs and ("RUN make", target.oci, target.oci, True) in runs
    emulated = sum(step.seconds for step in times if step.emulated)
    text = f"{emulated:.0f} of {sum(step.seconds for step in times):.0f} s were emulated: RUN make 60001"
    assert summary(times) == (text if emulated >= 10 else "")


@pytest.mark.parametrize("title", DOCKERFILES)
def test_a_failed_build_has_the_class_that_plain_progress_has(runner, build, tmp_path, title):
    text, kind, cause = DOCKERFILES[title]
    plain = build(BASE + text, AMD64 if os.uname().machine == "x86_64" else ARM64)
    (tmp_path / "context" / "foreign").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf7\x00" + bytes(100))
    (tmp_path / "context" / "foreign").chmod(0o755)
    once = Runner(runner.console, runner.env, Retry(attempts=1))
    failures = [
        classify(outcome.output, outcome.code, "docker") for outcome in map(once, (plain, with_progress(plain)))
    ]
    assert [(failure.kind, cause.lower() in failure.cause.lower()) for failure in failures] == [(kind, True)] * 2
    # Plain progress may break a line that a program writes in two parts (`head: ` and the error).
    shown, decoded = (re.sub(r"::\w{25}", "", failure.cause) for failure in failures)  # the identity of the session
    assert decoded.endswith(shown)


@pytest.mark.parametrize(
    ("instruction", "title"),
    [("RUN make {}", "RUN make {}"), ("RUN <<EOF\nset -e\nmake {}\nEOF", "RUN <<EOF (set -e...)")],
    ids=["command", "heredoc"],
)
def test_an_emulated_compiler_is_stopped_at_its_limit(runner, build, capfd, instruction, title):
    seconds = f"3600.{os.getpid()}"  # which nobody else sleeps
    text = f"FROM {base_images.BASE}\nRUN ln -s /bin/sleep /bin/make\n{instruction.format(seconds)}\n"
    target = ARM64 if os.uname().machine == "x86_64" else AMD64
    natives = native_platforms(os.uname().machine, layers.resolve())
    compilers = run_compilers(Path("Dockerfile"), text.encode())
    limit = EmulationLimit(seconds=3.0, runs_natively=natives.__contains__, compiles=compilers)
    start = time.monotonic()
    with pytest.raises(Refused) as caught:
        runner(with_progress(build(text, target), limit))
    message = (
        f"build a: stopped: make has run under emulation of {target.oci} for more than 3 s (builder.emulation_limit):"
        f" {title.format(seconds)}"
    )
    assert (caught.value.message, caught.value.help) == (message, HELP)
    assert time.monotonic() - start < 600
    assert capfd.readouterr().err.count("+ docker buildx build") == 1  # no second try
    deadline = time.monotonic() + 60
    while not run("pgrep", "--full", seconds).code and time.monotonic() < deadline:
        time.sleep(0.2)
    assert run("pgrep", "--full", seconds).code == 1  # neither in the builder nor a client here
    after = runner(with_progress(build(f"FROM {base_images.BASE}\nRUN true\n", target), limit))
    assert after, after.output
