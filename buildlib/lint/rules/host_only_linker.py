"""host-only-linker (BL012): a program in .cargo/config.toml that only some machines have."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.toml_file import TomlFile, programs


def check(file: TomlFile) -> Iterator[Finding]:
    """Check the linkers, runners and archivers of .cargo/config.toml."""
    for program in programs(file):
        if program.is_host_path:
            text = f"{program.key} of {program.triple} is {program.path}, which only some machines have"
            yield make_finding(file.source, "host-only-linker", program.place, text)
