"""The standard library of a target and where it comes from: installed, rustup, or compiled from rustc's own sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Action, Install, Job, Link, Step, Write, words
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain

# Debian's security suite carries a current compiler as *-web; Ubuntu and later Debians under the plain names.
DISTRIBUTION_RUST = (("rustc-web", "cargo-web", "rust-web-src"), ("rustc", "cargo", "rust-src"))
# What rustc names on a musl link line. std from source has none of them; zig has its own, which cargo-zigbuild uses in place of
# any `self-contained/*crt*.o`. Without files of these names rustc fails: "failed to open object crt1.o".
MUSL_OBJECTS = tuple(
    f"self-contained/{name}.o"
    for name in ("crt1", "rcrt1", "Scrt1", "crti", "crtn", "crtbegin", "crtbeginS", "crtbeginT", "crtend", "crtendS")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """The compiler for one target, with its std in place."""

    toolchain: Toolchain
    sysroot: Path | None = None  # None: rustc's own

    def __str__(self) -> str:
        return f"{self.toolchain}{', std built from source' if self.sysroot else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdSource:
    """One way to provide a target's std."""

    job: Job
    provides: Compiler | None  # what `installed` will return once the job is done; None if it only helps another source
    network: bool = True


def candidates(host: Host) -> tuple[Toolchain, ...]:
    """The compilers of this machine that the workspace's rust-toolchain file allows, in order of preference."""
    return tuple(t for t in host.toolchains if host.pin is None or host.pin.allows(t))


def installed(host: Host, target: Target) -> Compiler | None:
    """The first candidate whose std for `target` is installed or already built."""
    for toolchain in candidates(host):
        if target.triple in toolchain.stds:
            return Compiler(toolchain=toolchain)
        if target.triple in toolchain.managed:
            return Compiler(toolchain=toolchain, sysroot=toolchain.managed_root)
    return None


def sources(host: Host, target: Target) -> tuple[StdSource, ...]:
    """Where this machine can get `target`'s std, best first. Nothing is run."""
    ways: list[StdSource] = []
    rustup = host.which("rustup")
    if rustup and host.pin and not candidates(host):
        ways.append(StdSource(job=_install_pin(rustup, host.pin.channel, target), provides=None))
    for toolchain in candidates(host):
        is_rustup = toolchain.origin == "rustup" and rustup
        if is_rustup:
            ways.append(StdSource(job=_target_add(rustup, toolchain, target), provides=Compiler(toolchain=toolchain)))
        if toolchain.sources:
            compiler = Compiler(toolchain=toolchain, sysroot=toolchain.managed_root)
            job = build_std(toolchain, target, toolchain.sources)
            ways.append(StdSource(job=job, provides=compiler, network=False))
        elif is_rustup:
            # Tier 3 targets have no std to download, but rustup has the sources of every compiler.
            ways.append(StdSource(job=_component_add(rustup, toolchain), provides=None))
    return tuple(ways)


def unavailable(host: Host, targets: tuple[Target, ...]) -> MissingRequirements:
    """The error for targets whose std no source could provide."""
    names = ", ".join(target.name for target in targets)
    if host.pin and not candidates(host):
        return MissingRequirements(
            f"{host.pin.file} pins Rust {host.pin.channel}, which is not available here",
            f"rustup toolchain install {host.pin.channel} --target {targets[0].triple}; or name another compiler in RUSTC",
        )
    have = ", ".join(map(str, host.toolchains)) or host.rustup_error or "no rustc on PATH"
    fixes = " or ".join((*(f"`rustup target add {t.triple}`" for t in targets[:1]), "`buildlib setup`"))
    return MissingRequirements(f"no Rust standard library for {names} ({have})", fixes)


def _install_pin(rustup: str, channel: str, target: Target) -> Job:
    argv = (rustup, "toolchain", "install", channel, "--profile", "minimal", "--target", target.triple)
    return Job(name=f"Rust {channel} from rustup", steps=(_fetch(f"install Rust {channel}", argv),))


def _target_add(rustup: str, toolchain: Toolchain, target: Target) -> Job:
    argv = (rustup, "target", "add", target.triple, "--toolchain", toolchain.sysroot.name)
    return Job(name=f"std for {target.name} from rustup", steps=(_fetch(f"std for {target.name}", argv),))


def _component_add(rustup: str, toolchain: Toolchain) -> Job:
    argv = (rustup, "component", "add", "rust-src", "--toolchain", toolchain.sysroot.name)
    return Job(name=f"sources of {toolchain}", steps=(_fetch("Rust sources", argv),))


