"""Read the facts of an ELF file and compare them with what a target requires. Nothing is started."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from buildlib.core.errors import BuildError
from buildlib.core.targets import GNU, TARGETS, Target
from buildlib.core.versions import version

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

EM_ARM = 40
MAGIC = b"\x7fELF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of one ELF file."""

    machine: int
    bits: int
    little: bool
    flags: int
    kind: str  # ET_EXEC, ET_DYN, ...
    loader: str  # PT_INTERP, "" without one
    glibc: str  # the newest GLIBC_ version that it requires, "" for none
    needed: tuple[str, ...]  # DT_NEEDED
    rpath: str  # DT_RPATH or DT_RUNPATH
    arm: int  # Tag_CPU_arch, 0 without one
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One fact that differs from what the target requires."""

    field: str
    actual: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field}: {self.actual}, expected {self.expected}"


class Unreadable(BuildError):
    """The file is not an ELF file, or is broken. The gate refuses it."""

    code = 6


def read(path: Path) -> Facts:
    """Return the facts of the ELF file at `path`.

    Raises:
        Unreadable: the file is not an ELF file, or is broken.
        OSError: the file cannot be opened.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        if stream.read(4) != MAGIC:
            raise Unreadable(f"{path}: not an ELF file", "only compiled Linux binaries can be verified")
        sha256 = digest(path)
        try:
            elf = ELFFile(stream)
            needed, rpath = _dynamic(elf)
            return Facts(
                machine=_number(elf.header["e_machine"]), bits=elf.elfclass, little=elf.little_endian,
                flags=elf.header["e_flags"], kind=str(elf.header["e_type"]), loader=_loader(elf),
                glibc=_glibc(elf), needed=needed, rpath=rpath, arm=_arm(elf), size=path.stat().st_size, sha256=sha256,
            )  # fmt: skip
        # For a broken file pyelftools raises whatever its parser fails with.
        except (OSError, ELFError, ConstructError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError,
                OverflowError, UnicodeDecodeError, MemoryError) as error:  # fmt: skip
            raise Unreadable(f"{path}: broken ELF file ({error})", "build it again") from None


def digest(path: Path) -> str:
    """Return the SHA-256 of the file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _number(machine: str | int) -> int:
    from elftools.elf.enums import ENUM_E_MACHINE

    return machine if isinstance(machine, int) else int(ENUM_E_MACHINE[machine])


def _loader(elf: ELFFile) -> str:
    from elftools.elf.segments import InterpSegment

    segments = (segment for segment in elf.iter_segments("PT_INTERP") if isinstance(segment, InterpSegment))
    return next((segment.get_interp_name() for segment in segments), "")


def _dynamic(elf: ELFFile) -> tuple[tuple[str, ...], str]:
    from elftools.elf.dynamic import DynamicSegment

    needed: list[str] = []
    rpath = ""
    for segment in elf.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags() if isinstance(segment, DynamicSegment) else ():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(tag.needed)  # type: ignore[attr-defined]  # pyelftools names it after the tag
            elif tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                rpath = str(getattr(tag, "rpath", None) or getattr(tag, "runpath", ""))
    return tuple(needed), rpath


def _glibc(elf: ELFFile) -> str:
    """Return the newest GLIBC_x.y among the versions that the file requires (.gnu.version_r)."""
    from elftools.elf.gnuversions import GNUVerNeedSection

    sections = (section for section in elf.iter_sections() if isinstance(section, GNUVerNeedSection))
    names = (aux.name for section in sections for _, auxiliaries in section.iter_versions() for aux in auxiliaries)
    matches = (re.fullmatch(r"GLIBC_(\d+\.\d+)(\.\d+)?", name) for name in names)
    return max((match[1] for match in matches if match), key=version, default="")


def _arm(elf: ELFFile) -> int:
    if elf.header["e_machine"] != "EM_ARM":
        return 0
    from elftools.elf.sections import ARMAttributesSection

    for section in elf.iter_sections():
        if isinstance(section, ARMAttributesSection):
            for part in section.iter_subsections():
                for group in part.iter_subsubsections():
                    for attribute in group.iter_attributes("TAG_CPU_ARCH"):
                        return int(attribute.value)
    return 0


def machine(path: Path) -> int:
    """Return e_machine of an ELF file, at byte 18 in either class; 0 for another file."""
    with path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20 or head[:4] != MAGIC:
        return 0
    return int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")


def check(facts: Facts, target: Target, minimum_glibc: str) -> tuple[Mismatch, ...]:
    """Return every fact that differs from what `target` requires.

    `minimum_glibc` is the newest glibc version that the file may require, "" for any: the oldest that users may have.
    """
    elf = target.elf
    machines = _machine(facts.machine), _machine(elf.machine)
    if facts.machine != elf.machine:  # the other facts of another machine mean nothing
        return (Mismatch("machine", *machines),)
    checks = [
        ("class", f"ELF{facts.bits}", f"ELF{elf.bits}", facts.bits == elf.bits),
        ("byte order", _order(facts.little), _order(elf.little), facts.little == elf.little),
        ("type", facts.kind, "an executable", facts.kind in ("ET_EXEC", "ET_DYN")),
        ("float ABI", hex(facts.flags & elf.mask), hex(elf.flags), facts.flags & elf.mask == elf.flags),
    ]
    if elf.machine == EM_ARM:
        actual = ARM_NAMES.get(facts.arm, str(facts.arm))
        checks.append(("arm version", actual, f"{ARM_NAMES[elf.arm]} or older", 0 < facts.arm <= elf.arm))
    if target.is_musl:
        actual = f"dynamic ({facts.loader or ', '.join(facts.needed)})"
        checks.append(("linking", actual, "static", not facts.loader and not facts.needed))
    else:
        checks.append(("loader", facts.loader or "none", target.loader, facts.loader in ("", target.loader)))
        fits = not (minimum_glibc and facts.glibc) or version(facts.glibc) <= version(minimum_glibc)
        checks.append(("glibc", facts.glibc, f"{minimum_glibc} or older", fits))
    checks.append(("rpath", facts.rpath, "none", not facts.rpath))
    return tuple(Mismatch(field, actual, expected) for field, actual, expected, ok in checks if not ok)


# Tag_CPU_arch of the Arm ABI addenda (IHI 0045), as far as Linux runs on those CPUs.
ARM_NAMES = {0: "none", 1: "v4", 2: "v4T", 3: "v5T", 4: "v5TE", 5: "v5TEJ", 6: "v6", 7: "v6KZ", 8: "v6T2", 9: "v6K",
             10: "v7", 13: "v7E-M", 14: "v8"}  # fmt: skip


def _machine(number: int) -> str:
    name = next((row.name for row in GNU if row.elf.machine == number), "unknown")
    return f"{number} ({name})"


def _order(little: bool) -> str:
    return "little-endian" if little else "big-endian"


def guess(facts: Facts) -> Target | None:
    """Return the target that a file of unknown origin fits, None without one.

    Static files count as musl binaries: they meet the requirements of those (no loader, no shared library).
    """
    for row in TARGETS.values():
        elf = row.elf
        same = (facts.machine, facts.bits, facts.little) == (elf.machine, elf.bits, elf.little)
        # armv6 and armv7 differ only in the attribute; up to 9, which is v6K, the file is for armv6.
        fits_arm = elf.machine != EM_ARM or (facts.arm <= 9) == (elf.arm <= 9)
        if same and fits_arm and row.is_musl == (not facts.loader):
            return row
    return None
