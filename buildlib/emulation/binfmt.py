"""What starts a container of another architecture: binfmt_misc of the kernel, a handler in it, and QEMU as its interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from buildlib.core.plan import Step
from buildlib.core.requirements import Fix, Requirement, apt_install
from buildlib.core.targets import Target
from buildlib.core.versions import version as numbers
from buildlib.emulation.qemu import is_native
from buildlib.machine.host import BINFMT, Handler, Host

SECTION = "emulation"
KERNEL = (4, 15)  # the first whose flag F opens the interpreter in advance, for all namespaces
PAGE = 4096  # bytes
MOUNT = Step(title="mount binfmt_misc", argv=("mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)))
ENABLE = Step(title="enable QEMU's handlers", argv=("update-binfmts", "--enable"))
CRASH = "programs that use it crash with `Illegal instruction`"
# Known flaws of QEMU's user mode by the arch that it emulates: the first version without the flaw, and its effect. All of them were
# seen with 5.2.0 (exit code 132) and not with 7.2.22; the first version without the flaw is from QEMU's release notes.
FLAWS: Mapping[str, tuple[tuple[tuple[int, int], str], ...]] = {
    "amd64": (((7, 2), f"does not support AVX2: {CRASH}"),),
    "arm64": (((6, 1), f"does not support SVE2, BF16 and I8MM: {CRASH}"),),
    "riscv64": (
        ((6, 2), f"does not support Zba, Zbb and V 1.0: {CRASH}"),
        ((7, 0), f"does not support V 1.0: {CRASH}"),
    ),
}


def handler(host: Host, target: Target) -> Handler | None:
    """The handler of the target's binaries, None without one; an enabled one is preferred."""
    matches = [candidate for candidate in (host.handlers or {}).values() if _is_for(candidate, target)]
    return next((match for match in matches if match.enabled), matches[0] if matches else None)


def _is_for(candidate: Handler, target: Target) -> bool:
    names = (f"qemu-{target.qemu}", f"qemu-{target.qemu}-static")
    return candidate.name in names or candidate.interpreter.rpartition("/")[2] in names


def magic(target: Target) -> tuple[bytes, bytes]:
    """How a handler recognises the target's binaries: the first 20 bytes of their ELF header, and the mask of the bits that count.

    As QEMU's scripts/qemu-binfmt-conf.sh: any OS ABI, and of the types ET_EXEC and ET_DYN.
    """
    order: Literal["little", "big"] = "little" if target.elf.little else "big"
    ident = b"\x7fELF" + bytes([2 if target.elf.bits == 64 else 1, 1 if target.elf.little else 2, 1]) + bytes(9)
    mask = b"\xff" * 7 + b"\0" + b"\xff" * 8
    kind, kind_mask = (2).to_bytes(2, order), 0xFFFE.to_bytes(2, order)
    return ident + kind + target.elf.machine.to_bytes(2, order), mask + kind_mask + b"\xff\xff"


def requirements(target: Target) -> tuple[Requirement, ...]:
    """What a machine of another architecture needs to run containers of the target; the target's own machine needs nothing."""
    name = target.arch
    why = f"containers of {name} start through it"
    mounting = Fix(text=f"{' '.join(MOUNT.argv)}", steps=(MOUNT,))
    packages = apt_install("qemu-user-static", "binfmt-support")
    install = Fix(
        text=f"apt-get install {' '.join(packages.argv[4:])}, or docker run --privileged --rm tonistiigi/binfmt --install {name}",
        steps=(packages, ENABLE),
    )
    reinstall = Fix(text="update-binfmts --disable, then --enable", steps=_reinstall(target))
    return (
        _need("binfmt_misc, mounted", why, lambda host: host.handlers is not None, target, mounting),
        _need(f"handler for {name}", why, lambda host: _is_enabled(host, target), target, install),
        _need(
            f"handler for {name} with the flag F", "without it QEMU would have to be inside every container",
            lambda host: not _is_enabled(host, target) or "F" in _flags(host, target), target, reinstall,
        ),
        _need(
            "a kernel of 4.15 or newer", "older ones do not open the interpreter for containers",
            lambda host: numbers(host.kernel) >= KERNEL, target, Fix(text="use a newer kernel"),
        ),
        _need(
            "pages of 4 KiB", "QEMU's user mode expects them, and so do programs with jemalloc from another machine",
            lambda host: host.page_size == PAGE, target,
            Fix(text="use a kernel with pages of 4 KiB; or compile jemalloc with JEMALLOC_SYS_WITH_LG_PAGE=16"),
        ),
    )  # fmt: skip


