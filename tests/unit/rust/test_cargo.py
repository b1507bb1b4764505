import hashlib
import re

from machines import ARM64, MUSL, WITH_ZIG, settings, toolset, workspace

from buildlib.core.plan import ShareHostUnits, Step, Write
from buildlib.core.request import NO_REQUEST, Request
from buildlib.core.targets import TARGETS
from buildlib.machine.selection import select
from buildlib.machine.workspace import Component
from buildlib.rust import cargo
from buildlib.rust.backends.cross import Cross

APP, TOOL = (Component(name=name, package="pack", version="1.0.0") for name in ("app", "tool"))
WORKSPACE = workspace(APP, TOOL)


def compiled(host, toolchain, target=ARM64, request=NO_REQUEST, **flags):
    selection = select(WORKSPACE, request)
    return cargo.build(
        host, settings(**flags), WORKSPACE, request, selection, toolset(host, toolchain, target, **flags)
    )


def step_of(build):
    return next(step for step in build.job.steps if isinstance(step, Step))


def test_the_whole_command_line_with_zig(machine, rustup):
    build = compiled(machine(tools=["bash", "cc", "c++", "ar", "ranlib"], **WITH_ZIG), rustup)
    folder = build.folder.parents[1]
    assert folder.name == "arm64" and folder.parent.name.startswith("zig-2.31-1.95.0-59807616e-")
    assert build.folder == folder / "aarch64-unknown-linux-gnu" / "release"
    step = step_of(build)
    assert step.argv == (
        "/v/bin/cargo-zigbuild", "build", "--target", "aarch64-unknown-linux-gnu.2.31", "--profile", "release",
        "--workspace", "--bins", "--target-dir", str(folder), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    assert build.job.steps[-2:] == (ShareHostUnits(into=folder), step)  # once its cargo may start
    tools = folder / "tools"
    project = hashlib.sha256(str(tools).encode()).hexdigest()[:8]
    assert step.env == {
        "PATH": "", "PWD": "/w", "CARGO": str(rustup.cargo), "RUSTC": f"{tools}/rustc", "SOURCE_DATE_EPOCH": "0",
        "CARGO_ZIGBUILD_ZIG_COMMAND": f"{tools}/zig", "CARGO_ZIGBUILD_CACHE_DIR": f"/cache/zigbuild/2.31-{project}",
        "ZIG_GLOBAL_CACHE_DIR": "/cache/zig", "LDFLAGS": "-Wl,--undefined-version",
        "JEMALLOC_SYS_WITH_LG_PAGE": "16",
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": f"{tools}/aarch64-unknown-linux-gnu-link-cc",
        "CC": f"{tools}/aarch64-unknown-linux-gnu-cc", "HOST_CC": "/usr/bin/cc", "CC_x86_64_unknown_linux_gnu": "/usr/bin/cc",
        "CXX": f"{tools}/aarch64-unknown-linux-gnu-c++", "HOST_CXX": "/usr/bin/c++",
        "CXX_x86_64_unknown_linux_gnu": "/usr/bin/c++",
        "AR": f"{tools}/aarch64-unknown-linux-gnu-ar", "HOST_AR": "/usr/bin/ar", "AR_x86_64_unknown_linux_gnu": "/usr/bin/ar",
        "RANLIB": f"{tools}/aarch64-unknown-linux-gnu-ranlib", "HOST_RANLIB": "/usr/bin/ranlib",
        "RANLIB_x86_64_unknown_linux_gnu": "/usr/bin/ranlib",
    }  # fmt: skip


def test_one_component_with_cargo_s_options_in_another_profile(machine, rustup):
    build = compiled(
        machine(**WITH_ZIG),
        rustup,
        request=Request(
            components=("tool",), all_features=True, offline=True, jobs="2", verbose=2, rest=("--timings",)
        ),
        profile="dev",
        features=["a", "b"],
    )
    assert step_of(build).argv[4:] == (
        "--profile", "dev", "--workspace", "--bin", "tool", "--features", "a,b", "--all-features", "--offline",
        "--jobs", "2", "--verbose", "--verbose", "--target-dir", str(build.folder.parents[1]),
        "--message-format", "json-render-diagnostics", "--timings",
    )  # fmt: skip
    assert build.folder.name == "debug"


def test_no_word_of_a_command_line_is_empty(machine, rustup):
    for target in TARGETS.values():
        assert all(step_of(compiled(machine(**WITH_ZIG), rustup, target)).argv)


def test_musl_and_gnu_share_what_is_compiled_for_this_machine_but_glibc_versions_and_compilers_do_not(
    machine, rustup, system
):
    host = machine(**WITH_ZIG)
    builds = [
        compiled(host, rustup),
        compiled(host, rustup, MUSL),
        compiled(host, rustup, glibc="2.28"),
        compiled(host, system),
        compiled(machine(env={"LDFLAGS": "-s"}, **WITH_ZIG), rustup),
        compiled(host, rustup, TARGETS["amd64"]),  # whose units for this machine have other names
    ]
    assert builds[0].family == builds[1].family
    assert len({build.family for build in builds}) == 5
    assert len({build.folder for build in builds}) == 6
    assert all(build.folder.parents[2] == build.family for build in builds)


def test_cross_compilers_share_what_is_compiled_for_this_machine_and_another_one_is_another_directory(machine, rustup):
    arches = [TARGETS[name] for name in ("arm64", "armv7", "riscv64", "amd64")]
    tools = ["cc", *(f"{target.gnu}-gcc" for target in arches[:3])]
    host = machine(tools)
    builds = [compiled(host, rustup, target, backend="gcc") for target in arches]
    assert [build.family == builds[0].family for build in builds] == [True, True, True, False]
    assert builds[3].family.name.endswith("-native")  # its linker is that of build scripts
    moved = machine(tools)
    moved._executables[f"{ARM64.gnu}-gcc"] = f"/opt/{ARM64.gnu}-gcc"
    other = compiled(moved, rustup, backend="gcc")
    assert (other.family, other.folder == builds[0].folder) == (builds[0].family, False)
    assert re.fullmatch(r"arm64\.[0-9a-f]{8}", other.folder.parents[1].name)


def test_a_container_gets_nothing_of_other_arches(machine):
    host = machine(tools=["cross", "rustup"])
    tools = cargo.Toolset(target=ARM64, backend=Cross(why="w", minimum_glibc=""), compiler=None)
    build = cargo.build(host, settings(), WORKSPACE, NO_REQUEST, select(WORKSPACE, NO_REQUEST), tools)
    assert [type(step) for step in build.job.steps] == [Write, Step]
