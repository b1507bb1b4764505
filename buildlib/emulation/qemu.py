"""Start binaries of another architecture with QEMU's user mode, without binfmt_misc, root or a container."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from buildlib.core.plan import Outcome, Step, last_line
from buildlib.core.requirements import Requirement, apt_fix
from buildlib.core.sysroot import LIBRARIES
from buildlib.core.targets import Target, short_name
from buildlib.machine.host import Host

# Seconds; a program that prints its version needs far less, also with QEMU, which is about ten times slower.
TIMEOUT = 30
# More than programs need to say their version: bytes of memory and of output, and processes.
MEMORY, OUTPUT, PROCESSES = 4 << 30, 4 << 20, 256
SANDBOX = Path(__file__).with_name("sandbox.py")  # imported late: it loads ctypes
CRASHED = ("uncaught target signal", "Illegal instruction", "Segmentation fault")
# What glibc's loader says of a library that is missing, and of one for a newer glibc.
NO_LIBRARY = re.compile(r"error while loading shared libraries: (.+)|(version `GLIBC_[0-9.]+' not found .+)")


def is_native(host: Host, target: Target) -> bool:
    """Whether this machine runs the target's binaries without emulation."""
    return short_name(host.machine) == target.arch


def qemu(host: Host, target: Target) -> str | None:
    """The QEMU user-mode program for the target, None without one. A static one is preferred: it needs no libraries."""
    names = (f"qemu-{target.qemu}-static", f"qemu-{target.qemu}")
    return host.which(*names, *(str(unpacked(host, target) / name) for name in names))


def unpacked(host: Host, target: Target) -> Path:
    """The directory of the cache into which QEMU is unpacked if it is not installed."""
    return host.cache / "qemu" / target.qemu


def libraries(host: Host, target: Target) -> Path | None:
    """The directory with the target's loader and libc: its sysroot, QEMU_LD_PREFIX, Debian's cross packages, or the cache."""
    sysroot = host.sysroots.get(target.name)
    folders = (sysroot.root if sysroot else "", host.env.get("QEMU_LD_PREFIX", ""), f"/usr/{target.gnu}",
               str(host.cache / "libc" / target.debian))  # fmt: skip
    return next((Path(folder) for folder in folders if folder and host.exists(folder + target.loader)), None)


def runner(host: Host, target: Target, *, static: bool) -> tuple[str, ...] | None:
    """The words before a binary that start it: () if none are needed, None if this machine cannot start it."""
    if is_native(host, target):
        return ()
    emulator = qemu(host, target)
    if not emulator:
        return None
    if static:
        return (emulator,)
    folder = libraries(host, target)
    return (emulator, "-L", str(folder)) if folder else None


def start(host: Host, words: tuple[str, ...], binary: Path, flag: str, scratch: Path, output: int = OUTPUT) -> Step:
    """The step that starts the binary in the sandbox with `flag`: --version or --help.

    `words` are those of `runner`, `scratch` is an empty directory, `output` the limit of what it may print, in bytes. The exit code
    is the program's, 124 if it is still running after `TIMEOUT`, 125 if it exceeded another limit, 126 if the kernel does not
    execute it.
    """
    own = None if "-L" in words else host.sysroots.get(short_name(host.machine))
    folders = [f"{binary}{LIBRARIES}"] if host.exists(f"{binary}{LIBRARIES}") else []
    folders += [str(own.shared)] if own else []
    folders += [folder for folder in host.env.get("LD_LIBRARY_PATH", "").split(":") if folder.startswith("/")]
    spec = {
        "scratch": str(scratch),
        # The sandbox shows what is not visible yet: the links in `shared` need the whole sysroot.
        "files": [*((own.root,) if own else ()), str(binary), *(word for word in words if word.startswith("/")),
                  *filter(host.exists, folders)],
        "libraries": folders,
        "seconds": TIMEOUT, "memory": MEMORY, "output": output, "processes": PROCESSES,
    }  # fmt: skip
    argv = (str(host.python), "-IS", str(SANDBOX), json.dumps(spec), *words, str(binary), flag)
    return Step(title=f"start {binary.name}", argv=argv, cwd=scratch, stdout="keep", quiet=True, timeout=2 * TIMEOUT)


def start_in_image(
    host: Host, image: Path, words: tuple[str, ...], env: Mapping[str, str], folder: str, scratch: Path
) -> Step:
    """The step that starts a program in the sandbox as a container of an image would.

    `image` is a directory with the image's files and the directories dev, proc and tmp, `words` is the whole command line in it,
    `folder` the working directory, and `scratch` an empty directory. Exit codes are those of `start`.
    """
    spec = {
        "scratch": str(scratch), "files": [], "libraries": [], "image": str(image), "env": dict(env), "folder": folder,
        "seconds": TIMEOUT, "memory": MEMORY, "output": OUTPUT, "processes": PROCESSES,
    }  # fmt: skip
    argv = (str(host.python), "-IS", str(SANDBOX), json.dumps(spec), *words)
    return Step(title=f"start {words[-2]}", argv=argv, cwd=scratch, stdout="keep", quiet=True, timeout=2 * TIMEOUT)


def not_entered(outcome: Outcome) -> str:
    """Why this machine cannot start anything in an image, "" if it can."""
    from buildlib.emulation import sandbox

    lines = outcome.output.splitlines() if outcome.code == 126 else []
    return next((line.removeprefix(sandbox.NOT_ENTERED) for line in lines if line.startswith(sandbox.NOT_ENTERED)), "")


