"""Builds in other directories, for other users, take what was compiled before from a store, and only what is right."""

import json

import pytest
from shared_store import NO_USE, PASSWORD, Place
from testbed import BUILDLIB, run


def entries(store):
    """The files of a store that is a directory, with what is in them."""
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.mark.parametrize("backend", ["zig", "gcc"])
def test_another_user_elsewhere_compiles_nothing_again(backend, redis_server, cross_gcc, qemu, tmp_path):
    store, _ = redis_server()
    shared = {"BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD, "BUILDLIB_BACKEND": backend}
    without = Place(tmp_path / "without", BUILDLIB_BACKEND=backend).build()
    assert without[0] == NO_USE
    first = Place(tmp_path / "first", **shared).build()
    there = Place(tmp_path / "quite" / "another", **shared)
    second = there.build()
    assert (first[0], second[0]) == ({"compilations": 2, "hits": 0}, {"compilations": 2, "hits": 2})
    assert first[2] == second[2] == without[2]
    assert "arm64: 2 of 2 compilations (100 %) from the compiler cache" in second[1]
    made, source, c_file = there.prints().split()[1:]
    assert (made.startswith("/target/"), source, c_file) == (True, "helper/src/lib.rs", "/src/src/where.c")

    # cargo knows the files that were not compiled here: nothing to do, and then one that changed.
    assert there.build()[0] == NO_USE
    source = there.root / "helper" / "src" / "lib.rs"
    source.write_text(source.read_text().replace("first", "second"))
    assert there.build()[0] == {"compilations": 1, "hits": 0}
    assert there.prints().startswith("second ")


def test_a_path_in_the_program_is_not_taken_from_elsewhere(qemu, tmp_path):
    for name in ("first", "second"):
        place = Place(tmp_path / name, BUILDLIB_CACHE_COMPILER=str(tmp_path / "store"))
        use, _, _ = place.build("--features", "placed")
        # The library with the path is no compilation that the cache can keep.
        assert use == {"compilations": 2, "hits": 0 if name == "first" else 2}
        assert place.prints().splitlines()[-1] == str(place.root / "placed")


@pytest.mark.extended  # sccache waits a minute for the answer to one request
def test_a_store_that_fails_during_a_build_does_not_stop_it(redis_server, qemu, tmp_path):
    store, process = redis_server()
    shared = {"BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD}
    first = Place(tmp_path / "first", **shared)
    _, _, program = first.build()
    # It is killed by a build script, before what depends on it is compiled.
    fails = Place(tmp_path / "fails", **shared)
    assert fails.build(KILL=str(process.pid))[2] == program
    assert process.wait() == -9


def test_a_store_that_is_down_does_not_stop_a_build(redis_server, qemu, tmp_path):
    store, process = redis_server()
    shared = {"BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD}
    _, _, program = Place(tmp_path / "first", **shared).build()
    process.kill()
    process.wait()
    use, said, built = Place(tmp_path / "down", **shared).build()
    assert (use, built) == (NO_USE, program)
    assert f"warning: no compiler cache: {store}" in said and "compiling without it" in said


def test_a_store_is_only_read_where_the_settings_say_so(qemu, tmp_path):
    store = tmp_path / "store"
    place = Place(tmp_path / "first", BUILDLIB_CACHE_COMPILER=str(store), BUILDLIB_CACHE_READ_ONLY="true")
    store.mkdir()
    assert place.build()[0] == {"compilations": 2, "hits": 0}
    assert entries(store) == {}


def test_a_damaged_entry_and_one_of_something_else_are_compiled_again(qemu, tmp_path):
    store = tmp_path / "store"
    shared = {"BUILDLIB_CACHE_COMPILER": str(store)}
    _, _, program = Place(tmp_path / "first", **shared).build()
    stored = entries(store)
    one, other = stored
    for number, damaged in enumerate((
        dict.fromkeys(stored, b""),
        {path: data[: len(data) // 2] for path, data in stored.items()},
        {path: data[:100] + bytes(50) + data[150:] for path, data in stored.items()},
        {one: stored[other], other: stored[one]},
    )):  # fmt: skip
        for path, data in damaged.items():
            path.write_bytes(data)
        use, _, built = Place(tmp_path / str(number), **shared).build()
        assert (use, built) == ({"compilations": 2, "hits": 0}, program)


def test_reproduce_finds_an_entry_that_somebody_has_replaced(qemu, tmp_path):
    evil = Place(tmp_path / "evil", BUILDLIB_CACHE_COMPILER=str(tmp_path / "theirs"))
    source = evil.root / "helper" / "src" / "lib.rs"
    source.write_text(source.read_text().replace("first", "wrong"))
    evil.build()
    good = Place(tmp_path / "good", BUILDLIB_CACHE_COMPILER=str(tmp_path / "ours"))
    good.build()
    ours, theirs = entries(tmp_path / "ours"), entries(tmp_path / "theirs")
    (key,) = {path.name for path in ours} - {path.name for path in theirs}
    (other,) = {path.name for path in theirs} - {path.name for path in ours}
    for path in ours:
        if path.name == key:
            path.write_bytes(next(data for file, data in theirs.items() if file.name == other))

    victim = Place(tmp_path / "victim", BUILDLIB_CACHE_COMPILER=str(tmp_path / "ours"))
    found = run(BUILDLIB, "reproduce", "--arch", "arm64", "--json", cwd=victim.root, env=victim.env)
    assert found.code == 1, found
    (row,) = json.loads(found.out)
    assert (row["identical"], bool(row["difference"])) == (False, True)
    assert victim.prints().startswith("wrong ")
