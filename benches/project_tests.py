"""Run the own tests of published projects on this machine and for arm64, compare them, and print a table in Markdown.

    python benches/project_tests.py SCRATCH [--only hexyl sd] [--host] [--keep]
    unshare --user --map-root-user --mount sh -c '
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
        cat /usr/lib/binfmt.d/qemu-aarch64.conf > /proc/sys/fs/binfmt_misc/register
        python benches/project_tests.py SCRATCH'

`cargo test --workspace --no-fail-fast` on this machine is the reference; `buildlib test --arch arm64` must have the same tests
with the same results. Run it once without binfmt and once with it: the second way above registers QEMU for this one process tree
(Linux 6.7 and newer), and the table has a column for each. On two cores that other work kept busy a project took 1 to 25 minutes.
Allow 2 GiB of disk for it, which are freed before the next one.

Packages come from cargo's registry. Where a project has several members it is a checkout of its repository:
SCRATCH/NAME-VERSION, which is cloned unless it exists. SCRATCH/NAME-*.log has the output of each command.
"""

import json
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from projects import BUILDLIB, arguments, download, measure_all

# "test src/lib.rs - f (line 3) - compile fail ... ok"; the name is the same with and without the suffix.
SUFFIX = r" - (?:should panic|compile|compile fail)"
CASE = re.compile(rf"^test (?P<name>.+?)(?:{SUFFIX})? \.\.\. (?P<result>ok|FAILED|ignored)", re.MULTILINE)
RESULTS = {"ok": "passed", "FAILED": "failed"}
HANDLERS = Path("/proc/sys/fs/binfmt_misc")
DEBUG = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0"}  # disk and time; tests do not depend on either

Cases = Counter[tuple[str, str]]  # (name of the test, passed, failed or ignored)


class Project(NamedTuple):
    """A project with tests of its own; `repository` if the package is only one of its members."""

    name: str
    version: str
    has: str
    repository: str = ""


PROJECTS = (
    Project("semver", "1.0.28", "a library: integration and doc tests"),
    Project("hexyl", "0.17.0", "assert_cmd"),
    Project("pastel", "0.12.0", "assert_cmd, doc tests"),
    Project("fd-find", "10.5.0", "a harness of its own that starts `fd`, found from current_exe"),
    Project("codespan-reporting", "0.13.1", "snapshots (insta)"),
    Project("sd", "v1.1.0", "assert_cmd, snapshots (insta), proptest, three members", "https://github.com/chmln/sd"),
    Project("displaydoc", "0.2.7", "a proc-macro package: unit and doc tests, trybuild"),
    Project("thiserror", "2.0.19", "a proc-macro member, trybuild, doc tests", "https://github.com/dtolnay/thiserror"),
    Project("strum", "v0.27.2", "a proc-macro member with unit tests", "https://github.com/Peternator7/strum"),
)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--host", action="store_true", help="only the reference")
    options = parser.parse_args()
    way = "with binfmt" if HANDLERS.exists() and any(HANDLERS.glob("qemu-aarch64*")) else "without binfmt"

    def measure(project: Project, scratch: Path, earlier: dict) -> tuple[Path, dict]:
        source, row = checkout(project, scratch), dict(earlier)
        if "host" not in row:
            row["host"] = sorted(on_host(source, scratch / f"{project.name}-host.log").elements())
        if not options.host:
            row[way] = sorted(on_arm64(source, scratch / f"{project.name}-{way.replace(' ', '-')}.log").elements())
        print(f"{project.name}: {', '.join(f'{key} {counts(cases)}' for key, cases in row.items())}", flush=True)
        return source, row

    print(table(measure_all(options, PROJECTS, "test-results.json", measure)))


def checkout(project: Project, scratch: Path) -> Path:
    """The sources of a project, from the registry or from its repository."""
    if not project.repository:
        return download(project.name, project.version, scratch)
    source = scratch / f"{project.name}-{project.version}"
    if not source.exists():
        argv = ["git", "clone", "--quiet", "--depth", "1", "--branch", project.version, project.repository, str(source)]
        subprocess.run(argv, check=True)
    return source


def on_host(source: Path, log: Path) -> Cases:
    """The tests as cargo runs them on this machine."""
    argv = ["cargo", "test", "--workspace", "--no-fail-fast"]
    with log.open("w") as output:
        subprocess.run(argv, cwd=source, env=os.environ | DEBUG, stdout=output, stderr=subprocess.STDOUT, check=False)
    cases = CASE.finditer(log.read_text(errors="replace"))
    return Counter((case["name"], RESULTS.get(case["result"], case["result"])) for case in cases)


def on_arm64(source: Path, log: Path) -> Cases:
    """The tests as buildlib runs them. Without a report there is nothing to compare, and the run ends."""
    argv, env = [BUILDLIB, "test", "--arch", "arm64", "--workspace", "--json"], os.environ | DEBUG
    with log.open("w") as errors:
        done = subprocess.run(argv, cwd=source, env=env, stdout=subprocess.PIPE, stderr=errors, text=True, check=False)
        errors.write(done.stdout)
    reports = json.loads(done.stdout or "{}")
    if isinstance(reports, dict):  # an error before there is a report
        raise SystemExit(f"{source.name}: no report, exit code {done.returncode}; {log} has the message")
    cases = (case for report in reports for suite in report["suites"] for case in suite["cases"])
    return Counter((re.sub(f"{SUFFIX}$", "", case["name"]), case["result"]) for case in cases)


def counts(cases: list) -> str:
    results = Counter(result for _, result in cases)
    other = sum(results.values()) - results["passed"] - results["failed"] - results["ignored"]
    return f"{results['passed']} / {results['failed']} / {results['ignored']}" + (f" / {other} other" if other else "")


def differences(host: list, emulated: list) -> str:
    """The tests whose results differ, at most five by name."""
    there, here = Counter(map(tuple, host)), Counter(map(tuple, emulated))
    changed = sorted({name for name, _ in ((there - here) + (here - there)).elements()})
    names = ", ".join(f"`{name}`" for name in changed[:5])
    return f"{len(changed)}: {names}{' …' if len(changed) > 5 else ''}" if changed else "none"


def table(results: dict[str, dict[str, list]]) -> str:
    ways = ("without binfmt", "with binfmt")
    titles = ["project", "has", "host", *(column for way in ways for column in (f"arm64 {way}", "differences"))]
    lines = ["passed / failed / ignored", "", f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    for project in PROJECTS:
        if row := results.get(project.name):
            cells = [f"{project.name} {project.version}", project.has, counts(row["host"])]
            for way in ways:
                cells += [counts(row[way]), differences(row["host"], row[way])] if way in row else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
