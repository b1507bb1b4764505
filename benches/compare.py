"""How long an arm64 binary and an arm64 image take, in each way that a project may choose.

    python benches/compare.py SCRATCH [--only bore-cli] [--kinds zig gcc] [--rounds 3] [--table]

Three projects are built for this machine's own arch (the lower bound), by buildlib with each backend, by raw cargo-zigbuild and
cross, and under emulation; the images are pushed to a registry on this machine. A cold build has the tools, std and all downloads,
but its target directory is empty. A warm one follows it, after one line of the project's own source has changed. The ways take
turns, `--rounds` times; those that compile under QEMU come last and once. Every way has the same release of Rust from rustup, the one
of `rustc --version`; only --in-docker has that of its image. Each binary is checked: it is for the right arch, and has the changed
line.

Every time is in SCRATCH/compare.json as soon as it is measured, and is not measured again: an interrupted run can be continued, and
parts can be run one after the other; SIGTERM stops it. --table only prints the tables in Markdown. Before each part the script waits
for a load of at most 1; what was started on a busy machine is marked in the tables. The engine and the other tools are those of the
real tests, installed as there. Allow 25 GiB of disk. SCRATCH/NAME.log has the output of the last build of a way.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from compare_ways import HELLO, PROJECTS, WAYS, Build, Machine, Project, versions

BUSY = 1.0  # load
MACHINES = {"native": os.uname().machine}
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path)
    names = [project.name for project in (*PROJECTS, HELLO)]
    parser.add_argument("--only", nargs="+", choices=names, default=names[:-1], metavar="NAME", help=", ".join(names))
    parser.add_argument("--kinds", nargs="+", choices=WAYS, default=list(WAYS), metavar="KIND", help=", ".join(WAYS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--patience", type=int, default=300, help="seconds to wait for an idle machine before each part"
    )
    parser.add_argument(
        "--table", action="store_true", help="print the table of the stored results, and measure nothing"
    )
    options = parser.parse_args()
    results = Results(options.scratch.absolute())
    succeeded = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the daemons that were started here are stopped
    with ExitStack() as stack:
        if not options.table:
            succeeded = Bench(options, results, stack).measure()
        print(results.page(), flush=True)
    sys.exit(0 if succeeded else 1)


class Results:
    """The times that were measured so far, in a file. Times are seconds."""

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self.file = scratch / "compare.json"
        self.all = (
            json.loads(self.file.read_text()) if self.file.exists() else {"machine": {}, "versions": {}, "cells": {}}
        )

    def cell(self, project: str, way: str) -> dict[str, list[float]]:
        return self.all["cells"].setdefault(project, {}).setdefault(way, {"cold": [], "warm": [], "load": []})

    def save(self) -> None:
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(self.all, indent=1))
        partial.replace(self.file)

    def page(self) -> str:
        """The machine, and a table for binaries and one for images."""
        lines = [f"- {name}: {value}" for name, value in (self.all["machine"] | self.all["versions"]).items()]
        cells = [(WAYS[way], cell) for ways in self.all["cells"].values() for way, cell in ways.items()]
        if rounds := sorted({len(cell["warm"]) for way, cell in cells if cell["warm"] and not way.slow}):
            lines.append(f"- rounds: {' to '.join(map(str, sorted({rounds[0], rounds[-1]})))}, 1 under QEMU")
        return "\n".join((*lines, *self.table("binaries"), *self.table("images"), *self.note()))

    def table(self, kind: str) -> list[str]:
        cells = self.all["cells"]
        projects = [project for project in (*PROJECTS, HELLO) if project.name in cells]
        head = [f"{kind}: median (range), s"]
        head += [f"{project.title}: {state}" for project in projects for state in ("cold", "warm")]
        rows = []
        for name, way in WAYS.items():
            row = [text(cells[project.name].get(name), state) for project in projects for state in ("cold", "warm")]
            if way.kind == kind and any(row):
                rows.append(f"| {' | '.join((way.title, *row))} |")
        return ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows] if rows else []

    def note(self) -> list[str]:
        loads = [load for ways in self.all["cells"].values() for cell in ways.values() for load in cell["load"]]
        busy = [load for load in loads if load > BUSY]
        return (
            ["", f"\\* Started on a busy machine, with a load of {min(busy):.1f} to {max(busy):.1f}."] if busy else []
        )


def text(cell: dict[str, list[float]] | None, state: str) -> str:
    """One cell: "12.3 (12.1 to 12.9)"."""
    if not cell or not cell[state]:
        return ""
    times = cell[state]
    spread = f" ({min(times):.1f} to {max(times):.1f})" if len(times) > 1 else ""
    mark = " \\*" if max(cell["load"]) > BUSY else ""
    return f"{statistics.median(times):.1f}{spread}{mark}"


class Bench:
    """Builds the projects in the chosen ways and stores the times."""

    def __init__(self, options: argparse.Namespace, results: Results, stack: ExitStack) -> None:
        self.options, self.results = options, results
        self.scratch = options.scratch.absolute()
        self.ways = {name: WAYS[name] for name in options.kinds}
        self.machine = Machine(self.scratch, stack, self.ways)
        self.prepare()
        results.all["machine"] = describe_machine()
        results.all["versions"] |= versions(self.machine)
        results.save()

    def prepare(self) -> None:
        """Download all crates, and build a small program in each way."""
        for project in (*PROJECTS, HELLO):
            if project is HELLO or project.name in self.options.only:
                self.machine.sources(project)
        shutil.rmtree(self.machine.cache, ignore_errors=True)
        for name in self.ways:
            began = time.monotonic()
            build = self.place(HELLO, f"{name}-first")
            self.clean(build)
            self.machine.copy(HELLO, name, build.folder)
            if error := self.once(build, name):
                sys.exit(error)
            self.clean(build)
            print(f"prepared {name} in {time.monotonic() - began:.0f} s", flush=True)
        self.machine.cache.mkdir(exist_ok=True)
        self.template = self.scratch / "cache-template"
        shutil.rmtree(self.template, ignore_errors=True)
        shutil.copytree(self.machine.cache, self.template, symlinks=True)
        if any(way.kind == "images" for way in self.ways.values()):
            self.machine.store_crates()

    def measure(self) -> bool:
        """Measure what has no result yet, first what is quick. Returns whether all builds succeeded."""
        known = {project.name: project for project in (*PROJECTS, HELLO)}
        projects = [known[name] for name in self.options.only]
        quick = [name for name, way in self.ways.items() if not way.slow]
        parts = [(project, quick, self.options.rounds) for project in projects]
        parts += [(project, [name], 1) for name, way in self.ways.items() if way.slow for project in projects]
        return all([self.measure_part(*part) for part in parts if part[1]])  # noqa: C419  a failure does not stop the others

    def measure_part(self, project: Project, ways: list[str], rounds: int) -> bool:
        """Measure a project in these ways, which take turns; whether all builds succeeded."""
        if all(self.done(project, name) >= rounds for name in ways):
            return True
        load = idle(self.options.patience)
        print(f"{project.name}, {', '.join(ways)}: load {load:.2f} at the start", flush=True)
        failed = set()
        for number in range(rounds):
            for name in ways:
                if number < self.done(project, name) or name in failed:
                    continue
                if error := self.pair(project, name, load):
                    failed.add(name)
                    print(f"{project.name}, {name} failed: {error}", flush=True)
        return not failed

    def done(self, project: Project, name: str) -> int:
        return len(self.results.cell(project.name, name)["warm"])

    def pair(self, project: Project, name: str, load: float) -> str:
        """A cold build and a warm one. Returns the error, "" for none."""
        cell = self.results.cell(project.name, name)
        build = self.place(project, f"{name}-{len(cell['warm'])}")
        if len(cell["cold"]) > len(cell["warm"]) and not (WAYS[name].output and build.out.exists()):
            cell["cold"].pop()  # the target directory of an interrupted run is gone
        for state in ("cold", "warm"):
            if state == "cold":
                if len(cell["cold"]) > len(cell["warm"]):
                    continue
                self.clean(build)
                self.machine.copy(project, name, build.folder)
                # zig keeps the object files of C in its cache: a second cold build would not compile them.
                shutil.rmtree(self.machine.cache)
                shutil.copytree(self.template, self.machine.cache, symlinks=True)
            began = time.monotonic()
            if error := self.once(build, name):
                return error
            cell[state].append(round(self.seconds, 2))
            cell["load"].append(round(load, 2))
            self.results.save()
            print(f"{project.name}, {name}, {state}: {time.monotonic() - began:.1f} s", flush=True)
        self.clean(build)
        return ""

    def once(self, build: Build, name: str) -> str:
        """Change a line and build. Sets `seconds`; returns the error, "" for none."""
        stamp = f"changed at {time.time_ns()}"
        change(build.folder / build.project.main, stamp)
        build.out.mkdir(parents=True, exist_ok=True)
        way = WAYS[name]
        began = time.monotonic()
        result = way.build(self.machine, build)
        self.seconds = time.monotonic() - began
        (self.scratch / f"{build.project.name}-{name}.log").write_text(f"{result.out}\n{result.err}")
        if result.code:
            return f"exit code {result.code}: {result.err[-2000:]}"
        return check(build, name, stamp) if way.output else ""

    def place(self, project: Project, name: str) -> Build:
        name = f"{project.name}-{name}"
        return Build(project, self.scratch / "copies" / name, self.scratch / "out" / name)

    def clean(self, build: Build) -> None:
        shutil.rmtree(build.folder, ignore_errors=True)
        shutil.rmtree(build.out, ignore_errors=True)


def change(source: Path, stamp: str) -> None:
    """Change one line of `main`, so that the binary changes too."""
    code = re.sub(r' let _ = std::hint::black_box\("changed at \d+"\);', "", source.read_text())
    code, count = re.subn(
        r"(?m)^((?:async )?fn main\(.*\{)$", rf'\1 let _ = std::hint::black_box("{stamp}");', code, count=1
    )
    assert count == 1, source
    source.write_text(code)


def check(build: Build, name: str, stamp: str) -> str:
    """What is wrong with the binary, "" if it is for the right arch and was built from the changed source."""
    content = (build.out / WAYS[name].output.format(build.project.binary)).read_bytes()
    expected = ELF_MACHINES[MACHINES.get(name, "aarch64")]
    if (machine := int.from_bytes(content[18:20], "little")) != expected:
        return f"the binary is for machine {machine}, expected {expected}"
    return "" if stamp.encode() in content else f"the binary does not contain {stamp!r}"


def idle(patience: int) -> float:
    """Wait until the machine is idle, at most so many seconds. Returns the load."""
    deadline = time.monotonic() + patience
    while (load := os.getloadavg()[0]) > BUSY and time.monotonic() < deadline:
        time.sleep(5)
    return load


def describe_machine() -> dict[str, str]:
    model = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    system = re.search(r'(?m)^PRETTY_NAME="(.*)"$', Path("/etc/os-release").read_text())
    return {
        "measured": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} cores ({model[1] if model else os.uname().machine}), "
        f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "",
        "system": f"{system[1] if system else 'Linux'}, kernel {os.uname().release}",
    }  # fmt: skip


if __name__ == "__main__":
    main()
