"""How often the first attempt to push an image for two platforms to a registry behind a bad network succeeds.

`docker buildx build --push` and `buildlib image --push` are compared with the same seeds. Run it with
`python benches/faults.py [--builds 40] [--more 120] [--all] [--dockerfile] [--engine none]`.

A proxy in front of the registry demands a token and answers a share of all requests, token requests included, with a reset or
503 (--all: also 500, 502, 429 with Retry-After, half a body, a late answer, no answer for 20 s). Every build has new binaries.
Then permanent faults, which must not be retried, and the cost of the gateway without faults.
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

import base_images  # noqa: E402
import containers  # noqa: E402
from faulty_registry import ALL, COMMON, faulty_proxy  # noqa: E402
from testbed import BUILDLIB, run  # noqa: E402

RATES = (0.0, 0.05, 0.10, 0.16, 0.20, 0.30, 0.50)
REQUIRED = (0.16, 0.20, 0.30)  # the rates at which a push must succeed; they get more builds
BUILDER = "buildlib-bench-faults"
MANIFEST = '[package]\nname = "small"\nversion = "0.1.0"\nedition = "2021"\n'
SOURCE = 'fn main() {\n    println!("small 0.1.0");\n}\n'
DOCKERFILE = (
    f"FROM {base_images.BASE}\nARG TARGETARCH\nCOPY dist/$TARGETARCH/small /usr/bin/small\n"
    'ENTRYPOINT ["/usr/bin/small"]\n'
)
DENIED = {"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}


class Bench:
    """One small service, compiled once, whose binaries change before each push. `way` is the setting `engine`."""

    way = "docker"

    def __init__(self, folder, proxy, engine):
        self.folder, self.proxy, self.env = folder, proxy, engine.env
        (folder / "src").mkdir(parents=True)
        (folder / "Cargo.toml").write_text(MANIFEST)
        (folder / "src" / "main.rs").write_text(SOURCE)
        (folder / "buildlib.toml").write_text(engine.settings(name=BUILDER))
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / ".dockerignore").write_text("target\n")
        succeed(run(BUILDLIB, "build", "--arch", "amd64,arm64", cwd=folder))
        self.binaries = {arch: (folder / "dist" / arch / "small").read_bytes() for arch in ("amd64", "arm64")}

    def change_binaries(self):
        """Append random bytes to the programs, as if the new files had passed the gate."""
        file = self.folder / "dist" / "manifest.json"
        manifest = json.loads(file.read_text())
        for entry in manifest["binaries"]:
            data = self.binaries[entry["arch"]] + os.urandom(64)
            path = self.folder / "dist" / entry["path"]
            path.unlink()
            path.write_bytes(data)
            path.chmod(0o755)
            entry["sha256"] = hashlib.sha256(data).hexdigest()
        file.write_text(json.dumps(manifest))

    @contextmanager
    def other_base(self, name):
        """Let both ways use another base image."""
        files = [self.folder / "Dockerfile", self.folder / "buildlib.toml"]
        before = [file.read_text() for file in files]
        files[0].write_text(DOCKERFILE.replace(base_images.BASE, name))
        files[1].write_text(f'{before[1]}[components.small]\nbase = "{name}"\n')
        yield
        for file, text in zip(files, before, strict=True):
            file.write_text(text)

    def push_with_buildlib(self, **env):
        argv = (BUILDLIB, "image", "--no-build", "--push", "--arch", "amd64,arm64", "--engine", self.way)
        return run(*argv, cwd=self.folder, env=self.env | env)

    def push_with_buildx(self):
        return run("docker", "buildx", "build", "--builder", BUILDER, "--platform", "linux/amd64,linux/arm64", "--push",
                   "--provenance=false", "--tag", f"{self.proxy.address}/acme/raw:1", ".", cwd=self.folder, env=self.env)  # fmt: skip

    def repeat(self, push, builds, rate, kinds):
        """Exit code and seconds of this number of first attempts."""
        results = []
        for seed in range(builds):
            self.change_binaries()
            self.proxy.inject(rate, seed, kinds)
            began = time.monotonic()
            code = push().code
            results.append((code, time.monotonic() - began))
        return results


class DockerfileBench(Bench):
    """A project without Rust, whose image from its own Dockerfile gets another file before each push."""

    def __init__(self, folder, proxy, engine):
        self.folder, self.proxy, self.env = folder, proxy, engine.env
        folder.mkdir()
        table = '[images.small]\ndockerfile = "Dockerfile"\ncontext = "."\n'
        (folder / "buildlib.toml").write_text(engine.settings(name=BUILDER) + table)
        (folder / "Dockerfile").write_text(
            f'FROM {base_images.BASE}\nCOPY data /data\nRUN test -s /data\nCMD ["true"]\n'
        )
        self.change_binaries()

    def change_binaries(self):
        (self.folder / "data").write_bytes(os.urandom(64))

    def push_with_buildlib(self, **env):
        argv = (BUILDLIB, "image", "--push", "--arch", "amd64,arm64")
        return run(*argv, cwd=self.folder, env=self.env | env)


def succeed(result):
    if result.code:
        sys.exit(repr(result))


def wilson_interval(successes, total):
    """The 95 % confidence interval of a share (Wilson score)."""
    z, share = 1.96, successes / total
    middle, half = share + z * z / (2 * total), z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - half) / (1 + z * z / total), (middle + half) / (1 + z * z / total)


def summarize(results):
    successes = sum(code == 0 for code, _ in results)
    low, high = wilson_interval(successes, len(results))
    mean = statistics.mean(seconds for _, seconds in results)
    return f"{successes}/{len(results)} ({100 * low:.0f} to {100 * high:.0f} %), {mean:.1f} s"


def rates(bench, shares, builds, more, kinds):
    """The success rates of both ways at these shares of failing requests."""
    without_faults = None
    print(f"kinds of faults: {', '.join(kinds)}; first-time success (95 % interval), mean time")
    for rate in shares:
        buildx = bench.repeat(bench.push_with_buildx, builds, rate, kinds)
        buildlib = bench.repeat(bench.push_with_buildlib, more if rate in REQUIRED else builds, rate, kinds)
        mean = statistics.mean(seconds for _, seconds in buildlib)
        without_faults = without_faults or mean
        print(
            f"{100 * rate:3.0f} %  buildx {summarize(buildx):36}  buildlib {summarize(buildlib):36}  "
            f"{mean / without_faults:.2f} times its time at 0 %",
            flush=True,
        )


def permanent_faults(bench):
    """Faults that no retry fixes: the number of refused and repeated requests, and the time until the error."""
    print("permanent faults")
    ways = {"buildx": bench.push_with_buildx, "buildlib": bench.push_with_buildlib}
    for title, refuse in {
        "denied by the token endpoint": {"repository%3Aacme": (403, DENIED)},
        "denied at the upload": {"/blobs/uploads/": (403, DENIED)},
    }.items():
        bench.change_binaries()
        results = "; ".join(permanent_fault(bench, name, push, refuse) for name, push in ways.items())
        print(f"  {title}: {results}", flush=True)
    # The base image is missing in the registry itself: behind a mirror, BuildKit would ask Docker Hub next.
    with bench.other_base(f"{bench.proxy.address}/library/none:1"):
        bench.change_binaries()
        results = "; ".join(permanent_fault(bench, name, push, {}) for name, push in ways.items())
        print(f"  no such base image: {results}", flush=True)
    (bench.folder / "src" / "main.rs").write_text('fn main() { let n: u8 = "connection reset"; }\n')
    build = permanent_fault(bench, "buildlib", lambda: run(BUILDLIB, "build", cwd=bench.folder), {})
    print(f"  does not compile: {build}", flush=True)
    bench.proxy.inject(0)


def permanent_fault(bench, name, command, refuse):
    record = bench.folder / ".build-failures.log"
    record.unlink(missing_ok=True)
    bench.proxy.inject(0, refuse=refuse)
    began = time.monotonic()
    code = command().code
    seconds = time.monotonic() - began
    attempts = [json.loads(line)["attempt"] for line in record.read_text().splitlines()] if record.exists() else []
    retried = f", retried {sum(number > 1 for number in attempts)} times" if name == "buildlib" else ""
    return f"{name} exit {code}, refused {bench.proxy.refusals.total()} requests{retried}, {seconds:.1f} s"


def cost(bench, rounds):
    """The cost of the gateway without faults: pushes with it and without it, alternately."""
    times = {"with": [], "without": []}
    for number in range(rounds):
        for name, env in (("with", {}), ("without", {"BUILDLIB_RETRY_ATTEMPTS": "1"}))[:: 1 if number % 2 else -1]:
            bench.change_binaries()
            bench.proxy.inject(0)
            began = time.monotonic()
            succeed(bench.push_with_buildlib(**env))
            times[name].append(time.monotonic() - began)
    gateway, direct = (statistics.median(times[name]) for name in ("with", "without"))
    print(
        f"no faults, {rounds} rounds, medians: gateway {gateway:.2f} s, direct {direct:.2f} s: "
        f"{gateway / direct:.3f} times"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--builds", type=int, default=40, help="builds for each rate and way")
    parser.add_argument("--more", type=int, default=120, help="builds with buildlib at 16, 20 and 30 %%")
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="shares of failing requests")
    parser.add_argument(
        "--only", action="store_true", help="only the cost of the gateway and permanent faults, no rates"
    )
    parser.add_argument("--all", action="store_true", help="all kinds of faults")
    parser.add_argument("--engine", default="docker", help="the engine of buildlib: docker or none")
    parser.add_argument("--dockerfile", action="store_true", help="only the rates, of an image from a Dockerfile")
    options = parser.parse_args()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        env, registry = stack.enter_context(containers.complete_engine(scratch))
        proxy = stack.enter_context(faulty_proxy(registry))
        engine = containers.Engine(env=env, registry=proxy.address, mirrors={"docker.io": [proxy.address]})
        bench = (DockerfileBench if options.dockerfile else Bench)(scratch / "small", proxy, engine)
        bench.way = options.engine
        succeed(bench.push_with_buildlib())  # creates the builder, and pulls the base image into it
        if not options.dockerfile:
            cost(bench, 15)
            permanent_faults(bench)
        if not options.only:
            shares = tuple(map(float, options.rates.split(",")))
            rates(bench, shares, options.builds, options.more, ALL if options.all else COMMON)
        run("docker", "buildx", "rm", BUILDER, env=env)


if __name__ == "__main__":
    main()
