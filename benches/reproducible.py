"""Build published projects and this workspace twice with `buildlib reproduce`, and print a table of what is identical.

    python benches/reproducible.py SCRATCH [--only ripgrep] [--arch arm64 armv7]

The projects are built with a quick profile, this workspace (`--only crates`) with its own. SCRATCH/reproducible.json has the
results of all runs so far.
"""

import json
import os
import subprocess
from pathlib import Path

from projects import BUILDLIB, PROJECTS, QUICK, Project, arguments, download, measure_all

ARCHES = ("arm64", "armv7", "amd64")
NAMES = ("oxipng", "ripgrep", "fd-find", "bat", "dufs", "rav1e")
OWN = Project("crates", "", "", "this workspace, its release profile")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--arch", nargs="+", default=ARCHES)
    options = parser.parse_args()
    projects = [project for project in PROJECTS if project.name in NAMES]

    def measure(project: Project, scratch: Path, earlier: dict) -> tuple[Path, dict]:
        own = project is OWN
        source = Path(__file__).parents[1] if own else download(project.name, project.version, scratch)
        log = scratch / f"{project.name}-reproducible.log"
        return scratch / source.name, earlier | {
            arch: reproduce(source, project, arch, log, quick=not own) for arch in options.arch
        }

    print(table(measure_all(options, [*projects, OWN], "reproducible.json", measure)))


def reproduce(source: Path, project: Project, arch: str, log: Path, *, quick: bool) -> str:
    """Build twice for an arch; the result as the text of a cell."""
    profile = {f"CARGO_PROFILE_RELEASE_{key}": value for key, value in QUICK.items()} if quick else {}
    argv = [BUILDLIB, "reproduce", "--json", "--arch", arch, *project.options.split()]
    with log.open("a") as errors:
        done = subprocess.run(
            argv, cwd=source, env=os.environ | profile, stdout=subprocess.PIPE, stderr=errors, text=True, check=False
        )
    print(f"{project.name} {arch}: exit code {done.returncode}", flush=True)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        return f"failed ({done.returncode})"
    rows = json.loads(done.stdout)
    differing = [
        f"{row['binary']}: {row['difference']}; {'; '.join(row['origins'])}" for row in rows if not row["identical"]
    ]
    return "<br>".join(differing) or ("identical" if len(rows) == 1 else f"{len(rows)} identical")


def table(results: dict[str, dict[str, str]]) -> str:
    lines = [f"| project | covers | {' | '.join(ARCHES)} |", "|" + "---|" * (len(ARCHES) + 2)]
    for project in [*PROJECTS, OWN]:
        if cells := results.get(project.name):
            lines.append(
                f"| {project.name} {project.version} | {project.covers} | {' | '.join(cells.get(arch, '') for arch in ARCHES)} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
