"""The names in a lock file and in the tables, which are searched and not parsed."""

from buildlib.crates import host_tools, libraries
from buildlib.crates.locked import known, locked


def test_the_names_in_a_lock_file():
    lock = '[[package]]\nname = "a"\nversion = "1"\ndependencies = [\n "c",\n]\n[[package]]\nname = "b-sys"\n'
    assert locked(lock) == {"a", "b-sys"} and locked("") == frozenset()


def test_the_names_are_those_of_the_parsed_tables():
    rows = (*host_tools.known()[0], *libraries.known()[0])
    variables = [name for row in rows for name in row.get("when", ())]
    assert known(variables) == {row["name"] for row in rows} | {"system-deps"}


def test_crates_that_do_something_on_request_count_if_it_may_be_requested():
    assert "ring" not in known({}) and "ring" in known({"RING_PREGENERATE_ASM": "1"})
    assert "zstd-sys" in known({})  # it has a feature, too
    assert "v8" in known(["V8_FROM_SOURCE_x86_64_unknown_linux_gnu"])
    assert {"prost-build", "openssl-src", "cmake", "clang-sys", "openssl-sys", "system-deps"} <= known({})
