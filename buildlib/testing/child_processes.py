"""Let programs that a test starts run under the emulator as well.

A test may start the workspace's own programs, itself, or a script that does. They are not programs of this machine, and the kernel
starts them only through a handler of binfmt_misc. There are these ways; the first that works is used:

- BINFMT: the machine has a handler that knows the target's libraries. Nothing needs to be done.
- BOTH: the machine has a handler, which finds the libraries by the variable LIBRARIES. For tests that clear the environment of what
  they start, there are launchers as well.
- PRIVATE: a user namespace with a binfmt_misc of its own (Linux 6.7 and later), whose handler knows the libraries.
- LAUNCHERS: programs in cargo's target directory are replaced by launchers while tests run.

`python3 child_processes.py find SPEC PROGRAM` starts a program of the target in each way until one works, and prints the result;
test_runner.py calls `prepare` before each test binary; `python3 child_processes.py restore SPEC` ends the last way. SPEC is the test
runner's; the program imports nothing of buildlib.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would cost milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

BINFMT, BOTH, PRIVATE, LAUNCHERS, NONE = "binfmt", "binfmt and launchers", "private binfmt", "launchers", "none"
LIBRARIES = "QEMU_LD_PREFIX"  # the variable that stands for QEMU's option -L
SLOT = 4096  # as in emulation/launcher.py
ASIDE = ".emulated"  # directory beside launchers, with the programs that they stand in for
# Other files that cargo puts beside programs. With a digest: what it starts itself, as tests of an example.
NO_PROGRAM = re.compile(r".*(\.(so|d|rlib|rmeta|a)|-[0-9a-f]{16})", re.DOTALL)


def main(command: str, spec_path: str, *words: str) -> None:
    """Find a way and print it as JSON, or restore what launchers have replaced."""
    with open(spec_path, encoding="utf-8") as stream:
        spec = json.load(stream)
    if command == "restore":
        restore(spec["children"])
    else:
        sys.stdout.write(json.dumps(find(spec["children"], spec["emulator"], words[0])) + "\n")


def prepare(children: Mapping[str, Any], emulator: Sequence[str], binary: str) -> None:
    """Prepare the way that was found for the programs that a test binary starts. OSError where it no longer works."""
    if children["way"] == PRIVATE:
        _private_binfmt().enter(children)
    elif children["way"] in (BOTH, LAUNCHERS):
        for folder in program_folders(children, binary):
            replace_programs(children, emulator, folder)


def find(children: Mapping[str, Any], emulator: Sequence[str], program: str) -> dict[str, Any]:
    """The first way in which `program` starts, as keys for the spec's `children`.

    It must start with an empty environment, because tests clear it; only a handler of the machine may need LIBRARIES. That one is
    preferred to a private one: in a namespace root lacks rights over the machine, and files of others belong to nobody.
    """
    folder = children["folder"]
    if _succeeds(lambda: os.execve(program, [program], {})):
        return {"way": BINFMT}
    handled = _succeeds(lambda: os.execve(program, [program], libraries(emulator)))
    if not children["launcher"]:
        return {"way": BINFMT if handled else NONE}
    write_launcher(children, emulator, f"{folder}/launcher", program)
    launched = _succeeds(lambda: os.execve(f"{folder}/launcher", [program], {}))
    if handled:
        return {"way": BOTH if launched else BINFMT}
    private_binfmt = _private_binfmt()
    handlers = private_binfmt.machine_handlers()
    os.makedirs(f"{folder}/binfmt_misc", exist_ok=True)
    write_launcher(children, emulator, f"{folder}/interpreter", "")

    def start() -> None:
        private_binfmt.enter({**children, "handlers": handlers})
        os.execve(program, [program], {})

    if _succeeds(start):
        return {"way": PRIVATE, "handlers": handlers}
    return {"way": LAUNCHERS if launched else NONE}


def libraries(emulator: Sequence[str]) -> dict[str, str]:
    """The variable that tells QEMU, as the interpreter of a handler, what its option -L does."""
    return {LIBRARIES: emulator[emulator.index("-L") + 1]} if "-L" in emulator else {}


def _private_binfmt() -> Any:
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    return __import__("private_binfmt")


def _succeeds(start: Callable[[], None]) -> bool:
    """Whether `start` replaces a child process by a program that exits with 0."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            start()
        os._exit(127)
    return os.waitpid(child, 0)[1] == 0


