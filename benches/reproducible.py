"""Build published projects and this workspace twice, as another machine would, and print a table of what is identical.

    python benches/reproducible.py SCRATCH [--only ripgrep] [--arch arm64 armv7]

`buildlib reproduce` changes what a user without root can change. Here the second build also has another user id, host name and
day (in 1970), and one core. It needs Linux, root and a C compiler. The projects are built with a quick profile, this workspace
(`--only crates`) with its own. SCRATCH/reproducible.json has the results of all runs so far.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

from projects import BUILDLIB, PROJECTS, QUICK, Project, arguments, download, measure_all

from buildlib.binaries.origins import Side, origins
from buildlib.binaries.reproduce import ELSEWHERE
from buildlib.core.targets import TARGETS
from buildlib.elf import difference

ARCHES = ("arm64", "armv7", "amd64")
NAMES = ("oxipng", "ripgrep", "fd-find", "bat", "dufs", "rav1e")
OWN = Project("crates", "", "", "this workspace, its release profile")
OTHER_MACHINE = """
    umask 077
    hostname elsewhere
    export LD_PRELOAD="$CLOCK"
    exec unshare --user --map-user=4321 --map-group=4321 taskset --cpu-list 0 "$@"
    """


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arch", nargs="+", default=ARCHES)
    options = parser.parse_args()
    projects = [project for project in PROJECTS if project.name in NAMES]

    def measure(project: Project, scratch: Path, earlier: dict) -> tuple[Path, dict]:
        source = clone(scratch) if project is OWN else download(project.name, project.version, scratch)
        return source, earlier | twice(source, project, options.arch, scratch)

    print(table(measure_all(options, [*projects, OWN], "reproducible.json", measure)))


def clone(scratch: Path) -> Path:
    """A clone of this repository."""
    folder = scratch / "crates"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", Path(__file__).parents[1], folder], check=True)
    return folder


def twice(here: Path, project: Project, arches: list[str], scratch: Path) -> dict[str, str]:
    """Build for all arches here and elsewhere; the result of each as the text of a cell."""
    there = scratch / "another-place" / project.name / "sources"  # a space would be refused by jemalloc's configure
    shutil.rmtree(there.parent, ignore_errors=True)
    shutil.copytree(
        here, there, symlinks=True, ignore=lambda folder, _: ("target", "dist") if folder == str(here) else ()
    )
    shutil.rmtree(here / "target", ignore_errors=True)
    first = build(here, project, arches, scratch, (), {})
    second = build(
        there, project, arches, scratch, ("unshare", "--uts", "sh", "-ec", OTHER_MACHINE, "sh"), other(scratch)
    )
    cells = {arch: cell(here, there, arch, first.get(arch), second.get(arch)) for arch in arches}
    shutil.rmtree(there.parent)
    return cells


def other(scratch: Path) -> dict[str, str]:
    """The environment of another user on another day, with the same toolchains and downloads."""
    clock = scratch / "other_clock.so"
    source = Path(__file__).with_name("other_clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", clock, source], check=True)
    home, cargo = Path.home(), scratch / "another-place" / "cargo"
    if not cargo.exists():
        cargo.symlink_to(os.environ.get("CARGO_HOME", home / ".cargo"))
    return {
        "RUSTUP_HOME": str(home / ".rustup"), **ELSEWHERE, "HOME": str(scratch / "another-place" / "home"),
        "CARGO_HOME": str(cargo), "CLOCK": str(clock), "CLOCK_OFFSET": str(100_000 - int(time.time())),
    }  # fmt: skip


def build(
    source: Path, project: Project, arches: list[str], scratch: Path, prefix: tuple[str, ...], env: dict[str, str]
) -> dict[str, dict]:
    """Build the project; the result of each arch as buildlib's JSON has it."""
    profile = {} if project is OWN else {f"CARGO_PROFILE_RELEASE_{key}": value for key, value in QUICK.items()}
    argv = [*prefix, BUILDLIB, "build", "--json", "--arch", ",".join(arches), *project.options.split()]
    began = time.monotonic()
    with (scratch / f"{project.name}-reproducible.log").open("a") as log:
        done = subprocess.run(
            argv, cwd=source, env=os.environ | profile | env, stdout=subprocess.PIPE, stderr=log, text=True, check=False
        )
    print(f"{source}: exit code {done.returncode} after {time.monotonic() - began:.0f} s", flush=True)
    results = json.loads(done.stdout or "[]")
    return {result["arch"]: result for result in results} if isinstance(results, list) else {}


def cell(here: Path, there: Path, arch: str, first: dict | None, second: dict | None) -> str:
    """What became of one arch: identical, or where the files differ and what differs in the project."""
    for name, result in (("", first), (" elsewhere", second)):
        if not result or result["error"]:
            return f"failed{name}: {(result or {}).get('error', 'see the log')}"
    differing = []
    for binary in first["binaries"]:
        found = difference.first(here / "dist" / binary["path"], there / "dist" / binary["path"])
        if found:
            names = origins(side(here, arch, binary["path"]), side(there, arch, binary["path"]))
            differing.append(f"{binary['binary']}: {found}; {'; '.join(names)}")
    count = len(first["binaries"])
    return "<br>".join(differing) or ("identical" if count == 1 else f"{count} identical")


def side(source: Path, arch: str, path: str) -> Side:
    """One of the builds; there is one directory for an arch in the target directory after a first build."""
    (folder,) = source.glob(f"target/buildlib/*/{arch}/{TARGETS[arch].triple}/release")
    return Side(program=source / "dist" / path, folder=folder, paths=(str(source), str(source / "target")))


def table(results: dict[str, dict[str, str]]) -> str:
    arches = list(dict.fromkeys((*ARCHES, *(arch for cells in results.values() for arch in cells))))
    lines = [f"| project | covers | {' | '.join(arches)} |", "|" + "---|" * (len(arches) + 2)]
    for project in [*PROJECTS, OWN]:
        if cells := results.get(project.name):
            row = [
                f"{project.name} {project.version}".strip(),
                project.covers,
                *(cells.get(arch, "") for arch in arches),
            ]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
