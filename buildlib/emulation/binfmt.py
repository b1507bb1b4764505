"""What starts a container of another architecture: the kernel's binfmt_misc, a handler of it, and QEMU behind that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from buildlib.core.plan import Step
from buildlib.core.requirements import Fix, Requirement, apt_install
from buildlib.core.targets import Target
from buildlib.core.versions import version as numbers
from buildlib.emulation.qemu import is_native
from buildlib.machine.host import BINFMT, Handler, Host

SECTION = "emulation"
KERNEL = (4, 15)  # the first whose flag F opens the interpreter beforehand for all namespaces alike
PAGE = 4096
MOUNT = Step(title="mount binfmt_misc", argv=("mount", "-t", "binfmt_misc", "binfmt_misc", str(BINFMT)))
ENABLE = Step(title="enable QEMU's handlers", argv=("update-binfmts", "--enable"))
DIES = "programs that use it die of `Illegal instruction`"
# Versions of QEMU's user mode that are known not to do, by the arch that they play: before which, and what is seen then. All of
# it was seen with 5.2.0 (exit code 132), and no more with 7.2.22; the first version that does is from QEMU's release notes.
FLAWS: Mapping[str, tuple[tuple[tuple[int, int], str], ...]] = {
    "amd64": (((7, 2), f"knows no AVX2: {DIES}"),),
    "arm64": (((6, 1), f"knows no SVE2, BF16 and I8MM: {DIES}"),),
    "riscv64": (((6, 2), f"knows no Zba, Zbb and V 1.0: {DIES}"), ((7, 0), f"knows no V 1.0: {DIES}")),
}


def handler(host: Host, target: Target) -> Handler | None:
    """The handler of the target's binaries, an enabled one first."""
    found = [one for one in (host.handlers or {}).values() if _is_for(one, target)]
    return next((one for one in found if one.enabled), found[0] if found else None)


def _is_for(one: Handler, target: Target) -> bool:
    names = (f"qemu-{target.qemu}", f"qemu-{target.qemu}-static")
    return one.name in names or one.interpreter.rpartition("/")[2] in names


def requirements(target: Target) -> tuple[Requirement, ...]:
    """What containers of the target want of a machine of another architecture; nothing of one of its own."""
    name = target.name.removesuffix("-musl")
    why = f"containers of {name} start through it"
    mounting = Fix(text=f"{' '.join(MOUNT.argv)}", steps=(MOUNT,))
    packages = apt_install("qemu-user-static", "binfmt-support")
    install = Fix(
        text=f"apt-get install {' '.join(packages.argv[4:])}, or docker run --privileged --rm tonistiigi/binfmt --install {name}",
        steps=(packages, ENABLE),
    )
    again = Fix(text="update-binfmts --disable, then --enable", steps=_again(target))
    return (
        _need("binfmt_misc, mounted", why, lambda host: host.handlers is not None, target, mounting),
        _need(f"handler for {name}", why, lambda host: _is_enabled(host, target), target, install),
        _need(
            f"handler for {name} with the flag F", "without it QEMU would have to be inside every container",
            lambda host: not _is_enabled(host, target) or "F" in _flags(host, target), target, again,
        ),
        _need(
            "a kernel of 4.15 or newer", "older ones do not keep the interpreter for containers",
            lambda host: numbers(host.kernel) >= KERNEL, target, Fix(text="a newer kernel"),
        ),
        _need(
            "pages of 4 KiB", "QEMU's user mode, and programs with jemalloc that were compiled elsewhere, expect them",
            lambda host: host.page_size == PAGE, target,
            Fix(text="a kernel with pages of 4 KiB; or compile jemalloc with JEMALLOC_SYS_WITH_LG_PAGE=16"),
        ),
    )  # fmt: skip


def _need(what: str, why: str, met, target: Target, fix: Fix) -> Requirement:
    """Nothing of it is asked for where the target is the machine's own."""
    return Requirement(
        what=what,
        why=why,
        met=lambda host: is_native(host, target) or met(host),
        fixes=(fix,),
        required=False,
        section=SECTION,
    )


def _again(target: Target) -> tuple[Step, ...]:
    """The handler is taken away and made anew, as the package has it: with the flag F."""
    words = ("update-binfmts", "--disable", f"qemu-{target.qemu}")
    return (
        Step(title=f"take the handler qemu-{target.qemu} away", argv=words),
        Step(title=f"make the handler qemu-{target.qemu} anew", argv=("update-binfmts", "--enable", words[-1])),
    )


def _is_enabled(host: Host, target: Target) -> bool:
    found = handler(host, target)
    return found is not None and found.enabled


def _flags(host: Host, target: Target) -> str:
    found = handler(host, target)
    return found.flags if found else ""


@dataclass(frozen=True)
class Emulator:
    """A QEMU that plays a target: what starts through it, where it is, and the version that it told ("" for none)."""

    target: Target
    use: str
    program: str
    version: str


def version_requirements(players: Iterable[Emulator]) -> tuple[Requirement, ...]:
    """A need for each arch that is played: that none of its QEMUs has a flaw that is known. What the kernel starts containers with
    and what tests find on PATH are often two, and either may be the old one."""
    told: dict[str, list[Emulator]] = {}
    for one in players:
        if one.version:
            told.setdefault(one.target.name.removesuffix("-musl"), []).append(one)
    return tuple(_version_need(name, each) for name, each in told.items())


def _version_need(name: str, players: list[Emulator]) -> Requirement:
    flaws = [(one, text) for one in players if (text := flaw_of(one.version, one.target))]
    why, cure = "tests and containers run on it", "qemu-user-static of a newer distribution"
    if flaws:
        one, text = flaws[0]
        why, cure = f"{text}; {one.use} start through it", f"{cure}, in place of {one.program}"
    told = dict.fromkeys(one.version for one in players)
    if len(told) > 1:
        told = dict.fromkeys(f"{one.version} for {one.use}" for one in players)
    return Requirement(
        what=f"a QEMU that plays {name}", why=why, met=lambda _: not flaws, fixes=(Fix(text=cure),), required=False,
        section=SECTION, have=", ".join(told),
    )  # fmt: skip


def loader_requirement(target: Target, folder: Path, *, machine: int) -> Requirement:
    """That the loader which QEMU finds in `folder` is the target's, whose e_machine was read as `machine`."""
    path, ours = f"{folder}{target.loader}", machine == target.elf.machine
    return Requirement(
        what=f"a loader of {target.name}", met=lambda _: ours, required=False, section=SECTION, have=path,
        why="dynamic programs start through it" if ours
        else f"{path} is no ELF file of that arch: QEMU says `Invalid ELF image for this architecture`",
        fixes=(Fix(text=f"unset QEMU_LD_PREFIX if it names {folder}; else apt-get install --reinstall libc6-{target.debian}-cross"),),
    )  # fmt: skip


def flaw_of(version: str, target: Target) -> str:
    """What is known to go wrong with this version of QEMU, "" for nothing."""
    have, name = numbers(version), target.name.removesuffix("-musl")
    if not have:
        return ""
    flaws = [text for before, text in FLAWS.get(name, ()) if have < before]
    if have < numbers(target.qemu_since):
        flaws.insert(0, f"{target.qemu_since} is the first that runs it")
    return f"QEMU {version}: {flaws[0]}" if flaws else ""
