"""What `cross` needs, made of packages where no image registry is reachable: the program and an image with GCC for arm64."""

from testbed import KEYRING, debian_mirror, install_packages, run

from buildlib.machine.host import cache_folder

CROSS = "0.2.5"
IMAGE = "buildlib-test/cross-arm64"


def install_cross():
    """The directory of cross from crates.io, compiled once into the cache."""
    root = cache_folder() / "tests" / f"cross-{CROSS}"
    if not (root / "bin" / "cross").exists():
        installed = run("cargo", "install", "cross", "--version", CROSS, "--locked", "--root", root)
        assert installed.code == 0, installed
    return root / "bin"


def load_image(env):
    """Load an image with GCC for arm64 from Debian packages that are unpacked but not configured; its name."""
    archive = cache_folder() / "tests" / "bookworm-cross-arm64-bash.tar"
    if not archive.exists():
        install_packages("mmdebstrap")
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(".partial.tar")
        created = run(
            "mmdebstrap", "--variant=extract", "--mode=root",
            "--include=base-files,dash,bash,coreutils,grep,sed,gcc,libc6-dev,gcc-aarch64-linux-gnu,libc6-dev-arm64-cross",
            # Nothing is configured, and no other hook runs: as Debian's alternatives would. Build scripts are linked with cc.
            '--extract-hook=ln -sf gcc "$1/usr/bin/cc"', '--extract-hook=test -e "$1/bin/sh" || ln -s dash "$1/bin/sh"',
            "bookworm", partial, f"deb [signed-by={KEYRING}] {debian_mirror()} bookworm main",
        )  # fmt: skip
        assert created.code == 0, created
        partial.rename(archive)
    names = {"CC": "gcc", "CXX": "g++", "AR": "ar"}
    change = "ENV LD_LIBRARY_PATH=/rust/lib CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc "
    change += " ".join(f"{name}_aarch64_unknown_linux_gnu=aarch64-linux-gnu-{tool}" for name, tool in names.items())
    loaded = run("docker", "import", "--change", change, archive, IMAGE, env=env)
    assert loaded.code == 0, loaded
    return IMAGE
