import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import AMD64, ARM64, WITH_ZIG, Machine, Recorder, artifact, context

from buildlib.core import errors
from buildlib.core.plan import Step
from buildlib.core.request import Request
from buildlib.testing import benches, counts, instruction_log

QEMU = ("/usr/bin/qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")
LOG = b"""\
----------------
IN: main
0x55028afc40:  d503201f  nop
0x55028afc44:  97ffeeac  bl       #0x55028ab700

Trace 0: 0x7f22a4000100 [0000000001009331/00000055028afc40/00000001/00000200] main
----------------
IN:
0x000000400286b2b6:  850a              mv                      a0,sp

Trace 0: 0x7f237c000100 [0000000000000000/000000400286b2b6/00207600/00000200]
Trace 0: 0x7f237c000100 [0000000000000000/000000400286b2b6/00207600/00000200]
Trace 0: 0x7f22a4000100 [0000000001009331/00000055028afc40/00000001/00000200] main
Stopped execution of TB chain before 0x7f22a4000100 [00000055028afc40] main
"""


def test_each_entry_of_a_block_adds_its_instructions():
    assert instruction_log.total(io.BytesIO(LOG)) == 2 + 1 + 1 + 2 - 2


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=60))
def test_the_total_of_random_logs(sizes, entries):
    """Blocks of those sizes, each translated before it is first entered, as 32-bit guests write addresses."""
    lines, expected, known = [], 0, set()
    for entry in (at % len(sizes) for at in entries):
        if entry not in known:
            known.add(entry)
            lines += [
                "-" * 16,
                "IN: f",
                *(f"0x{0x10000 * (entry + 1) + 4 * n:08x}:  e1a00000  nop" for n in range(sizes[entry])),
                "",
            ]
        lines.append(f"Trace 0: 0x7f0000000000 [00000000/{0x10000 * (entry + 1):08x}/00000000/ff000000] f")
        expected += sizes[entry]
    assert instruction_log.total(io.BytesIO("\n".join(lines).encode())) == expected


@pytest.mark.processes
def test_a_program_that_fails_is_not_counted(tmp_path):
    emulator = tmp_path / "qemu"
    emulator.write_text('#!/bin/sh\nfor word; do case $word in /dev/fd/*) log=$word;; esac; done\n'
                        f'cat {tmp_path}/log > "$log"; exit $CODE\n')  # fmt: skip
    emulator.chmod(0o755)
    (tmp_path / "log").write_bytes(LOG)
    for code, out in ((0, "4\n"), (3, "")):
        argv = (sys.executable, "-I", "-S", instruction_log.__file__, emulator, "-L", "/x", "--", "program", "a body")
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin", "CODE": str(code)}
        )
        assert (done.returncode, done.stdout) == (code, out)


def test_the_whole_command_lines():
    binary, cwd = Path("/t/b-1"), Path("/w/p")
    assert counts.listing(QEMU, binary, cwd, ("crc",)).argv == (
        *QEMU,
        "/t/b-1",
        "--bench",
        "--list",
        "--format",
        "terse",
        "crc",
    )
    assert counts.check(QEMU, binary, cwd, ("crc",)).argv == (*QEMU, "/t/b-1", "--test", "crc")
    assert counts.measure((), binary, cwd, ()).argv == ("/t/b-1", "--bench")
    step = counts.count(Machine(), QEMU, binary, cwd, "crc/plain", 4)
    assert step.argv == ("/py", "-I", "-S", str(counts.INSTRUCTION_LOG), *QEMU, "--", "/t/b-1", "crc/plain")
    assert (step.env, step.cwd) == ({"BUILDLIB_ITERATIONS": "4"}, cwd)


def test_names_of_bodies_are_read_from_the_list():
    assert counts.names("a/plain/64: benchmark\nb c: bench\nx: test\n\n2 tests, 2 benchmarks\n") == (
        "a/plain/64",
        "b c",
    )


def test_the_plain_path_is_compared_with_the_others():
    counted = {
        "crc/plain/64": 310.0,
        "crc/neon/64": 62.0,
        "crc/neon/128": 1.0,
        "scan/plain": 10.0,
        "scan/avx2": 5.0,
        "x": 3.0,
    }
    assert [(row.name, row.path, row.times) for row in counts.rows(counted)] == [
        ("crc/64", "neon", 5.0),
        ("scan", "avx2", 2.0),
    ]


@pytest.mark.parametrize(
    ("now", "grown"), [(100, ()), (101, ()), (102, ("a: 100 to 102, +2.0 %",)), (50, ())]
)  # fmt: skip
def test_bodies_that_exceed_the_baseline(now, grown):
    assert counts.grown({"a": now, "new": 9.0}, {"a": 100.0, "gone": 1.0, "zero": 0.0}, 1.0) == grown


