"""What a target's linker line goes through on its way to zig: python3 linker.py CC ARGS...

zig's linker takes `-Bdynamic -lX` at its word and fails where only libX.a is there ("unable to find dynamic
system library"); GNU ld and lld fall back to the archive, and crates that vendor C libraries rely on it
(openssl-sys does). So the archive is named instead. Runs in every link: nothing of buildlib is imported.
"""

import os
import sys
from itertools import pairwise


def fall_back(args, exists):
    """`args` with each `-lX` whose search path holds libX.a and no libX.so replaced by that archive's path."""
    folders = [value for flag, value in pairwise(args) if flag == "-L"] + [
        a[2:] for a in args if a.startswith("-L") and a != "-L"
    ]
    # musl's own folder: zig brings that libc and its start-up objects itself.
    folders = [folder for folder in folders if "self-contained" not in folder]

    def archive(name):
        if any(exists(os.path.join(folder, f"lib{name}.so")) for folder in folders):
            return None
        archives = (os.path.join(folder, f"lib{name}.a") for folder in folders)
        return next((path for path in archives if exists(path)), None)

    return [archive(arg[2:]) or arg if arg.startswith("-l") else arg for arg in args]


def unfold(args):
    """rustc's response files (@file, one argument a line, backslash before backslash and space) read in."""
    found = []
    for arg in args:
        if arg.startswith("@") and os.path.isfile(arg[1:]):
            with open(arg[1:], encoding="utf-8", errors="surrogateescape") as stream:
                found += [_unescape(line) for line in stream.read().splitlines()]
        else:
            found.append(arg)
    return found


def _unescape(line):
    out, rest = [], iter(line)
    for char in rest:
        out.append(next(rest, char) if char == "\\" else char)
    return "".join(out)


def main(compiler, *given):
    unfolded = unfold(given)
    mended = fall_back(unfolded, os.path.isfile)
    response = next((arg for arg in given if arg.startswith("@")), None)
    if mended == unfolded:
        mended = given
    elif response:  # the line was too long for argv once, so it is again
        path = f"{response[1:]}.mended"
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(arg.replace("\\", "\\\\").replace(" ", "\\ ") + "\n" for arg in mended)
        mended = [f"@{path}"]
    os.execvp(compiler, [compiler, *mended])


if __name__ == "__main__":
    main(*sys.argv[1:])
