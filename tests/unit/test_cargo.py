from pathlib import Path

from machines import ARM64, MUSL, WITH_ZIG, pick, settings

from buildlib import cargo
from buildlib.plan import Step
from buildlib.targets import TARGETS
from buildlib.toolchain import Chosen
from buildlib.workspace import Component, Workspace

APP, TOOL = (Component(name=name, package="pack", version="1.0.0") for name in ("app", "tool"))
WORKSPACE = Workspace(root=Path("/w"), target_dir=Path("/w/target"), components=(APP, TOOL))


def compiled(host, toolchain, target=ARM64, components=(APP, TOOL), **flags):
    chosen = Chosen(toolchain=toolchain)
    made = settings(**flags)
    return cargo.build(host, made, WORKSPACE, target, pick(host, target, **flags), chosen, components)


def step_of(build):
    return next(step for step in build.job.steps if isinstance(step, Step))


def test_the_zig_line_as_a_whole(machine, rustup):
    build = compiled(machine(tools=["cc", "c++", "ar", "ranlib"], **WITH_ZIG), rustup)
    folder = build.folder.parents[1]
    assert folder.name.startswith("zig-2.31-1.95.0-59807616e-")
    assert build.folder == folder / "aarch64-unknown-linux-gnu" / "release"
    step = step_of(build)
    assert step.argv == (
        "/v/bin/cargo-zigbuild", "build", "--target", "aarch64-unknown-linux-gnu.2.31", "--profile", "release",
        "--workspace", "--bins", "--target-dir", str(folder), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    tools = folder / "tools" / "arm64"
    assert step.env == {
        "PATH": "", "CARGO": str(rustup.cargo), "RUSTC": str(rustup.rustc),
        "CARGO_ZIGBUILD_ZIG_COMMAND": "/zig/zig", "CARGO_ZIGBUILD_CACHE_DIR": "/cache/zigbuild/2.31",
        "ZIG_GLOBAL_CACHE_DIR": "/cache/zig", "LDFLAGS": "-Wl,--undefined-version",
        "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER": f"{tools}/aarch64-unknown-linux-gnu-link-cc",
        "CC": f"{tools}/aarch64-unknown-linux-gnu-cc", "HOST_CC": "/usr/bin/cc", "CC_x86_64_unknown_linux_gnu": "/usr/bin/cc",
        "CXX": f"{tools}/aarch64-unknown-linux-gnu-c++", "HOST_CXX": "/usr/bin/c++",
        "CXX_x86_64_unknown_linux_gnu": "/usr/bin/c++",
        "AR": f"{tools}/aarch64-unknown-linux-gnu-ar", "HOST_AR": "/usr/bin/ar", "AR_x86_64_unknown_linux_gnu": "/usr/bin/ar",
        "RANLIB": f"{tools}/aarch64-unknown-linux-gnu-ranlib", "HOST_RANLIB": "/usr/bin/ranlib",
        "RANLIB_x86_64_unknown_linux_gnu": "/usr/bin/ranlib",
    }  # fmt: skip


def test_one_component_and_features_and_another_profile(machine, rustup):
    build = compiled(machine(**WITH_ZIG), rustup, components=(TOOL,), profile="dev", features=["a", "b"])
    assert step_of(build).argv[4:] == (
        "--profile", "dev", "--package", "pack", "--bin", "tool", "--features", "a,b",
        "--target-dir", str(build.folder.parents[1]), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    assert build.folder.name == "debug"


def test_no_word_is_ever_empty(machine, rustup):
    for name in TARGETS:
        assert all(step_of(compiled(machine(**WITH_ZIG), rustup, TARGETS[name])).argv)


def test_musl_and_gnu_share_a_folder_but_floors_and_compilers_do_not(machine, rustup, system):
    host = machine(**WITH_ZIG)
    folders = [
        compiled(host, rustup).folder.parents[1],
        compiled(host, rustup, MUSL).folder.parents[1],
        compiled(host, rustup, glibc="2.28").folder.parents[1],
        compiled(host, system).folder.parents[1],
        compiled(machine(env={"LDFLAGS": "-s"}, **WITH_ZIG), rustup).folder.parents[1],
    ]
    assert folders[0] == folders[1]
    assert len(set(folders)) == 4
