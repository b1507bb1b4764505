"""Compare the facts of a program, a shared library or an archive with what a target requires. `facts` reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from buildlib.core.targets import GNU, TARGETS, Target
from buildlib.core.versions import version
from buildlib.elf.facts import Facts
from buildlib.elf.object_file import EM_ARM, Object

EM_PPC64 = 21
# Machines whose objects may leave the float ABI open: `object_file` for Arm, ABI 0 in the "64-Bit ELF V2 ABI" for ppc64le.
OPEN_FLOAT_ABI = (EM_ARM, EM_PPC64)
# Tag_CPU_arch of the Arm ABI addenda (IHI 0045), as far as Linux runs on those CPUs.
ARM_NAMES = {0: "none", 1: "v4", 2: "v4T", 3: "v5T", 4: "v5TE", 5: "v5TEJ", 6: "v6", 7: "v6KZ", 8: "v6T2", 9: "v6K",
             10: "v7", 13: "v7E-M", 14: "v8"}  # fmt: skip
# What a library that is linked with one of the C libraries needs (DT_NEEDED); musl's libc is libc.musl-x86_64.so.1 on Alpine.
GLIBC = re.compile(r"lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux.*|ld64\.so\.\d")
MUSL = re.compile(r"libc\.so|libc\.musl-.*")
SHARED_OBJECT = re.compile(r"(.+?)(?:\.so(\..+)?)?")  # its name and versions: libfoo.so.1.2 -> libfoo, .1.2

Check = tuple[str, str, str, bool]  # the field, its value, what is expected, and whether the value is that


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One fact that differs from what the target requires."""

    field: str
    actual: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field}: {self.actual}, expected {self.expected}"


def check(
    facts: Facts, target: Target, minimum_glibc: str, kind: str = "bin", name: str = "", page_size: int = 0
) -> tuple[Mismatch, ...]:
    """Return every fact that differs from what `target` requires.

    `minimum_glibc` is the newest glibc version that the file may require, "" for any: the oldest that users may have. `kind`
    is that of cargo's target: "bin" or "example" for a program, "cdylib" or "staticlib". `name` is the name of the file, to
    which the soname of a cdylib has to belong; "" for any. `page_size` is in bytes, 0 for the target's.
    """
    if kind == "staticlib":
        return _check_archive(facts, target)
    is_library = kind == "cdylib"
    paths = ", ".join(library for library in facts.needed if "/" in library)
    return _mismatches([
        *_identity(facts, target),
        _type(facts, "cdylib" if is_library else "bin"),
        *(_libc_of_library(facts, target) if is_library else _libc_of_program(facts, target)),
        *(() if target.is_musl else (_glibc(facts, minimum_glibc),)),
        ("rpath", facts.rpath, "none", not facts.rpath),
        # A linker that was given the path of a library without a soname writes the path: a directory of the build.
        ("needed libraries", paths, "names without a directory", not paths),
        # The loader would have to write to code. SELinux denies that (execmod), musl's loader does not support it, Android's
        # refuses the file ("Android changes for NDK developers"), and lld does not write such a file without -z notext.
        ("text relocations", "present", "none: all code, also assembly, position-independent", not facts.text_relocations),
        _alignment(facts.alignment, min(target.page_size, page_size or target.page_size)),
        *(_soname(facts.soname, name) if is_library and facts.soname else ()),
    ])  # fmt: skip


def _mismatches(checks: Iterable[Check]) -> tuple[Mismatch, ...]:
    found = tuple(Mismatch(field, actual, expected) for field, actual, expected, ok in checks if not ok)
    # The other facts of another machine mean nothing.
    return found[:1] if found and found[0].field == "machine" else found


def _identity(facts: Facts | Object, target: Target, *, is_object: bool = False) -> list[Check]:
    """Machine, class, byte order, float ABI and Arm version. An object may leave the last two open."""
    elf = target.elf
    float_abi = facts.flags & elf.mask
    is_open = is_object and float_abi == 0 and elf.machine in OPEN_FLOAT_ABI
    checks = [
        ("machine", _machine(facts.machine), _machine(elf.machine), facts.machine == elf.machine),
        ("class", f"ELF{facts.bits}", f"ELF{elf.bits}", facts.bits == elf.bits),
        ("byte order", _order(facts.little), _order(elf.little), facts.little == elf.little),
        ("float ABI", hex(float_abi), hex(elf.flags), float_abi == elf.flags or is_open),
    ]
    if elf.machine == EM_ARM:
        actual, oldest = ARM_NAMES.get(facts.arm, str(facts.arm)), 0 if is_object else 1
        checks.append(("arm version", actual, f"{ARM_NAMES[elf.arm]} or older", oldest <= facts.arm <= elf.arm))
    return checks


