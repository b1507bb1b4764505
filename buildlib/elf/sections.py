"""How large the parts of an ELF file are. The file has passed the gate; nothing in it is trusted all the same."""

from __future__ import annotations

from pathlib import Path

from buildlib.elf.object_file import MAGIC

MOST = 1000  # sections that are read; a program has some forty, a test binary with debug information a few more
KEPT = 10  # the largest ones, by name
LONGEST = 40  # characters of a name
SHT_NULL, SHT_NOBITS = "SHT_NULL", "SHT_NOBITS"  # without bytes in the file


def sizes(path: Path) -> dict[str, int]:
    """Bytes of the largest sections of a file by their name, largest first, and of all others as "other".

    {} for an archive, for a file without sections, and for one that cannot be read.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct import ConstructError
    from elftools.elf.elffile import ELFFile

    found: dict[str, int] = {}
    try:
        with path.open("rb") as stream:
            if stream.read(4) != MAGIC:
                return {}
            whole, elf = path.stat().st_size, ELFFile(stream)
            for number in range(min(elf.num_sections(), MOST)):
                section = elf.get_section(number)
                if section["sh_type"] not in (SHT_NULL, SHT_NOBITS) and 0 < section["sh_size"] <= whole:
                    name = section.name[:LONGEST]
                    found[name] = found.get(name, 0) + section["sh_size"]
    # For a broken file pyelftools raises whatever its parser fails with, see `facts.read`.
    except (OSError, ELFError, ConstructError, KeyError, ValueError, TypeError, AttributeError, IndexError, AssertionError,
            OverflowError, UnicodeDecodeError, MemoryError):  # fmt: skip
        return {}
    ordered = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
    other = whole - sum(size for _, size in ordered[:KEPT])
    return dict(ordered[:KEPT]) | ({"other": other} if found and other > 0 else {})
