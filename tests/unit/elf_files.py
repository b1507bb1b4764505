"""Small ELF objects and archives, written byte by byte."""

import struct


def header(machine, *, bits=64, little=True, kind=1, flags=0, sections=0, entry_size=0, count=0):
    """An ELF header; `sections` is the offset of `count` section headers."""
    order = "<" if little else ">"
    ident = b"\x7fELF" + bytes([1 if bits == 32 else 2, 1 if little else 2, 1]) + bytes(9)
    word = "Q" if bits == 64 else "I"
    rest = struct.pack(
        f"{order}HHI{word * 3}IHHHHHH", kind, machine, 1, 0, 0, sections, flags, 16 + 36, 0, 0, entry_size, count, 0
    )
    return ident + rest


def arm_object(attributes, *, kind=1, flags=0x5000000, entry_size=40, count=3, first_size=0):
    """An Arm object of three sections; the last one is .ARM.attributes."""
    start = 52 + len(attributes)
    sections = struct.pack("<10I", 0, 0, 0, 0, 0, first_size, 0, 0, 0, 0) + struct.pack(
        "<10I", 1, 1, 6, 0, 52, 0, 0, 0, 4, 0
    )
    sections += struct.pack("<10I", 7, 0x70000003, 0, 0, 52, len(attributes), 0, 0, 1, 0)
    return (
        header(40, bits=32, kind=kind, flags=flags, sections=start, entry_size=entry_size, count=count)
        + attributes
        + sections
    )


def arm_attributes(tags, *, vendor=b"aeabi", scope=1):
    """The content of .ARM.attributes: numbers, strings, or both for tag 32."""
    body = b"".join(
        _uleb128(tag) + b"".join(_value(value) for value in (values if isinstance(values, tuple) else (values,)))
        for tag, values in tags.items()
    )
    group = bytes([scope]) + struct.pack("<I", 5 + len(body)) + body
    return b"A" + struct.pack("<I", 4 + len(vendor) + 1 + len(group)) + vendor + b"\0" + group


def _value(value):
    return value.encode() + b"\0" if isinstance(value, str) else _uleb128(value)


def _uleb128(number):
    data = b""
    while number >= 0x80:
        data, number = data + bytes([number & 0x7F | 0x80]), number >> 7
    return data + bytes([number])


def member(name, content, size=None):
    """A member of an archive; `name` is as the header has it, `size` what the header says."""
    name = name.encode() if isinstance(name, str) else name
    size = str(len(content) if size is None else size).encode()
    padding = b"\n" if len(content) % 2 else b""
    return (
        name.ljust(16)
        + b"0".ljust(12)
        + b"0".ljust(6) * 2
        + b"644".ljust(8)
        + size.ljust(10)
        + b"`\n"
        + content
        + padding
    )


def archive(*members):
    return b"!<arch>\n" + b"".join(members)


def linked(*tags, kind=3, entry=0, loader="", sections=(), alignment=0x10000):
    """A 64-bit Arm file as a linker writes it. `tags` are of its dynamic section: a number or a string for each one.

    `alignment` is that of its segment. `sections` are (type, content, sh_link, sh_info) of sections after the first, which is empty.
    """
    strings = b"\0" + b"".join(value.encode() + b"\0" for _, value in tags if isinstance(value, str))
    place, values = 1, []
    for tag, value in tags:
        values.append((tag, place if isinstance(value, str) else value))
        place += len(value) + 1 if isinstance(value, str) else 0
    start = 64 + 3 * 56
    size = 16 * (len(values) + 3)
    values += [(5, start + size), (10, len(strings)), (0, 0)]  # DT_STRTAB, DT_STRSZ, DT_NULL
    data = b"".join(struct.pack("<2Q", *pair) for pair in values) + strings
    name = start + len(data)
    data += loader.encode() + b"\0"
    whole = name + len(loader) + 1
    segments = [
        (1, 0, whole),
        (2, start, size),
        (3 if loader else 0, name, len(loader) + 1),
    ]  # PT_LOAD, PT_DYNAMIC, PT_INTERP
    programs = b"".join(
        struct.pack("<2I6Q", kind_, 4, at, at, at, length, length, alignment) for kind_, at, length in segments
    )
    headers = bytes(64) if sections else b""
    for kind_, content, link, info in sections:
        headers += struct.pack("<2I4Q2I2Q", 0, kind_, 0, 0, start + len(data), len(content), link, info, 1, 0)
        data += content
    end = start + len(data) if sections else 0
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    counts = (64, 56, 3, 64, len(headers) // 64, 0)
    return ident + struct.pack("<HHI3QI6H", kind, 183, 1, entry, 64, end, 0, *counts) + programs + data + headers
