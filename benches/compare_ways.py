"""The projects that compare.py builds, the ways in which it builds each, and the machine that it prepares for them.

The container engine, the registry with base images, and cross are made by the helpers of the real tests, and installed as they do.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
sys.path[:0] = [str(HERE), str(REPOSITORY / "tests" / "real")]

import base_images  # noqa: E402
import containers  # noqa: E402
import cross_tools  # noqa: E402
from projects import BUILDLIB, download  # noqa: E402
from testbed import install_packages, run  # noqa: E402

TRIPLE = "aarch64-unknown-linux-gnu"
RUST_IMAGE = "rust-for-arm64:1"

# As Docker's documentation builds a Rust program: crates and the target directory are in cache mounts. CACHE is another one for
# each copy of the sources, so that the first build of a copy is a cold one.
USUAL_DOCKERFILE = f"""FROM {RUST_IMAGE} AS build
ARG OPTIONS BINARY CACHE
ENV CARGO_HOME=/usr/local/cargo
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=crates,target=/usr/local/cargo/registry --mount=type=cache,id=$CACHE,target=/target \\
    cargo build --release --locked --offline --target-dir /target $OPTIONS && cp /target/release/$BINARY /binary
FROM {base_images.BASE}
COPY --from=build /binary /usr/bin/program
ENTRYPOINT ["/usr/bin/program"]
"""
# Downloads are no part of a measured build: the crates are put into the cache mounts of both Dockerfiles.
CRATES_DOCKERFILE = f"""FROM {base_images.BASE}
RUN --mount=type=bind,from=registry,target=/registry \\
    --mount=type=cache,id=crates,target=/usual --mount=type=cache,id=buildlib-crates,target=/buildlib \\
    cp -a /registry/. /usual && cp -a /registry/. /buildlib
"""
# cross 0.2.5 does not understand the "(active, default)" behind a toolchain in what rustup prints; buildlib has the same wrapper.
RUSTUP = """#!/bin/sh
[ "$1 $2" = "toolchain list" ] && {{ {rustup} "$@" | sed 's/ (.*//'; exit; }}
exec {rustup} "$@"
"""


class Project(NamedTuple):
    """What is built: a package of the registry, or one of this repository's workspace if there is no version."""

    name: str
    version: str
    options: tuple[str, ...]
    binary: str
    main: str  # the file of the binary's own source whose `main` is changed
    title: str


PROJECTS = (
    Project("workspace", "", ("-p", "cli-command"), "cli-command", "crates/cli-command/src/main.rs", "this workspace, `cli-command`"),
    Project("bore-cli", "0.6.0", (), "bore", "src/main.rs", "bore 0.6.0, a small service"),
    Project("git-absorb", "0.9.0", (), "git-absorb", "src/main.rs", "git-absorb 0.9.0, with libgit2 (C)"),
)  # fmt: skip
# Built before anything is measured: caches that are not the project's are filled, and each way has proved to work.
HELLO = Project("hello", "", (), "hello", "src/main.rs", "a program without dependencies")


class Build(NamedTuple):
    """One build: of the sources in `folder`, with everything that it writes below `out`."""

    project: Project
    folder: Path
    out: Path

    @property
    def cargo(self) -> tuple[str, ...]:
        return (
            "build",
            "--release",
            "--locked",
            "--offline",
            *self.project.options,
            "--target-dir",
            str(self.out / "target"),
        )


