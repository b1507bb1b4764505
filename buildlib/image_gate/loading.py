"""Whether the loader of a program finds what the program needs: the loader itself, its libraries, theirs, and so on.

As ld.so(8) of glibc and musl's ldso/dynlink.c look for them. Where it depends on more than the files (whether ldconfig was run for a
directory of ld.so.conf), a library counts as found. Versions of symbols are not compared.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from posixpath import dirname

from buildlib.core.targets import GNU, Identity
from buildlib.elf.dynamic import Dynamic
from buildlib.image_gate.files import Files, Found, join
from buildlib.image_gate.machines import Difference, strict_difference

# Loaders of glibc, musl and uClibc, whose rules are known here. Android's, and others, are only looked for.
GLIBC = re.compile(r"ld-linux.*|ld64?\.so\..*|ld-.*\.so|ld-uClibc.*")
MUSL = re.compile(r"ld-musl-.*|libc\.musl-.*|libgcompat.*|libc\.so")
# Libraries that musl's loader contains (`reserved` in ldso/dynlink.c).
OF_MUSL = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\..*")
MUSL_FOLDERS = ("/lib", "/usr/local/lib", "/usr/lib")
DEFAULT_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib32", "/usr/lib32")
MULTIARCH = {**{target.oci: target.multiarch for target in GNU}, "linux/arm/v5": "arm-linux-gnueabi",
             "linux/mips64le": "mips64el-linux-gnuabi64"}  # fmt: skip
VARIABLE = re.compile(r"\$\{?(ORIGIN|LIB|PLATFORM)\b\}?")
MOST_LIBRARIES = 2000  # of one program
MOST_FOLDERS = 1000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that is loaded, the file that needed it, and the directory in which it was found."""

    found: Found
    parent: Loaded | None
    folder: str

    @property
    def dynamic(self) -> Dynamic:
        """What the file says to the loader; nothing if that cannot be read."""
        return self.found.contents.dynamic or Dynamic()


def check(
    files: Files, program: Found, platform: str, expected: Identity, env: Mapping[str, str]
) -> Iterator[tuple[Found, Difference]]:
    """Each file that does not get what it needs, and what that is. `program` belongs to the platform."""
    dynamic = program.contents.dynamic
    if dynamic is None or not dynamic.loader:
        return  # static, or too damaged to say
    loader = files.look(join("/", dynamic.loader))
    if loader is None or loader.node.file is None:
        yield (
            program,
            Difference("loader", f"{dynamic.loader} is not in the image", "the loader that the program names"),
        )
        return
    if wrong := _wrong(loader, expected):
        yield program, Difference("loader", f"{dynamic.loader} {wrong.actual}", wrong.expected)
        return
    is_musl = MUSL.fullmatch(loader.path.rpartition("/")[2]) is not None
    if is_musl or GLIBC.fullmatch(dynamic.loader.rpartition("/")[2]):
        search = Search(files, platform, expected, env, loader, is_musl=is_musl)
        yield from search.missing(program)