def not_loaded(outcome: Outcome) -> str:
    """Why the loader could not load a program's libraries, "" if it could."""
    match = NO_LIBRARY.search(outcome.output) if outcome.code in (1, 127) else None
    return (match[1] or match[2]).strip() if match else ""


def not_isolated(outcome: Outcome) -> str:
    """Why the sandbox could not isolate a program, "" if it could."""
    from buildlib.emulation import sandbox

    first = outcome.output.partition("\n")[0]
    return first.removeprefix(sandbox.NOTICE) if first.startswith(sandbox.NOTICE) else ""


def version(words: tuple[str, ...]) -> Step:
    """The step that prints the version of QEMU. `words` are those of `runner`."""
    return Step(title="QEMU's version", argv=(words[0], "--version"), stdout="keep", quiet=True)


def version_of(output: str) -> str:
    """The version in the output of `qemu --version`, such as 7.2.22; "" if it has none."""
    match = re.search(r"version (\d+\.\d+[.\d]*)", output)
    return match[1] if match else ""


def too_old(output: str, target: Target) -> str:
    """Why a QEMU with this output of --version cannot run the target's binaries; "" if it can.

    Only for targets that have a `qemu_since`.
    """
    match = re.search(r"version (\d+)\.(\d+)", output)
    since = tuple(int(part) for part in target.qemu_since.split("."))
    if match and (int(match[1]), int(match[2])) < since:
        return f"QEMU {match[1]}.{match[2]} is too old for {target.name}: {target.qemu_since} is the first version that runs it"
    return ""


# The first word of a triple -> std::env::consts::ARCH, where they differ.
RUST_ARCHES = {"armv7": "arm", "i686": "x86", "riscv64gc": "riscv64", "powerpc64le": "powerpc64"}


def rust_arch(target: Target) -> str:
    """The value of std::env::consts::ARCH in a program for the target."""
    first = target.triple.partition("-")[0]
    return RUST_ARCHES.get(first, first)


# Architectures that cannot be told apart under QEMU: it emulates the newest CPU of a family unless QEMU_CPU names one.
FAMILIES = {"armv6": "arm", "armv7": "arm"}


def probe_mismatch(facts: Mapping[str, Any], host: Host, target: Target) -> str:
    """Why the probe, a test program that says where it runs, did not run on the target; "" if it did.

    `facts` is what the probe printed: `arch` is std::env::consts::ARCH, `machine` is that of uname(2).
    """
    if facts["arch"] != (expected := rust_arch(target)):
        return f"the tests are compiled for {facts['arch']}, expected {expected}"
    if is_same_family(facts["machine"], target):
        return ""
    native = ", which is this machine" if facts["machine"] == host.machine else ""
    return f"the tests run on {facts['machine']}{native}, expected {target.name.removesuffix('-musl')}"


def is_same_family(machine: str, target: Target) -> bool:
    """Whether a machine, as `uname -m` names it, belongs to the target's family."""
    actual, expected = short_name(machine), target.arch
    return FAMILIES.get(actual, actual) == FAMILIES.get(expected, expected)


def lines_of_cause(output: str) -> list[str]:
    """The lines of a program's output without empty ones, and without how to get a backtrace, which Rust prints below a panic."""
    return [line for line in map(str.strip, output.splitlines()) if line and not line.startswith("note: ")]


def start_problem(outcome: Outcome, flag: str) -> str:
    """Why a program did not start with `flag`, "" if it did.

    A program that rejects the flag has started, and so has one that is still running after the timeout.
    """
    if outcome.code in (0, 124):  # 124 after the timeout
        return ""
    from buildlib.emulation import sandbox

    if outcome.code == 126 and sandbox.NOT_EXECUTED in outcome.output:
        reason = last_line(outcome.output).removeprefix("buildlib: ")
        return (
            f"{reason} (chmod +x)" if "Permission denied" in reason else reason
        )  # uploads of workflows lose the mode of files
    if outcome.code == sandbox.EXCEEDED:
        return f"stopped when started with {flag}: {last_line(outcome.output).partition(sandbox.STOPPED)[2]}"
    if outcome.code in (126, 127) and not not_loaded(outcome):
        return f"exited with code {outcome.code} when started with {flag}: {last_line(outcome.output) or 'no output'}"
    if outcome.code > 128 or any(word in outcome.output for word in CRASHED):
        *_, before, last = ("", "", *lines_of_cause(outcome.output))
        # QEMU's own last line names the signal, and what the program says before it the cause.
        cause = f"{before}; {last}" if before and last.startswith("qemu: ") else last
        return f"crashed when started with {flag}: {cause or f'signal {outcome.code - 128}'}"
    return ""


def requirements(target: Target) -> tuple[Requirement, ...]:
    """What the machine needs to start the target's binaries; without it the gate skips that check and warns."""
    why = f"start {target.name} binaries before they count as built"
    needed = [
        Requirement(
            what=f"QEMU for {target.name}",
            why=why,
            met=lambda host: is_native(host, target) or qemu(host, target) is not None,
            fixes=(apt_fix("qemu-user-static"),),
            required=False,
        )
    ]
    if not target.is_musl and target.debian != "loong64":  # Debian 12 has no LoongArch libc
        packages = (f"libc6-{target.debian}-cross", f"libgcc-s1-{target.debian}-cross")
        needed.append(
            Requirement(
                what=f"C library of {target.name}",
                why=why,
                met=lambda host: is_native(host, target) or libraries(host, target) is not None,
                fixes=(apt_fix(*packages),),
                required=False,
            )
        )
    return tuple(needed)
