"""Tests, benchmarks and smoke tests of a workspace, for one target after the other.

Read `tests` first: it compiles the tests of a target, runs them under its emulator and reports them. `cargo_test` makes the command
lines, `probe` shows where they will run, `runners` is what cargo starts test binaries with, `nextest` replaces some of them, `libtest`
reads the results, `failure_help` explains some, `junit` writes them as XML. `benches` and `counts` do the same for benchmarks; `smoke`
runs images as containers. `test_runner` with `child_processes` and `private_binfmt`, and `instruction_log`, are programs of their own,
which cargo and `counts` start: they import nothing of buildlib.

Nothing here may depend on doctor, ci, report or cli.
"""
