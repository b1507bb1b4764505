"""Programs of a few bytes that only exit with 0, to find out whether a machine or a container can start programs."""

from __future__ import annotations

import struct

BASE = 0x10000  # load address; aligned for pages of up to 64 KiB
HEADERS = 64 + 56  # bytes of the ELF header and of one program header

# Per machine: e_machine and e_flags; those of riscv64 name the double-float ABI.
MACHINES = {"x86_64": (62, 0), "aarch64": (183, 0), "riscv64": (243, 4)}
# Per machine: the code of the system call exit(0).
CODE = {
    "x86_64": "31ff b83c000000 0f05",  # xor edi, edi; mov eax, 60; syscall
    "aarch64": "000080d2 a80b80d2 010000d4",  # mov x0, 0; mov x8, 93; svc 0
    "riscv64": "13050000 9308d005 73000000",  # li a0, 0; li a7, 93; ecall
}


def exit_program(machine: str) -> bytes:
    """A static ELF program for a machine as `uname -m` names it; b"" for a machine that is not in CODE."""
    return elf_program(machine, bytes.fromhex(CODE[machine])) if machine in CODE else b""


def elf_program(machine: str, code: bytes, size: int = 0) -> bytes:
    """The start of a static ELF program that runs `code`. `size` is the program's in bytes, 0 if it ends with the code."""
    number, flags = MACHINES[machine]
    size = size or HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bit, little endian
    entry = BASE + HEADERS
    # e_type EXEC, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, sizes and numbers of headers
    head = struct.pack("<HHIQQQIHHHHHH", 2, number, 1, entry, 64, 0, flags, 64, 56, 1, 0, 0, 0)
    # p_type LOAD, p_flags R+X, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return ident + head + segment + code
