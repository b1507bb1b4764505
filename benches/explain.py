"""How long `explain` takes: for 1 MB of usual and of the worst lines, for 50 MB in one line, and how the time grows.

Run it with `python benches/explain.py [--most 50]`; with --sources it counts the rules and phrases of each file and source instead.
Times are processor seconds of one run, the best of three; `x2` is the ratio of
the time for the whole text to that for its first half: 2 is linear. On a busy machine compare with the line `empty`: it is the time
to look for a phrase in 1 MB, for as many phrases as there are rules.
"""

import argparse
import random
import time
import tomllib
from collections import Counter
from pathlib import Path

from buildlib.failures import rule
from buildlib.failures.classify import classify
from buildlib.failures.rule import rules

CASES = Path(__file__).parent.parent / "tests" / "unit" / "failures"
RULES = Path(rule.__file__).with_name("rules")
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


def count_sources() -> None:
    """Print how many rules and phrases each file has, and for how many phrases each repository or program is named."""
    sources: Counter[str] = Counter()
    total = 0
    for path in sorted(RULES.glob("*.toml")):
        file = tomllib.loads(path.read_text())
        own, words = (
            file.get("rule", ()),
            [table for table in (*file.get("rule", ()), *file.get("phrases", ())) if "phrases" in table],
        )
        number = sum(len(table["phrases"]) for table in words)
        total += number
        print(f"{path.stem:16} {len(own):4} rules {number:5} phrases")
        for table in words:
            for name in {source.split(" ")[0] for source in table["source"]} - {"unconfirmed:"}:
                sources[name] += len(table["phrases"])
            for listed in (source for source in table["source"] if source.startswith("unconfirmed:")):
                sources["unconfirmed:"] += listed.count('", "') + 1
    print(f"{total} phrases; of rules that name a source:")
    for name, number in sources.most_common():
        print(f"{number:5} {name}")


def main() -> None:
    """Print a line for each text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=50, help="megabytes of the single line")
    parser.add_argument("--sources", action="store_true", help="count rules and phrases instead")
    args = parser.parse_args()
    if args.sources:
        return count_sources()
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
