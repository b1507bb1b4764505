"""What was unpacked into a sysroot: links that must stay inside of it, and the shared libraries that are in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from buildlib.core.plan import Link
from buildlib.core.sysroot import SystemLibrary
from buildlib.core.versions import version
from buildlib.elf import Unreadable, read

# Packages of the C library and of GCC's: every system with glibc has them.
OF_LIBC = re.compile(r"libc6|libgcc-s1|libcrypt1")
SHARED = re.compile(r"lib.+\.so(\.\d+)+")


def folders(multiarch: str) -> tuple[str, ...]:
    """Return the directories in which a loader looks by itself, relative to the root."""
    return f"usr/lib/{multiarch}", f"lib/{multiarch}", "usr/lib", "lib"


def links(root: Path) -> Iterator[Link]:
    """Return links that replace absolute ones, which would lead to this machine's files, and those of a system with merged /usr.

    Some packages have their files in /lib, some in /usr/lib: a loader is looked for in the one, libraries in both.
    """
    for folder, folder_names, names in os.walk(root):
        for name in (*folder_names, *names):
            path = Path(folder, name)
            if path.is_symlink() and (target := path.readlink()).is_absolute():
                inside = os.path.relpath(root / target.relative_to("/"), folder)
                yield Link(path=path, to=Path(inside))
    for name in ("lib", "lib64"):
        if (root / "usr" / name).is_dir() and not (root / name).exists():
            yield Link(path=root / name, to=Path("usr", name))
        elif (root / "usr" / name).is_dir() and not (root / name).is_symlink():
            for path in (root / "usr" / name).iterdir():
                if not (root / name / path.name).exists():
                    yield Link(path=root / name / path.name, to=Path("..", "usr", name, path.name))


def libraries(root: Path, multiarch: str, owners: Mapping[str, str]) -> dict[str, tuple[SystemLibrary, str]]:
    """Return the shared libraries by soname, each with the glibc version that it requires; without those of the C library.

    `owners` maps files, relative to the root, to their packages.
    """
    found: dict[str, tuple[SystemLibrary, str]] = {}
    for folder in folders(multiarch):
        for path in sorted((root / folder).glob("lib*.so.*")):
            file = str(path.relative_to(root))
            package = owners.get(file, "")
            if not package or OF_LIBC.fullmatch(package) or not SHARED.fullmatch(path.name) or not path.is_file():
                continue
            try:
                facts = read(path)
            except Unreadable:
                continue  # a linker script
            if facts.soname and facts.soname == path.name:
                library = SystemLibrary(
                    package=package, file=file, sha256=facts.sha256, size=facts.size, needed=facts.needed
                )
                found.setdefault(facts.soname, (library, facts.glibc))
    return found


def newest(found: Mapping[str, tuple[SystemLibrary, str]]) -> tuple[str, str]:
    """Return the newest glibc version that one of the libraries requires, and the soname of that library; "" for none."""
    return max(((glibc, soname) for soname, (_, glibc) in found.items() if glibc), key=lambda row: version(row[0]),
               default=("", ""))  # fmt: skip
