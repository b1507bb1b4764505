"""Four arches at once: how well a build fills the processors, as ratios that do not depend on what else runs on the machine.

    python benches/parallel.py [--crates serde,regex,clap] [--cores 2,8] [--skip-real]

A workspace with fat LTO, procedural macros and C code, for amd64, arm64, armv7 and riscv64, each time from an empty target directory:
by one `buildlib build` for all arches, by one for each arch, and by one `cargo zigbuild` with four `--target`.

First for real: wall time, CPU time, and the demand, the share of the processors for which the build had something to run. It is
sampled, and counts what waits for a processor that another program uses: 1/demand is the wall time over CPU time / processors of a
machine with nothing else to do.

Then with a stand-in for rustc that only sleeps, as long as each crate took in CPU time before: with 2 and with 8 jobs, whatever the
machine has. The bound is the longer of the critical path and of all work, each crate once, divided by the jobs: nothing can be faster.
What is no compilation is in the times as well, on a busy machine more than a little: --scale makes the sleeps longer. Build scripts
take no time there, and metadata is there after half of a crate's time.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sysconfig
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from buildlib.core.targets import TARGETS

SCRIPTS = Path(sysconfig.get_path("scripts"))
ARCHES = ("amd64", "arm64", "armv7", "riscv64")
SIDES = ("together", "one by one", "cargo zigbuild")
TRIPLES = {TARGETS[name].triple: name for name in ARCHES}
CRATES = {
    "serde": (
        'serde = { version = "1", features = ["derive"] }',
        "#[derive(serde::Serialize)] pub struct S { pub text: String }",
    ),
    "serde_json": ('serde_json = "1"', "pub fn json() -> String { serde_json::json!([1, 2]).to_string() }"),
    "regex": ('regex = "1"', 'pub fn found(text: &str) -> bool { regex::Regex::new("a+b").unwrap().is_match(text) }'),
    "clap": (
        'clap = { version = "4", features = ["derive"] }',
        "#[derive(clap::Parser)] pub struct Args { text: Option<String> }",
    ),
}
USES = {"serde_json": "json();", "regex": 'found("xab");', "clap": "<Args as clap::Parser>::try_parse().ok();"}
ROOT = '[workspace]\nmembers = ["app", "native"]\nresolver = "2"\n[profile.release]\nlto = "fat"\ncodegen-units = 1\n'
PACKAGE = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2021"\n'
# Writes "SECONDS NAME PLACE" for each crate: its CPU time, and the triple or "host".
RECORDER = """\
#!/bin/bash
name= place=host; args=("$@")
for ((i = 0; i < $#; i++)); do
  case "${args[i]}" in --crate-name) name=${args[i+1]} ;; --target) place=${args[i+1]} ;; esac
done
[ -z "$name" ] || [ "$name" = ___ ] && exec "$@"
TIMEFORMAT="%U %S $name $place"
{ time "$@" 2>&3; } 3>&2 2>> "$RECORD"
"""
STAND_IN = """\
#!{python} -IS
import json, os, sys, time
started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
args = sys.argv[2:]
after = lambda flag: next((args[i + 1] for i, word in enumerate(args[:-1]) if word == flag), "")
options = dict(word.partition("=")[::2] for word in args if "=" in word)
name, place = after("--crate-name"), after("--target") or "host"
if not name or name == "___":
    os.execvp(sys.argv[1], sys.argv[1:])
seconds = json.load(open(os.environ["DURATIONS"])).get(name + " " + place, 0.0)
folder, extra, kind = after("--out-dir"), options.get("extra-filename", ""), after("--crate-type")
until = lambda moment: time.sleep(max(0.0, moment - time.clock_gettime(time.CLOCK_BOOTTIME)))
path = os.path.join(folder, name + extra)
lib = os.path.join(folder, "lib" + name + extra)
open(path + ".d", "w").write(path + ".d: " + next(word for word in args if word.endswith(".rs")) + "\\n")
if kind == "lib":
    until(started + seconds / 2)
    open(lib + ".rmeta", "w").close()
    message = {{"$message_type": "artifact", "artifact": lib + ".rmeta", "emit": "metadata"}}
    print(json.dumps(message), file=sys.stderr, flush=True)
until(started + seconds)
if kind in ("lib", "proc-macro"):
    open(lib + (".rlib" if kind == "lib" else ".so"), "w").close()
