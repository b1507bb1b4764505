"""What signing and attesting an image for four platforms adds to its push: `python benches/signing.py [--rounds 15]`.

Pushes of a small service with and without `--sign KEY --attest sbom,provenance`, alternately, each with new binaries; to a
registry with the referrers API, and to one without it, where the lists of what is attached are kept under tags. Then the same image
again, with nothing to do, and `verify` with and without the key.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "real")]

import containers  # noqa: E402
import signatures  # noqa: E402
from signed_project import ATTESTED, REQUIRED, SignedProject, compiled  # noqa: E402
from testbed import run  # noqa: E402

ARCHES = "amd64,arm64,armv7,riscv64"
BUILDER = "buildlib-bench-signing"


def seconds(command):
    """The time on the clock, and the CPU seconds of buildlib and what it starts; those of daemons are not among them."""
    began, before = time.monotonic(), cpu_seconds()
    done = command()
    if done.code:
        sys.exit(repr(done))
    return time.monotonic() - began, cpu_seconds() - before


def cpu_seconds():
    """User and system time of all children that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def alternately(rounds, prepare, **ways):
    """The times of each way. The way that is first changes from round to round."""
    times = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            prepare()
            times[name].append(seconds(ways[name]))
    return times


def report(title, times):
    without, added = times.values()
    (clock, cpu), (signed_clock, signed_cpu) = (
        [statistics.median(kind) for kind in zip(*way, strict=True)] for way in (without, added)
    )
    differences = sorted(b[0] - a[0] for a, b in zip(without, added, strict=True))
    print(
        f"{title}: {clock:.2f} and {signed_clock:.2f} s, {signed_clock / clock:.2f} times; of each pair "
        f"{statistics.median(differences):+.2f} s ({differences[0]:+.2f} to {differences[-1]:+.2f}); "
        f"CPU {cpu:.2f} and {signed_cpu:.2f} s",
        flush=True,
    )


def measure(title, project, key, rounds):
    def push():
        return project.image("--push")

    def push_signed():
        return project.push_signed(key, *ATTESTED)

    seconds(push)  # creates the builder
    print(f"{title}, {rounds} rounds, medians without and with signatures, load {os.getloadavg()[0]:.1f}", flush=True)
    report("  pushed", alternately(rounds, project.change_binaries, without=push, signed=push_signed))
    seconds(push_signed)
    report("  nothing to do", alternately(rounds, lambda: None, without=push, signed=push_signed))
    name = f"{project.images.reference}:latest"
    ways = {
        "without": lambda: project.call("verify", name),
        "signed": lambda: project.verify(name, key, **REQUIRED),
    }
    report("  verify", alternately(rounds, lambda: None, **ways))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="pushes of each kind")
    options = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        (scratch / "engine").mkdir()
        env, tags_only = stack.enter_context(containers.complete_engine(scratch / "engine"))
        program = signatures.programs(scratch)
        api = stack.enter_context(signatures.referrers_registry(program))
        key = signatures.key_pair(program, scratch, "cosign")
        workspace = compiled(scratch / "small", ARCHES)
        for title, registry in (("a registry with the referrers API", api), ("one without it", tags_only)):
            engine = containers.Engine(env=env, registry=registry, mirrors={"docker.io": [tags_only]})
            project = SignedProject(workspace, scratch / title, engine, registry, ARCHES)
            project.write_settings(name=BUILDER)
            measure(title, project, key, options.rounds)
        run("docker", "buildx", "rm", BUILDER, env=env)


if __name__ == "__main__":
    main()
