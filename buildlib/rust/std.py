"""The standard library of a target and where it comes from: installed, rustup, or compiled from rustc's own sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from buildlib.core.errors import MissingRequirements
from buildlib.core.plan import Action, Install, Job, Link, Step, Trims, Write, words
from buildlib.core.requirements import Fix, Requirement
from buildlib.core.targets import Target, cargo_variable
from buildlib.machine.host import Host
from buildlib.machine.rust_toolchains import Toolchain
from buildlib.rust.trim import rustc_flags, std_sources

# Debian's security suite has a current compiler as *-web; Ubuntu and later releases of Debian under the plain names.
DISTRIBUTION_RUST = (("rustc-web", "cargo-web", "rust-web-src"), ("rustc", "cargo", "rust-src"))
# The objects that rustc names on a musl link line. std from source has none of them; zig has its own, which cargo-zigbuild passes
# instead of any `self-contained/*crt*.o`. Without files of these names rustc fails: "failed to open object crt1.o".
MUSL_OBJECTS = tuple(
    f"self-contained/{name}.o"
    for name in ("crt1", "rcrt1", "Scrt1", "crti", "crtn", "crtbegin", "crtbeginS", "crtbeginT", "crtend", "crtendS")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """The compiler for one target, with its std installed."""

    toolchain: Toolchain
    sysroot: Path | None = None  # None for rustc's own

    def std_folders(self, target: Target) -> tuple[Path, Path]:
        """The directories of the compiled standard libraries of this machine and of the target."""
        inside = Path("lib", "rustlib")
        own, of_target = self.toolchain.sysroot, self.sysroot or self.toolchain.sysroot
        return own / inside / self.toolchain.host / "lib", of_target / inside / target.triple / "lib"

    def __str__(self) -> str:
        return f"{self.toolchain}{', std built from source' if self.sysroot else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StdSource:
    """One source of a target's std."""

    job: Job
    provides: Compiler | None  # what `installed` returns after the job; None if the job only enables another source
    network: bool = True


def candidates(host: Host) -> tuple[Toolchain, ...]:
    """Return the compilers of this machine that the workspace's rust-toolchain file allows, in order of preference."""
    return tuple(t for t in host.toolchains if host.pin is None or host.pin.allows(t))


def installed(host: Host, target: Target) -> Compiler | None:
    """Return the first candidate whose std for `target` is installed or already built, None without one."""
    for toolchain in candidates(host):
        if target.triple in toolchain.stds:
            return Compiler(toolchain=toolchain)
        if target.triple in toolchain.managed:
            return Compiler(toolchain=toolchain, sysroot=toolchain.managed_root)
    return None


def sources(host: Host, target: Target) -> tuple[StdSource, ...]:
    """Return the sources of `target`'s std on this machine, the best first. Nothing is run."""
    ordered: list[StdSource] = []
    rustup = host.which("rustup")
    if rustup and host.pin and host.pin.channel and not candidates(host):
        ordered.append(StdSource(job=_install_pin(rustup, host.pin.channel, target), provides=None))
    for toolchain in candidates(host):
        own_rustup = rustup if toolchain.origin == "rustup" else None
        if own_rustup:
            ordered.append(
                StdSource(job=_target_add(own_rustup, toolchain, target), provides=Compiler(toolchain=toolchain))
            )
        if toolchain.sources:
            compiler = Compiler(toolchain=toolchain, sysroot=toolchain.managed_root)
            job = build_std(toolchain, target, toolchain.sources)
            ordered.append(StdSource(job=job, provides=compiler, network=False))
        elif own_rustup:
            # Tier 3 targets have no std to download, but rustup has the sources of every compiler.
            ordered.append(StdSource(job=_component_add(own_rustup, toolchain), provides=None))
    return tuple(ordered)


def unavailable(host: Host, targets: tuple[Target, ...]) -> MissingRequirements:
    """Return the error for targets whose std no source could provide."""
    names = ", ".join(target.name for target in targets)
    if host.pin and not candidates(host):
        return MissingRequirements(
            f"{host.pin.file} pins {host.pin}, which is not installed",
            f"rustup toolchain install {host.pin.channel} --target {targets[0].triple}; or set RUSTC to another compiler"
            if host.pin.channel
            else f"set RUSTC to {host.pin.folder}/bin/rustc",
        )
    compilers = ", ".join(map(str, candidates(host))) or host.rustup_error or "no rustc on PATH"
    fixes = " or ".join((*(f"`rustup target add {t.triple}`" for t in targets[:1]), "`buildlib setup`"))
    return MissingRequirements(f"no Rust standard library for {names} ({compilers})", fixes)


def _install_pin(rustup: str, channel: str, target: Target) -> Job:
    argv = (rustup, "toolchain", "install", channel, "--profile", "minimal", "--target", target.triple)
    return Job(name=f"Rust {channel} from rustup", steps=(_fetch(f"install Rust {channel}", argv),))