else:
    binary = os.path.join(os.environ["BINARIES"], place)
    data = open(binary, "rb").read() if place != "host" else b"#!/bin/sh\\nexit 0\\n"
    open(path, "wb").write(data)
    os.chmod(path, 0o755)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crates", default="serde,serde_json,regex,clap")
    parser.add_argument("--cores", default="2,8")
    parser.add_argument(
        "--scale",
        type=float,
        default=1.0,
        help="factor of its times, against the cost of all else",
    )
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--skip-real", action="store_true", help="measure the crates once, and simulate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch), options.crates.split(","), options.scale)
        load = os.getloadavg()
        print(f"machine: {os.cpu_count()} cores, load {load[0]:.1f} at the start")
        bench.measure_crates()
        sides = options.sides.split(",")
        if not options.skip_real:
            bench.build("cargo zigbuild")  # zig compiles its C library at the first link: 14 s of CPU time
        for side in () if options.skip_real else sides:
            bench.real(side)
        for cores in map(int, options.cores.split(",")):
            bench.simulate(cores, sides)
        print(f"load {os.getloadavg()[0]:.1f} at the end")


class Bench:
    """The workspace, and the three ways to build it."""

    def __init__(self, scratch: Path, crates: list[str], scale: float) -> None:
        self.scale = scale
        self.scratch, self.workspace = scratch, scratch / "workspace"
        self.env = {**os.environ, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
        write_workspace(self.workspace, crates)
        self.run(["cargo", "fetch", "--quiet"])

    def run(self, argv: list[str], env: dict[str, str] | None = None) -> None:
        done = subprocess.run(
            argv, cwd=self.workspace, env=self.env | (env or {}), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{argv}: exit code {done.returncode}\n{done.stderr}")

    def build(self, side: str, jobs: int | None = None, env: dict[str, str] | None = None) -> float:
        """Build everything in one of the three ways, from an empty target directory. Returns the seconds that it took."""
        shutil.rmtree(self.scratch / "target", ignore_errors=True)
        shutil.rmtree(self.scratch / "dist", ignore_errors=True)
        words = [f"--jobs={jobs}"] if jobs else []
        target = [f"--target-dir={self.scratch / 'target'}"]
        commands = {
            "together": [["buildlib", "build", f"--arch={','.join(ARCHES)}"]],
            "one by one": [["buildlib", "build", f"--arch={name}"] for name in ARCHES],
            "cargo zigbuild": [["cargo-zigbuild", "build", "--release", *(f"--target={triple}.2.31" for triple in TRIPLES)]],
        }  # fmt: skip
        start = time.monotonic()
        for argv in commands[side]:
            own = [f"--dist={self.scratch / 'dist'}"] if argv[0] == "buildlib" else []
            self.run([*argv, *words, *target, *own], env)
        return time.monotonic() - start

    def measure_crates(self) -> None:
        """Build once, and keep the CPU time of each crate and the binaries."""
        recorder, record = self.scratch / "recorder", self.scratch / "record"
        recorder.write_text(RECORDER)
        recorder.chmod(0o755)
        self.build("together", env={"RUSTC_WRAPPER": str(recorder), "RECORD": str(record)})
        lines = (line.split() for line in record.read_text().splitlines())
        times: dict[str, list[float]] = defaultdict(list)
        for user, system, name, place in lines:
            times[f"{name} {place}"].append(float(user) + float(system))
        # A crate of this machine is compiled once for the native arch and once for all others; build scripts share one name.
        self.durations = {key: self.scale * sum(values) / len(values) for key, values in times.items()}
        self.compiled = {key: len(values) for key, values in times.items()}
        (self.scratch / "durations").write_text(json.dumps(self.durations))
        (self.scratch / "binaries").mkdir()
        for triple, name in TRIPLES.items():
            shutil.copy2(self.scratch / "dist" / name / "app", self.scratch / "binaries" / triple)

    def real(self, side: str) -> None:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with Demand() as demand:
            seconds = self.build(side)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cores = os.cpu_count() or 1
        print(
            f"real, {side}: wall {seconds:.1f} s, CPU {cpu:.1f} s, load {os.getloadavg()[0]:.1f}; demand {demand.share:.2f} of "
            f"{cores} cores: {1 / demand.share:.2f} times CPU / cores on an idle machine"
        )

    def simulate(self, cores: int, sides: list[str]) -> None:
        stand_in = self.scratch / "stand-in"
        stand_in.write_text(STAND_IN.format(python=os.path.realpath(SCRIPTS / "python3")))
        stand_in.chmod(0o755)
        env = {
            "RUSTC_WRAPPER": str(stand_in),
            "DURATIONS": str(self.scratch / "durations"),
            "BINARIES": str(self.scratch / "binaries"),
        }
        path = max(critical_path(self.graph(triple), triple, self.durations) for triple in TRIPLES)
        work = sum(seconds * self.compiled[key] for key, seconds in self.durations.items())
        # buildlib compiles what is for this machine once for the native arch and once for all others.
        again = sum(
            seconds * self.compiled[key] / 2 for key, seconds in self.durations.items() if key.endswith(" host")
        )
        bound = max(path, (work - again) / cores)
        print(f"simulated, {cores} cores: critical path {path:.1f} s, work {work - again:.1f} s, bound {bound:.1f} s")
        for side in sides:
            seconds = self.build(side, cores, env)
            print(
                f"simulated, {cores} cores, {side}: {seconds:.1f} s, {seconds / bound:.2f} times the bound, "
                f"{seconds / path:.2f} times the critical path"
            )

    def graph(self, triple: str) -> list[dict]:
        argv = ("cargo", "build", "--unit-graph", "-Zunstable-options", "--release", "--target", triple)
        env = self.env | {"RUSTC_BOOTSTRAP": "1"}
        return json.loads(
            subprocess.run(argv, cwd=self.workspace, env=env, capture_output=True, text=True, check=True).stdout
        )["units"]


class Demand:
    """Samples how many processors the descendants of this process could use. `share` is the mean, of all processors."""

    def __enter__(self) -> "Demand":
        self.samples: list[float] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    @property
    def share(self) -> float:
        return sum(self.samples) / len(self.samples)

    def sample(self) -> None:
        cores = os.cpu_count() or 1
        while not self.ended.wait(0.2):
            self.samples.append(min(runnable(os.getpid()), cores) / cores)


def runnable(root: int) -> int:
    """The number of threads below a process that run or wait for a processor or a disk."""
    parents, busy = {}, defaultdict(int)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(root):
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                for task in (entry / "task").iterdir():
                    busy[int(entry.name)] += (task / "stat").read_text().rpartition(")")[2].split()[0] in "RD"
            except (OSError, IndexError):
                continue

    def is_below(process: int) -> bool:
        while process in parents:
            process = parents[process]
        return process == root

    return sum(number for process, number in busy.items() if number and is_below(process))


def critical_path(units: list[dict], triple: str, durations: dict[str, float]) -> float:
    """The seconds of the longest chain of units. What is not linked needs only the metadata of a library."""
    ends: dict[int, tuple[float, float]] = {}  # metadata, everything

    def end(index: int) -> tuple[float, float]:
        if index not in ends:
            unit = units[index]
            links = unit["target"]["kind"][0] not in ("lib", "rlib")
            begin = max(
                (end(one["index"])[links or not is_library(units[one["index"]])] for one in unit["dependencies"]),
                default=0.0,
            )
            place = "host" if unit["platform"] is None else triple
            key = f"{unit['target']['name'].replace('-', '_')} {place}"
            seconds = durations.get(key, 0.0) if unit["mode"] == "build" else 0.0
            ends[index] = (begin + seconds / 2, begin + seconds)
        return ends[index]

    return max(end(index)[1] for index in range(len(units)))


def is_library(unit: dict) -> bool:
    return unit["mode"] == "build" and unit["target"]["kind"][0] in ("lib", "rlib")


def write_workspace(folder: Path, crates: list[str]) -> None:
    dependencies, items = zip(*(CRATES[name] for name in crates), strict=True)
    uses = " ".join(USES[name] for name in crates if name in USES)
    files = {
        "Cargo.toml": ROOT,
        "app/Cargo.toml": PACKAGE.format("app") + '[dependencies]\nnative = { path = "../native" }\n' + "\n".join(dependencies),
        "app/src/main.rs": "\n".join(items) + f"\nfn main() {{ {uses} println!(\"{{}}\", native::sum(&[1, 2])); }}\n",
        "native/Cargo.toml": PACKAGE.format("native") + '[build-dependencies]\ncc = "1"\n',
        "native/build.rs": 'fn main() { cc::Build::new().file("sum.c").compile("sum"); }\n',
        "native/sum.c": "int sum(const int *v, int n) { int s = 0; while (n--) s += *v++; return s; }\n",
        "native/src/lib.rs": 'extern "C" { fn sum(v: *const i32, n: i32) -> i32; }\n'
        "pub fn sum_of(v: &[i32]) -> i32 { unsafe { sum(v.as_ptr(), v.len() as i32) } }\n",
    }  # fmt: skip
    files["app/src/main.rs"] = files["app/src/main.rs"].replace("native::sum(", "native::sum_of(")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