def _type(facts: Facts, artifact: str) -> Check:
    """What kind of file it is: a program that is in fact a library would crash when it is started."""
    names = {"bin": "an executable", "cdylib": "a shared library", "staticlib": "an archive"}
    actual = names[facts.artifact] if facts.objects or facts.kind in ("ET_EXEC", "ET_DYN") else facts.kind
    return "type", actual, names[artifact], actual == names[artifact]


def _libc_of_program(facts: Facts, target: Target) -> list[Check]:
    if target.is_musl:
        actual = f"dynamic ({facts.loader or ', '.join(facts.needed)})"
        return [("linking", actual, "static", not facts.loader and not facts.needed)]
    return [("loader", facts.loader or "none", target.loader, facts.loader in ("", target.loader))]


def _libc_of_library(facts: Facts, target: Target) -> list[Check]:
    """A library has no loader of its own, but a program has only one C library. One that needs none fits both."""
    other, expected = (GLIBC, "musl's libc or none") if target.is_musl else (MUSL, "glibc or none")
    wrong = next(filter(other.fullmatch, facts.needed), "")
    return [
        ("C library", wrong, expected, not wrong),
        ("loader", facts.loader, target.loader or "none", facts.loader in ("", target.loader)),
    ]


def _glibc(facts: Facts, minimum: str) -> Check:
    fits = not (minimum and facts.glibc) or version(facts.glibc) <= version(minimum)
    return "glibc", facts.glibc, f"{minimum} or older", fits


def _alignment(alignment: int, page_size: int) -> Check:
    """A kernel maps whole pages, so a segment must begin where a page may begin. Files without segments have no alignment."""
    return "alignment of segments", str(alignment), f"{page_size} or more", not 0 < alignment < page_size


def _soname(soname: str, name: str) -> list[Check]:
    stem = _parts(name)[0] if name else ""
    expected = f"{stem}.so, with a version or without" if stem else "a name without a directory"
    return [("soname", soname, expected, is_soname_of(soname, name))]


def is_soname_of(soname: str, name: str) -> bool:
    """Return whether a shared library called `name` may have this soname, which is the name that loaders look for.

    Both name one library, and neither contradicts the other's version: libfoo.so or libfoo.so.1.2.3 has libfoo.so.1. So do
    cargo-c (`Target::shared_object_link_args`), meson (soversion, version), CMake (SOVERSION, VERSION) and libtool
    (-version-info) name them. The soname may have a version in front of .so as well (libtool's -release, libfoo-2.so.0), and a
    dash for cargo's underscore. cargo adds a second "lib" to a crate that is called libfoo.
    """
    (actual, versions), (expected, own) = _parts(soname), _parts(name)
    actual, expected = (re.sub(r"^(lib)+", "lib", stem).replace("_", "-") for stem in (actual, expected))
    same_versions = all(a == b for a, b in zip(versions.split("."), own.split("."), strict=False))
    is_same = not name or (re.fullmatch(rf"{re.escape(expected)}(-\d[\d.]*)?", actual) and same_versions)
    return "/" not in soname and bool(is_same)


def _parts(name: str) -> tuple[str, str]:
    """The name of a shared library and its versions: libfoo.so.1.2 -> libfoo and .1.2."""
    match = SHARED_OBJECT.fullmatch(name)
    return (match[1], match[2] or "") if match else (name, "")


def _check_archive(facts: Facts, target: Target) -> tuple[Mismatch, ...]:
    """Every fact of an archive's objects that differs, once for all that are compiled for the same."""
    if not facts.objects:
        return _mismatches([_type(facts, "staticlib")])
    found: list[Mismatch] = []
    for group in facts.objects:
        where = f"{group.name} and {group.count - 1} more" if group.count > 1 else group.name
        if group.object.kind == "ET_REL":
            mismatches = _mismatches(_identity(group.object, target, is_object=True))
        else:
            mismatches = (Mismatch("type", group.object.kind, "an ELF object file"),)
        found += [replace(mismatch, field=f"{mismatch.field} of {where}") for mismatch in mismatches]
    return tuple(found)


def _machine(number: int) -> str:
    name = next((row.name for row in GNU if row.elf.machine == number), "unknown")
    return f"{number} ({name})"


def _order(little: bool) -> str:
    return "little-endian" if little else "big-endian"


def guess(facts: Facts) -> Target | None:
    """Return the target that a file of unknown origin fits, None without one.

    Static programs count as musl binaries: they meet the requirements of those (no loader, no shared library). A library is for
    glibc unless it needs musl's libc; archives do not say, and the requirements are the same.
    """
    is_musl = not facts.loader if facts.artifact == "bin" else any(map(MUSL.fullmatch, facts.needed))
    for row in TARGETS.values():
        elf = row.elf
        same = (facts.machine, facts.bits, facts.little) == (elf.machine, elf.bits, elf.little)
        # armv6 and armv7 differ only in the attribute; up to 9, which is v6K, the file is for armv6.
        fits_arm = elf.machine != EM_ARM or (facts.arm <= 9) == (elf.arm <= 9)
        if same and fits_arm and row.is_musl == is_musl:
            return row
    return None
