"""What buildlib adds to the raw tools when nothing has changed, and to a cold build: whole processes, both sides in one run.

    python benches/overhead.py [WORKSPACE] [--arch arm64] [--only build test image help services] [--rounds 11]
    python benches/overhead.py [WORKSPACE] --cold

Without WORKSPACE a program of one crate with two tests. `build` is compared with `cargo-zigbuild build`, `test` with `cargo-zigbuild
test` and QEMU as its runner. The commands take turns, the raw tool first; the results are medians. The raw tools get the same
compiler, because without buildlib they would have none for the target. `image` is an image of the static program for two platforms,
pushed again to a registry on this machine without an engine; nothing raw does the same. `services` are images of the four services
of this repository for four platforms on a base image with glibc, from dist/ and without an engine: each round into new repositories,
and again.

--cold removes both target directories before every round, which takes minutes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "real")]

import containers  # noqa: E402

from buildlib.core.targets import TARGETS, cargo_variable  # noqa: E402

SCRIPTS = Path(sysconfig.get_path("scripts"))
BUILDLIB = SCRIPTS / "buildlib"
WHAT = ("build", "test", "image", "help", "services")
STATIC = "amd64-musl,arm64-musl"
PLATFORMS = "amd64,arm64,armv7,riscv64"
MANIFEST = '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n'
PROGRAM = """\
fn main() {
    println!("small {}", std::env::args().count());
}

#[test]
fn adds() {
    assert_eq!(1 + 1, 2);
}

