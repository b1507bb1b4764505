"""Build published projects as they are, for several architectures, and print a table in Markdown.

    python benches/projects.py SCRATCH [--only ripgrep bat] [--arch arm64 armv7] [--keep]

Each project is the package as published, with its own lock file, from cargo's registry. It is built by one command,
`buildlib build --arch ...`, in a directory that has nothing of buildlib's in it, with a quick profile (no optimisation, no
debug information, no LTO): what is tested is whether C, C++, assembly and generators compile and link, not the speed of the
result. A refusal because of something missing is a row of the table: install what it names, and run the project again.

On two cores that other work kept busy an arch took 1 to 30 minutes (vendored OpenSSL). Allow 8 GiB of disk for a project, which are
freed before the next one; the sources, crates and logs that stay need 2 GiB. SCRATCH/NAME.log has the whole output,
SCRATCH/results.json the results of all runs so far.
"""

import argparse
import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

BUILDLIB = Path(sysconfig.get_path("scripts")) / "buildlib"
ALL = ("arm64", "armv7", "riscv64", "arm64-musl")
QUICK = {"OPT_LEVEL": "0", "DEBUG": "0", "LTO": "off", "CODEGEN_UNITS": "16", "STRIP": "symbols"}


class Project(NamedTuple):
    """A package of the registry, the options it is built with, and what its dependencies compile."""

    name: str
    version: str
    options: str
    covers: str
    arches: tuple[str, ...] = ALL


BUNDLED = "--no-default-features --features=sqlite-bundled,postgres-bundled"
PROJECTS = (
    Project("oxipng", "10.2.1", "", "C (libdeflate)"),
    Project("ripgrep", "15.2.0", "--features=pcre2", "C (PCRE2), jemalloc on musl"),
    Project("fd-find", "10.5.0", "--features=use-jemalloc", "jemalloc"),
    Project("bat", "0.26.1", "--features=vendored-libgit2", "C (libgit2, Oniguruma), zlib"),
    Project("dufs", "0.47.0", "", "C and assembly (aws-lc, ring)"),
    Project("rav1e", "0.8.1", "", "assembly (the codec's own)"),
    Project("cln-grpc-plugin", "0.7.0", "", "protoc, C (secp256k1, ring)"),
    Project("diesel_cli", "2.3.14", BUNDLED, "vendored OpenSSL, bundled SQLite, C (libpq)"),
    Project("difftastic", "0.72.0", "", "C and C++ (50 parsers), jemalloc", ("arm64",)),
    Project("sonic-server", "1.10.2", "", "RocksDB (C++), bindgen, jemalloc, zstd", ("arm64",)),
)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arch", nargs="+", default=[], help="instead of the arches of each project")
    options = parser.parse_args()

    def measure(project: Project, scratch: Path, earlier: dict) -> tuple[Path, dict]:
        source = download(project.name, project.version, scratch)
        cells = build(project, source, tuple(options.arch) or project.arches, scratch / f"{project.name}.log")
        return source, earlier | cells

    print(table(measure_all(options, PROJECTS, "results.json", measure)))


def arguments(description: str) -> argparse.ArgumentParser:
    """The options of a script that measures projects in a scratch directory."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=Path, help="an empty directory on a disk with 10 GiB free")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--keep", action="store_true", help="keep the target directories")
    return parser


def measure_all(options: argparse.Namespace, projects: Iterable, file: str, measure: Callable) -> dict:
    """The results of all runs so far, by project; each is stored in `file` as soon as it is there.

    `measure` gets a project, the scratch directory and its earlier result, and returns its sources and its new result.
    """
    scratch = options.scratch.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    stored = scratch / file
    results = json.loads(stored.read_text()) if stored.exists() else {}
    for project in projects:
        if options.only and project.name not in options.only:
            continue
        source, results[project.name] = measure(project, scratch, results.get(project.name, {}))
        stored.write_text(json.dumps(results, indent=1))
        if not options.keep:
            shutil.rmtree(source / "target", ignore_errors=True)
    return results


def download(name: str, version: str, scratch: Path) -> Path:
    """The unpacked sources of a package; cargo fetches it from the registry that it is configured for."""
    source = scratch / f"{name}-{version}"
    if not source.exists():
        subprocess.run(["cargo", "info", "--quiet", f"{name}@{version}"], cwd=scratch, check=True, capture_output=True)
        home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
        package = next(home.glob(f"registry/cache/*/{source.name}.crate"))
        with tarfile.open(package) as archive:
            archive.extractall(scratch, filter="data")
    return source


def build(project: Project, source: Path, arches: tuple[str, ...], log: Path) -> dict[str, str]:
    """Build the project by one command; the result of each arch as the text of a cell."""
    env = os.environ | {f"CARGO_PROFILE_RELEASE_{key}": value for key, value in QUICK.items()}
    argv = [BUILDLIB, "build", "--json", "--arch", ",".join(arches), *project.options.split()]
    began = time.monotonic()
    with log.open("w") as errors:
        done = subprocess.run(argv, cwd=source, env=env, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
    print(f"{project.name}: exit code {done.returncode} after {time.monotonic() - began:.0f} s", flush=True)
    results = json.loads(done.stdout or "{}")
    if isinstance(results, dict):  # refused before any target was planned: the whole message
        message = " ".join(log.read_text().rpartition("error: ")[2].split())
        return dict.fromkeys(arches, f"refused ({done.returncode}): {message}")
    return {result["arch"]: cell(result) for result in results}


def cell(result: dict) -> str:
    """One target's result: glibc, size and seconds of the largest binary, or the status, exit code and message."""
    if result["status"] not in ("done", "unchanged"):
        message = (result["error"] or "").strip().splitlines() or [""]
        return f"{result['status']} ({result['code']}): {message[0]}"
    binary = max(result["binaries"], key=lambda entry: entry["size"])
    libc = f"glibc {binary['facts']['glibc']}" if binary["facts"].get("glibc") else "static"
    started = f"started with {binary['started']}" if binary["started"] else "not started"
    return f"{libc}, {binary['size'] / 2**20:.1f} MiB, {binary['seconds']:.0f} s, {started}"


def table(results: dict[str, dict[str, str]]) -> str:
    lines = [f"| project | covers | {' | '.join(ALL)} |", "|" + "---|" * (len(ALL) + 2)]
    for project in PROJECTS:
        if cells := results.get(project.name):
            title = f"{project.name} {project.version}" + (f" `{project.options}`" if project.options else "")
            lines.append(f"| {title} | {project.covers} | {' | '.join(cells.get(arch, '') for arch in ALL)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