class Tools(Recorder):
    """A runner whose cargo compiles one benchmark, with bodies of a million and of 100 instructions."""

    def __init__(self, binary, answers=(), **more):
        super().__init__({"QEMU's version": (0, "qemu-aarch64 version 7.2.22\n"), f"benches of {binary.name}":
                          (0, "crc/plain: benchmark\ncrc/neon: benchmark\n")} | dict(answers), **more)  # fmt: skip
        self.binary, self.env = binary, {}

    def __call__(self, action):
        outcome = super().__call__(action)
        if isinstance(action, Step) and "compile" in action.title:
            return replace(outcome, artifacts=(artifact(self.binary, "bench", test=True),))
        if isinstance(action, Step) and counts.ITERATIONS in action.env and outcome:
            each = 1_000_000 if "plain" in action.argv[-1] else 100
            return replace(outcome, stdout=f"{200_000 + each * int(action.env[counts.ITERATIONS])}\n")
        return outcome


@pytest.fixture
def bench(tmp_path, rustup):
    """Run `bench` for one target; returns the result and the runner."""
    binary = tmp_path / "kernels-0123456789abcdef"
    (tmp_path / "Cargo.lock").write_text("version = 4\n")

    def bench(answers=(), *, target=ARM64, counting=True, machine=183, dry=False, rest=(), **options):
        binary.write_bytes(
            b"\x7fELF\2\1\1" + bytes(11) + machine.to_bytes(2, "little") + b"BUILDLIB_ITERATIONS" * counting
        )
        chain = replace(rustup, stds=rustup.stds | {target.triple})
        host = Machine(tools=("cc", "qemu-aarch64-static"), files=("/usr/aarch64-linux-gnu/lib/ld-linux-aarch64.so.1",),
                       toolchains=(chain,), **WITH_ZIG)  # fmt: skip
        run = Tools(binary, answers, dry=dry)
        asked = replace(context(host, run, root=tmp_path), request=Request(rest=rest))
        (result,) = benches.bench(asked, (target,), benches.BenchOptions(**options))
        return result, run

    return bench


def test_instructions_per_iteration_are_counted_and_reported(bench, tmp_path):
    result, run = bench()
    assert result.counted == {"crc/plain": 1_000_000.0, "crc/neon": 100.0}
    # Short bodies get more iterations, and every body has run once before anything is counted.
    counting = [line for line in run.asked if "instruction_log.py" in line]
    assert len(counting) == 2 + 3 and any(line.endswith("--test") for line in run.asked)
    report = json.loads((tmp_path / "target" / "buildlib" / "reports" / "bench-arm64.json").read_text())
    assert report == {
        "session": "bench", "arch": "arm64", "target": "aarch64-unknown-linux-gnu", "emulator": "qemu-aarch64-static 7.2.22",
        "code": 0, "error": None, "instructions": {"crc/plain": 1_000_000.0, "crc/neon": 100.0}, "uncounted": [],
    }  # fmt: skip


def test_a_report_can_be_a_baseline(bench, tmp_path):
    bench()
    report = tmp_path / "target" / "buildlib" / "reports" / "bench-arm64.json"
    kept = tmp_path / "kept.json"
    kept.write_text(report.read_text().replace("100.0", "90.0"))
    assert bench(baseline=report)[0].error is None
    error = bench(baseline=kept)[0].error
    assert (error.code, error.message) == (
        1,
        "arm64: more instructions than in the baseline:\n  crc/neon: 90 to 100, +11.1 %",
    )
    assert bench(baseline=kept, limit=12.0)[0].error is None


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"instructions": 3}', '{"instructions": {"a": "x"}}'])
def test_a_file_that_is_not_a_report_is_a_usage_error(bench, tmp_path, text):
    path = tmp_path / "baseline"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.UsageError):
        bench(baseline=path)


def test_criterion_measures_native_benchmarks(bench, tmp_path):
    result, run = bench(target=AMD64, machine=62, rest=("crc",))
    assert (result.error, result.counted, result.emulator) == (None, {}, "")
    assert [line for line in run.asked if "kernels" in line] == [f"{tmp_path}/kernels-0123456789abcdef --bench crc"]


def test_a_benchmark_that_cannot_count_is_checked_and_reported(bench):
    result, run = bench(counting=False)
    assert (result.error, result.uncounted) == (None, ("kernels-0123456789abcdef",))
    assert not any("instruction_log" in line for line in run.asked)


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"answers": {"kernels-0123456789abcdef: each body once": (101, "panicked")}}, errors.TestsFailed),
        ({"answers": {"arm64 · compile benches": (101, "error[E0308]: mismatched types")}}, errors.CompileFailed),
        ({"answers": {"crc/neon, 2 times": (101, "no bench is called crc/neon")}}, errors.BuildError),
        ({"machine": 62}, errors.BuildError),
    ],
    ids=str,
)
def test_errors_of_a_run(bench, more, kind):
    assert type(bench(**more)[0].error) is kind


def test_a_workspace_without_benchmarks(bench, monkeypatch):
    monkeypatch.setattr(Tools, "__call__", lambda self, action: replace(Recorder.__call__(self, action), artifacts=()))
    assert type(bench()[0].error) is errors.NothingToDo


def test_a_dry_run_writes_no_report(bench, tmp_path):
    assert bench(dry=True)[0].planned and not (tmp_path / "target" / "buildlib" / "reports").exists()
