"""How many instructions a program executes under QEMU: python3 tally.py QEMU ARGS... -- BINARY ARGS... prints the number.

Debian's QEMU has no plugins, so its log tells: `in_asm` writes down each block of instructions when it is translated, `exec` each
time that one is entered, and `nochain` lets no block go on to the next without that. Run as a program of its own, for it reads a
million lines a second: nothing of buildlib is imported.
"""

import os
import shutil
import subprocess
import sys

LOG = ("-d", "nochain,exec,in_asm")


def main(*words):
    at = words.index("--")
    emulator, program = words[:at], words[at + 1 :]
    # Without this, addresses differ from run to run, and with them how many instructions a start takes.
    still = ("setarch", "-R") if shutil.which("setarch") else ()
    reader, writer = os.pipe()
    argv = (*still, *emulator, *LOG, "-D", f"/dev/fd/{writer}", *program)
    with subprocess.Popen(argv, pass_fds=(writer,), stdout=subprocess.DEVNULL) as process:
        os.close(writer)
        with open(reader, "rb") as log:
            count = total(log)
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else 128 - process.returncode)
    sys.stdout.write(f"{count}\n")


def total(log):
    """The sum over all entries of a block of the instructions in it.

    A block is `IN:` and a line for each instruction, `0x<address>:  <bytes>  <words>`; an entry is
    `Trace 0: 0x<host> [<base>/<address>/<flags>/<flags>] <symbol>`; how many leading zeros an address has depends on the place.
    """
    count, sizes, block = 0, {}, None
    for line in log:
        if line.startswith(b"Trace"):
            count += sizes[line.split(b"/", 2)[1].lstrip(b"0")]
        elif line.startswith(b"Stopped"):  # announced, and not entered
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
