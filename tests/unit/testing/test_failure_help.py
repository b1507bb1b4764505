import pytest
from machines import ARM64

from buildlib.core.cases import FAILED, HOST, PASSED, Case, Suite
from buildlib.testing.child_processes import BINFMT, BOTH, LAUNCHERS, NONE, PRIVATE
from buildlib.testing.failure_help import help_for_failures

NO_HANDLER = (
    "a test started a program of arm64, and this kernel has no handler for it: apt-get install qemu-user-static binfmt-support, "
    "or docker run --privileged --rm tonistiigi/binfmt --install arm64"
)
VARIABLE = (
    "a test started a program of arm64 without the variable QEMU_LD_PREFIX, by which the kernel's handler finds its libraries: let "
    "the test keep it"
)
LOADER = "qemu-aarch64-static: Could not open '/lib/ld-linux-aarch64.so.1': No such file or directory"
NOT_STARTED = [
    'called `Result::unwrap()` on an `Err` value: Os { code: 8, kind: Uncategorized, message: "Exec format error" }',
    "Exec format error (os error 8)",
    "assertion `left == right` failed\n  left: Some(127)\n right: Some(3)",
    'Output { status: ExitStatus(unix_wait_status(32512)), stdout: "", stderr: "" }',
    "Unexpected failure.\ncode=127\nstderr=``````",
    "exit status: 127",
    "tests/run.sh: 4: /w/target/debug/tool: Exec format error",
    "bash: /w/target/debug/tool: cannot execute binary file: Exec format error",
]


def help_for(text, way, result=FAILED, **facts):
    return help_for_failures(
        ARM64, (Suite(name="a", cases=(Case(name="b", result=result, detail=text),), **facts),), way
    )


@pytest.mark.parametrize("text", [*NOT_STARTED, LOADER])
@pytest.mark.parametrize("way", [LAUNCHERS, NONE])
def test_a_program_that_the_kernel_does_not_start_is_explained(text, way):
    assert help_for(text, way) == NO_HANDLER


@pytest.mark.parametrize("way", [BINFMT, BOTH])
def test_a_handler_that_does_not_find_the_libraries_is_explained(way):
    assert help_for(LOADER, way) == VARIABLE
    assert help_for("", way, stderr=LOADER) == VARIABLE


@pytest.mark.parametrize(
    ("text", "way", "facts"),
    [
        (NOT_STARTED[0], BINFMT, {}), (NOT_STARTED[0], PRIVATE, {}), (LOADER, PRIVATE, {}), (NOT_STARTED[0], "", {}),
        (NOT_STARTED[0], NONE, {"ran_on": HOST}), (NOT_STARTED[0], NONE, {"result": PASSED}),
        ("left: 127\n right: 3", NONE, {}), ("os error 80", NONE, {}), ("Could not open '/etc/app.toml'", BINFMT, {}),
    ],
)  # fmt: skip
def test_other_failures_are_not(text, way, facts):
    assert help_for(text, way, **facts) == ""
