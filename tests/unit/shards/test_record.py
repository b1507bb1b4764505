"""What a command with --shard leaves in dist/shard/."""

import hashlib
import json
from dataclasses import replace

import pytest
from image_workspace import STATIC, workspace
from parts import ARCHES, PARTS

from buildlib import __version__
from buildlib.assembly.recipe import Recipe
from buildlib.assembly.spec import ImageResult, PushedPart
from buildlib.binaries import dist
from buildlib.core.cases import Case, Suite
from buildlib.core.errors import BuildError, TestsFailed, UsageError
from buildlib.core.plan import Status
from buildlib.process.history import History
from buildlib.shards import record, reports, result
from buildlib.shards.part import part_of
from buildlib.shards.record import Recording
from buildlib.testing.tests import TestResult

COMMIT, OTHER = "a" * 40, "b" * 40
DIGEST = f"sha256:{'1' * 64}"


@pytest.fixture
def machine(tmp_path):
    """The context of a machine, and its part."""
    context = workspace(tmp_path, arches=ARCHES)
    context = replace(context, history=History(tmp_path / "journal"))
    return context, part_of(context, "2/2", ())


def recording(machine, command, commit=COMMIT):
    context, part = machine
    started = Recording(context=context, part=part, command=command, commit=commit)
    started.start()
    return started


def test_a_part_says_which_arches_it_has_and_which_all_parts_have(machine, capsys):
    context, part = machine
    assert (part.arches, part.parts, part.names) == (tuple(ARCHES), tuple(map(tuple, PARTS)), ("armv7-musl",))
    assert (part.targets, part.whole, part.own(STATIC[:1])) == (STATIC[1:], STATIC, ())
    part_of(context, "2/2", ())
    assert capsys.readouterr().err == "  part 2/2 of amd64-musl, armv7-musl: armv7-musl\n"
    part_of(context, "3/3", ())
    assert capsys.readouterr().err.endswith(": none, because there are more parts than arches\n")
    assert part_of(context, "1/1", ("armv7-musl",)).arches == ("armv7-musl",)
    with pytest.raises(UsageError):
        part_of(context, "1/1", ("arm65",))


def test_a_build_is_recorded_for_merge(machine):
    context, _ = machine
    entries = [entry for entry in dist.read(context.dist) if entry["arch"] == "armv7-musl"]
    recording(machine, "build").build(entries)
    read = result.read(context.dist)
    assert (read.record.commit, read.record.buildlib, str(read.shard)) == (COMMIT, __version__, "2/2")
    build = read.record.commands["build"]
    assert build.files == {"armv7-musl/a": entries[0]["sha256"]}
    assert (build.settings["profile"], build.settings["sbom"]) == ("release", True)


def test_settings_that_may_be_secret_are_digests(tmp_path):
    context = workspace(tmp_path, arches=ARCHES, registry="r.test/acme", components={"a": {"env": {"TOKEN": "s3cret"}}})
    recording((context, part_of(context, "1/2", ())), "image").images([], [])
    text = (context.dist / record.RECORD).read_text()
    assert "s3cret" not in text and json.loads(text)["commands"]["image"]["settings"]["components"].startswith(
        "digest "
    )


def test_other_commands_of_the_same_part_are_kept_and_those_of_another_commit_are_not(machine):
    context, _ = machine
    recording(machine, "build").build([])
    recording(machine, "test").tests([])
    assert [*result.read(context.dist).record.commands] == ["build", "test"]
    recording(machine, "build", OTHER).build([])
    read = result.read(context.dist).record
    assert ([*read.commands], read.commit) == (["build"], OTHER)


def test_a_command_that_fails_leaves_no_result_of_an_earlier_one(machine):
    recording(machine, "build").build([])
    recording(machine, "test").tests([])
    recording(machine, "build")  # and then fails
    assert [*result.read(machine[0].dist).record.commands] == ["test"]


def test_the_history_of_the_part_begins_anew_with_another_commit(machine):
    context, _ = machine
    for commit, line in ((COMMIT, "one"), (COMMIT, "two"), (OTHER, "three")):
        recording(machine, "build", commit).build([])
        context.history("note", text=line)
    lines = [json.loads(line)["text"] for line in (context.dist / record.JOURNAL).read_text().splitlines()]
    assert lines == ["three"]
    assert context.history.path.read_text().count("note") == 3


def test_reports_are_the_same_after_their_way(machine):
    """Also those of failed tests, with all details."""
    suite = Suite(
        name="demo", cases=(Case(name="a", result="passed"), Case(name="b", result="failed", detail="at b.rs")), seconds=1.5,
        broken="x", recovered="y", ran_on="host",
    )  # fmt: skip
    sent = TestResult(
        target=STATIC[1], emulator="qemu-arm 7.2", ran_on={"machine": "armv7l"}, children="binfmt", suites=(suite,), seconds=2.5,
        error=TestsFailed("armv7-musl: 1 failed"),
    )  # fmt: skip
    recording(machine, "test").tests([sent])
    (received,) = reports.read([result.read(machine[0].dist)])
    assert replace(received, error=None) == replace(sent, error=None)
    assert (type(received.error), received.error.message) == (TestsFailed, "armv7-musl: 1 failed")


def test_images_are_recorded_and_smoke_finds_them(machine, monkeypatch):
    context, part = machine
    image = ImageResult(
        component="a", status=Status.DONE, platforms=("linux/arm/v7",), where="r.test/a", images={"linux/arm/v7": DIGEST},
        part=PushedPart(digests=(DIGEST,), recipe=Recipe(inputs={"linux/arm/v7": "2" * 64}, bases={"debian:12": DIGEST})),
    )  # fmt: skip
    recording(machine, "image").images([image, replace(image, component="left-out", part=None)], [])
    assert result.read(context.dist).record.commands["image"].images == {
        "a": record.ImageRecord(
            repository="r.test/a", digests=(DIGEST,), platforms={"linux/arm/v7": DIGEST}, inputs={"linux/arm/v7": "2" * 64},
            bases={"debian:12": DIGEST},
        ),
    }  # fmt: skip
    monkeypatch.setattr(record, "source", lambda _: COMMIT)
    assert record.pushed(context, part) == {"a": {"linux/arm/v7": DIGEST}}
    monkeypatch.setattr(record, "source", lambda _: OTHER)  # those of another commit are not what is to be checked
    assert record.pushed(context, part) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "amd64-musl"}, "{0} (2/2): shard/reports/test-armv7-musl.json: the report of another arch"),
        ({"session": "smoke"}, "{0} (2/2): shard/reports/test-armv7-musl.json: the report of another arch"),
        ({"suites": 3}, "{0} (2/2): shard/reports/test-armv7-musl.json: not a report"),
    ],
)
def test_a_report_that_is_not_the_one_of_its_name(machine, change, message):
    context, _ = machine
    recording(machine, "test").tests([TestResult(target=STATIC[1])])
    path = context.dist / "shard" / "reports" / "test-armv7-musl.json"
    data = json.dumps(json.loads(path.read_text()) | change).encode()
    path.write_bytes(data)
    document = json.loads((context.dist / record.RECORD).read_text())
    document["commands"]["test"]["files"] = {"shard/reports/test-armv7-musl.json": hashlib.sha256(data).hexdigest()}
    (context.dist / record.RECORD).write_text(json.dumps(document))
    with pytest.raises(BuildError) as caught:
        reports.read([result.read(context.dist)])
    assert caught.value.message == message.format(context.dist)
