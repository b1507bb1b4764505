"""Files for several platforms side by side, of which a program loads the one for its own.

The native libraries of a jar (linux-x86_64/libx.so beside linux-aarch64/libx.so), node's prebuilds/linux-x64, Python's extensions
(x.cpython-312-aarch64-linux-gnu.so), Debian's directories of several architectures: paths that differ only in the words for
an architecture. A file for another platform is an alternative if one of its kind is for this platform. In an archive the name of the
file is enough, because the directories of some jars have no order (linux64/libx.so beside linux-aarch64/libx.so).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from buildlib.image_gate.patterns import MEMBER

ARCHITECTURES = (
    "x86[_-]?64|x64|amd64(?:v[1-4])?|i[3-6]86|ia32|x86|32|64|aarch[_-]?64|aarch32|arm64|armv?[5-9][a-z]{0,2}|arm32(?:v[5-8])?|armhf|armel|arm|"
    "ppc64le|ppc64el|ppc64|ppcle|ppc|powerpc64le|powerpc64|powerpc|s390x|s390|riscv64|riscv32|loong64|loongarch64|loongarch_64|"
    "mips64el|mips64le|mips64|mipsel|mips|sparcv9|sparc64|sparc|ia64|alpha|m68k|armeabi|v[6-9]a?"
)
LIBCS = "musl|glibc|gnueabihf|gnueabi|gnu|eabihf|eabi|hf"
SYSTEMS = "freebsd|openbsd|netbsd|dragonfly|sunos|solaris|illumos|android|aix|hpux|qnx"
# Words of a path, which separators and a change from "linux" to what follows it end: linux64, linuxmusl.
BEFORE, AFTER = r"(?:(?<=^)|(?<=[/._!+-])|(?<=linux))", r"(?=$|[/._!+-])"
ARCHITECTURE = re.compile(f"{BEFORE}(?:{ARCHITECTURES}){AFTER}", re.IGNORECASE)
ALTERNATIVE = re.compile(f"{BEFORE}(?:{ARCHITECTURES}|{LIBCS}){AFTER}", re.IGNORECASE)
# Node's extensions: node-gyp-build loads what was compiled when the package was installed, else what its author compiled.
OF_NODE = re.compile(r"(.*)/(?:build|prebuilds)/.*\.node", re.DOTALL)
# A system beside an architecture: freebsd-x86-64, Linux-Android/aarch64, x86_64-SunOS.
OTHER_SYSTEM = re.compile(
    rf"(?:^|[/._-])(?:(?:{SYSTEMS})[-_/.]?(?:{ARCHITECTURES})|(?:{ARCHITECTURES})[-_/.](?:{SYSTEMS}))(?=$|[/._-])",
    re.IGNORECASE,
)
OF_ANDROID = (f".apk{MEMBER}", f".aar{MEMBER}")
SEPARATORS = re.compile(r"[._+-]*(/|$|!)[._+-]*|[._+-]+")


def keys(path: str) -> tuple[str, ...]:
    """What the paths of alternatives have in common; for a file in an archive also its name there, with the archive's path."""
    archive, member, inner = path.partition(MEMBER)
    if not member:
        package = OF_NODE.fullmatch(path)
        return (_without(path), f"{package[1]}/build") if package else (_without(path),)
    return _without(path), f"{archive}{MEMBER}{_without(inner.rpartition('/')[2])}"


def is_for_other_system(path: str) -> bool:
    """Whether the path names a system other than Linux beside an architecture, or a package of Android."""
    return OTHER_SYSTEM.search(path) is not None or any(package in path for package in OF_ANDROID)


def of(paths: Iterable[str]) -> frozenset[str]:
    """The keys of files that are for the platform: what shares one with them is an alternative."""
    return frozenset(key for path in paths for key in keys(path))


def is_one(path: str, known: frozenset[str]) -> bool:
    """Whether a file for another platform, which its path says, has an alternative with one of these keys."""
    return ARCHITECTURE.search(path) is not None and not known.isdisjoint(keys(path))


def _without(path: str) -> str:
    """A path without words for architectures and C libraries, and one separator where there were several."""
    text = ALTERNATIVE.sub("", path)
    text = SEPARATORS.sub(lambda match: match[1] if match[1] is not None else "-", text)
    return re.sub("/+", "/", text).lower()
