"""Real tools on real input; see bed.py for what happens where one is missing."""

import shutil
from pathlib import Path

import pytest
from bed import HERE, KEYRING, mirror, need, packages, run


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
