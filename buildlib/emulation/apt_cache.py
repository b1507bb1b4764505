"""Unpack Debian packages into the cache, without root: QEMU, and the C library of another architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.plan import Install, Job, Step, Write
from buildlib.core.targets import Target
from buildlib.emulation import qemu
from buildlib.machine.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Packages, and those of their files that are installed in one directory of the cache."""

    packages: tuple[str, ...]
    source: str  # directory in the packages
    pattern: str
    into: Path


def selections(host: Host, target: Target) -> tuple[Selection, ...]:
    """What this machine needs to start the target's binaries and does not have; nothing on a machine without apt.

    Two selections for the same directory are alternatives: the second is needed if the first does not contain the files.
    """
    if qemu.is_native(host, target) or not (host.which("apt-get") and host.which("dpkg-deb")):
        return ()
    needed = []
    if not qemu.qemu(host, target):
        # From Debian 13 on, qemu-user is static, and qemu-user-static is an empty package that depends on it.
        needed += [
            Selection(
                packages=(name,),
                source="usr/bin",
                pattern=f"qemu-{target.qemu}*",
                into=qemu.unpacked(host, target),
            )
            for name in ("qemu-user-static", "qemu-user")
        ]
    if not target.is_musl and not qemu.libraries(host, target):
        into = host.cache / "libc" / target.debian / Path(target.loader).parent.name
        packages = tuple(f"{name}-{target.debian}-cross" for name in ("libc6", "libgcc-s1"))
        needed.append(Selection(packages=packages, source=f"usr/{target.gnu}/lib", pattern="*.so*", into=into))
    return tuple(needed)


def question(selection: Selection) -> Step:
    """The command that lists the packages' files; apt reads them from its package lists, without network."""
    argv = ("apt-get", "download", "--print-uris", *selection.packages)
    return Step(title=f"files of {' '.join(selection.packages)}", argv=argv, stdout="keep", quiet=True)


def file_names(answer: str) -> tuple[str, ...]:
    """The file names in the answer to `--print-uris`: each line has an address in quotes, a name, a size and a checksum."""
    return tuple(re.findall(r"^'[^']+' (\S+\.deb) ", answer, re.MULTILINE))


def unpack(host: Host, selection: Selection, names: tuple[str, ...]) -> Job:
    """The job that downloads the packages, whose checksums apt verifies with its signed lists, and installs their files."""
    title = f"{' '.join(selection.packages)}, unpacked"
    scratch = host.cache / "debs" / selection.into.name / selection.packages[0]
    return Job(
        name=title, lock=host.cache / "debs", done=selection.into, scratch=scratch,
        steps=(
            Write(path=scratch / "packages", text="\n".join(selection.packages)),
            Step(title=title, argv=("apt-get", "download", *selection.packages), cwd=scratch, attempts=5),
            *(Step(title=title, argv=("dpkg-deb", "--extract", name, "tree"), cwd=scratch) for name in names),
            Install(source=scratch / "tree" / selection.source, pattern=selection.pattern, into=selection.into),
        ),
    )  # fmt: skip
