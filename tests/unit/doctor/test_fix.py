"""What `setup` and `doctor --fix` install: packages, each once, and steps that need root."""

from machines import ARM64

from buildlib.core.requirements import apt_install, missing
from buildlib.crates.graph import Script
from buildlib.doctor import fix
from buildlib.rust.backends.zig import INSTALL, Zig
from buildlib.rust.provision import build_requirements

SCRIPTS = tuple(
    Script(package=package, version="1.0.0", for_host=False, crates={crate: "1.0.0"})
    for package, crate in (("a-sys", "cmake"), ("openssl-sys", "openssl-src"), ("b-sys", "autotools"))
)


def absent(host):
    chosen = {ARM64: Zig(why="", minimum_glibc="2.31")}
    return missing(build_requirements(host, chosen, {ARM64: SCRIPTS}, lambda: False), host)


def test_packages_of_the_distribution_are_each_installed_once(machine):
    assert fix.packages(absent(machine())) == (
        "cmake", "perl", "make", "qemu-user-static", "libc6-arm64-cross", "libgcc-s1-arm64-cross",
    )  # fmt: skip


def test_steps_without_root_are_each_run_once(machine):
    assert fix.own_steps(absent(machine())) == (INSTALL,)


def test_sudo_is_used_without_root(machine):
    step = apt_install("perl")
    assert fix.privileged(machine(root=True), step) is step
    as_user = fix.privileged(machine(root=False), step)
    assert (as_user.argv, as_user.terminal) == (("sudo", *step.argv), True)