class Machine:
    """The prepared machine: the environment of the builds, and the engine and the registry if a way needs them."""

    def __init__(self, scratch: Path, stack: ExitStack, ways: dict[str, "Way"]) -> None:
        self.scratch, self.stack, self.ways = scratch, stack, ways
        self.cargo_home, self.cache = scratch / "cargo", scratch / "cache"
        (self.cargo_home / "registry").mkdir(parents=True, exist_ok=True)
        real = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
        if (real / "config.toml").exists():  # it may name a mirror of the registry
            shutil.copy2(real / "config.toml", self.cargo_home)
        self.release = run("rustc", "--version").out.split()[1]
        host = run("rustc", "-vV").out.split("host: ")[1].split()[0]
        self.env = {
            "CARGO_HOME": str(self.cargo_home),
            "RUSTUP_HOME": str(scratch / "rustup"),
            "RUSTUP_TOOLCHAIN": f"{self.release}-{host}",
            "RUSTUP_PERMIT_COPY_RENAME": "1",
            "RUSTC": None,
            "CARGO": None,
            # A library that this machine happens to have would be linked by a native build only.
            "LIBZ_SYS_STATIC": "1",
            "LIBGIT2_NO_PKG_CONFIG": "1",
        }
        os.environ["CARGO_HOME"] = str(self.cargo_home)  # for projects.download
        self.install_rust()
        needs = {need for way in ways.values() for need in way.needs}
        if "gcc" in needs:
            install_packages("gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross")
        install_packages("qemu-user-static", "libc6-arm64-cross", "libgcc-s1-arm64-cross", "gcc", "libc6-dev")
        self.rust_image = self.cross_image = ""
        if needs & {"engine", "cross", "emulation"}:
            self.start_engine(needs)
        scripts = (str(BUILDLIB.parent), *((str(cross_tools.install_cross()),) if "cross" in needs else ()))
        self.env["PATH"] = ":".join((*scripts, os.environ["PATH"]))
        self.env["XDG_CACHE_HOME"] = str(self.cache)

    def install_rust(self) -> None:
        """A RUSTUP_HOME of its own, with one release for all ways: cross-compiling here, and arm64's for emulation."""
        options = ("--profile", "minimal", "--no-self-update", "--force-non-host")
        extra = ("--target", TRIPLE, "--component", "rust-src")  # cross 0.2.5 requires rust-src too
        for name, more in ((self.env["RUSTUP_TOOLCHAIN"], extra), (f"{self.release}-{TRIPLE}", ())):
            if not (self.scratch / "rustup" / "toolchains" / name / "bin").exists():
                succeed(run("rustup", "toolchain", "install", name, *options, *more, env=self.env))
        wrapper = self.scratch / "rustup-for-cross" / "rustup"
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(RUSTUP.format(rustup=shutil.which("rustup")))
        wrapper.chmod(0o755)

    def start_engine(self, needs: set[str]) -> None:
        folder = self.scratch / "engine"
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
        folder.mkdir()
        env, registry = self.stack.enter_context(containers.complete_engine(folder))
        self.env |= env
        self.engine = containers.Engine(env=env, registry=registry, mirrors={"docker.io": [registry]})
        if "compiler image" in needs:
            base_images.publish_compiler(self.engine, folder)
        if "emulation" in needs:
            self.rust_image = f"{registry}/library/{RUST_IMAGE}"
            archives = {"arm64": self.arm64_compiler(folder)}
            base_images.publish(env, registry, folder / "rust", f"library/{RUST_IMAGE}", archives, compressed=False)
            succeed(run("docker", "pull", "--platform", "linux/arm64", self.rust_image, env=env))
        if "cross" in needs:
            self.cross_image = cross_tools.load_image(env)
        self.stack.callback(run, "docker", "buildx", "rm", containers.BUILDER, env=env)
        (folder / "buildlib.toml").write_text(self.engine.settings())
        succeed(run(BUILDLIB, "builder.create", cwd=folder, env=env))

    def arm64_compiler(self, folder: Path) -> Path:
        """A tar file of Debian's GCC for arm64 with rustup's toolchain for arm64 in /usr/local, as docker.io's `rust` has it."""
        archive = folder / "rust-for-arm64.tar"
        shutil.copy2(base_images.root_file_system("gcc", "arm64", "gcc", "libc6-dev"), archive)
        toolchain = self.scratch / "rustup" / "toolchains" / f"{self.release}-{TRIPLE}"
        succeed(run("tar", "--append", "--file", archive, "--directory", toolchain, "--transform", "s,^,./usr/local/,",
                    "--owner=0", "--group=0", "bin", "lib"))  # fmt: skip
        return archive

    def sources(self, project: Project) -> Path:
        """The directory of the project's sources as they are; its crates are downloaded."""
        if project.version:
            folder = download(project.name, project.version, self.scratch)
        elif not (folder := self.scratch / "sources" / project.name).exists():
            tree = "HEAD:tests/real/workspaces/hello" if project is HELLO else "HEAD"
            folder.mkdir(parents=True)
            archive = subprocess.run(["git", "archive", tree], cwd=REPOSITORY, capture_output=True, check=True).stdout
            subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
        succeed(run("cargo", "fetch", "--locked", cwd=folder, env=self.env))
        return folder

    def copy(self, project: Project, way: str, folder: Path) -> None:
        """Copy the sources, with what the way needs in them."""
        shutil.copytree(self.sources(project), folder, symlinks=True)
        (folder / ".dockerignore").write_text("target\ndist\n")
        if self.ways[way].needs & {"engine"}:
            (folder / "buildlib.toml").write_text(self.engine.settings())
        if self.cross_image:
            (folder / "Cross.toml").write_text(f'[target.{TRIPLE}]\nimage = "{self.cross_image}"\n')

    def store_crates(self) -> None:
        """Put the downloaded crates into the cache mounts of BuildKit."""
        context = self.scratch / "crates"
        context.mkdir(exist_ok=True)
        (context / "Dockerfile").write_text(CRATES_DOCKERFILE)
        argv = ("docker", "buildx", "build", "--builder", containers.BUILDER, "--no-cache", "--output", "type=cacheonly",
                "--build-context", f"registry={self.cargo_home / 'registry'}", context)  # fmt: skip
        succeed(run(*argv, env=self.env))

    def run(self, *argv: object, build: Build, **env: str):
        return run(*argv, cwd=build.folder, env=self.env | env, timeout=4 * 3600)


