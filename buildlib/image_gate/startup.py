"""What a container of an image starts: from entrypoint and command to the program, through scripts and wrappers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from buildlib.image_gate import commands
from buildlib.image_gate.commands import Command
from buildlib.image_gate.files import Files, Found, join
from buildlib.image_gate.machines import Difference
from buildlib.image_gate.manifests import Process

# The PATH of images whose configuration sets none (Docker's), and that of a process without one (the C library's).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
C_PATH = "/bin:/usr/bin"
SCRIPTS = 5  # interpreters that are scripts themselves, the kernel's limit (exec_binprm in fs/exec.c)
DEPTH = 10  # programs that start each other
SHEBANG = re.compile(rb"#![ \t]*(?P<program>[^ \t\n\0]+)[ \t]*(?P<argument>[^\n\0]*)")
EXECUTABLE = "an executable file"
NEITHER = "neither an ELF file nor a script"
PROGRAMS = ("ET_EXEC", "ET_DYN")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a container does not start: `found` is the file that starts what is missing, None for the first one, which is `path`."""

    path: str
    difference: Difference
    found: Found | None = None


def environment(process: Process) -> dict[str, str]:
    """The variables of a container."""
    return dict(line.partition("=")[::2] for line in process.env or ())


def follow(files: Files, process: Process) -> Iterator[Found | Problem]:
    """Each ELF program that is started until the image's own one runs, in that order; a problem is the last one."""
    argv = (*(process.entrypoint or ()), *(process.cmd or ()))
    if not argv:
        yield Problem("", Difference("program", "none", "Entrypoint or Cmd in the configuration"))
        return
    path = environment(process).get("PATH") or DEFAULT_PATH
    command: Command | None = Command(argv, path, join("/", process.working_dir or "/"))
    starter: Found | None = None
    for _ in range(DEPTH):
        if command is None:
            return
        step = _start(files, command, starter)
        if isinstance(step, Problem):
            yield step
            return
        if step is None:
            return
        starter, command = step[0], commands.inner(step[1])
        yield starter


def _start(files: Files, command: Command, starter: Found | None) -> tuple[Found, Command] | Problem | None:
    """The ELF program that a command line starts, with the command line that it gets from the kernel, or why there is none.

    `starter` is the program that starts it. None if nothing can be said.
    """
    program = files.executable(_candidates(command))
    if isinstance(program, str):
        return None if _is_applet(command, starter) else _missing(command.argv[0], program, "program", starter)
    for _ in range(SCRIPTS + 1):
        if elf := program.contents.elf:
            is_program = elf.object.kind in PROGRAMS
            wrong = Difference("program", elf.object.kind, EXECUTABLE)
            return (program, command) if is_program else Problem(program.path, wrong, program)
        interpreter = _interpreter(program, command)
        if interpreter is None:
            # A shell reads what the kernel does not start as a script, and so does execvp(3), with which the others start programs.
            return None if starter else Problem(program.path, Difference("program", NEITHER, EXECUTABLE), program)
        found = files.executable([join(command.folder, interpreter.argv[0])])
        if isinstance(found, str):
            return _missing(interpreter.argv[0], found, "interpreter", program)
        program, command = found, interpreter
    return Problem(program.path, Difference("interpreter", f"more than {SCRIPTS} scripts", "an ELF file"), program)


def _candidates(command: Command) -> list[str]:
    """The paths that a program's name may mean, the first one first."""
    word = command.argv[0]
    folders = [""] if "/" in word else (command.path or C_PATH).split(":")
    return [join(join(command.folder, folder), word) for folder in folders]


def _interpreter(program: Found, command: Command) -> Command | None:
    """The command line of a script's interpreter, None for what is no script."""
    match = SHEBANG.match(program.contents.script)
    if match is None:
        return None
    name, argument = (match[key].decode("utf-8", "surrogateescape") for key in ("program", "argument"))
    argument = argument.rstrip(" \t")
    return replace(command, argv=(name, *([argument] if argument else []), program.path, *command.argv[1:]))


def _is_applet(command: Command, starter: Found | None) -> bool:
    """Whether busybox may start a program that is no file: its shell knows its own tools."""
    return starter is not None and "busybox" in starter.path.rpartition("/")[2] and "/" not in command.argv[0]


def _missing(word: str, reason: str, rule: str, starter: Found | None) -> Problem:
    if word.endswith("\r"):
        reason += " (the script has line ends of Windows)"
    if starter is None:
        return Problem(word, Difference(rule, reason, EXECUTABLE))
    return Problem(
        starter.path,
        Difference(rule, f"{word!r} {reason}" if word.endswith("\r") else f"{word} {reason}", EXECUTABLE),
        starter,
    )
