"""Machine code that starts a program under an emulator; a script that prints its words stands for the emulator."""

import os
import platform
import struct
import subprocess

import pytest

from buildlib.emulation.exit_stub import MACHINES
from buildlib.emulation.launcher import CODE, SIZE, SLOT, launcher

SCRIPT = '#!/bin/sh\nprintf "[%s]" "$@"\nprintf "\\n%s\\n" "$(env | grep ODD)"\n'


@pytest.mark.parametrize("machine", CODE)
def test_the_program_is_an_elf_file_whose_words_are_part_of_it(machine):
    start = launcher(machine)
    number, entry = struct.unpack_from("<H", start, 18)[0], struct.unpack_from("<Q", start, 24)[0]
    offset, address, _, in_file, in_memory = struct.unpack_from("<5Q", start, 64 + 8)
    assert (number, entry, offset) == (MACHINES[machine][0], address + 120, 0)
    assert (in_file, in_memory) == (SIZE, SIZE) and len(start) < SLOT
    assert start.endswith(b"-L\0-0\0")


def test_other_machines_have_no_launcher():
    assert launcher("m68k") == b""


@pytest.fixture
def start(tmp_path):
    """Write a launcher of this machine and start it; returns what its emulator was given."""
    code = launcher(platform.machine())
    if not code:
        pytest.skip(f"no launcher for {platform.machine()}")
    (tmp_path / "emulator").write_text(SCRIPT)
    (tmp_path / "emulator").chmod(0o755)

    def start(program, *words, emulator="emulator", **options):
        path = tmp_path / "launcher"
        slots = (str(tmp_path / emulator), "/libc of it", program)
        path.write_bytes(code.ljust(SLOT, b"\0") + b"".join(os.fsencode(word).ljust(SLOT, b"\0") for word in slots))
        path.chmod(0o755)
        argv = [options.pop("name", str(path)), *words]
        return path, subprocess.run(argv, executable=path, capture_output=True, text=True, check=False, **options)

    return start


@pytest.mark.processes
def test_it_stands_in_for_a_program(start):
    """All words arrive, also empty ones, and variables that a shell would drop."""
    path, done = start("/target/tool", "", "a b", "--", env={"ODD-name.x": "1"})
    assert done.stdout == f"[-L][/libc of it][-0][{path}][/target/tool][][a b][--]\n\n"
    done = start("/target/tool", name="another")[1]
    assert done.stdout == "[-L][/libc of it][-0][another][/target/tool]\n\n"


@pytest.mark.processes
def test_it_is_the_interpreter_of_a_handler(start):
    """The kernel passes the program's path and, with the flag P, its argv[0]."""
    done = start("", "/target/tool", "name", "a", "b")[1]
    assert done.stdout == "[-L][/libc of it][-0][name][/target/tool][a][b]\n\n"


@pytest.mark.processes
def test_it_exits_like_a_shell_where_there_is_no_emulator(start):
    assert start("/target/tool", emulator="missing")[1].returncode == 126