def succeed(result):
    """Return the result of a command that must not fail."""
    if result.code:
        sys.exit(repr(result))
    return result


def native(machine: Machine, build: Build):
    return machine.run("cargo", *build.cargo, build=build)


def zigbuild(machine: Machine, build: Build):
    target = f"{TRIPLE}.2.31"  # buildlib's minimum for arm64
    return machine.run("cargo-zigbuild", *build.cargo, "--target", target, build=build)


def cross(machine: Machine, build: Build):
    path = f"{machine.scratch / 'rustup-for-cross'}:{machine.env['PATH']}"
    return machine.run("cross", *build.cargo, "--target", TRIPLE, build=build, PATH=path)


def buildlib(backend: str) -> Callable:
    def build_with(machine: Machine, build: Build):
        words = (
            "--offline",
            *build.project.options,
            "--target-dir",
            build.out / "target",
            "--dist",
            build.out / "dist",
        )
        return machine.run(BUILDLIB, "build", "--arch", "arm64", "--backend", backend, *words, build=build)

    return build_with


def emulated(machine: Machine, build: Build):
    """cargo in a container for arm64, with the sources, the crates and the target directory of this machine."""
    mounts = {
        build.folder: "/src",
        build.out: "/out",
        machine.cargo_home / "registry": "/usr/local/cargo/registry",
    }
    volumes = (f"--volume={source}:{target}" for source, target in mounts.items())
    variables = (f"--env={name}={machine.env[name]}" for name in ("LIBZ_SYS_STATIC", "LIBGIT2_NO_PKG_CONFIG"))
    words = [word.replace(str(build.out), "/out") for word in build.cargo]
    return machine.run(
        "docker", "run", "--rm", "--platform=linux/arm64", *volumes, *variables, "--env=CARGO_HOME=/usr/local/cargo",
        "--workdir=/src", machine.rust_image, "cargo", *words, build=build,
    )  # fmt: skip


def image(*options: str) -> Callable:
    def push(machine: Machine, build: Build):
        argv = (BUILDLIB, "image", "--arch", "arm64", "--push", "--engine", "docker", *options, *build.project.options)
        return machine.run(*argv, build=build)

    return push


