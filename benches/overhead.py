"""The overhead of buildlib over the same direct cargo-zigbuild call, as ratios of whole processes measured in one run.

    python benches/overhead.py [WORKSPACE] [--arch arm64] [--cold] [--rounds 11]

Both commands run alternately, the direct call first; the result is the median. The direct call gets the same compiler (RUSTC),
because without buildlib it would have none for the target. --cold removes both target directories before every round, which
takes minutes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))
BUILDLIB = SCRIPTS / "buildlib"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--arch", default="arm64")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
        sides = Sides(options.workspace, options.arch, Path(scratch))
        if options.cold:
            sides.compare("cold build", options.rounds, sides.remove_outputs)
        else:
            sides.once(sides.direct)
            sides.compare("nothing to do", options.rounds, lambda: None)
            seconds = statistics.median(sides.once([BUILDLIB, "--help"]) for _ in range(options.rounds))
            print(f"buildlib --help: {seconds:.3f} s")
        print(f"peak memory of buildlib itself: {sides.peak_memory() / 1024:.0f} MiB")


class Sides:
    """The two commands, each with its own target directory."""

    def __init__(self, workspace: Path, arch: str, scratch: Path) -> None:
        self.workspace, self.scratch = workspace, scratch
        self.env = {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
        self.buildlib = [
            BUILDLIB,
            "build",
            "--arch",
            arch,
            "--target-dir",
            scratch / "buildlib",
            "--dist",
            scratch / "dist",
        ]
        self.once(self.buildlib)  # installs std, which is not a part of a build
        env = self.env | {"BUILDLIB_TARGET_DIR": str(scratch / "buildlib")}
        argv = [BUILDLIB, "plan", "--arch", arch, "--json"]
        plan = subprocess.run(argv, cwd=workspace, env=env, capture_output=True, check=True)
        (planned,) = json.loads(plan.stdout)
        rustc = Path(planned["env"]["RUSTC"])
        if "tools" in rustc.parts:  # a script in buildlib's target directory, which --cold removes
            rustc = Path(shutil.copy2(rustc, scratch / "rustc"))
        self.direct_env = self.env | {"CARGO": planned["env"]["CARGO"], "RUSTC": str(rustc)}
        target = planned["argv"][planned["argv"].index("--target") + 1]
        self.direct = [SCRIPTS / "cargo-zigbuild", "build", "--release", "--locked", "--workspace", "--bins",
                    "--target", target, "--target-dir", scratch / "direct"]  # fmt: skip

    def once(self, argv: list) -> float:
        """Run the command and return its duration in seconds."""
        env = self.direct_env if argv[0].name == "cargo-zigbuild" else self.env
        began = time.perf_counter()
        subprocess.run([str(word) for word in argv], cwd=self.workspace, env=env, check=True, capture_output=True)
        return time.perf_counter() - began

    def remove_outputs(self) -> None:
        for name in ("buildlib", "direct", "dist"):
            shutil.rmtree(self.scratch / name, ignore_errors=True)

    def compare(self, title: str, rounds: int, before) -> None:
        direct, buildlib = [], []
        for _ in range(rounds):
            before()
            direct.append(self.once(self.direct))
            buildlib.append(self.once(self.buildlib))
        a, b = statistics.median(direct), statistics.median(buildlib)
        print(f"{title}: direct {a:.3f} s (spread {spread(direct)}), buildlib {b:.3f} s (spread {spread(buildlib)})")
        print(f"{title}: ratio {b / a:.3f}, difference {b - a:+.3f} s, {rounds} rounds")

    def peak_memory(self) -> int:
        """The peak resident memory of buildlib's own process in KiB, without its children."""
        process = subprocess.Popen([str(word) for word in self.buildlib], cwd=self.workspace, env=self.env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        peak = 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            peak = max(peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
            time.sleep(0.005)
        process.wait()
        return peak


def spread(times: list[float]) -> str:
    return f"{min(times):.3f} to {max(times):.3f}"


if __name__ == "__main__":
    main()
