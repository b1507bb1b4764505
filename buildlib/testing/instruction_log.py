"""Count the instructions that a program executes under QEMU: `python3 instruction_log.py QEMU ARGS... -- BINARY ARGS...`.

This program prints the number. Debian's QEMU has no plugins, which could count, so the number is read from QEMU's log:
`in_asm` logs each block of instructions when it is translated, `exec` logs each entry of a block, and `nochain` keeps
blocks from jumping to the next one without a log line.
The log has a million lines a second: this program must be fast and imports nothing of buildlib.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

TYPE_CHECKING = False  # type checkers treat any variable of this name as true; importing typing would take time
if TYPE_CHECKING:
    from collections.abc import Iterable

LOG = ("-d", "nochain,exec,in_asm")


def main(*words: str) -> None:
    """Run the binary and print the number of its instructions, or exit with its exit code if it fails."""
    at = words.index("--")
    emulator, program = words[:at], words[at + 1 :]
    # Address space randomization changes the addresses from run to run, and with them the number of instructions that a
    # program needs to start.
    fixed_addresses = ("setarch", "-R") if shutil.which("setarch") else ()
    reader, writer = os.pipe()
    argv = (*fixed_addresses, *emulator, *LOG, "-D", f"/dev/fd/{writer}", *program)
    with subprocess.Popen(argv, pass_fds=(writer,), stdout=subprocess.DEVNULL) as process:
        os.close(writer)
        with open(reader, "rb") as log:
            count = total(log)
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else 128 - process.returncode)
    sys.stdout.write(f"{count}\n")


def total(log: Iterable[bytes]) -> int:
    """The number of instructions in a log: the sizes of all blocks that were entered, added up.

    A block is `IN:` and a line for each instruction, `0x<address>:  <bytes>  <words>`; an entry is
    `Trace 0: 0x<host> [<base>/<address>/<flags>/<flags>] <symbol>`; the two write addresses with different numbers of leading zeros.
    """
    count = 0
    sizes: dict[bytes, int] = {}
    block: bytes | None = None
    for line in log:
        if line.startswith(b"Trace"):
            count += sizes[line.split(b"/", 2)[1].lstrip(b"0")]
        elif line.startswith(b"Stopped"):  # the entry of this block was logged, but the block did not run
            count -= sizes[line[line.index(b"[") + 1 : line.index(b"]")].lstrip(b"0")]
        elif line.startswith(b"IN:"):
            block = None
        elif line.startswith(b"0x"):
            if block is None:
                block = line[2 : line.index(b":")].lstrip(b"0")
                sizes[block] = 0
            sizes[block] += 1
    return count


if __name__ == "__main__":
    main(*sys.argv[1:])
