"""Read the facts of an ELF file. Nothing is started, and nothing in the file is trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from buildlib.core.errors import BuildError
from buildlib.core.versions import version
from buildlib.elf import object_file
from buildlib.elf.object_file import MAGIC, Object, Span

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

DF_TEXTREL, DF_1_PIE = 0x4, 0x08000000
# Far above what linkers write. pyelftools (0.33) reads one version or one program header as often as a file says: 2^32 times.
MOST_HEADERS, MOST_VERSIONS = 1 << 20, 1 << 16
SMALLEST_HEADERS = {32: (32, 40), 64: (56, 64)}  # class -> bytes of a program header and of a section header


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of an archive that are compiled for the same: the name of the first one, and their number."""

    object: Object
    name: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts of one ELF file, or of an archive of object files."""

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
    soname: str = ""  # DT_SONAME, "" without one
    text_relocations: bool = False  # DT_TEXTREL, or DF_TEXTREL in DT_FLAGS
    pie: bool = False  # DF_1_PIE in DT_FLAGS_1: a program, and position-independent
    has_entry: bool = True  # e_entry is not 0
    alignment: int = 0  # bytes: the smallest p_align of its LOAD segments, 0 without any
    objects: tuple[Objects, ...] = ()  # of an archive, the most frequent first; the other facts are those of the first

    @property
    def artifact(self) -> str:
        """What the file is, as the kind of cargo's target: "bin", "cdylib" or "staticlib".

        A program has a loader or, if it is static, DF_1_PIE. A static one of an old linker, which does not set that flag, needs
        no library and has an entry point. A shared library may have a loader too: libc.so.6 prints its version when started.
        """
        if self.objects:
            return "staticlib"
        is_static_program = self.has_entry and not self.needed
        is_library = self.soname or not (self.loader or is_static_program)
        return "cdylib" if self.kind == "ET_DYN" and not self.pie and is_library else "bin"


class Unreadable(BuildError):
    """The file is neither an ELF file nor an archive, or is broken. The gate refuses it."""

    code = 6


def read(path: Path) -> Facts:
    """Return the facts of the ELF file at `path`.

    Raises:
        Unreadable: the file is not an ELF file, or is broken.
        OSError: the file cannot be opened.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError

    with path.open("rb") as stream:
        if stream.read(4) != MAGIC:
            raise Unreadable(f"{path}: not an ELF file", "only compiled Linux binaries and libraries can be verified")
        try:
            facts = _facts(stream, path.stat().st_size)
        # For a broken file pyelftools raises whatever its parser fails with.
        except (OSError, ELFError, ConstructError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError,
                OverflowError, UnicodeDecodeError, MemoryError) as error:  # fmt: skip
            raise Unreadable(f"{path}: broken ELF file ({error})", "build it again") from None
    return replace(facts, sha256=digest(path))


def digest(path: Path) -> str:
    """Return the SHA-256 of the file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def machine(path: Path) -> int:
    """Return e_machine of an ELF file, at byte 18 in either class; 0 for another file."""
    with path.open("rb") as stream:
        head = stream.read(20)
    if len(head) < 20 or head[:4] != MAGIC:
        return 0
    return int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")


def _facts(stream: BinaryIO, size: int) -> Facts:
    """The facts without the digest."""
    from elftools.elf.elffile import ELFFile

    header = object_file.read(Span(stream, 0, size))
    elf = ELFFile(stream)
    _check_headers(elf)
    return Facts(
        machine=header.machine, bits=header.bits, little=header.little, flags=header.flags, kind=header.kind,
        loader=_loader(elf), glibc=_glibc(elf), arm=header.arm, size=size, sha256="", has_entry=elf.header["e_entry"] != 0,
        alignment=min((segment["p_align"] for segment in elf.iter_segments("PT_LOAD")), default=0), **_dynamic(elf),
    )  # fmt: skip


def _check_headers(elf: ELFFile) -> None:
    """ValueError if the program headers or the section headers cannot be what the file says."""
    counts = {"e_phentsize": elf.num_segments(), "e_shentsize": elf.num_sections()}
    for (name, count), smallest in zip(counts.items(), SMALLEST_HEADERS[elf.elfclass], strict=True):
        if count and (count > MOST_HEADERS or elf.header[name] < smallest):
            raise ValueError(f"{count} headers of {elf.header[name]} bytes")


def _loader(elf: ELFFile) -> str:
    from elftools.elf.segments import InterpSegment

    segments = (segment for segment in elf.iter_segments("PT_INTERP") if isinstance(segment, InterpSegment))
    return next((segment.get_interp_name() for segment in segments), "")


def _dynamic(elf: ELFFile) -> dict[str, Any]:
    """The facts of the dynamic section."""
    from elftools.elf.dynamic import DynamicSegment

    needed: list[str] = []
    facts: dict[str, Any] = {"rpath": ""}
    for segment in elf.iter_segments("PT_DYNAMIC"):
        for tag in segment.iter_tags() if isinstance(segment, DynamicSegment) else ():
            match tag.entry.d_tag:
                case "DT_NEEDED":
                    needed.append(tag.needed)  # type: ignore[attr-defined]  # pyelftools names it after the tag
                case "DT_RPATH" | "DT_RUNPATH":
                    facts["rpath"] = str(getattr(tag, "rpath", None) or getattr(tag, "runpath", ""))
                case "DT_SONAME":
                    facts["soname"] = str(tag.soname)  # type: ignore[attr-defined]
                case "DT_TEXTREL":
                    facts["text_relocations"] = True
                case "DT_FLAGS" if tag.entry.d_val & DF_TEXTREL:
                    facts["text_relocations"] = True
                case "DT_FLAGS_1":
                    facts["pie"] = bool(tag.entry.d_val & DF_1_PIE)
    return facts | {"needed": tuple(needed)}


def _glibc(elf: ELFFile) -> str:
    """The newest GLIBC_x.y among the versions that the file requires (.gnu.version_r)."""
    matches = (re.fullmatch(r"GLIBC_(\d+\.\d+)(\.\d+)?", name) for name in _required_versions(elf))
    return max((match[1] for match in matches if match), key=version, default="")


def _required_versions(elf: ELFFile) -> Iterator[str]:
    from elftools.elf.gnuversions import GNUVerNeedSection

    count = 0
    for section in elf.iter_sections():
        for _, auxiliaries in section.iter_versions() if isinstance(section, GNUVerNeedSection) else ():
            for auxiliary in auxiliaries:
                if (count := count + 1) > MOST_VERSIONS:  # an entry may name itself as the next one
                    raise ValueError("more versions than a file has")
                yield auxiliary.name
