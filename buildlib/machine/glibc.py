"""The C library that the GNU cross compilers of this machine link against."""

from __future__ import annotations

import re
from pathlib import Path

from buildlib.core.targets import Target
from buildlib.core.versions import version


def linked_version(target: Target) -> str:
    """The version of the glibc that a GNU cross compiler links against for `target`, "" if it is not installed.

    A binary that it links can require symbols up to this version.
    """
    for path in (Path(f"/usr/{target.gnu}/lib/libc.so.6"), Path(f"/lib/{target.gnu}/libc.so.6")):
        if path.is_file():
            return defined_version(path)
    return ""


def defined_version(path: Path) -> str:
    """The newest GLIBC_x.y that a libc.so.6 defines (.gnu.version_d), "" if it defines none or is not an ELF file."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerDefSection

    try:
        with path.open("rb") as stream:
            sections = [section for section in ELFFile(stream).iter_sections() if isinstance(section, GNUVerDefSection)]
            names = [
                aux.name for section in sections for _, auxiliaries in section.iter_versions() for aux in auxiliaries
            ]
    except ELFError:
        return ""
    matches = (re.fullmatch(r"GLIBC_(\d+\.\d+)(\.\d+)?", name) for name in names)
    return max((match[1] for match in matches if match), key=version, default="")
