"""`--backend cross`. Its requirements are made from Debian packages where no image registry is reachable.

These are a daemon, cross itself, an image, and a toolchain that rustup lists. A daemon that already works is used unchanged.
"""

import json
import os
import shutil
import zlib
from pathlib import Path

import cross_tools
import pytest
from elftools.elf.elffile import ELFFile
from shared_store import NO_USE, PASSWORD, Place
from testbed import BUILDLIB, HERE, run, skip_or_fail

from buildlib.machine.host import cache_folder
from buildlib.machine.rust_toolchains import STD_VERSION


@pytest.fixture(scope="session")
def cross_program():
    return cross_tools.install_cross()


@pytest.fixture(scope="session")
def cross_image(docker):
    return cross_tools.load_image(docker)


@pytest.fixture(scope="session")
def rustup_home(distribution_rust, tmp_path_factory):
    """A separate RUSTUP_HOME, so that the user's does not change.

    It has one toolchain, named like an official one, made of the distribution's compiler, rustup's own cargo and the std that
    buildlib has built.
    """
    own = Path(run("rustup", "run", "stable", "rustc", "--print", "sysroot").out.strip())
    if not (own / "bin" / "cargo").exists():
        skip_or_fail("rustup", "cross asks it for the toolchain")
    home = tmp_path_factory.mktemp("rustup")
    release = run("/usr/bin/rustc", "--version").out.split()[1]
    name = f"{release}-x86_64-unknown-linux-gnu"
    root = home / "toolchains" / name
    rustlib = root / "lib" / "rustlib"
    rustlib.mkdir(parents=True)
    (root / "bin").mkdir()
    shutil.copy2(own / "bin" / "cargo", root / "bin")
    shutil.copy2("/usr/bin/rustc", root / "bin")
    for line in run("ldd", "/usr/bin/rustc").out.splitlines():
        library = line.split("=>")[-1].split("(")[0].strip()
        # The container has its own C library.
        if library.startswith("/") and not Path(library).name.startswith(("ld-linux", "libc.", "libm.", "libdl.")):
            shutil.copy2(Path(library).resolve(), root / "lib" / Path(library).name)
    for std in ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"):
        shutil.copytree(managed_sysroot(distribution_rust) / "lib" / "rustlib" / std, rustlib / std)
    for meta in (own / "lib" / "rustlib").glob("m*"):
        shutil.copy2(meta, rustlib)
    shutil.copy2(own / "lib" / "rustlib" / "rust-installer-version", rustlib)
    components = (own / "lib" / "rustlib" / "components").read_text()
    (rustlib / "components").write_text(components + "rust-std-aarch64-unknown-linux-gnu\nrust-src\n")
    config = (own / "lib" / "rustlib" / "multirust-config.toml").read_text()
    # cross also requires rust-src, although only targets without a std need it.
    added = (("rust-std", "aarch64-unknown-linux-gnu"), ("rust-src", "*"))
    rows = (f'\n[[components]]\npkg = "{pkg}"\ntarget = "{target}"\nis_extension = false\n' for pkg, target in added)
    (rustlib / "multirust-config.toml").write_text(config + "".join(rows))
    (home / "settings.toml").write_text(
        f'version = "12"\nprofile = "minimal"\ndefault_toolchain = "{name}"\n[overrides]\n'
    )
    return {"RUSTUP_HOME": str(home), "RUSTUP_DIST_SERVER": "http://127.0.0.1:9"}


def managed_sysroot(rust):
    """The sysroot with the arm64 std that buildlib builds for the distribution's rustc."""
    hello = HERE / "workspaces" / "hello"
    target = cache_folder() / "tests" / "target"
    argv = (BUILDLIB, "build", "--arch", "arm64", "--target-dir", target, "--dist", target / "dist")
    built = run(*argv, cwd=hello, env=rust)
    assert built.code == 0, built
    (root,) = cache_folder().glob(f"sysroots/{run('/usr/bin/rustc', '--version').out.split()[1]}-*-{STD_VERSION}")
    return root


def test_cross_compiles_in_a_container_and_does_not_change_rustup(
    workspace, qemu, docker, cross_program, cross_image, rustup_home
):
    hello = workspace("hello")
    (hello / "Cross.toml").write_text(f'[target.aarch64-unknown-linux-gnu]\nimage = "{cross_image}"\n')
    env = {
        **docker,
        **rustup_home,
        "PATH": f"{cross_program}:{os.environ['PATH']}",
        "BUILDLIB_EMBED_SBOM": "true",
    }
    before = run("rustup", "toolchain", "list", env=env).out
    built = run(BUILDLIB, "build", "--arch", "arm64", "--backend", "cross", "-v", "--json", cwd=hello, env=env)
    assert built.code == 0 and "Compiling hello v1.2.3 (/project)" in built.err, built  # /project: inside the container
    assert '"backend": "cross"' in built.out and '"started": "--version"' in built.out
    started = run("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu", hello / "dist" / "arm64" / "hello")
    assert started.out == "aarch64 64 little squares=14 caught=true root=1.414\n", started
    with (hello / "dist" / "arm64" / "hello").open("rb") as stream:  # the crates are added on this machine
        crates = json.loads(zlib.decompress(ELFFile(stream).get_section_by_name(".dep-v0").data()))["packages"]
    assert crates == [{"name": "hello", "version": "1.2.3", "source": "local", "root": True}]
    again = run(BUILDLIB, "reproduce", "--arch", "arm64", "--backend", "cross", "--json", cwd=hello, env=env)
    (compared,) = json.loads(again.out)
    assert (again.code, compared["identical"]) == (0, True), again
    assert run("rustup", "toolchain", "list", env=env).out == before
    assert "syncing channel updates" not in built.err


def test_another_user_elsewhere_compiles_nothing_again_in_a_container(
    redis_server, qemu, docker, cross_program, cross_image, rustup_home, tmp_path
):
    store, server = redis_server()
    tools = {**docker, **rustup_home, "PATH": f"{cross_program}:{os.environ['PATH']}", "BUILDLIB_BACKEND": "cross"}
    shared = {**tools, "BUILDLIB_CACHE_COMPILER": store, "SCCACHE_REDIS_PASSWORD": PASSWORD}

    def place(name, env):
        made = Place(tmp_path / name, **env)
        (made.root / "Cross.toml").write_text(f'[target.aarch64-unknown-linux-gnu]\nimage = "{cross_image}"\n')
        script = made.root / "build.rs"  # cross names the target's tools by variables with its triple alone
        for tool in ("CC", "AR"):
            script.write_text(script.read_text().replace(f'"{tool}"', f'"{tool}_aarch64_unknown_linux_gnu"'))
        with (made.root / "Cargo.toml").open("a") as manifest:
            manifest.write("[workspace]\n")  # cross mounts what is no member under the path that it has on this machine
        return made

    without = place("without", tools).build()
    first = place("first", shared).build()
    second = place("quite-another", shared).build()
    assert [made[0] for made in (without, first, second)] == [
        NO_USE, {"compilations": 2, "hits": 0}, {"compilations": 2, "hits": 2},
    ]  # fmt: skip
    assert without[2] == first[2] == second[2]
    server.kill()
    server.wait()
    use, said, program = place("down", shared).build()
    assert (use, program) == (NO_USE, without[2])
    assert f"warning: no compiler cache: {store}" in said and "compiling without it" in said
    assert run("docker", "ps", "--all", "--quiet", "--filter", "name=buildlib-sccache", env=docker).out == ""