def emulated_image(machine: Machine, build: Build):
    """The usual Dockerfile, which compiles under QEMU."""
    dockerfile = machine.scratch / "Dockerfile.usual"
    dockerfile.write_text(USUAL_DOCKERFILE)
    arguments = {"OPTIONS": " ".join(build.project.options), "BINARY": build.project.binary, "CACHE": build.folder.name}
    variables = (f"--build-arg={name}={value}" for name, value in arguments.items())
    tag = f"{machine.engine.registry}/usual/{build.project.binary}:latest"
    return machine.run(
        "docker", "buildx", "build", "--builder", containers.BUILDER, "--platform=linux/arm64", "--push", "--progress=plain",
        *variables, "--file", dockerfile, "--tag", tag, ".", build=build,
    )  # fmt: skip


class Way(NamedTuple):
    """How something is built: `kind` is binaries or images, and `output` the binary below `Build.out`, "" for an image."""

    title: str
    kind: str
    build: Callable
    output: str = ""
    needs: frozenset[str] = frozenset()
    slow: bool = False  # compiles under QEMU


ENGINE = frozenset({"engine"})
CARGO_OUTPUT, DIST = f"target/{TRIPLE}/release/{{}}", "dist/arm64/{}"
WAYS = {
    "native": Way("`cargo build` for this machine's arch", "binaries", native, "target/release/{}"),
    "zig": Way("`buildlib build`, zig", "binaries", buildlib("zig"), DIST),
    "gcc": Way("`buildlib build --backend gcc`", "binaries", buildlib("gcc"), DIST, frozenset({"gcc"})),
    "buildlib-cross": Way("`buildlib build --backend cross`", "binaries", buildlib("cross"), DIST, frozenset({"cross"})),
    "zigbuild": Way("`cargo zigbuild`", "binaries", zigbuild, CARGO_OUTPUT),
    "cross": Way("`cross build`", "binaries", cross, CARGO_OUTPUT, frozenset({"cross"})),
    "emulated": Way("`cargo build` in an arm64 container", "binaries", emulated, "target/release/{}", frozenset({"emulation"}), True),
    "image": Way("`buildlib image --push`", "images", image(), needs=ENGINE),
    "image-in-docker": Way("`buildlib image --push --in-docker`", "images", image("--in-docker"), needs=ENGINE | {"compiler image"}),
    "image-emulated": Way("`docker buildx build --push`, compiles under QEMU", "images", emulated_image, needs=ENGINE | {"emulation"},
                          slow=True),
}  # fmt: skip


def versions(machine: Machine) -> dict[str, str]:
    """The versions of the tools that the chosen ways use."""
    commands = {
        "rustc": ("rustc", "--version"),
        "buildlib": (BUILDLIB, "--version"),
        "cargo-zigbuild": ("cargo-zigbuild", "--version"),
        "zig": (sys.executable, "-m", "ziglang", "version"),
        "gcc": ("gcc", "--version"),
        "gcc for arm64": ("aarch64-linux-gnu-gcc", "--version"),
        "cross": (cross_tools.install_cross() / "cross", "--version") if machine.cross_image else (),
        "QEMU": ("qemu-aarch64-static", "--version"),
        "gcc in the arm64 container": ("docker", "run", "--rm", "--platform=linux/arm64", machine.rust_image, "gcc", "--version")
        if machine.rust_image
        else (),
    }  # fmt: skip
    found = {}
    for name, argv in commands.items():
        if argv and shutil.which(str(argv[0]), path=machine.env["PATH"]):
            found[name] = (run(*argv, env=machine.env).out.strip().splitlines() or ["unknown"])[0]
    if "DOCKER_HOST" in machine.env:
        answer = json.loads(run("docker", "version", "--format", "{{json .}}", env=machine.env).out)
        found["Docker"] = answer["Server"]["Version"]
        found["buildx"] = run("docker", "buildx", "version", env=machine.env).out.split()[1]
        found["BuildKit"] = containers.BUILDKIT
    return found
