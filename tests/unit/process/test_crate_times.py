import os

import pytest

from buildlib.process.crate_times import CrateTimes, package_of

SERDE = "registry+https://index.test#serde@1.0.229"


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def times(clock):
    return CrateTimes(clock)


def stamped(path, time):
    """A file of cargo's that says when a unit was started."""
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (time, time))


def test_a_unit_starts_when_cargo_says_and_ends_with_its_message(tmp_path, clock, times):
    """A build script is compiled and run, and the library waits for another crate before it is compiled."""
    stamped(tmp_path / "release/.fingerprint/serde-0123456789abcdef/invoked.timestamp", 1001.0)
    stamped(tmp_path / "release/build/serde-00000000000000aa/invoked.timestamp", 1003.5)
    stamped(tmp_path / "t/release/.fingerprint/serde-fedcba9876543210/invoked.timestamp", 1020.0)
    clock.time = 1001.0
    times.line("   Compiling serde v1.0.229\n")
    clock.time = 1003.0
    times.compiled(
        {"package_id": SERDE, "filenames": [str(tmp_path / "release/build/serde-0123456789abcdef/build-script-build")]}
    )
    clock.time = 1004.0
    times.executed({"package_id": SERDE, "out_dir": str(tmp_path / "release/build/serde-00000000000000aa/out")})
    clock.time = 1025.25
    files = [str(tmp_path / f"t/release/deps/libserde-fedcba9876543210.{suffix}") for suffix in ("rlib", "rmeta")]
    times.compiled({"package_id": SERDE, "filenames": files})
    assert times.slowest(5) == [("serde", "1.0.229", 2.0 + 0.5 + 5.25, 0.5)]


def test_without_cargos_files_a_unit_starts_with_its_line_or_the_previous_message(clock, times):
    """The library and the program of a package in a container, with cargo's colours."""
    clock.time = 1001.0
    times.line("\x1b[1m\x1b[92m   Compiling\x1b[0m app v0.1.0 (/project/app)")
    clock.time = 1004.0
    app = "path+file:///project/app#0.1.0"
    times.compiled({"package_id": app, "filenames": ["/target/release/deps/libapp-0123456789abcdef.rlib"]})
    clock.time = 1005.0
    times.compiled({"package_id": app, "filenames": ["/target/release/app"]})
    assert times.slowest(5) == [("app", "0.1.0", 4.0, 0.0)]


def test_a_file_of_an_earlier_build_says_nothing(tmp_path, clock, times):
    stamped(tmp_path / ".fingerprint/a-0123456789abcdef/invoked.timestamp", 500.0)
    times.line("Compiling a v1.0.0")
    clock.time = 1002.0
    times.compiled({"package_id": "x#a@1.0.0", "filenames": [str(tmp_path / "deps/liba-0123456789abcdef.rlib")]})
    assert times.slowest(1) == [("a", "1.0.0", 2.0, 0.0)]


def test_a_script_that_did_not_run_counts_nothing(clock, times):
    """Cargo repeats the message of a script whose result is up to date."""
    clock.time = 1009.0
    times.executed({"package_id": SERDE, "out_dir": "/target/build/serde-00000000000000aa/out"})
    assert times.slowest(5) == []


def test_the_slowest_are_first_and_no_more_than_asked(clock, times):
    for name, seconds in (("b", 1.0), ("a", 1.0), ("c", 2.0)):
        times.line(f"Compiling {name} v1.0.0")
        clock.time += seconds
        times.compiled({"package_id": f"x#{name}@1.0.0", "filenames": []})
    assert [entry[0] for entry in times.slowest(2)] == ["c", "a"]


@pytest.mark.parametrize(
    "message", [{}, {"package_id": 3}, {"package_id": "", "filenames": None}, {"filenames": ["x\0y"]}]
)
def test_a_message_that_is_not_cargos_changes_no_time(times, message):
    times.compiled(message)
    times.executed(message)
    assert sum(seconds for _, _, seconds, _ in times.slowest(9)) == 0


@pytest.mark.parametrize(
    ("identifier", "package"),
    [
        (SERDE, ("serde", "1.0.229")), ("path+file:///project/app#0.1.0", ("app", "0.1.0")),
        ("path+file:///project/other#app@0.1.0", ("app", "0.1.0")), ("git+https://a.test/b.git?rev=1#c@2.0.0", ("c", "2.0.0")),
        ("git+https://a.test/c?rev=1#2.0.0", ("c", "2.0.0")),
        ("serde 1.0.138 (registry+https://index.test)", ("serde", "1.0.138")), ("", ("", "")), ("#", ("", "")),
    ],
)  # fmt: skip
def test_package_ids_of_all_versions_of_cargo(identifier, package):
    assert package_of(identifier) == package
