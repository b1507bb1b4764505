"""Debian's packages unpacked into the cache, without root: QEMU, and the C library of another architecture."""

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
    """Packages, and the files of theirs that go into one folder of the cache."""

    packages: tuple[str, ...]
    source: str  # below the root of the packages
    pattern: str
    into: Path


def selections(host: Host, target: Target) -> tuple[Selection, ...]:
    """What this machine lacks to start the target's binaries; the second of two parcels for one folder is for where the first has
    not got it. Nothing where there is no apt to get it with."""
    if qemu.is_native(host, target) or not (host.which("apt-get") and host.which("dpkg-deb")):
        return ()
    found = []
    if not qemu.qemu(host, target):
        # From Debian 13 on, qemu-user is static, and qemu-user-static an empty package that asks for it.
        found += [
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
        found.append(Selection(packages=packages, source=f"usr/{target.gnu}/lib", pattern="*.so*", into=into))
    return tuple(found)


def question(parcel: Selection) -> Step:
    """Asks apt for the packages' files; it knows what its lists know, and needs no network for it."""
    argv = ("apt-get", "download", "--print-uris", *parcel.packages)
    return Step(title=f"files of {' '.join(parcel.packages)}", argv=argv, stdout="keep", quiet=True)


def file_names(answer: str) -> tuple[str, ...]:
    """Their names in what it says: a line 'address' name size checksum for each."""
    return tuple(re.findall(r"^'[^']+' (\S+\.deb) ", answer, re.MULTILINE))


def unpack(host: Host, parcel: Selection, names: tuple[str, ...]) -> Job:
    """The job that downloads them, which apt checks against its signed lists, and takes the files out."""
    title = f"{' '.join(parcel.packages)}, unpacked"
    scratch = host.cache / "debs" / parcel.into.name / parcel.packages[0]
    return Job(
        name=title, lock=host.cache / "debs", done=parcel.into, scratch=scratch,
        steps=(
            Write(path=scratch / "packages", text="\n".join(parcel.packages)),
            Step(title=title, argv=("apt-get", "download", *parcel.packages), cwd=scratch, attempts=5),
            *(Step(title=title, argv=("dpkg-deb", "--extract", name, "tree"), cwd=scratch) for name in names),
            Install(source=scratch / "tree" / parcel.source, pattern=parcel.pattern, into=parcel.into),
        ),
    )  # fmt: skip
