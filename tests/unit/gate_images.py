"""Images for the gate: ELF files for any machine, layers of any files, and what the gate finds."""

import io
import struct
import tarfile
import tempfile
import zipfile

from buildlib.image_gate.check import ImageContent, check
from buildlib.image_gate.manifests import Configuration, Process
from buildlib.image_layers.file_system import Layer

# e_machine, bits, little-endian, e_flags
MACHINES = {
    "amd64": (62, 64, True, 0), "x32": (62, 32, True, 0), "386": (3, 32, True, 0), "arm64": (183, 64, True, 0),
    "arm": (40, 32, True, 0x5000400), "softfloat": (40, 32, True, 0x5000200), "go-arm": (40, 32, True, 0x5000002),
    "riscv64": (243, 64, True, 5), "s390x": (22, 64, False, 0), "s390": (22, 32, False, 0), "ppc64le": (21, 64, True, 2),
    "bpf": (247, 64, True, 0), "amdgpu": (224, 64, True, 0), "cuda": (190, 64, True, 0), "mips64le": (8, 64, True, 0),
}  # fmt: skip
LOADERS = {
    "amd64": "/lib64/ld-linux-x86-64.so.2",
    "arm64": "/lib/ld-linux-aarch64.so.1",
    "arm": "/lib/ld-linux-armhf.so.3",
}


def elf(arch, *needed, loader="", kind=3, rpath="", runpath="", soname="", system=0, attributes=b"", text=b""):
    """An ELF file as a linker writes it: one segment, PT_INTERP with a loader, and a dynamic section. `kind` 1 is an object."""
    machine, bits, little, flags = MACHINES[arch]
    order, wide = "<" if little else ">", bits == 64
    word, head_size, program_size = ("Q", 64, 56) if wide else ("I", 52, 32)
    tags = [*((1, name) for name in needed), *((tag, t) for tag, t in ((15, rpath), (29, runpath), (14, soname)) if t)]
    strings, values = b"\0", []
    for tag, value in tags:
        values.append((tag, len(strings)))
        strings += value.encode() + b"\0"
    start = head_size + 3 * program_size
    dynamic_size = struct.calcsize(f"{order}2{word}") * (len(values) + 2)
    values += [(5, 0x10000 + start + dynamic_size), (0, 0)]
    data = b"".join(struct.pack(f"{order}2{word}", *value) for value in values) + strings
    interpreter = start + len(data)
    data += loader.encode() + b"\0" + text
    size = start + len(data)
    dynamic = 2 if tags else 0
    segments = [(1, 0, size), (dynamic, start, dynamic_size), (3 if loader else 0, interpreter, len(loader) + 1)]
    programs = b"".join(_segment(order, wide, *segment) for segment in segments)
    sections = b""
    if attributes:  # an empty section, and .ARM.attributes
        place, size = size, size + len(attributes)
        data += attributes
        sections = bytes(40) + struct.pack(f"{order}10I", 0, 0x70000003, 0, 0, place, len(attributes), 0, 0, 1, 0)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if little else 2, 1, system]) + bytes(8)
    sizes = (head_size, program_size, 3, 40, 2 if sections else 0, 0)
    fields = struct.pack(
        f"{order}HHI3{word}I6H", kind, machine, 1, 0, head_size, size if sections else 0, flags, *sizes
    )
    return ident + fields + programs + data + sections


def _segment(order, wide, kind, offset, size):
    address = 0x10000 + offset
    if wide:
        return struct.pack(f"{order}2I6Q", kind, 4, offset, address, address, size, size, 0x1000)
    return struct.pack(f"{order}8I", kind, offset, address, address, size, size, 4, 0x1000)


def program(arch, *needed, **more):
    """A program of glibc."""
    return elf(arch, *(needed or ("libc.so.6",)), loader=LOADERS[arch], **more)


def runtime(arch):
    """glibc of an architecture, as a distribution without merged directories has it."""
    return {LOADERS[arch].lstrip("/"): elf(arch), "lib/libc.so.6": elf(arch, soname="libc.so.6")}


def archive(files, compression=zipfile.ZIP_DEFLATED):
    """A zip file: path -> content."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


class Link(str):
    """The target of a hard link."""


class Data(bytes):
    """The content of a file that may not be executed."""


def tar(files):
    """A layer: path -> content, or the target of a symbolic link (str) or a hard link (Link)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.mode = 0o644 if isinstance(content, Data) else 0o755
            if isinstance(content, str):
                entry.type = tarfile.LNKTYPE if isinstance(content, Link) else tarfile.SYMTYPE
                entry.linkname = str(content)
            entry.size = len(content) if isinstance(content, bytes) else 0
            file.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def layer(number, data):
    """A layer whose digest is its number, and which is a new open file each time."""

    def opened():
        file = tempfile.TemporaryFile()  # noqa: SIM115  the reader closes it
        file.write(data if isinstance(data, bytes) else tar(data))
        file.seek(0)
        return file

    return Layer(f"sha256:{number:064}", opened)


def image(platform, *layers, entrypoint=("/app",), cmd=None, env=None, folder=None):
    """An image of these layers, of which each is a tar file or what `tar` takes."""
    fields = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    process = Process(entrypoint=entrypoint, cmd=cmd, env=env, working_dir=folder)
    return ImageContent(Configuration(**fields, config=process), [layer(n, data) for n, data in enumerate(layers, 1)])


def lines(platform, *layers, foreign=(), **more):
    """The findings of an image as lines, without the digests of layers, which are numbers."""
    found = check(image(more.pop("configured", platform), *layers, **more), platform, foreign=foreign)
    return [str(finding).replace(f" (sha256:{'0' * 12})", "") for finding in found]
