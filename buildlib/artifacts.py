"""The gate: an ELF file -> facts, and facts against what the target asks for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from buildlib.errors import BuildError
from buildlib.targets import GNU, TARGETS, Target

EM_ARM = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one ELF file says of itself."""

    machine: int
    bits: int
    little: bool
    flags: int
    kind: str  # ET_EXEC, ET_DYN, ...
    loader: str  # PT_INTERP, "" without one
    glibc: str  # the highest GLIBC_ version it needs, "" for none
    needed: tuple[str, ...]  # DT_NEEDED
    rpath: str  # DT_RPATH or DT_RUNPATH
    arm: int  # Tag_CPU_arch, 0 where there is none
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """One fact that is not as wanted."""

    field: str
    have: str
    want: str

    def __str__(self) -> str:
        return f"{self.field}: is {self.have}, wanted {self.want}"


class Unreadable(BuildError):
    """The file is not an ELF file, or a broken one. The gate refuses it."""

    code = 6


def read(path: Path) -> Facts:
    """The facts of the ELF file at `path`. Unreadable for anything else; FileNotFoundError passes."""
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    sha256 = digest(path)
    with path.open("rb") as stream:
        if stream.read(4) != b"\x7fELF":
            raise Unreadable(f"{path}: is not an ELF file", "only compiled Linux binaries can be verified")
        try:
            elf = ELFFile(stream)
            needed, rpath = _dynamic(elf)
            return Facts(
                machine=_number(elf.header["e_machine"]), bits=elf.elfclass, little=elf.little_endian,
                flags=elf.header["e_flags"], kind=str(elf.header["e_type"]), loader=_loader(elf),
                glibc=_glibc(elf), needed=needed, rpath=rpath, arm=_arm(elf), size=path.stat().st_size, sha256=sha256,
            )  # fmt: skip
        # pyelftools meets broken files with whatever its parser happens to raise.
        except (OSError, ELFError, ConstructError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError,
                OverflowError, UnicodeDecodeError, MemoryError) as error:  # fmt: skip
            raise Unreadable(f"{path}: is a broken ELF file ({error})", "build it again") from None


def digest(path: Path) -> str:
    """The file's SHA-256, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _number(machine: str | int) -> int:
    from elftools.elf.enums import ENUM_E_MACHINE

    return machine if isinstance(machine, int) else ENUM_E_MACHINE[machine]


def _loader(elf) -> str:
    return next((s.get_interp_name() for s in elf.iter_segments("PT_INTERP")), "")


def _dynamic(elf) -> tuple[tuple[str, ...], str]:
    needed, rpath = [], ""
    for segment in elf.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags():
            if tag.entry.d_tag == "DT_NEEDED":
                needed.append(tag.needed)
            elif tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                rpath = getattr(tag, "rpath", None) or getattr(tag, "runpath", "")
    return tuple(needed), rpath


def _glibc(elf, needs: bool = True) -> str:
    """The highest GLIBC_x.y among the versions that the file needs (.gnu.version_r), or defines (.gnu.version_d)."""
    from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection

    wanted = GNUVerNeedSection if needs else GNUVerDefSection
    sections = (section for section in elf.iter_sections() if isinstance(section, wanted))
    names = (aux.name for section in sections for _, auxiliaries in section.iter_versions() for aux in auxiliaries)
    found = (re.fullmatch(r"GLIBC_(\d+\.\d+)(\.\d+)?", name) for name in names)
    return max((match[1] for match in found if match), key=version, default="")


def _arm(elf) -> int:
    if elf.header["e_machine"] != "EM_ARM":
        return 0
    from elftools.elf.sections import ARMAttributesSection

    for section in elf.iter_sections():
        if isinstance(section, ARMAttributesSection):
            for part in section.iter_subsections():
                for group in part.iter_subsubsections():
                    for attribute in group.iter_attributes("TAG_CPU_ARCH"):
                        return attribute.value
    return 0


def libc_version(path: Path) -> str:
    """The glibc version that a libc.so.6 defines, "" when it defines none."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as stream:
        return _glibc(ELFFile(stream), needs=False)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def machine(path: Path) -> int:
    """e_machine of an ELF file, at byte 18 in either class; 0 for what is none."""
    with path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return 0
    return int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")


def check(facts: Facts, target: Target, floor: str) -> tuple[Refusal, ...]:
    """Every fact that is not as `target` wants it. `floor` is the oldest glibc it may need, "" for any."""
    elf = target.elf
    found: list[Refusal] = []

    def want(field: str, have: object, wanted: object, ok: bool) -> None:
        if not ok:
            found.append(Refusal(field, str(have), str(wanted)))

    machine = _machine(facts.machine)
    if facts.machine != elf.machine:  # nothing else of a stranger means anything
        want("machine", machine, _machine(elf.machine), False)
        return tuple(found)
    want("class", f"ELF{facts.bits}", f"ELF{elf.bits}", facts.bits == elf.bits)
    want("byte order", _order(facts.little), _order(elf.little), facts.little == elf.little)
    want("type", facts.kind, "an executable", facts.kind in ("ET_EXEC", "ET_DYN"))
    want("float ABI", hex(facts.flags & elf.mask), hex(elf.flags), facts.flags & elf.mask == elf.flags)
    if elf.machine == EM_ARM:
        want(
            "arm version",
            ARM_NAMES.get(facts.arm, facts.arm),
            f"{ARM_NAMES[elf.arm]} or older",
            0 < facts.arm <= elf.arm,
        )
    if target.is_musl:
        want(
            "linking",
            f"dynamic ({facts.loader or ', '.join(facts.needed)})",
            "static",
            not facts.loader and not facts.needed,
        )
    else:
        want("loader", facts.loader or "none", target.loader, facts.loader in ("", target.loader))
        if floor and facts.glibc:
            want("glibc", facts.glibc, f"{floor} or older", version(facts.glibc) <= version(floor))
    want("rpath", facts.rpath, "none", not facts.rpath)
    return tuple(found)


# Tag_CPU_arch of the Arm ABI addenda (IHI 0045), as far as Linux runs on them.
ARM_NAMES = {0: "none", 1: "v4", 2: "v4T", 3: "v5T", 4: "v5TE", 5: "v5TEJ", 6: "v6", 7: "v6KZ", 8: "v6T2", 9: "v6K",
             10: "v7", 13: "v7E-M", 14: "v8"}  # fmt: skip


def _machine(number: int) -> str:
    name = next((row.name for row in GNU if row.elf.machine == number), "unknown")
    return f"{number} ({name})"


def _order(little: bool) -> str:
    return "little-endian" if little else "big-endian"


def guess(facts: Facts) -> Target | None:
    """The row that a file of unknown origin fits, None for a stranger. Static files are taken for musl ones:
    what is asked of those (no loader, nothing needed) they fulfil."""
    for row in TARGETS.values():
        elf = row.elf
        same = (facts.machine, facts.bits, facts.little) == (elf.machine, elf.bits, elf.little)
        # armv6 and armv7 differ in nothing but the attribute, so the older CPU goes to the older row.
        fits_arm = elf.machine != EM_ARM or (facts.arm <= 9) == (elf.arm <= 9)
        if same and fits_arm and row.is_musl == (not facts.loader):
            return row
    return None
