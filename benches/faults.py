"""A registry behind a bad network: how often an image for two platforms gets there at the first call, by `docker buildx build --push`
and by `buildlib image --push`, with the same seeds. Run by hand: `python benches/faults.py [--builds 40] [--more 120] [--all]`.

A proxy in front of the registry asks for a token and answers a share of all requests, the token's as well, with a reset or 503
(--all: also 500, 502, 429 with Retry-After, half a body, a late answer, none for 20 s). Every build has binaries that nobody has
seen before. Then the permanent faults, each tried once if all is well, and what the gateway costs where nothing fails.
"""

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from math import sqrt
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "tests" / "real")]

import engine  # noqa: E402
from bed import BUILDLIB, run  # noqa: E402
from faulty import ALL, HALF, faulty  # noqa: E402

RATES = (0.0, 0.05, 0.10, 0.16, 0.20, 0.30, 0.50)
PROMISED = (0.16, 0.20, 0.30)  # of which more builds are made
BUILDER = "buildlib-bench-faults"
MANIFEST = '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n'
SOURCE = 'fn main() {\n    println!("small 0.1.0");\n}\n'
DOCKERFILE = 'FROM debian:trixie-slim\nARG TARGETARCH\nCOPY dist/$TARGETARCH/small /usr/bin/small\nENTRYPOINT ["/usr/bin/small"]\n'
DENIED = {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}


class Bench:
    """One small service, built once, whose bytes change before each push."""

    def __init__(self, folder, proxy, bed):
        self.folder, self.proxy, self.env = folder, proxy, bed.env
        (folder / "src").mkdir(parents=True)
        (folder / "Cargo.toml").write_text(MANIFEST)
        (folder / "src" / "main.rs").write_text(SOURCE)
        (folder / "buildlib.toml").write_text(bed.settings(name=BUILDER))
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / ".dockerignore").write_text("target\n")
        done(run(BUILDLIB, "build", "--arch", "amd64,arm64", cwd=folder))
        self.binaries = {arch: (folder / "dist" / arch / "small").read_bytes() for arch in ("amd64", "arm64")}

    def change(self):
        """Other bytes behind the programs, as if they had passed the gate."""
        manifest = self.folder / "dist" / "manifest.json"
        told = json.loads(manifest.read_text())
        for entry in told["binaries"]:
            data = self.binaries[entry["arch"]] + os.urandom(64)
            path = self.folder / "dist" / entry["path"]
            path.unlink()
            path.write_bytes(data)
            path.chmod(0o755)
            entry["sha256"] = hashlib.sha256(data).hexdigest()
        manifest.write_text(json.dumps(told))

    @contextmanager
    def other_base(self, name):
        """Both ways begin with another image."""
        files = [self.folder / "Dockerfile", self.folder / "buildlib.toml"]
        before = [file.read_text() for file in files]
        files[0].write_text(DOCKERFILE.replace("debian:trixie-slim", name))
        files[1].write_text(f'{before[1]}[components.small]\nbase = "{name}"\n')
        yield
        for file, text in zip(files, before, strict=True):
            file.write_text(text)

    def buildlib(self, **env):
        return run(
            BUILDLIB, "image", "--no-build", "--push", "--arch", "amd64,arm64", cwd=self.folder, env=self.env | env
        )

    def raw(self):
        return run("docker", "buildx", "build", "--builder", BUILDER, "--platform", "linux/amd64,linux/arm64", "--push",
                   "--provenance=false", "--tag", f"{self.proxy.address}/acme/raw:1", ".", cwd=self.folder, env=self.env)  # fmt: skip

    def times(self, way, builds, rate, kinds):
        """Exit code and seconds of so many first calls."""
        found = []
        for seed in range(builds):
            self.change()
            self.proxy.play(rate, seed, kinds)
            began = time.monotonic()
            code = way().code
            found.append((code, time.monotonic() - began))
        return found


def done(ran):
    if ran.code:
        sys.exit(repr(ran))
    return ran


def wilson(well, of):
    """The 95 % interval of a share."""
    z, share = 1.96, well / of
    middle, half = share + z * z / (2 * of), z * sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def told(found):
    well = sum(code == 0 for code, _ in found)
    low, high = wilson(well, len(found))
    return f"{well}/{len(found)} ({100 * low:.0f} to {100 * high:.0f} %), {statistics.mean(seconds for _, seconds in found):.1f} s"


