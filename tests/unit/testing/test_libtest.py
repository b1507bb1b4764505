import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildlib.core.cases import CRASHED, FAILED, HOST, IGNORED, PASSED, TIMED_OUT, Case, Suite
from buildlib.testing.junit import junit
from buildlib.testing.libtest import read

OUTPUT = """
running 4 tests
test a::one ... ok
test a::refused - should panic ... ok
test a::two ... ignored, not today
test b::connection_reset ... FAILED

failures:

---- b::connection_reset stdout ----

thread 'b::connection_reset' panicked at src/lib.rs:1:1:
one and one

failures:
    b::connection_reset

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.05s
"""


def run(**facts):
    """A line of the record."""
    usual = {
        "binary": "/t/deps/demo-0123456789abcdef", "args": [], "threads": 2, "code": 0, "seconds": 0.5, "hung": False,
        "stdout": "", "stderr": "", "crash": "", "crashes": [], "listed": [], "ran_on": "", "cwd": "/w",
    }  # fmt: skip
    return json.dumps(usual | facts)


def test_the_output_of_libtest_is_a_suite():
    (suite,) = read(run(stdout=OUTPUT, code=101), "")
    detail = "thread 'b::connection_reset' panicked at src/lib.rs:1:1:\none and one"
    assert suite == Suite(
        name="demo", seconds=0.5,
        cases=(
            Case(name="a::one", result=PASSED), Case(name="a::refused", result=PASSED), Case(name="a::two", result=IGNORED),
            Case(name="b::connection_reset", result=FAILED, detail=detail),
        ),
    )  # fmt: skip
    assert (suite.count(PASSED), suite.count(FAILED, IGNORED)) == (2, 2)


LISTED = ["a", "b", "c", "d", "e"]
HALF = "running 5 tests\ntest b ... ok\n"


@pytest.mark.parametrize(
    ("facts", "names", "result"),
    [
        ({"hung": True}, ["a", "c"], TIMED_OUT),
        ({"hung": True, "threads": 1}, ["a"], TIMED_OUT),
        ({"hung": True, "args": ["--test-threads", "3"]}, ["a", "c", "d"], TIMED_OUT),
        ({"hung": True, "args": ["--test-threads=1"]}, ["a"], TIMED_OUT),
        ({"hung": True, "stdout": f"{HALF}test c has been running for over 60 seconds\n"}, ["c"], TIMED_OUT),
        ({"hung": True, "stdout": "", "listed": []}, ["demo"], TIMED_OUT),
        ({"crash": "program", "code": -11}, ["a", "c"], CRASHED),
        ({"crash": "program", "code": 139}, ["a", "c"], CRASHED),
    ],
)
def test_the_tests_that_were_running_are_named(facts, names, result):
    (suite,) = read(run(**{"stdout": HALF, "listed": LISTED} | facts), "")
    detail = "SIGSEGV\n" if result == CRASHED else "no test finished within the timeout\n"
    assert [case for case in suite.cases if case.result != PASSED] == [
        Case(name=name, result=result, detail=detail) for name in names
    ]


@pytest.mark.parametrize(
    ("facts", "suite"),
    [
        ({"crash": "emulator", "code": -11, "stderr": "QEMU internal SIGSEGV\n", "crashes": ["x"]},
         Suite(name="demo", seconds=0.5, cases=(), broken="QEMU internal SIGSEGV")),
        ({"crashes": ["QEMU internal SIGSEGV"], "stdout": "running 0 tests\n"},
         Suite(name="demo", seconds=0.5, cases=(), recovered="QEMU internal SIGSEGV")),
        ({"crash": "emulator", "code": -11, "crashes": ["x"]},
         Suite(name="demo", seconds=0.5, cases=(), broken="ended by signal 11 with no output")),
        ({"stdout": "another harness\n"}, Suite(name="demo", seconds=0.5, cases=(Case(name="demo", result=PASSED),))),
        ({"code": 3, "stderr": "no\n"},
         Suite(name="demo", seconds=0.5, cases=(Case(name="demo", result=FAILED, detail="exit code 3\nno\n"),), stderr="no\n")),
    ],
)  # fmt: skip
def test_other_ways_to_end(facts, suite):
    assert read(run(**facts), "") == (suite,)


DOCS = "test src/lib.rs - add (line 4) ... ok\ntest src/lib.rs - add (line 9) - compile fail ... FAILED\n"