def _target_add(rustup: str, toolchain: Toolchain, target: Target) -> Job:
    argv = (rustup, "target", "add", target.triple, "--toolchain", toolchain.sysroot.name)
    return Job(name=f"std for {target.name} from rustup", steps=(_fetch(f"download std for {target.name}", argv),))


def _component_add(rustup: str, toolchain: Toolchain) -> Job:
    argv = (rustup, "component", "add", "rust-src", "--toolchain", toolchain.sysroot.name)
    return Job(name=f"sources of {toolchain}", steps=(_fetch("download the sources of Rust", argv),))


def _fetch(title: str, argv: tuple[str, ...]) -> Step:
    # Few attempts: rustup retries each file by itself, and another source may follow.
    return Step(title=title, argv=argv, env={"RUST_BACKTRACE": "0"}, held=True, attempts=3)


def build_std(toolchain: Toolchain, target: Target, library: Path) -> Job:
    """Return the job that compiles std into the managed sysroot, once per rustc and target. It takes a minute on two cores."""
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
            # `test` is the test harness, without which `cargo test` does not link.
            "-Zbuild-std=std,panic_abort,panic_unwind,test", "--target-dir", str(scratch / "target"),
        ),
        env={
            "RUSTC": str(rustc),
            "RUSTC_BOOTSTRAP": "1",  # -Zbuild-std on a stable cargo
            # Without bitcode every workspace with lto = "fat" fails: "failed to get bitcode from object file".
            cargo_variable(target.triple, "RUSTFLAGS"): "-Cembed-bitcode=yes",
        },
        unset=("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_PROFILE_*", "CARGO_INCREMENTAL",
               "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"),
        cwd=scratch, attempts=5, counts="crate",
    )  # fmt: skip
    return Job(
        name=f"std for {target.name} from source",
        lock=root,
        done=lib,
        scratch=scratch,
        steps=(
            Write(path=scratch / "Cargo.toml", text=SCRATCH),
            Write(path=scratch / "src" / "lib.rs", text=""),
            Write(path=rustc, text=_std_rustc(toolchain, scratch), mode=0o755),
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


def _std_rustc(toolchain: Toolchain, scratch: Path) -> str:
    trims = (*((str(folder), name) for folder, name in std_sources(toolchain)), (str(scratch), "/std"))
    # Without it every workspace with panic = "abort" fails: "the crate panic_abort does not have the panic strategy".
    return f"""\
#!/bin/sh
case " $* " in *" --crate-name panic_abort "*) set -- "$@" -C panic=abort ;; esac
exec {quote(str(toolchain.rustc))} {rustc_flags(trims)} "$@"
"""


def _mirror(toolchain: Toolchain) -> tuple[Action, ...]:
    """Return the links that complete the managed sysroot: the host's std, rust-lld and the rest stay where they are."""
    rustlib = toolchain.sysroot / "lib" / "rustlib"
    names = (toolchain.host, "etc", "src")
    return tuple(Link(path=toolchain.managed_root / "lib" / "rustlib" / name, to=rustlib / name) for name in names)


def rustc_wrapper(host: Host, compiler: Compiler, target: Target, trims: Trims = ()) -> str | None:
    """Return the text of a RUSTC for `target`, None where the toolchain's own rustc is enough.

    It is a wrapper, because RUSTFLAGS would replace every flag of the workspace's own configuration. It is a script for bash where
    there is one: dash drops variables whose names it does not allow, and cargo sets CARGO_BIN_EXE_cli-command for tests. Without
    bash the paths of `trims` stay, rather than that such a test does not compile.
    """
    bash = host.which("bash")
    static = f"*' --target {target.triple} '*) set -- -Ctarget-feature=+crt-static \"$@\" ;;" if target.is_musl else ""
    sysroot = f" --sysroot {quote(str(compiler.sysroot))}" if compiler.sysroot else ""
    if not (sysroot or static or (trims and bash)):
        return None
    flags = f" {rustc_flags(trims)}" if trims and bash else ""  # before those of the user, which take precedence
    # riscv64, s390x and loong64 musl link dynamically by default; the others link statically.
    case = f'case " $* " in {static} esac\n' if static else ""
    return f'#!{bash or "/bin/sh"}\n{case}exec {quote(str(compiler.toolchain.rustc))}{sysroot}{flags} "$@"\n'


def _toml(value: str | Path) -> str:
    """Return a TOML string, as cargo's --config expects."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def requirement(target: Target) -> Requirement:
    """Require that std for `target` is installed, or that a build can provide it by itself."""
    return Requirement(
        what=f"Rust standard library for {target.name}",
        why=f"compile for {target.triple}",
        met=lambda host: installed(host, target) is not None or bool(sources(host, target)),
        fixes=(
            Fix(text=f"rustup target add {target.triple}"),
            Fix(
                text=f"apt-get install {' '.join(DISTRIBUTION_RUST[0])}"
            ),  # `setup` chooses the packages that the distribution has
        ),
    )