def _fetch(title: str, argv: tuple[str, ...]) -> Step:
    # rustup retries each file by itself, and there is a next source.
    return Step(title=title, argv=argv, env={"RUST_BACKTRACE": "0"}, held=True, attempts=3)


def build_std(toolchain: Toolchain, target: Target, library: Path) -> Job:
    """std, compiled once per rustc and target into the managed sysroot; about a minute on two cores."""
    root = toolchain.managed_root
    scratch = root / f"build-{target.triple}"
    lib = root / "lib" / "rustlib" / target.triple / "lib"
    built = scratch / "target" / target.triple / "release" / "deps"
    rustc = scratch / "rustc"
    vendored = f"source.vendored.directory={_toml(library / 'vendor')}"
    offline = ("--offline", *words("--config", ('source.crates-io.replace-with="vendored"', vendored)))
    compile_std = Step(
        title=f"std for {target.name}, from {library}",
        argv=(
            str(toolchain.cargo), "build", "--release", "--target", target.triple,
            *(offline if toolchain.vendored else ()),
            # `test` is the harness: without it `cargo test` has none.
            "-Zbuild-std=std,panic_abort,panic_unwind,test", "--target-dir", str(scratch / "target"),
        ),
        env={
            "RUSTC": str(rustc),
            "RUSTC_BOOTSTRAP": "1",  # -Zbuild-std on a stable cargo
            # Without bitcode every workspace with lto = "fat" fails: "failed to get bitcode from object file".
            f"CARGO_TARGET_{target.env.upper()}_RUSTFLAGS": "-Cembed-bitcode=yes",
        },
        unset=("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_PROFILE_*", "CARGO_INCREMENTAL",
               "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"),
        cwd=scratch,
        attempts=5,
    )  # fmt: skip
    return Job(
        name=f"std for {target.name} from source",
        lock=root,
        done=lib,
        scratch=scratch,
        steps=(
            Write(path=scratch / "Cargo.toml", text=SCRATCH),
            Write(path=scratch / "src" / "lib.rs", text=""),
            Write(path=rustc, text=_std_rustc(toolchain.rustc), mode=0o755),
            compile_std,
            *_mirror(toolchain),
            Install(source=built, pattern="*.rlib", into=lib, empty=MUSL_OBJECTS if target.is_musl else ()),
        ),
    )


SCRATCH = """\
[package]
name = "buildlib-std"
version = "0.0.0"
edition = "2021"

[workspace]
"""


def _std_rustc(rustc: Path) -> str:
    # Otherwise every workspace with panic = "abort" fails: "the crate panic_abort does not have the panic strategy".
    return f"""\
#!/bin/sh
case " $* " in *" --crate-name panic_abort "*) set -- "$@" -C panic=abort ;; esac
exec {quote(str(rustc))} "$@"
"""


def _mirror(toolchain: Toolchain) -> tuple[Action, ...]:
    """Links that make the managed sysroot whole: the host's std, rust-lld and the rest stay where they are."""
    rustlib = toolchain.sysroot / "lib" / "rustlib"
    names = (toolchain.host, "etc", "src")
    return tuple(Link(path=toolchain.managed_root / "lib" / "rustlib" / name, to=rustlib / name) for name in names)


def rustc_wrapper(chosen: Compiler, target: Target) -> str | None:
    """The text of a RUSTC for `target`; None where the toolchain's own rustc is enough.

    A wrapper and not RUSTFLAGS: those would replace every flag of the workspace's own configuration.
    """
    static = f"*' --target {target.triple} '*) set -- -Ctarget-feature=+crt-static \"$@\" ;;" if target.is_musl else ""
    sysroot = f" --sysroot {quote(str(chosen.sysroot))}" if chosen.sysroot else ""
    if not (sysroot or static):
        return None
    # riscv64, s390x and loong64 musl link dynamically by default; the others link statically.
    case = f'case " $* " in {static} esac\n' if static else ""
    return f'#!/bin/sh\n{case}exec {quote(str(chosen.toolchain.rustc))}{sysroot} "$@"\n'


def _toml(value: str | Path) -> str:
    """A TOML string, as cargo's --config wants its values."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def requirement(target: Target) -> Requirement:
    """That std for `target` is installed, or that a build can provide it by itself."""
    return Requirement(
        what=f"Rust standard library for {target.name}",
        why=f"compile for {target.triple}",
        met=lambda host: installed(host, target) is not None or bool(sources(host, target)),
        fixes=(
            Fix(text=f"rustup target add {target.triple}"),
            Fix(text=f"apt-get install {' '.join(DISTRIBUTION_RUST[0])}"),  # `setup` picks what the distribution has
        ),
    )
