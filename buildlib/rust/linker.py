"""Filter the arguments of a link for zig: `python3 linker.py CC ARGS...`, the linker that cargo calls.

zig's linker obeys `-Bdynamic -lX` strictly and fails where only libX.a exists ("unable to find dynamic system library"); GNU ld
and lld fall back to the archive, and crates that vendor C libraries rely on it (openssl-sys does). So the archive is passed by its
path instead. Flags that change only how GNU ld, lld or mold work, and that zig refuses, are left out: they are often meant for the
links of this machine. This program runs in every link: it must start fast and imports nothing of buildlib.
"""

from __future__ import annotations

import os
import sys
from itertools import pairwise

TYPE_CHECKING = False  # type checkers take it for typing's, whose import would cost milliseconds in every link
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def fall_back(args: Sequence[str], exists: Callable[[str], bool]) -> list[str]:
    """Return `args` with archives by their paths, for each `-lX` whose search path has libX.a and no libX.so."""
    separate = [value for flag, value in pairwise(args) if flag == "-L"]
    folders = separate + [arg[2:] for arg in args if arg.startswith("-L") and arg != "-L"]
    # musl's own directory: zig brings that libc and its start-up objects itself.
    folders = [folder for folder in folders if "self-contained" not in folder]

    def archive(name: str) -> str | None:
        if any(exists(os.path.join(folder, f"lib{name}.so")) for folder in folders):
            return None
        archives = (os.path.join(folder, f"lib{name}.a") for folder in folders)
        return next((path for path in archives if exists(path)), None)

    return [archive(arg[2:]) or arg if arg.startswith("-l") else arg for arg in args]


# "unsupported linker arg" to zig 0.17; the program is the same without them.
WITHOUT_EFFECT = ("--threads", "--no-threads", "--thread-count", "--icf", "--gdb-index", "--no-gdb-index", "--perf")


def leave_out(args: Iterable[str]) -> list[str]:
    """Return `args` without flags that zig refuses and that change nothing about the program.

    A flag may be one of several behind `-Wl,`, which are separated by commas.
    """
    kept: list[str] = []
    for arg in args:
        if arg.startswith("-Wl,-"):
            flags = [flag for flag in arg.split(",")[1:] if flag.partition("=")[0] not in WITHOUT_EFFECT]
            if flags:
                kept.append(",".join(("-Wl", *flags)))
        else:
            kept.append(arg)
    return kept


def unfold(args: Iterable[str]) -> list[str]:
    """Return `args` with response files replaced by their contents.

    rustc writes them as @file, with one argument per line and a backslash before each backslash and space.
    """
    unfolded: list[str] = []
    for arg in args:
        if arg.startswith("@") and os.path.isfile(arg[1:]):
            with open(arg[1:], encoding="utf-8", errors="surrogateescape") as stream:
                unfolded += [_unescape(line) for line in stream.read().splitlines()]
        else:
            unfolded.append(arg)
    return unfolded


def _unescape(line: str) -> str:
    characters = []
    rest = iter(line)
    for character in rest:
        characters.append(next(rest, character) if character == "\\" else character)
    return "".join(characters)


def main(compiler: str, *args: str) -> None:
    """Replace this process by `compiler` with the filtered arguments."""
    unfolded = unfold(args)
    filtered = fall_back(leave_out(unfolded), os.path.isfile)
    response = next((arg for arg in args if arg.startswith("@")), None)
    if filtered == unfolded:
        filtered = list(args)
    elif response:  # rustc found the line too long for argv, so it still is
        path = f"{response[1:]}.filtered"
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(arg.replace("\\", "\\\\").replace(" ", "\\ ") + "\n" for arg in filtered)
        filtered = [f"@{path}"]
    os.execvp(compiler, [compiler, *filtered])


if __name__ == "__main__":
    main(*sys.argv[1:])
