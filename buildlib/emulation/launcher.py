"""A program of a few bytes that starts another one under QEMU, as a shell script of one line could.

    exec EMULATOR -L PREFIX -0 NAME PROGRAM ARGUMENTS...

It is machine code, because scripts are not transparent: dash drops variables whose names it does not allow (cargo sets
CARGO_BIN_EXE_cli-command), Python ignores SIGPIPE and may set LC_CTYPE, and each costs milliseconds. The words are in the file
behind the first SLOT bytes, each in a slot of that size: EMULATOR, PREFIX, PROGRAM. There are two uses:

- PROGRAM is in its slot: the file stands in for that program. NAME is its own argv[0].
- The slot is empty: the file is the interpreter of a binfmt_misc handler with the flag P, which the kernel starts with its own path,
  the program's path, the program's argv[0] and the arguments.
"""

from __future__ import annotations

from buildlib.emulation.exit_stub import elf_program

SLOT = 4096  # bytes: PATH_MAX, with the zero behind a path
SIZE = 4 * SLOT
# The stack at the start holds argc and argv. The new argv is made in place: six words that end where the arguments begin. Behind the
# code are the words "-L" and "-0". All addresses are relative, so the code is the same for every program.
CODE = {
    "x86_64": """
        488b0424 488d54c410             # rax = argc; rdx = envp
        488d0d782f0000 803900 7511      # rcx = PROGRAM; if it is empty:
        488b4c2410 488b5c2418           #   rcx = argv[1], rbx = argv[2]
        488d7424f0 eb0a                 #   the new argv is at rsp - 16
        488b5c2408 488d7424e0           # else rbx = argv[0], the new argv is at rsp - 32
        488d3d510f0000 48893e           # rdi = new argv[0] = EMULATOR
        488d0535000000 48894608         # new argv[1] = "-L"
        488d053c1f0000 48894610         # new argv[2] = PREFIX
        488d0522000000 48894618         # new argv[3] = "-0"
        48895e20 48894e28               # new argv[4] = rbx, new argv[5] = rcx
        b83b000000 0f05                 # execve(EMULATOR, new argv, envp)
        bf7e000000 b83c000000 0f05      # exit(126)
        2d4c00 2d3000
    """,
    "aarch64": """
        e9030091 2a0140f9 220d0a8b 42400091
        c37b0110 64004039 84000035
        231541a9 214100d1 03000014
        250540f9 218100d1
        c07a0010 66010010 87fa0010 28010070
        201800a9 272001a9 250c02a9
        a81b80d2 010000d4
        c00f80d2 a80b80d2 010000d4
        2d4c00 2d3000
    """,
    "riscv64": """
        83320100 93923200 33065100 13060601
        17330000 130383f7 83430300 639a0300
        03330101 033e8101 930501ff 6f00c000
        033e8100 930501fe
        17150000 130505f5 23b0a500
        97020000 93820204 23b45500
        97220000 938282f3 23b85500
        97020000 9382b202 23bc5500
        23b0c503 23b46502
        9308d00d 73000000
        1305e007 9308d005 73000000
        2d4c00 2d3000
    """,
}


def launcher(machine: str) -> bytes:
    """The program for a machine as `uname -m` names it, up to its words; b"" for a machine that is not in CODE."""
    lines = CODE.get(machine, "").splitlines()
    code = bytes.fromhex("".join(line.partition("#")[0] for line in lines))
    return elf_program(machine, code, SIZE) if code else b""
