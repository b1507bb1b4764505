"""What settings cost: CPU seconds of cold builds with and without them, whole process trees, measured alternately in one run.

    python benches/costs.py WORKSPACE [--arch amd64] [--profile release] [--rounds 5] [-- OPTIONS]

Each variant has its own target directory, which is removed before each build. CPU seconds depend little on what else runs, unlike the
time on the clock; the first variant is the one that the others are compared with.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

BUILDLIB = Path(sysconfig.get_path("scripts")) / "buildlib"
OFF, ON = "false", "true"
VARIANTS = {
    "neither": {"BUILDLIB_TRIM_PATHS": OFF, "BUILDLIB_SBOM": OFF},
    "trimmed paths": {"BUILDLIB_TRIM_PATHS": ON, "BUILDLIB_SBOM": OFF},
    "SBOM": {"BUILDLIB_TRIM_PATHS": OFF, "BUILDLIB_SBOM": ON},
    "both": {"BUILDLIB_TRIM_PATHS": ON, "BUILDLIB_SBOM": ON},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--arch", default="amd64")
    parser.add_argument("--profile", default="release")
    parser.add_argument("--rounds", type=int, default=5)
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:at])
    options.words = sys.argv[at + 1 :]
    with tempfile.TemporaryDirectory() as scratch:
        print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
        seconds = measure(options, Path(scratch))
    base = statistics.median(seconds["neither"])
    for name, all_of_it in seconds.items():
        median = statistics.median(all_of_it)
        spread = f"{min(all_of_it):.1f} to {max(all_of_it):.1f}"
        print(f"{name}: {median:.1f} CPU seconds ({spread}), ratio {median / base:.3f}, {options.rounds} rounds")


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, list[float]]:
    """The CPU seconds of each variant, after one build that is not counted: it installs std."""
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    build(options, scratch, "both")
    for _ in range(options.rounds):
        for name in VARIANTS:
            seconds[name].append(build(options, scratch, name))
            print(f"  {name}: {seconds[name][-1]:.1f} CPU seconds", flush=True)
    return seconds


def build(options: argparse.Namespace, scratch: Path, name: str) -> float:
    """Build once from nothing; the CPU seconds of buildlib, cargo and all that they start."""
    folder = scratch / name.replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    argv = [BUILDLIB, "build", "--arch", options.arch, "--profile", options.profile, "--target-dir", folder / "target",
            "--dist", folder / "dist", *options.words]  # fmt: skip
    before = cpu_seconds()
    env = os.environ | VARIANTS[name]
    subprocess.run([str(word) for word in argv], cwd=options.workspace, env=env, check=True, capture_output=True)
    return cpu_seconds() - before


def cpu_seconds() -> float:
    """User and system time of all children that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