def _need(what: str, why: str, met: Callable[[Host], bool], target: Target, fix: Fix) -> Requirement:
    """An optional requirement that the target's own machine always meets."""
    return Requirement(
        what=what,
        why=why,
        met=lambda host: is_native(host, target) or met(host),
        fixes=(fix,),
        required=False,
        section=SECTION,
    )


def _reinstall(target: Target) -> tuple[Step, ...]:
    """Remove the handler, and create it as the package defines it: with the flag F."""
    name = f"qemu-{target.qemu}"
    return (
        Step(title=f"remove the handler {name}", argv=("update-binfmts", "--disable", name)),
        Step(title=f"create the handler {name}", argv=("update-binfmts", "--enable", name)),
    )


def _is_enabled(host: Host, target: Target) -> bool:
    match = handler(host, target)
    return match is not None and match.enabled


def _flags(host: Host, target: Target) -> str:
    match = handler(host, target)
    return match.flags if match else ""


@dataclass(frozen=True)
class Emulator:
    """A QEMU that emulates a target."""

    target: Target
    use: str  # what it starts: "containers" or "tests"
    program: str
    version: str  # "" if it is unknown


def version_requirements(emulators: Iterable[Emulator]) -> tuple[Requirement, ...]:
    """A requirement for each emulated arch: that no QEMU for it has a known flaw.

    The QEMU with which the kernel starts containers and the one that tests find on PATH are often different, and either may be old.
    """
    by_arch: dict[str, list[Emulator]] = {}
    for emulator in emulators:
        if emulator.version:
            by_arch.setdefault(emulator.target.arch, []).append(emulator)
    return tuple(_version_requirement(name, group) for name, group in by_arch.items())


def _version_requirement(name: str, emulators: list[Emulator]) -> Requirement:
    flaws = [(emulator, text) for emulator in emulators if (text := flaw_of(emulator.version, emulator.target))]
    why, fix = "tests and containers run on it", "qemu-user-static of a newer distribution"
    if flaws:
        emulator, text = flaws[0]
        why, fix = f"{text}; used for {emulator.use}", f"{fix}, in place of {emulator.program}"
    versions = dict.fromkeys(emulator.version for emulator in emulators)
    if len(versions) > 1:
        versions = dict.fromkeys(f"{emulator.version} for {emulator.use}" for emulator in emulators)
    return Requirement(
        what=f"a QEMU that emulates {name}", why=why, met=lambda _: not flaws, fixes=(Fix(text=fix),), required=False,
        section=SECTION, have=", ".join(versions),
    )  # fmt: skip


def loader_requirement(target: Target, folder: Path, *, machine: int) -> Requirement:
    """The requirement that the loader which QEMU finds in `folder` is for the target; `machine` is the loader's e_machine."""
    path, matches = f"{folder}{target.loader}", machine == target.elf.machine
    fix = f"unset QEMU_LD_PREFIX if it names {folder}; else apt-get install --reinstall libc6-{target.debian}-cross"
    return Requirement(
        what=f"a loader of {target.name}", met=lambda _: matches, required=False, section=SECTION, have=path,
        why="dynamically linked programs start through it" if matches
        else f"{path} is not an ELF file of that arch: QEMU reports `Invalid ELF image for this architecture`",
        fixes=(Fix(text=fix),),
    )  # fmt: skip


def flaw_of(version: str, target: Target) -> str:
    """The most important known flaw of this version of QEMU for the target, "" without one."""
    actual, name = numbers(version), target.arch
    if not actual:
        return ""
    flaws = [text for fixed_in, text in FLAWS.get(name, ()) if actual < fixed_in]
    if actual < numbers(target.qemu_since):
        flaws.insert(0, f"{target.qemu_since} is the first version that runs it")
    return f"QEMU {version}: {flaws[0]}" if flaws else ""