#[test]
fn multiplies() {
    assert_eq!(2 * 3, 6);
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", nargs="?", type=Path)
    parser.add_argument("--arch", default="arm64")
    parser.add_argument("--only", nargs="+", choices=WHAT, default=WHAT)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    # An installed buildlib is compiled to bytecode; one that is installed editable is not where this variable is set.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
        bench = Bench(options.workspace or small_workspace(scratch / "small"), options.arch, scratch, options.rounds)
        if options.cold:
            bench.cold()
            return
        for what in options.only:
            getattr(bench, what)(stack)


def small_workspace(folder: Path) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text(MANIFEST)
    (folder / "src/main.rs").write_text(PROGRAM)
    subprocess.run(("cargo", "generate-lockfile", "--quiet"), cwd=folder, check=True)
    return folder


class Bench:
    """A workspace, and the commands of both sides, each with its own target directory."""

    def __init__(self, workspace: Path, arch: str, scratch: Path, rounds: int) -> None:
        self.workspace, self.scratch, self.rounds = workspace, scratch, rounds
        self.arch = f"--arch={arch}"
        self.environ = {
            **os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
            "BUILDLIB_TARGET_DIR": str(scratch / "buildlib"), "BUILDLIB_DIST": str(scratch / "dist"),
        }  # fmt: skip
        self.buildlib("build", self.arch)  # installs std, which is not a part of a build
        (planned,) = json.loads(self.buildlib("plan", self.arch, "--json").stdout)
        self.triple = planned["argv"][planned["argv"].index("--target") + 1]
        rustc = shutil.copy2(planned["env"]["RUSTC"], scratch / "rustc")  # --cold removes that of buildlib
        self.environ_raw = self.environ | {
            "CARGO": planned["env"]["CARGO"], "RUSTC": str(rustc),
            cargo_variable(TARGETS[arch].triple, "RUNNER"): emulator(arch),
        }  # fmt: skip

    def run(self, argv: tuple, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in argv]
        done = subprocess.run(words, cwd=self.workspace, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def buildlib(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.run((BUILDLIB, *argv), self.environ)

    def raw(self, *argv: str) -> subprocess.CompletedProcess[str]:
        common = ("--locked", "--workspace", "--target", self.triple, "--target-dir", self.scratch / "raw")
        return self.run((SCRIPTS / "cargo-zigbuild", *argv, *common), self.environ_raw)

    def raw_build(self) -> None:
        self.raw("build", "--release", "--bins")

    def compare(self, title: str, raw, own, before=lambda: None) -> None:
        sides: tuple[list[float], list[float]] = ([], [])
        for _ in range(self.rounds):
            before()
            for times, command in zip(sides, (raw, own), strict=True):
                times.append(seconds(command))
        a, b = map(statistics.median, sides)
        print(
            f"{title}: raw {a:.3f} s ({spread(sides[0])}), buildlib {b:.3f} s ({spread(sides[1])}), {self.rounds} rounds"
        )
        print(f"{title}: ratio {b / a:.2f}, difference {b - a:+.3f} s", flush=True)

    def build(self, _: ExitStack) -> None:
        self.raw_build()
        self.compare("build, nothing to do", self.raw_build, lambda: self.buildlib("build", self.arch))
        print(f"peak memory of buildlib itself: {self.peak_memory() / 1024:.0f} MiB", flush=True)

    def test(self, _: ExitStack) -> None:
        self.raw("test")
        self.buildlib("test", self.arch)
        self.compare("test, nothing to compile", lambda: self.raw("test"), lambda: self.buildlib("test", self.arch))

    def image(self, stack: ExitStack) -> None:
        folder = self.scratch / "registry"
        folder.mkdir()
        address = stack.enter_context(containers.registry(folder))
        words = ("image", "--arch", STATIC, "--push", "--engine", "none", "--registry", f"{address}/bench")
        self.buildlib(*words)
        self.alone("image --push, unchanged, two platforms", lambda: self.buildlib(*words))

    def services(self, stack: ExitStack) -> None:
        folder = self.scratch / "broker"
        subprocess.run(("git", "clone", "--quiet", HERE.parent, folder), check=True)
        (self.scratch / "engine").mkdir()
        env, address = stack.enter_context(containers.complete_engine(self.scratch / "engine"))
        engine = containers.Engine(env=env, registry=address, mirrors={"docker.io": [address]})
        (folder / "buildlib.toml").write_text(engine.settings())
        self.workspace = folder
        self.buildlib("build", f"--arch={PLATFORMS}")
        words = ("image", f"--arch={PLATFORMS}", "--no-build", "--push", "--engine=none")
        rounds = [("--registry", f"{address}/round-{number}") for number in range(self.rounds)]
        first = [seconds(lambda registry=registry: self.buildlib(*words, *registry)) for registry in rounds]
        self.report("image --push, four services for four platforms", first)
        self.alone("the same, unchanged", lambda: self.buildlib(*words, *rounds[0]))

    def help(self, _: ExitStack) -> None:
        self.alone("--help", lambda: self.buildlib("--help"))

    def alone(self, title: str, command) -> None:
        self.report(title, [seconds(command) for _ in range(self.rounds)])

    def report(self, title: str, times: list[float]) -> None:
        print(f"{title}: {statistics.median(times):.3f} s ({spread(times)}), {self.rounds} rounds", flush=True)

    def cold(self) -> None:
        def clean() -> None:
            for name in ("buildlib", "raw", "dist"):
                shutil.rmtree(self.scratch / name, ignore_errors=True)

        self.compare("cold build", self.raw_build, lambda: self.buildlib("build", self.arch), clean)

    def peak_memory(self) -> int:
        """The peak resident memory of buildlib's own process in KiB, without its children."""
        words = [str(word) for word in (BUILDLIB, "build", self.arch)]
        process = subprocess.Popen(
            words, cwd=self.workspace, env=self.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
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


def emulator(arch: str) -> str:
    """QEMU with the system root that Debian's cross compilers have, as a runner for cargo."""
    target = TARGETS[arch]
    program = next(filter(None, (shutil.which(f"qemu-{target.qemu}{end}") for end in ("-static", ""))), "")
    return f"{program} -L /usr/{target.gnu}"


def seconds(command) -> float:
    began = time.perf_counter()
    command()
    return time.perf_counter() - began


def spread(times: list[float]) -> str:
    return f"{min(times):.3f} to {max(times):.3f}"


if __name__ == "__main__":
    main()
