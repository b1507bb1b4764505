"""Whether an ELF file belongs to a platform: the rules for every file, and the stricter ones for what a container starts.

A file for another platform of Linux is refused, whatever it is: a program, a library, an object. docs/verify.md has the
rules for users; the reasons are beside them here.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildlib.core.targets import TARGETS, Identity
from buildlib.elf.comparison import ARM_NAMES
from buildlib.elf.object_file import EM_ARM, HARD_FLOAT, SOFT_FLOAT, Object

EM_386, EM_MIPS, EM_S390, EM_X86_64 = 3, 8, 22, 62
# Machines that Linux distributions exist for: the e_machine of <elf.h>, and the name in messages. A file for any other machine is code
# for a device, which a program loads into it: BPF (247), GPUs (AMDGPU 224, CUDA 190), signal processors, microcontrollers.
LINUX = {
    2: "SPARC", EM_386: "i386", 4: "m68k", EM_MIPS: "MIPS", 15: "PA-RISC", 18: "SPARC", 20: "PowerPC", 21: "PowerPC64",
    EM_S390: "S/390", EM_ARM: "Arm", 42: "SuperH", 43: "SPARC V9", 50: "IA-64", EM_X86_64: "x86-64", 183: "AArch64",
    243: "RISC-V", 252: "C-SKY", 258: "LoongArch", 0x9026: "Alpha",
}  # fmt: skip
# Values of EI_OSABI for systems whose files no Linux kernel starts. Libraries for several systems bring them in one archive.
OTHER_SYSTEMS = {
    1: "HP-UX",
    2: "NetBSD",
    6: "Solaris",
    7: "AIX",
    8: "IRIX",
    9: "FreeBSD",
    10: "Tru64",
    12: "OpenBSD",
    17: "CloudABI",
}
CODE = ("ET_REL", "ET_EXEC", "ET_DYN")  # core dumps are data
# What the kernels of a platform run besides its own programs, and distributions ship for it: 32-bit x86 and x32 (Debian's libc6-i386,
# libc6-x32, Wine, Steam), 31-bit s390 (libc6-s390). Not 32-bit Arm on arm64: many CPUs have no AArch32 (Apple's, Graviton 4, all of
# Armv9's larger ones), and no distribution has a multilib for it. Neither x86-64 on 386, whose kernels need not run it.
SECONDARY = {
    EM_X86_64: frozenset({(EM_386, 32, True), (EM_X86_64, 32, True)}),
    EM_S390: frozenset({(EM_S390, 32, False)}),
}
# Platforms of common base images that buildlib has no target for.
OTHERS = {
    "linux/arm/v5": Identity(machine=EM_ARM, bits=32, mask=0x600, flags=SOFT_FLOAT, arm=5),
    "linux/mips64le": Identity(machine=EM_MIPS),
}
IDENTITIES = {**{target.oci: target.elf for target in TARGETS.values()}, **OTHERS}
EABI_5 = 5 << 24  # the version of the Arm EABI in e_flags from which on two bits name the float ABI
# Tag_CPU_arch of CPUs for microcontrollers, which run no Linux: v6-M, v6S-M, v7E-M, v8-M, v8.1-M.
ARM_M_PROFILE = (11, 12, 13, 16, 17, 21)


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule that a file breaks."""

    rule: str
    actual: str
    expected: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.actual}, expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Elf:
    """What a file says of the machine that it is for."""

    object: Object
    system: int = 0  # EI_OSABI
    # It asks the kernel what the CPU has (getauxval, /proc/cpuinfo): it may contain code for newer CPUs, behind that question.
    asks_cpu: bool = False


def identity(platform: str) -> Identity | None:
    """What files of a platform are, None if it is not known. Variants other than Arm's are levels of one architecture (amd64/v2)."""
    known = IDENTITIES.get(platform)
    system, _, rest = platform.partition("/")
    architecture = rest.partition("/")[0]
    return known or (IDENTITIES.get(f"{system}/{architecture}") if architecture != "arm" else None)


def name(object_: Object) -> str:
    """The architecture of a file, as in messages: x86-64, or "Arm, big-endian" where that is unusual."""
    usual = next((elf for elf in IDENTITIES.values() if elf.machine == object_.machine), None)
    return _name(object_.machine, object_.bits, object_.little, usual)


def _name(machine: int, bits: int, little: bool, usual: Identity | None) -> str:
    unusual = [
        *([f"{bits}-bit"] if usual and usual.bits != bits else []),
        *([f"{'little' if little else 'big'}-endian"] if usual and usual.little != little else []),
    ]
    return ", ".join([LINUX.get(machine, f"machine {machine}"), *unusual])


def difference(elf: Elf, expected: Identity, path: str = "") -> Difference | None:
    """The first rule for every file of an image that a file breaks; `path` is its path in the image."""
    object_ = elf.object
    if object_.kind not in CODE or object_.machine not in LINUX or elf.system in OTHER_SYSTEMS:
        return None
    if (object_.machine, object_.bits, object_.little) in SECONDARY.get(expected.machine, ()):
        return None
    return strict_difference(elf, expected, path)


def strict_difference(elf: Elf, expected: Identity, path: str = "") -> Difference | None:
    """The first rule for programs that a container starts, and for what they load, that a file breaks."""
    object_ = elf.object
    if (object_.machine, object_.bits, object_.little) != (expected.machine, expected.bits, expected.little):
        wanted = _name(expected.machine, expected.bits, expected.little, expected)
        return Difference("architecture", name(object_), wanted)
    return _arm_difference(elf, expected, path) if expected.machine == EM_ARM else None


def _arm_difference(elf: Elf, expected: Identity, path: str) -> Difference | None:
    """Float ABI and version, as far as the file says them. Go's linker says neither."""
    object_ = elf.object
    float_abi = object_.flags & expected.mask if object_.flags >= EABI_5 else 0
    wrong = HARD_FLOAT if expected.flags == SOFT_FLOAT else SOFT_FLOAT
    # The kernel has no floating point numbers: its modules are compiled for soft floats everywhere.
    if float_abi == wrong and not path.endswith(".ko"):
        names = {SOFT_FLOAT: "soft", HARD_FLOAT: "hard"}
        return Difference("float ABI", names[wrong], names[expected.flags])
    # Debian's libgcrypt.so.20 for armhf has the attribute of Armv8, because one of its ciphers is written for it.
    newer = object_.arm > expected.arm and object_.arm not in ARM_M_PROFILE and not elf.asks_cpu
    if newer and float_abi != wrong:
        actual = ARM_NAMES.get(object_.arm, "newer than v8" if object_.arm > 14 else str(object_.arm))
        return Difference("Arm version", actual, f"{ARM_NAMES[expected.arm]} or older")
    return None
