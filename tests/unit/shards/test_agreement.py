"""Parts of one command: none missing, none twice, all from the same sources, settings and division."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import ARCHES, COMMIT, SETTINGS, document, part

from buildlib import __version__
from buildlib.core.errors import BuildError
from buildlib.core.shard import Shard
from buildlib.shards import agreement, record, result
from buildlib.shards.agreement import HELP
from buildlib.shards.result import Result


@pytest.fixture
def read(tmp_path):
    """Reads a part whose record has these changes."""

    def read(shard, name="", /, **changes):
        return result.read(part(tmp_path / (name or shard.replace("/", "-of-")), shard, **changes))

    return read


def problems(results, commit=COMMIT, arches=ARCHES):
    with pytest.raises(BuildError) as caught:
        agreement.check(results, commit, arches)
    first, *lines = caught.value.message.split("\n  ")
    assert (first, caught.value.help, caught.value.code) == ("these parts cannot be merged:", HELP, 1)
    return lines


def test_all_parts_of_one_command_agree_in_any_order(read):
    agreement.check([read("2/2"), read("1/2")], COMMIT, ARCHES)


def test_missing_and_repeated_parts(read):
    one, two, again = read("1/2"), read("2/2"), read("1/2", "again")
    assert problems([one]) == ["part 2/2 is missing (armv7-musl)"]
    assert problems([two]) == ["part 1/2 is missing (amd64-musl)"]
    assert problems([one, again]) == [
        f"part 1/2 is there 2 times: {one.folder}, {again.folder}", "part 2/2 is missing (armv7-musl)",
    ]  # fmt: skip
    assert problems([one, two, again]) == [f"part 1/2 is there 2 times: {one.folder}, {again.folder}"]


@pytest.mark.parametrize(
    ("commit", "shown"),
    [
        ("b" * 40, "commit bbbbbbbbbbbb"),
        (f"{'a' * 40}+{'0' * 12}", "commit aaaaaaaaaaaa with changes 000000000000"),
        ("", "a directory without git"),
    ],
)
def test_another_source(read, commit, shown):
    one, two = read("1/2"), read("2/2", commit=commit)
    assert problems([one, two]) == [f"{two}: from {shown}, expected commit aaaaaaaaaaaa"]


def test_all_parts_from_a_source_that_is_not_that_of_this_workspace(read):
    one, two = read("1/2"), read("2/2")
    assert problems([one, two], commit="c" * 40) == [
        f"{part}: from commit aaaaaaaaaaaa, expected commit cccccccccccc" for part in (one, two)
    ]


def test_another_version_of_buildlib(read):
    one, two = read("1/2"), read("2/2", buildlib="0.0.1")
    assert problems([one, two]) == [f"{two}: made by buildlib 0.0.1, expected {__version__}"]


def test_other_arches_than_this_workspace_has(read):
    one, two = read("1/2"), read("2/2")
    more = [*ARCHES, "riscv64"]
    assert problems([one, two], arches=more) == [
        f"{part}: of the arches amd64-musl, armv7-musl, expected amd64-musl, armv7-musl, riscv64" for part in (one, two)
    ]


def test_machines_that_divided_in_another_way(read):
    one, two = read("1/2"), read("2/2", parts=[["armv7-musl"], ["amd64-musl"]])
    assert problems([one, two]) == [
        f"{two}: divided in another way than {one}: armv7-musl | amd64-musl, expected amd64-musl | armv7-musl; "
        "are ci.times the same?"
    ]


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ([["amd64-musl"], []], "its parts are not the arches amd64-musl, armv7-musl, each once"),
        (
            [["amd64-musl", "armv7-musl"], ["armv7-musl"]],
            "its parts are not the arches amd64-musl, armv7-musl, each once",
        ),
        ([["amd64-musl"], ["riscv64"]], "its parts are not the arches amd64-musl, armv7-musl, each once"),
        ([["amd64-musl", "armv7-musl"]], "1 parts, expected 2"),
    ],
)
def test_a_division_that_loses_or_repeats_an_arch(read, parts, what):
    one, two = read("1/2"), read("2/2", parts=parts)
    assert f"{two}: {what}" in problems([one, two])


def test_parts_of_different_counts(read):
    one, two = read("1/2"), read("2/2", shard="2/3")
    assert problems([one, two]) == [f"{two}: one of 3 parts, but {one} is one of 2"]


def test_a_command_that_failed_in_a_part(read):
    one, two = read("1/2"), read("2/2", commands={})
    assert problems([one, two]) == [f"{two}: no result of `build`, which {one} has"]
    assert problems([read("1/2", "empty", commands={}), two]) == ["no part has a result"]


def test_settings_that_differ_are_named(read):
    other = {"build": {"settings": {"profile": "dev", "features": [], "--all-features": True}, "files": {}}}
    one, two = read("1/2"), read("2/2", commands=other)
    assert problems([one, two]) == [
        f'{two}: `build` with profile = "dev", but "release" in {one}',
        f"{two}: `build` with --all-features = true, but null in {one}",
    ]  # fmt: skip


@given(st.lists(st.integers(min_value=1, max_value=4), max_size=6).filter(bool))
def test_only_every_part_once_is_accepted(numbers):
    arches = [f"arch{number}" for number in range(1, 5)]
    whole = {"arches": arches, "parts": [[arch] for arch in arches]}
    results = []
    for number in numbers:
        commands = {"build": record.CommandRecord(settings=SETTINGS)}
        data = record.Record(**document(f"{number}/4", **whole) | {"commands": commands})
        results.append(Result(folder="x", record=data, shard=Shard(number, 4), entries={}))
    if sorted(numbers) == [1, 2, 3, 4]:
        agreement.check(results, COMMIT, arches)
    else:
        with pytest.raises(BuildError):
            agreement.check(results, COMMIT, arches)
