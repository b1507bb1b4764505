"""How long `lint` takes: for each of several Dockerfiles, and for 60,000 findings in every format.

    python benches/lint.py [FILE ...] [--rounds 5]

Without files, the largest inputs of their kind that lint has to expect are generated: long lists of commands, many stages, many
choices. The limits are 200 ms for a file and 5 s for 60,000 findings; the exit code is 1 if one is exceeded. All times are CPU times
of this process, and of several rounds the fastest counts: other load of the machine makes only some of them longer.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

from buildlib.core import layers
from buildlib.lint import command
from buildlib.lint.check import check
from buildlib.process.console import Console

FILE_LIMIT, FINDINGS_LIMIT = 0.2, 5.0  # seconds
FINDINGS = 60_000
CHOICE = 'case "$(uname -m)" in x86_64) A=amd64;; aarch64) A=arm64;; *) exit 1;; esac && curl -fLO https://example.org/t{n}-$A.tgz'
GENERATED = {
    "200 downloads in one RUN": "FROM debian\nRUN true"
    + "".join(f" && \\\n  curl -fLO https://example.org/t{n}-amd64.tgz" for n in range(200)),
    "300 RUN": "FROM debian\n" + "".join(f"RUN apt-get update && apt-get install -y package{n}\n" for n in range(300)),
    "60 stages": "".join(
        f"FROM debian AS stage{n}\nARG TARGETARCH\nRUN curl -fLO https://example.org/t{n}-$TARGETARCH\nCOPY . /src\n"
        for n in range(60)
    ),
    "60 choices": "FROM debian\n" + "".join(f"RUN {CHOICE.format(n=n)}\n" for n in range(60)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    texts = {str(path): path.read_bytes() for path in options.files} or {
        name: text.encode() for name, text in GENERATED.items()
    }
    slow = False
    check(Path("Dockerfile"), b"FROM debian\nRUN true\n", {})  # loads the grammars
    for name, data in texts.items():
        seconds = fastest(partial(check, Path("Dockerfile"), data, {}), options.rounds)
        slow |= seconds > FILE_LIMIT
        print(f"{name}: {len(data)} bytes, {seconds * 1000:.1f} ms")
    with tempfile.TemporaryDirectory() as folder:
        slow |= many_findings(Path(folder))
    return int(slow)


def many_findings(folder: Path) -> bool:
    """Print the time for 60,000 findings, in each format, and return whether one takes too long."""
    for number in range(60):
        text = "FROM --platform=linux/amd64 debian\n" * (FINDINGS // 60)
        folder.joinpath(f"{number}.Dockerfile").write_text(text, encoding="utf-8")
    config = layers.resolve(("buildlib.toml", {"lint": {}}))
    start = time.process_time()
    linted = command.lint([folder], config, folder)
    found = time.process_time() - start
    print(f"{len(linted.findings)} findings in {len(linted.paths)} files: {found:.2f} s")
    slow = False
    for form in ("text", "json", "sarif", "github"):
        start = time.process_time()
        with redirect_stdout(io.StringIO()):
            command.show(Console({}), linted, form)
        seconds = time.process_time() - start
        slow |= found + seconds > FINDINGS_LIMIT
        print(f"  printed as {form}: {seconds:.2f} s, together {found + seconds:.2f} s")
    return slow


def fastest(call: Callable[[], object], rounds: int) -> float:
    """The shortest time of several calls, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    sys.exit(main())