def test_doc_tests_are_read_from_the_output_of_cargo():
    record = "\n".join((run(stdout=OUTPUT), run(binary="/tmp/rustdoctestX/rust_out", stdout="noise")))
    suites = read(record, OUTPUT + DOCS)
    assert [(suite.name, len(suite.cases)) for suite in suites] == [("demo", 4), ("doc-tests", 2)]
    assert suites[1].cases[1] == Case(name="src/lib.rs - add (line 9) - compile fail", result=FAILED)


def test_doc_tests_of_a_proc_macro_ran_on_the_host(tmp_path):
    """rustdoc names a doc test by its file from the workspace's root on, and starts it in the directory of its package."""
    (tmp_path / "macros" / "inner").mkdir(parents=True)
    record = "\n".join(
        run(binary="/tmp/rustdoctestX/rust_out", cwd=str(tmp_path / folder), ran_on=ran_on)
        for folder, ran_on in (("macros", HOST), ("macros/inner", ""), (".", ""))
    )
    names = ("macros/src/lib.rs - a (line 1)", "macros/inner/src/lib.rs - b (line 2)", "src/lib.rs - c (line 3)")
    stdout = "".join(f"test {name} ... ok\n" for name in names)
    on_host, *others = (Case(name=name, result=PASSED) for name in names)
    assert read(record, stdout, tmp_path) == (
        Suite(name="doc-tests", cases=tuple(others)), Suite(name="doc-tests", cases=(on_host,), ran_on=HOST),
    )  # fmt: skip


def test_a_binary_that_ran_on_the_host_says_so():
    suites = read("\n".join((run(stdout=OUTPUT), run(binary="/t/deps/derive-0123456789abcdef", ran_on=HOST))), "")
    assert [(suite.name, suite.ran_on) for suite in suites] == [("demo", ""), ("derive", HOST)]
    root = ElementTree.fromstring(
        junit("test-arm64", suites, {"arch": "arm64", "ran on": "aarch64", "emulator": "qemu"})
    )
    assert [[(prop.get("name"), prop.get("value")) for prop in suite.iter("property")] for suite in root] == [
        [("arch", "arm64"), ("ran on", "aarch64"), ("emulator", "qemu")],
        [("arch", "arm64"), ("ran on", "host"), ("emulator", "")],
    ]


def test_what_another_runner_has_started_is_read_from_the_output_of_cargo():
    """The user's own runner of the host starts unit tests of proc macros."""
    stdout = f"{OUTPUT}\ntest macro_works ... ok\n"
    demo, others = read(run(stdout=OUTPUT, code=101), stdout)
    assert (demo.name, others) == ("demo", Suite(name="tests", cases=(Case(name="macro_works", result=PASSED),)))
    assert [suite.name for suite in read(run(stdout=OUTPUT, code=101, crashes=["QEMU"]), stdout)] == ["demo"]


def test_without_a_record_all_tests_are_read_from_the_output_of_cargo():
    assert [(suite.name, len(suite.cases)) for suite in read("", OUTPUT + DOCS)] == [("tests", 6)]
    assert read("", "nothing ran\n") == ()


@given(st.text(), st.text())
def test_any_output_can_be_read_and_reported(stdout, detail):
    suites = read(run(stdout=stdout, stderr=detail, code=1), stdout)
    document = junit("test-arm64", suites, {"arch": detail})
    assert len(ElementTree.fromstring(document)) == len(suites)


def test_the_junit_document():
    cases = (
        Case(name="a", result=PASSED), Case(name="b", result=FAILED, detail="\x1b[31mno\x1b[0m\x00\nmore"),
        Case(name="c", result=IGNORED), Case(name="d", result=TIMED_OUT),
    )  # fmt: skip
    root = ElementTree.fromstring(
        junit("test-arm64", (Suite(name="x", cases=cases, seconds=1.5, broken="oh"),), {"arch": "arm64"})
    )
    (suite,) = root
    assert suite.attrib == {
        "name": "test-arm64.x", "tests": "4", "failures": "2", "errors": "1", "skipped": "1", "time": "1.5",
    }  # fmt: skip
    children = {
        case.get("name"): [(child.tag, child.get("message"), child.text) for child in case]
        for case in suite.iter("testcase")
    }
    assert children == {
        "a": [], "b": [("failure", "no", "no\nmore")], "c": [("skipped", None, None)],
        "d": [("failure", "timed out", None)], "emulator": [("error", "oh", None)],
    }  # fmt: skip