def rates(bench, builds, more, kinds):
    quiet = None
    print(f"kinds of faults: {', '.join(kinds)}; first-time success (95 % interval), mean time")
    for rate in RATES:
        raw = bench.times(bench.raw, builds, rate, kinds)
        ours = bench.times(bench.buildlib, more if rate in PROMISED else builds, rate, kinds)
        mean = statistics.mean(seconds for _, seconds in ours)
        quiet = quiet or mean
        print(
            f"{100 * rate:3.0f} %  buildx {told(raw):36}  buildlib {told(ours):36}  {mean / quiet:.2f} times its time at 0 %",
            flush=True,
        )


def permanent(bench):
    """What no retry cures: how often it was asked for and tried again, and how long it took to say so."""
    print("permanent faults")
    for title, refuse in {
        "denied by the token endpoint": {"repository%3Aacme": (403, DENIED)},
        "denied at the upload": {"/blobs/uploads/": (403, DENIED)},
    }.items():
        bench.change()
        ways = {"buildx": bench.raw, "buildlib": bench.buildlib}
        print(f"  {title}: {'; '.join(one_fault(bench, name, way, refuse) for name, way in ways.items())}", flush=True)
    # Of the registry itself: behind a mirror that does not have it stands Docker Hub, which may be out of reach here.
    with bench.other_base(f"{bench.proxy.address}/library/none:1"):
        bench.change()
        ways = {"buildx": bench.raw, "buildlib": bench.buildlib}
        print(
            f"  no such base image: {'; '.join(one_fault(bench, name, way, {}) for name, way in ways.items())}",
            flush=True,
        )
    (bench.folder / "src" / "main.rs").write_text('fn main() { let n: u8 = "connection reset"; }\n')
    print(
        f"  does not compile: {one_fault(bench, 'buildlib', lambda: run(BUILDLIB, 'build', cwd=bench.folder), {})}",
        flush=True,
    )
    bench.proxy.play(0)


def one_fault(bench, name, way, refuse):
    record = bench.folder / ".build-failures.log"
    record.unlink(missing_ok=True)
    bench.proxy.play(0, refuse=refuse)
    began = time.monotonic()
    code = way().code
    seconds = time.monotonic() - began
    tries = [json.loads(line)["attempt"] for line in record.read_text().splitlines()] if record.exists() else []
    again = f", tried again {sum(n > 1 for n in tries)} times" if name == "buildlib" else ""
    return f"{name} exit {code}, refused {bench.proxy.refusals.total()} requests{again}, {seconds:.1f} s"


def cost(bench, rounds):
    """What the gateway costs where nothing fails: with and without it, in turns."""
    times = {"with": [], "without": []}
    for number in range(rounds):
        for name, env in (("with", {}), ("without", {"BUILDLIB_RETRY_ATTEMPTS": "1"}))[:: 1 if number % 2 else -1]:
            bench.change()
            bench.proxy.play(0)
            began = time.monotonic()
            done(bench.buildlib(**env))
            times[name].append(time.monotonic() - began)
    ours, plain = (statistics.median(times[name]) for name in ("with", "without"))
    print(
        f"no faults, {rounds} rounds, medians: gateway {ours:.2f} s, straight {plain:.2f} s: {ours / plain:.3f} times"
    )


def main():
    words = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    words.add_argument("--builds", type=int, default=40, help="of each rate and way")
    words.add_argument("--more", type=int, default=120, help="of buildlib's at 16, 20 and 30 %%")
    words.add_argument("--only", action="store_true", help="what the gateway costs and the permanent faults, no rates")
    words.add_argument("--all", action="store_true", help="all kinds of faults")
    asked = words.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        env, address = stack.enter_context(engine.whole(scratch))
        proxy = stack.enter_context(faulty(address))
        bed = engine.Bed(env=env, registry=proxy.address, mirrors={"docker.io": [proxy.address]})
        bench = Bench(scratch / "small", proxy, bed)
        done(bench.buildlib())  # makes the builder, and brings the base image into it
        cost(bench, 15)
        permanent(bench)
        if not asked.only:
            rates(bench, asked.builds, asked.more, ALL if asked.all else HALF)
        run("docker", "buildx", "rm", BUILDER, env=env)


if __name__ == "__main__":
    main()
