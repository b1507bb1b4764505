"""Read a static library: an `ar` archive of object files, in the format of System V and GNU or in that of BSD.

Sources: ar(5) of FreeBSD, which describes both; llvm/lib/Object/Archive.cpp for /SYM64/ and the thin format. Not by a library:
arpy (2.4.0) and ar (1.0.1) allocate as many bytes as a header says, and do not end for a negative size; arpy also opens the files
that a thin archive names, and keeps one of several members of one name. libarchive-c needs a C library, pyelftools reads none.

What rustc puts into a staticlib (seen with 1.95 for four architectures and musl, with lto "fat", "thin" and off, strip and panic =
"abort", and with Debian's 1.63) is object files alone, without lib.rmeta. With `-C linker-plugin-lto` the crate's own objects
are LLVM bitcode, which only a linker with that LLVM reads, and whose machine cannot be read here: it is refused. Linkers pass
over members that are no code at all (rust-lang/rust#99993), such as BSD's symbol table, and so does this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from buildlib.elf import facts, object_file
from buildlib.elf.facts import Facts, Objects, Unreadable
from buildlib.elf.object_file import Object, Span

MAGIC, THIN_MAGIC = b"!<arch>\n", b"!<thin>\n"
HEADER = 60  # bytes
NAME_LIMIT = 255  # bytes
MOST_KINDS = 100  # of objects; a real archive has one to three
# Members that are code, but not ELF: their first bytes.
BITCODE = "LLVM bitcode (linker-plugin-lto)"
FOREIGN = {b"BC\xc0\xde": BITCODE, b"\xde\xc0\x17\x0b": BITCODE, b"\0asm": "WebAssembly", b"\xcf\xfa\xed\xfe": "Mach-O",
           b"\xce\xfa\xed\xfe": "Mach-O"}  # fmt: skip
SYMBOL_TABLES = (b"/", b"/SYM64/")
NOT_ELF = Object(machine=0, bits=0, little=True, flags=0, kind="", arm=0)


def is_archive(path: Path) -> bool:
    """Return whether the file begins as an archive does, also a thin one."""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) in (MAGIC, THIN_MAGIC)


def read(path: Path) -> Facts:
    """Return the facts of the archive at `path`: what its objects are compiled for.

    Raises:
        Unreadable: it is broken, is a thin archive, or has no object file.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) == THIN_MAGIC:
            raise Unreadable(
                f"{path}: a thin archive, which contains no files but their names", "create it without --thin"
            )
        try:
            groups = _objects(Span(stream, 0, path.stat().st_size))
        except (OSError, ValueError, OverflowError) as error:
            raise Unreadable(f"{path}: broken archive ({error})", "build it again") from None
    if not any(group.object.machine for group in groups):
        kinds = ", ".join(group.object.kind for group in groups) or "no code"
        raise Unreadable(f"{path}: {kinds} in the archive, expected ELF object files", "build it again")
    objects = tuple(sorted(groups, key=lambda group: (group.object.machine == 0, -group.count)))
    main = objects[0].object
    return Facts(
        machine=main.machine, bits=main.bits, little=main.little, flags=main.flags, kind=main.kind, loader="", glibc="",
        needed=(), rpath="", arm=max(group.object.arm for group in objects), size=path.stat().st_size,
        sha256=facts.digest(path), objects=objects,
    )  # fmt: skip


def _objects(file: Span) -> list[Objects]:
    """The objects of the archive, grouped by what they are compiled for."""
    groups: dict[Object, Objects] = {}
    for name, content in members(file):
        if (compiled := _compiled(name, content)) is None:
            continue
        group = groups.get(compiled, Objects(compiled, name, 0))
        groups[compiled] = replace(group, count=group.count + 1)
        if len(groups) > MOST_KINDS:
            raise ValueError(f"objects of more than {MOST_KINDS} kinds")
    return list(groups.values())


def _compiled(name: str, content: Span) -> Object | None:
    """What a member is compiled for; None if it is not code."""
    magic = content.read(0, min(4, content.size))
    if magic in FOREIGN:
        return replace(NOT_ELF, kind=FOREIGN[magic])
    if magic != object_file.MAGIC:
        return None
    try:
        return object_file.read(content)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def members(file: Span) -> Iterator[tuple[str, Span]]:
    """Name and content of each member that is a file. ValueError for what is not the format."""
    place, names = len(MAGIC), None
    while place < file.size:
        header = file.read(place, HEADER)
        if header[58:] != b"`\n":
            raise ValueError(f"no header of a member at {place}")
        content = file.part(place + HEADER, _number(header[48:58]))
        raw = header[:16].rstrip(b" ")
        place += HEADER + content.size + content.size % 2  # headers are at even offsets
        if raw == b"//":
            names = content
        elif raw[:1] == b"/" and raw[1:].isdigit():
            yield _long_name(names, int(raw[1:])), content
        elif raw.startswith(b"#1/"):  # BSD: the name is in front of the content, filled up with NULs
            name = content.part(0, _number(raw[3:]))
            rest = content.part(name.size, content.size - name.size)
            yield _printable(name.read(0, min(name.size, NAME_LIMIT)).rstrip(b"\0")), rest
        elif raw not in SYMBOL_TABLES:
            yield _printable(raw.removesuffix(b"/")), content


def _number(field: bytes) -> int:
    """A decimal number, filled up with spaces."""
    match = re.fullmatch(rb"(\d{1,10}) *", field)
    if match is None:
        raise ValueError(f"{_printable(field)!r} instead of a size")
    return int(match[1])


def _long_name(names: Span | None, offset: int) -> str:
    """The name at `offset` of the member `//`, where each one ends with a slash and a line break."""
    if names is None or offset >= names.size:
        raise ValueError(f"no long name at {offset}")
    rest = names.part(offset, names.size - offset)
    return _printable(re.split(rb"/?\n|\0", rest.read(0, min(rest.size, NAME_LIMIT)))[0])


def _printable(name: bytes) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name.decode("utf-8", "replace"))
