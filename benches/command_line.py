"""The time of help and completion, as whole processes: fastest and median of the rounds, and processor seconds of the fastest.

    python benches/command_line.py [--rounds 21]

What must stay under 0.15 s on a machine with nothing else to do: the help, and completing options and arches in bash.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sysconfig
import time
from pathlib import Path

BUILDLIB = Path(sysconfig.get_path("scripts")) / "buildlib"
COMPLETE = """
COMP_WORDS=(buildlib build --arch arm64,ar); COMP_CWORD=3; _buildlib
COMP_WORDS=(buildlib build --); COMP_CWORD=2; _buildlib
"""
COMMANDS = {
    "buildlib --help": (BUILDLIB, "--help"),
    "buildlib build --help": (BUILDLIB, "build", "--help"),
    "buildlib completion bash": (BUILDLIB, "completion", "bash"),
    "buildlib completion --values component": (BUILDLIB, "completion", "--values", "component"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
    script = subprocess.run((BUILDLIB, "completion", "bash"), capture_output=True, text=True, check=True).stdout
    commands = {
        **COMMANDS,
        "bash, its script, one arch and all options": ("bash", "--norc", "-c", f"{script}{COMPLETE}"),
    }
    for title, argv in commands.items():
        measured = [once(argv) for _ in range(rounds)]
        walls = [wall for wall, _ in measured]
        fastest, processor = min(measured)
        print(f"{title}: {fastest:.3f} s, median {statistics.median(walls):.3f} s, processor {processor:.3f} s")


def once(argv: tuple[Path | str, ...]) -> tuple[float, float]:
    """Seconds and processor seconds of one process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(argv, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
