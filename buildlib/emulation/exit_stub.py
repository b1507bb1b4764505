"""Programs of a few bytes that only exit with 0, to find out whether a machine or a container can start programs."""

from __future__ import annotations

import struct

BASE = 0x10000  # load address; aligned for pages of up to 64 KiB
HEADERS = 64 + 56  # bytes of the ELF header and of one program header
HEADERS_32 = 52 + 32  # the same of a 32-bit program

# Per machine: e_machine and e_flags, which name the ABI: double floats for riscv64 and loongarch64, EABI 5 with hard floats for arm,
# ELFv2 for ppc64le.
MACHINES = {
    "x86_64": (62, 0), "aarch64": (183, 0), "riscv64": (243, 4), "arm": (40, 0x5000400), "i386": (3, 0), "ppc64le": (21, 2),
    "s390x": (22, 0), "loongarch64": (258, 0x43),
}  # fmt: skip
BITS_32, BIG_ENDIAN = ("arm", "i386"), ("s390x",)
# Per machine: the code of the system call exit(0).
CODE = {
    "x86_64": "31ff b83c000000 0f05",  # xor edi, edi; mov eax, 60; syscall
    "aarch64": "000080d2 a80b80d2 010000d4",  # mov x0, 0; mov x8, 93; svc 0
    "riscv64": "13050000 9308d005 73000000",  # li a0, 0; li a7, 93; ecall
    "arm": "0000a0e3 0170a0e3 000000ef",  # mov r0, 0; mov r7, 1; svc 0
    "i386": "31db b801000000 cd80",  # xor ebx, ebx; mov eax, 1; int 0x80
    "ppc64le": "00006038 01000038 02000044",  # li r3, 0; li r0, 1; sc
    "s390x": "a7290000 0a01",  # lghi r2, 0; svc 1
    "loongarch64": "04008003 0b748103 00002b00",  # ori a0, zero, 0; ori a7, zero, 93; syscall 0
}


def exit_program(machine: str) -> bytes:
    """A static ELF program for a machine as `qemu-<machine>` names it; b"" for a machine that is not in CODE.

    `uname -m` has the same names for 64-bit machines.
    """
    return elf_program(machine, bytes.fromhex(CODE[machine])) if machine in CODE else b""


def elf_program(machine: str, code: bytes, size: int = 0) -> bytes:
    """The start of a static ELF program that runs `code`. `size` is the program's in bytes, 0 if it ends with the code."""
    number, flags = MACHINES[machine]
    order = ">" if machine in BIG_ENDIAN else "<"
    narrow = machine in BITS_32
    headers = HEADERS_32 if narrow else HEADERS
    size = size or headers + len(code)
    ident = b"\x7fELF" + bytes([1 if narrow else 2, 2 if machine in BIG_ENDIAN else 1, 1]) + bytes(9)
    entry = BASE + headers
    # e_type EXEC, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, sizes and numbers of headers
    if narrow:
        head = struct.pack(f"{order}HHIIIIIHHHHHH", 2, number, 1, entry, 52, 0, flags, 52, 32, 1, 0, 0, 0)
        # p_type LOAD, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags R+X, p_align
        segment = struct.pack(f"{order}IIIIIIII", 1, 0, BASE, BASE, size, size, 5, 0x10000)
    else:
        head = struct.pack(f"{order}HHIQQQIHHHHHH", 2, number, 1, entry, 64, 0, flags, 64, 56, 1, 0, 0, 0)
        # p_type LOAD, p_flags R+X, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
        segment = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return ident + head + segment + code
