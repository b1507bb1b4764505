"""The first place at which two programs that should be the same differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

TEXT = re.compile(rb"[\t\x20-\x7e]{4,}")
AROUND = 200  # bytes before and after the place in which a text is looked for
SHOWN = 100  # characters of a text
# What is in the other sections follows from these.
FIRST = (".rodata", ".data.rel.ro", ".data", ".text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where two files differ: the section, "" outside of all, the offset in it, the symbol if there are symbols, the texts there."""

    section: str
    offset: int
    symbol: str = ""
    first: str = ""
    second: str = ""

    def __str__(self) -> str:
        where = self.symbol or f"byte {self.offset}"
        texts = f": {self.first!r} and {self.second!r}" if self.first != self.second else ""
        return f"{self.section}, {where}{texts}" if self.section else f"{where}{texts}"


def first(one: Path, other: Path) -> Difference | None:
    """The first difference of two programs or libraries, None if they have the same bytes. OSError if one cannot be read."""
    a, b = one.read_bytes(), other.read_bytes()
    if a == b:
        return None
    try:
        found = _in_sections(ELFFile(BytesIO(a)), ELFFile(BytesIO(b)))
    except (ELFError, ConstructError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        found = None  # an archive, or a section that cannot be read
    return found or _at("", a, b)


def _at(section: str, a: bytes, b: bytes) -> Difference:
    offset = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return Difference(section=section, offset=offset, first=_text(a, offset), second=_text(b, offset))


def _in_sections(one: ELFFile, other: ELFFile) -> Difference | None:
    others = {section.name: section for section in other.iter_sections()}
    sections = [section for section in one.iter_sections() if section["sh_type"] not in ("SHT_NULL", "SHT_NOBITS")]
    for section in sorted(sections, key=lambda found: FIRST.index(found.name) if found.name in FIRST else len(FIRST)):
        theirs = others.get(section.name)
        a, b = section.data(), theirs.data() if theirs else b""
        if a != b:
            difference = _at(section.name, a, b)
            return replace(difference, symbol=_symbol(one, section, difference.offset))
    return None


def _text(data: bytes, place: int) -> str:
    """The text around a place, "" if there is none."""
    start = max(0, place - AROUND)
    for match in TEXT.finditer(data, start, place + AROUND):
        if match.start() <= place <= match.end():
            cut = max(match.start(), place - SHOWN // 2)
            return data[cut : min(match.end(), cut + SHOWN)].decode("ascii")
    return ""


def _symbol(elf: ELFFile, section: Section, place: int) -> str:
    address = section["sh_addr"] + place
    if not section["sh_addr"]:
        return ""
    for table in elf.iter_sections():
        if isinstance(table, SymbolTableSection):
            for symbol in table.iter_symbols():
                if symbol["st_value"] <= address < symbol["st_value"] + symbol["st_size"]:
                    return readable(symbol.name)
    return ""


def readable(name: str) -> str:
    """A symbol of Rust's older mangling as a path, without its hash; another one as it is."""
    return "::".join(part for part in _parts(name) if not re.fullmatch(r"h[0-9a-f]{16}", part)) or name


def _parts(name: str) -> Iterator[str]:
    rest = name.removeprefix("_ZN") if name.startswith("_ZN") else ""
    while match := re.match(r"\d{1,4}", rest):
        length = int(match[0])
        yield rest[match.end() : match.end() + length]
        rest = rest[match.end() + length :]