class Search:
    """The search for the libraries of one program."""

    def __init__(
        self, files: Files, platform: str, expected: Identity, env: Mapping[str, str], loader: Found, *, is_musl: bool
    ) -> None:
        self._files, self._expected, self._is_musl = files, expected, is_musl
        self._multiarch = MULTIARCH.get(platform, "")
        self._first = [join("/", folder) for folder in re.split("[:;]", env.get("LD_LIBRARY_PATH", "")) if folder]
        self._last = list(dict.fromkeys(_musl_folders(files, loader) if is_musl else self._glibc_folders(loader)))[
            :MOST_FOLDERS
        ]
        self._loader = loader

    def missing(self, program: Found) -> Iterator[tuple[Found, Difference]]:
        """Libraries that are not found, in the order in which the loader reads files: the nearest first."""
        todo, known = deque([Loaded(program, None, dirname(program.path))]), {self._loader.path.rpartition("/")[2]}
        while todo and len(known) < MOST_LIBRARIES:
            current = todo.popleft()
            for word in current.dynamic.needed:
                if word in known or not word or (self._is_musl and OF_MUSL.fullmatch(word)):
                    continue
                known.add(word)
                candidates, certain = self._candidates(current, word)
                library, wrong = self._first_of(candidates, current)
                if library:
                    known |= {library.dynamic.soname} if library.dynamic.soname else set()
                    todo.append(library)
                elif wrong:
                    yield current.found, Difference("needed library", f"{word} {wrong.actual}", wrong.expected)
                elif certain:
                    yield (
                        current.found,
                        Difference("needed library", f"{word} is not in the image", "a library that the loader finds"),
                    )

    def _first_of(self, candidates: Iterable[str], parent: Loaded) -> tuple[Loaded | None, Difference | None]:
        """The first library that can be loaded; without one, why the first file of that name cannot be."""
        reason: Difference | None = None
        for candidate in candidates:
            found = self._files.look(candidate)
            if found is None or found.node.file is None:
                continue
            wrong = _wrong(found, self._expected)
            if wrong is None:
                return Loaded(found, parent, dirname(candidate)), None
            reason = reason or wrong
        return None, reason

    def _candidates(self, current: Loaded, word: str) -> tuple[list[str], bool]:
        """The paths at which a library is looked for; False if there may be others."""
        if "/" in word:
            return self._expanded(word, current)
        folders: list[str] = []
        certain = True
        for text, owner in self._paths(current):
            for part in text.split(":"):
                expanded, known = self._expanded(part, owner) if part else ([], True)
                folders += expanded
                certain = certain and known
        return [f"{folder}/{word}" for folder in [*folders, *self._first, *self._last]], certain

    def _paths(self, current: Loaded) -> Iterator[tuple[str, Loaded]]:
        """RPATH and RUNPATH that apply to what a file needs, each with the file that has it."""
        own = current.dynamic.runpath
        owner: Loaded | None = current
        while owner and (self._is_musl or not own):
            paths = (owner.dynamic.runpath or owner.dynamic.rpath) if self._is_musl else owner.dynamic.rpath
            if paths and (self._is_musl or not owner.dynamic.runpath):
                yield paths, owner
            owner = owner.parent
        if own and not self._is_musl:
            yield own, current

    def _expanded(self, text: str, owner: Loaded) -> tuple[list[str], bool]:
        """The paths that a text with variables may mean; False if one of them depends on the machine."""
        if "PLATFORM" in VARIABLE.findall(text):
            return [], False
        origins = (dirname(owner.found.path), owner.folder) if "$" in text else ("",)
        libs = ("lib64", "lib", f"lib/{self._multiarch}") if "LIB" in VARIABLE.findall(text) else ("",)
        paths = [
            VARIABLE.sub(lambda match, values={"ORIGIN": origin, "LIB": lib}: str(values[match[1]]), text)  # type: ignore[misc]
            for origin in dict.fromkeys(origins)
            for lib in libs
        ]
        return [join("/", path) for path in paths], True

    def _glibc_folders(self, loader: Found) -> Iterator[str]:
        """The directories of ld.so.conf and of ld.so.cache, and those that are compiled into the loader."""
        yield from _configured(self._files)
        for match in re.finditer(rb"(/[^\0\n]*)/[^\0/\n]+\0", self._files.text("/etc/ld.so.cache")):
            yield match[1].decode("utf-8", "surrogateescape")
        if self._multiarch:
            yield from (f"/lib/{self._multiarch}", f"/usr/lib/{self._multiarch}")
        yield dirname(loader.path)  # where distributions without /lib have both
        yield from DEFAULT_FOLDERS


def _wrong(found: Found, expected: Identity) -> Difference | None:
    """Why a file cannot be loaded into a program of the platform; `actual` is a phrase about the file."""
    elf = found.contents.elf
    if elf is None:
        return Difference("library", "is not an ELF file", "a shared library")
    wrong = strict_difference(elf, expected, found.path)
    if wrong is None:
        return None
    actual = wrong.actual if wrong.rule == "architecture" else f"{wrong.rule} {wrong.actual}"
    return Difference(wrong.rule, f"is for {actual}", wrong.expected)


def _configured(files: Files) -> Iterator[str]:
    """The directories in ld.so.conf, and in the files of ld.so.conf.d, which every distribution includes."""
    included = [f"/etc/ld.so.conf.d/{name}" for name in files.names("/etc/ld.so.conf.d") if name.endswith(".conf")]
    for path in ("/etc/ld.so.conf", *included[:MOST_FOLDERS]):
        for line in files.text(path).decode("utf-8", "surrogateescape").splitlines():
            for word in re.split(r"[\s:,=]+", line.partition("#")[0].strip()):
                if word.startswith("/"):
                    yield word


def _musl_folders(files: Files, loader: Found) -> list[str]:
    """The directories of /etc/ld-musl-<arch>.path, or musl's own ones."""
    names = [name for name in files.names("/etc") if re.fullmatch(r"ld-musl-.*\.path", name)]
    text = b"\n".join(files.text(f"/etc/{name}") for name in names).decode("utf-8", "surrogateescape")
    return [folder for folder in re.split(r"[:\n]", text) if folder] or [*MUSL_FOLDERS, dirname(loader.path)]
