"""How long `explain` takes: for 1 MB of usual and of the worst lines, for 50 MB in one line, and how the time grows.

Run it with `python benches/explain.py [--most 50]`. Times are processor seconds of one run, the best of three; `x2` is the ratio of
the time for the whole text to that for its first half: 2 is linear. On a busy machine compare with the line `empty`: it is the time to
look for all phrases in 1 MB without any.
"""

import argparse
import random
import time
import tomllib
from pathlib import Path

from buildlib.failures.classify import classify
from buildlib.failures.rule import rules

CASES = Path(__file__).parent.parent / "tests" / "unit" / "failures"
MEGABYTE = 1_000_000


def texts() -> dict[str, str]:
    """Logs of 1 MB by name."""
    lines = [
        line for case in tomllib.loads((CASES / "cases.toml").read_text())["case"] for line in case["log"].splitlines()
    ]
    random.seed(1)
    failures = "\n".join(random.choice(lines) for _ in range(MEGABYTE // 40))
    return {
        "a build": "".join(f"#9 {n / 100:.3f}    Compiling crate-{n} v1.0.{n}\n" for n in range(40_000))[:MEGABYTE],
        "a build that fails": "   Compiling libc v0.2.153\n" * 36_000 + "error: linker `cc` not found\n",
        "tests": "".join(f"test module::name_{n} ... ok\n" for n in range(60_000))[:MEGABYTE],
        "nothing but failures": failures[:MEGABYTE],
        "nothing but warnings": "\n".join(f"warning: {line}" for line in failures.splitlines())[:MEGABYTE],
    }


def seconds(text: str) -> float:
    """Processor seconds for one log, the best of three runs."""
    times = []
    for _ in range(3):
        start = time.process_time()
        classify(text)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    """Print a line for each text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=50, help="megabytes of the single line")
    args = parser.parse_args()
    most = args.most * MEGABYTE
    phrases = [phrase for rule in rules() for phrase in rule.phrases]
    print(f"{len(rules())} rules, {len(phrases)} phrases")
    blank = "x" * MEGABYTE
    start = time.process_time()
    absent = sum(phrase not in blank for phrase in phrases)
    print(f"{'empty':28} {1000 * (time.process_time() - start):7.0f} ms ({absent} phrases)")
    for name, text in texts().items():
        whole, half = seconds(text), seconds(text[: len(text) // 2])
        print(f"{name:28} {1000 * whole:7.0f} ms   x2 {whole / half:.1f}")
    for unit in ("a", "error: ", "0:00.1 ", "test a ... FAILED ", "http://a/", "a-b-c-", "[a] ", '{"a":1}', "a: "):
        text = unit * (most // len(unit))
        whole, half = seconds(text), seconds(text[: len(text) // 2])
        print(f"{most // MEGABYTE} MB of {unit!r:20} {1000 * whole:7.0f} ms   x2 {whole / half:.1f}")


if __name__ == "__main__":
    main()