# --- launchers --------------------------------------------------------------------------------------------------------------------


def program_folders(children: Mapping[str, Any], binary: str) -> set[str]:
    """The directories of programs that a test binary may start: of its profile, of examples, of CARGO_BIN_EXE_*."""
    folders = {os.path.dirname(path) for name, path in os.environ.items() if name.startswith("CARGO_BIN_EXE_")}
    triple = os.path.basename(children["programs"])
    parts = binary.split("/")
    if triple in parts:  # the directory of the test binary is another one with the setting build.build-dir
        profile = parts[len(parts) - parts[::-1].index(triple)]
        folders.add(f"{children['programs']}/{profile}")
    return folders | {f"{folder}/examples" for folder in folders}


def replace_programs(children: Mapping[str, Any], emulator: Sequence[str], folder: str) -> None:
    """Replace each program of the target in the directory by a launcher, and keep it in the directory ASIDE.

    Several test binaries may do so at the same time, and cargo links the programs again in each of its runs.
    """
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path, aside = f"{folder}/{name}", f"{folder}/{ASIDE}/{name}"
        if NO_PROGRAM.fullmatch(name) or not is_program(children, path):
            continue
        os.makedirs(f"{folder}/{ASIDE}", exist_ok=True)
        copy = f"{aside}.{os.getpid()}"
        _link(path, copy)
        if is_program(children, copy):  # another test binary may have replaced it meanwhile
            os.replace(copy, aside)
            write_launcher(children, emulator, path, aside)
        with contextlib.suppress(FileNotFoundError):  # rename(2) does nothing where both are links to one file
            os.unlink(copy)


def original(path: str) -> str:
    """The program that a launcher replaces; `path` itself if it is not a launcher."""
    folder, name = os.path.split(path)
    aside = os.path.join(folder, ASIDE, name)
    return aside if os.path.exists(aside) else path


def restore(children: Mapping[str, Any]) -> None:
    """Put the programs back in the place of their launchers."""
    for folder, folders, _ in os.walk(children["programs"]):
        if ASIDE in folders:
            aside = f"{folder}/{ASIDE}"
            for name in os.listdir(aside):
                launcher = f"{folder}/{name}"
                if os.path.exists(launcher) and not is_program(children, launcher):
                    os.replace(f"{aside}/{name}", launcher)
                else:  # cargo has linked it again, or removed it
                    os.unlink(f"{aside}/{name}")
            os.rmdir(aside)
        folders[:] = [name for name in folders if name in ("examples",) or folder == children["programs"]]


def is_program(children: Mapping[str, Any], path: str) -> bool:
    """Whether the file is an executable of the target: the start of its ELF header is what a handler would look for."""
    magic, mask = bytes.fromhex(children["magic"]), bytes.fromhex(children["mask"])
    try:
        with open(path, "rb", buffering=0) as stream:
            start = stream.read(len(magic))
    except OSError:  # a directory, or gone
        return False
    masked = bytes(byte & bits for byte, bits in zip(start, mask, strict=False))
    return masked == bytes(byte & bits for byte, bits in zip(magic, mask, strict=True))


def write_launcher(children: Mapping[str, Any], emulator: Sequence[str], path: str, program: str) -> None:
    """Write a launcher for the program; with "", the interpreter of a handler. The file appears in one rename."""
    words = (emulator[0], emulator[2] if "-L" in emulator else "/", program)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as stream:
        stream.write(bytes.fromhex(children["launcher"]).ljust(SLOT, b"\0"))
        for word in words:
            stream.write(os.fsencode(word).ljust(SLOT, b"\0"))
        os.fchmod(stream.fileno(), 0o755)
    os.replace(temporary, path)


def _link(path: str, copy: str) -> None:
    """Link the file, or copy it on a file system without links, as cargo does."""
    try:
        os.link(path, copy)
    except OSError:
        with open(path, "rb") as source, open(copy, "wb") as stream:
            stream.write(source.read())
            os.fchmod(stream.fileno(), 0o755)


if __name__ == "__main__":
    main(*sys.argv[1:])
