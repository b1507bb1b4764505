"""How programs are started, on invented machines: which QEMU is asked what, and what follows from its answers."""

import pytest
from machines import Machine, Recorder, context

from buildlib.binaries import dist, start
from buildlib.binaries.start import NOT_STARTED, Started
from buildlib.core.errors import UsageError
from buildlib.core.plan import Outcome
from buildlib.core.targets import TARGETS
from buildlib.elf.facts import Facts

ARM64, AMD64, S390X = TARGETS["arm64"], TARGETS["amd64"], TARGETS["s390x"]
STATIC = Facts(
    machine=183, bits=64, little=True, flags=0, kind="ET_DYN", loader="", glibc="", needed=(), rpath="", arm=0, size=1,
    sha256="aa",
)  # fmt: skip
ILLEGAL = (132, "qemu: uncaught target signal 4 (Illegal instruction) - core dumped\n")
ALL_QEMU = ["qemu-aarch64-static", "qemu-x86_64-static", "qemu-s390x-static"]
OLD, LARGE = "-cpu", "-p"


class Machines(Recorder):
    """A runner whose answers are those of the first word that a command has."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def __call__(self, step):
        words = step.argv[4:]  # python -IS sandbox.py SPEC
        probe = any(word.endswith("/page-size") for word in words)
        self.asked.append(" ".join("page-size" if word.endswith("/page-size") else word for word in words))
        (first, *_) = (word for word in ("in_asm", LARGE, OLD, "") if word in self.answers and word in (*words, ""))
        code, output = self.answers["probe" if probe else first]
        return Outcome(step=step, code=code, seconds=0, stdout=output, output=output)


@pytest.fixture
def run(tmp_path):
    """A function that starts a static program, and returns the result and the commands."""

    def run(target=ARM64, tools=ALL_QEMU, settings=(), **answers):
        by_word = {"": (0, "")} | {{"old": OLD, "large": LARGE}.get(key, key): value for key, value in answers.items()}
        if "probe" not in by_word:
            by_word["probe"] = (16, "")
        machines = Machines(by_word)
        at = context(Machine(tools=tools), machines, tmp_path, **dict(settings))
        return start.start(at, tmp_path / "app", STATIC, target), [
            asked.replace(f"{tmp_path}/", "").replace("/usr/bin/", "") for asked in machines.asked
        ]

    return run


def test_a_program_is_started_on_the_oldest_cpu_and_with_the_largest_pages(run):
    assert run() == (
        ([], Started("--version", "cortex-a53", "64 KiB")),
        [
            "qemu-aarch64-static app --version",
            "qemu-aarch64-static -cpu cortex-a53 app --version",
            "qemu-aarch64-static -R 274877906944 -p 65536 -cpu cortex-a53 page-size ",
            "qemu-aarch64-static -R 274877906944 -p 65536 -cpu cortex-a53 app --version",
        ],
    )
    assert run(AMD64) == (
        ([], Started("--version", AMD64.cpu)),
        ["app --version", "qemu-x86_64-static -cpu qemu64,-sse3,-cx16,-lahf-lm app --version"],
    )


def test_what_cannot_be_checked_is_recorded(run):
    assert run(tools=[]) == (([], NOT_STARTED), [])
    assert run(AMD64, tools=[])[0] == ([], Started("--version", "not checked"))
    assert run(S390X)[0] == ([], Started("--version", "not checked"))
    # -p has no effect since QEMU 9.
    (result, asked) = run(probe=(1, ""))
    assert result == ([], Started("--version", "cortex-a53", "not checked"))
    assert len(asked) == 3


def test_settings_name_another_cpu_and_smaller_pages(run):
    result, asked = run(settings={"cpu": {"arm64": "neoverse-n1"}, "page_size": 4096})
    assert result == ([], Started("--version", "neoverse-n1", "4 KiB"))
    assert asked == ["qemu-aarch64-static app --version", "qemu-aarch64-static -cpu neoverse-n1 app --version"]


def test_an_instruction_of_a_newer_cpu_is_named(run):
    trace = "IN: main\n0x550002651c:  f8f70288  ldadd x23, x8, [x20]\n\nqemu: uncaught target signal 4\n"
    result, asked = run(old=ILLEGAL, in_asm=(132, trace))
    problem = (
        "illegal instruction on cortex-a53, the oldest CPU of arm64: ldadd x23, x8, [x20] in main; compile it without"
        " target-cpu and -march, or name the CPU that users need in the setting `cpu`"
    )
    assert result == ([problem], NOT_STARTED)
    assert asked[-1] == "qemu-aarch64-static -d in_asm -cpu cortex-a53 app --version"
    (problem,) = run(AMD64, old=ILLEGAL, in_asm=(132, ""))[0][0]
    assert problem.startswith(f"illegal instruction on {AMD64.cpu}, the oldest CPU of amd64: when started; ")


def test_an_abort_on_large_pages_is_a_problem(run):
    result, _ = run(large=(134, "<jemalloc>: Unsupported system page size\n"))
    assert result == (
        ["crashed when started with --version: <jemalloc>: Unsupported system page size, with pages of 64 KiB, which kernels of"
         " the arch have; see the setting `page_size`"],
        NOT_STARTED,
    )  # fmt: skip


def test_a_program_that_ends_in_another_way_on_large_pages_is_a_problem(run):
    (problem,) = run(large=(101, "thread 'main' panicked\n"))[0][0]
    assert problem.startswith(
        "exited with code 101 when started with --version: thread 'main' panicked, with pages of 64 KiB"
    )
    # The same code is no difference, and neither is a program that is only slower.
    assert run(**{"": (2, "usage")})[0] == ([], Started("--version (exit code 2)", "cortex-a53", "64 KiB"))
    assert run(large=(124, ""))[0] == ([], Started("--version", "cortex-a53", "64 KiB"))


def test_another_failure_on_the_oldest_cpu_is_a_warning(run, capsys):
    result, _ = run(old=(139, "qemu: uncaught target signal 11\n"))
    assert result == ([], Started("--version", "not checked", "not checked"))
    assert capsys.readouterr().err == (
        "warning: app: not checked on the CPU cortex-a53: crashed when started with --version: qemu: uncaught target signal 11\n"
    )


def test_a_cpu_that_qemu_does_not_know_is_an_error_of_the_settings_or_a_warning(run, capsys):
    unknown = (1, "qemu-aarch64-static: unable to find CPU model 'x'\n")
    with pytest.raises(UsageError) as caught:
        run(settings={"cpu": {"arm64": "x"}}, old=unknown)
    assert (caught.value.message, caught.value.help) == (
        "cpu.arm64 = x: unable to find CPU model 'x'",
        "`/usr/bin/qemu-aarch64-static -cpu help` lists the names",
    )
    assert run(old=unknown)[0] == ([], Started("--version", "not checked", "not checked"))
    warning = "warning: programs for arm64 are not started on its oldest CPU: unable to find CPU model 'x'\n"
    assert capsys.readouterr().err == warning


@pytest.mark.parametrize(
    ("before", "tools", "due"),
    [
        (NOT_STARTED, [], False),
        (NOT_STARTED, ALL_QEMU, True),
        (Started("--version"), ALL_QEMU, True),  # of a version that did not know CPUs
        (Started("--version", "not checked", "not checked"), ALL_QEMU, True),
        (Started("--version", "neoverse-n1", "64 KiB"), ALL_QEMU, True),
        (Started("--version", "cortex-a53", "64 KiB"), ALL_QEMU, False),
        (Started("--version", "cortex-a53", "64 KiB"), [], False),
    ],
)
def test_an_unchanged_program_is_started_again_where_more_can_be_found_out(tmp_path, before, tools, due):
    at = context(Machine(tools=tools), Recorder(), tmp_path)
    assert start.is_due(at, ARM64, before, static=True) is due


def test_an_entry_says_how_it_was_started():
    entry = {"started": "--help", "cpu": "old", "pages": "4 KiB", "size": 1}
    for started in (NOT_STARTED, Started("--version", "not checked"), Started("--version", "x", "64 KiB")):
        changed = dist.with_start(entry, started)
        assert (dist.started_of(changed), changed["size"]) == (started, 1)
    assert dist.with_start(entry, NOT_STARTED) == {"started": "", "size": 1}
