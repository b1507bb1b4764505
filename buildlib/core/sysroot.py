"""A sysroot: the system libraries of one target, unpacked from Debian packages into a directory of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

LIBRARIES = ".libs"  # ends the name of the directory of a program's libraries in dist/, which is beside the program
FORMAT = 1  # of the description of a sysroot in the cache


class SystemLibrary(Struct, frozen=True, kw_only=True):
    """A shared library of a sysroot: its package, its file relative to the root, and the sonames of the libraries that it needs."""

    package: str
    file: str
    sha256: str
    size: int
    needed: tuple[str, ...] = ()


class Sysroot(Struct, frozen=True, kw_only=True):
    """The libraries of one target, by soname, and the packages that they are from, by name with their version.

    The C library is among the packages, for QEMU, and not among the libraries. `glibc` is the newest version of it that one of the
    libraries requires, `newest` that library. A sysroot without packages is planned: a dry run has not downloaded them.
    """

    root: str
    multiarch: str
    suite: str
    packages: Mapping[str, str] = {}
    libraries: Mapping[str, SystemLibrary] = {}
    glibc: str = ""
    newest: str = ""
    format: int = FORMAT

    @property
    def is_planned(self) -> bool:
        """Whether a dry run has left it out."""
        return not self.packages

    @property
    def pkg_config(self) -> Mapping[str, str]:
        """The variables with which pkg-config finds these libraries and no others."""
        folders = (f"{self.root}/usr/lib/{self.multiarch}/pkgconfig", f"{self.root}/usr/share/pkgconfig")
        return {"PKG_CONFIG_SYSROOT_DIR": self.root, "PKG_CONFIG_LIBDIR": ":".join(folders)}

    @property
    def includes(self) -> tuple[str, ...]:
        """The directories of headers. GCC searches the multiarch directory by itself, clang and zig do not."""
        return (f"{self.root}/usr/include/{self.multiarch}", f"{self.root}/usr/include")

    @property
    def search(self) -> str:
        """The linker's option for the libraries. It comes first: pg_config and its like name directories of this machine."""
        return f"-L{self.root}/usr/lib/{self.multiarch}"

    @property
    def shared(self) -> Path:
        """The directory with a link to each library, without the C library: LD_LIBRARY_PATH on this machine's own arch."""
        return Path(self.root, "shared")

    def path(self, soname: str) -> Path:
        """Return the file of a library."""
        return Path(self.root, self.libraries[soname].file)

    def closure(self, sonames: tuple[str, ...]) -> dict[str, SystemLibrary]:
        """Return those libraries that files which need `sonames` load, directly and through others, sorted by soname."""
        found: dict[str, SystemLibrary] = {}
        queue = list(sonames)
        while queue:
            soname = queue.pop()
            if soname in self.libraries and soname not in found:
                found[soname] = self.libraries[soname]
                queue.extend(found[soname].needed)
        return dict(sorted(found.items()))
