"""QEMU lines that start a binary of another architecture; no binfmt, no root, no container."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildlib.core.plan import Outcome, Step, last_line
from buildlib.core.requirements import Fix, Requirement, apt_install
from buildlib.core.targets import Target, short_name
from buildlib.machine.host import Host

TIMEOUT = 30.0  # seconds; QEMU costs a factor of ten or so, and --version does next to nothing
CRASHED = ("uncaught target signal", "Illegal instruction", "Segmentation fault")
NO_LIBRARY = "error while loading shared libraries"


def is_native(host: Host, target: Target) -> bool:
    """Whether this machine's kernel and CPU run the target's binaries themselves."""
    return short_name(host.machine) == target.name.removesuffix("-musl")


def qemu(host: Host, target: Target) -> str | None:
    """The QEMU user-mode program for the target; the static one first, it runs without its libraries."""
    names = (f"qemu-{target.qemu}-static", f"qemu-{target.qemu}")
    return host.which(*names, *(str(unpacked(host, target) / name) for name in names))


def unpacked(host: Host, target: Target) -> Path:
    """The folder of the cache that QEMU is unpacked into where nobody has installed it."""
    return host.cache / "qemu" / target.qemu


def libraries(host: Host, target: Target) -> Path | None:
    """The folder that holds the target's loader and libc: Debian's cross packages, or unpacked into the cache."""
    folders = (host.env.get("QEMU_LD_PREFIX", ""), f"/usr/{target.gnu}", str(host.cache / "libc" / target.debian))
    return next((Path(f) for f in folders if f and host.exists(f + target.loader)), None)


def runner(host: Host, target: Target, *, static: bool) -> tuple[str, ...] | None:
    """The words to put before a binary, () where it runs by itself, None where nothing here can start it."""
    if is_native(host, target):
        return ()
    emulator = qemu(host, target)
    if not emulator:
        return None
    if static:
        return (emulator,)
    folder = libraries(host, target)
    return (emulator, "-L", str(folder)) if folder else None


def start(words: tuple[str, ...], binary: Path, flag: str, cwd: Path) -> Step:
    """Ask the binary for its version or help: that shows that it starts."""
    argv = (*words, str(binary), flag)
    return Step(title=f"start {binary.name}", argv=argv, cwd=cwd, stdout="keep", quiet=True, timeout=TIMEOUT)


def version(words: tuple[str, ...]) -> Step:
    """Ask QEMU for its version."""
    return Step(title="QEMU's version", argv=(words[0], "--version"), stdout="keep", quiet=True)


def version_of(answer: str) -> str:
    """7.2.22 out of what QEMU says, "" where it says none."""
    found = re.search(r"version (\d+\.\d+[.\d]*)", answer)
    return found[1] if found else ""


def too_old(answer: str, target: Target) -> str:
    """Why the QEMU that gave this answer cannot run the target's binaries, "" when it can."""
    have = re.search(r"version (\d+)\.(\d+)", answer)
    since = tuple(int(part) for part in target.qemu_since.split("."))
    if have and (int(have[1]), int(have[2])) < since:
        return f"QEMU {have[1]}.{have[2]} is too old for {target.name}, {target.qemu_since} is the first that runs it"
    return ""


# Rust's std::env::consts::ARCH, where a triple begins with another word.
CONSTS = {"armv7": "arm", "i686": "x86", "riscv64gc": "riscv64", "powerpc64le": "powerpc64"}


def rust_arch(target: Target) -> str:
    """What std::env::consts::ARCH is there."""
    first = target.triple.partition("-")[0]
    return CONSTS.get(first, first)


FAMILIES = {"armv6": "arm", "armv7": "arm"}  # QEMU plays the newest CPU of a family unless QEMU_CPU says which


def probe_mismatch(told: Mapping[str, Any], host: Host, target: Target) -> str:
    """Why a probe that said this did not run on the target, "" where it did. `machine` is what uname(2) says there."""
    if told["arch"] != (want := rust_arch(target)):
        return f"the tests are compiled for {told['arch']}, wanted {want}"
    if is_same_family(told["machine"], target):
        return ""
    here = ", which is this machine" if told["machine"] == host.machine else ""
    return f"the tests run on {told['machine']}{here}, wanted {target.name.removesuffix('-musl')}"


def is_same_family(machine: str, target: Target) -> bool:
    """Whether what `uname -m` said is a machine of the target's family."""
    have, want = short_name(machine), target.name.removesuffix("-musl")
    return FAMILIES.get(have, have) == FAMILIES.get(want, want)


def start_problem(outcome: Outcome) -> str:
    """Why a start was none, "" for one that was. A program that dislikes the flag has started all the same, and one
    that is still running when its time is up has, too."""
    if outcome.code in (0, 124):
        return ""
    if outcome.code in (126, 127) and NO_LIBRARY not in outcome.output:
        return f"exit code {outcome.code} ({last_line(outcome.output)})"
    if outcome.code > 128 or any(word in outcome.output for word in CRASHED):
        return f"a crash ({last_line(outcome.output) or f'signal {outcome.code - 128}'})"
    return ""


def requirements(target: Target) -> tuple[Requirement, ...]:
    """What starting the target's binaries wants of the machine; the gate does without, and says so."""
    why = f"start {target.name} binaries before they count as built"
    package = "qemu-user-static"
    found = [
        Requirement(
            what=f"QEMU for {target.name}",
            why=why,
            met=lambda host: is_native(host, target) or qemu(host, target) is not None,
            fixes=(Fix(text=f"apt-get install {package}", steps=(apt_install(package),)),),
            required=False,
        )
    ]
    if not target.is_musl and target.debian != "loong64":  # Debian 12 has no LoongArch libc
        packages = (f"libc6-{target.debian}-cross", f"libgcc-s1-{target.debian}-cross")
        found.append(
            Requirement(
                what=f"C library of {target.name}",
                why=why,
                met=lambda host: is_native(host, target) or libraries(host, target) is not None,
                fixes=(Fix(text=f"apt-get install {' '.join(packages)}", steps=(apt_install(*packages),)),),
                required=False,
            )
        )
    return tuple(found)
