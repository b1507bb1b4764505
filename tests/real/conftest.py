"""Real tools on real input. What is missing is installed where we are root, skipped by name elsewhere; with CI set a
missing tool is a failure, lest a green run has tested nothing."""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
BUILDLIB = Path(sysconfig.get_path("scripts")) / "buildlib"


@dataclass
class Ran:
    """A command that has run, both streams together for a reader of a failed test."""

    code: int
    out: str
    err: str

    def __repr__(self):
        return f"<exit {self.code}>\n{self.out}\n{self.err}"


def run(*argv, cwd=None, env=None, timeout=1800):
    merged = {k: v for k, v in {**os.environ, **(env or {})}.items() if v is not None}
    done = subprocess.run(
        [str(word) for word in argv], cwd=cwd, env=merged, capture_output=True, text=True, timeout=timeout, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def buildlib(*argv, cwd, env=None):
    return run(BUILDLIB, *argv, cwd=cwd, env=env)


def need(missing, cure):
    """Skip, or fail in CI."""
    (pytest.fail if "CI" in os.environ else pytest.skip)(f"{missing} is missing: {cure}")


def packages(*names):
    """Debian packages, installed when they are not."""
    asked = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *names)
    present = {line.split()[0] for line in asked.out.splitlines() if line.endswith(" installed")}
    missing = [name for name in names if name not in present]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        need(" ".join(missing), f"apt-get install {' '.join(missing)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", env=env)
    installed = run("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=env)
    if installed.code:
        need(" ".join(missing), installed.err)


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


@pytest.fixture
def workspace(tmp_path):
    """A copy of one of the small workspaces beside this file, in a folder of its own."""

    def copy(name, folder="work space"):
        return Path(shutil.copytree(HERE / "workspaces" / name, tmp_path / folder / name))

    return copy


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The unpacked source of a published crate, as `cargo` downloads it."""

    def unpack(name, version):
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
        return source

    return unpack


@pytest.fixture(scope="session")
def cross_gcc():
    """Debian's GNU cross compilers."""
    names = ("gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabihf", "libc6-dev-arm64-cross", "libc6-dev-armhf-cross")
    packages(*names, "gcc", "libc6-dev")


@pytest.fixture(scope="session")
def loong64_libc(qemu):
    """The LoongArch libc, which only newer Debians have: fetched with a private apt configuration, so that nothing of
    the machine's own changes, and unpacked where buildlib looks for it."""
    from buildlib.host import cache_folder

    folder = cache_folder() / "libc" / "loong64"
    if (folder / "lib64" / "ld-linux-loongarch-lp64d.so.1").exists():
        return str(folder)
    if (Path("/usr/loongarch64-linux-gnu/lib64") / "ld-linux-loongarch-lp64d.so.1").exists():
        return "/usr/loongarch64-linux-gnu"
    apt = folder.parent / "apt"
    for name in ("lists/partial", "archives/partial", "debs"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} trixie main\n")
    options = ("-o", f"Dir::Etc::SourceList={apt}/sources.list", "-o", "Dir::Etc::SourceParts=-",
               "-o", f"Dir::State::Lists={apt}/lists", "-o", f"Dir::Cache={apt}", "-o", "APT::Sandbox::User=root")  # fmt: skip
    fetched = (
        run("apt-get", *options, "update"),
        run("apt-get", *options, "download", "libc6-loong64-cross", "libgcc-s1-loong64-cross", cwd=apt / "debs"),
    )
    if any(step.code for step in fetched):
        need("libc6-loong64-cross", fetched[-1].err)
    for package in (apt / "debs").glob("*.deb"):
        assert run("dpkg", "-x", package, apt / "tree").code == 0
    shutil.copytree(apt / "tree" / "usr" / "loongarch64-linux-gnu", folder, symlinks=True)
    shutil.rmtree(apt)
    return str(folder)


KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror():
    """The Debian mirror that this machine has its own libc from; security updates have another."""
    for line in run("apt-cache", "policy", "libc6").out.splitlines():
        words = line.split()
        if len(words) > 2 and "://" in words[1] and "security" not in words[1] + words[2]:
            return words[1]
    need("a Debian mirror", "run on Debian")
