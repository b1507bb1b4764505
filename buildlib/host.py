"""What this machine has. Looked at once, read only; planners get the facts, tests invent them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

# Part of the path of every managed sysroot: cargo does not notice when a sysroot's content changes,
# so a change in how std is built (toolchain.py) must change this.
RECIPE = "std1"


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """One rustc with its cargo. `stds` are the triples whose standard library lies in `sysroot`."""

    origin: str  # "RUSTC", "rustup", "system"
    rustc: Path
    cargo: Path
    release: str  # "1.96.0"
    commit: str  # commit hash, or what stands for it
    host: str  # triple
    sysroot: Path
    stds: frozenset[str] = frozenset()
    managed: frozenset[str] = frozenset()  # triples whose std buildlib has built for it
    managed_root: Path = Path()  # the sysroot that holds those
    sources: Path | None = None  # the `library` folder that belongs to exactly this rustc
    vendored: bool = False  # whether the crates that std needs lie in there, too

    def __str__(self) -> str:
        return f"rustc {self.release} ({self.origin})"

    @property
    def key(self) -> str:
        return _key(self.release, self.commit)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What rust-toolchain.toml asks for."""

    channel: str
    file: Path

    def allows(self, toolchain: Toolchain) -> bool:
        """rustup resolves its own pins; for another rustc the release must be the one that is named."""
        if toolchain.origin in ("rustup", "RUSTC"):
            return True
        numbered = toolchain.release.split("-")[0]
        is_release = "-" not in toolchain.release
        return is_release and (self.channel == "stable" or f"{numbered}.".startswith(f"{self.channel}."))


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine, filled by `probe`, read by planners."""

    machine: str  # uname -m
    path: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    cache: Path = Path()  # the user's cache folder for buildlib (XDG)
    python: Path = Path()
    scripts: Path = Path()  # where this python keeps console scripts
    root: bool = False
    toolchains: tuple[Toolchain, ...] = ()
    pin: Pin | None = None
    rustup_error: str = ""  # why rustup gave no toolchain here, in its own words
    zig: Path | None = None
    zig_version: str = ""
    zigbuild: Path | None = None
    zigbuild_version: str = ""
    libclang: Path | None = None  # the folder of the libclang wheel, where the system has none of its own
    system_libclang: bool = False
    linkers: Mapping[str, str] = field(default_factory=dict)  # triple -> linker, from cargo's configuration files

    def which(self, *names: str) -> str | None:
        """The first of `names` that PATH holds, as an absolute path."""
        return next((found for name in names if (found := self._executables.get(name))), None)

    @cached_property
    def _executables(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for folder in self.path:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name not in found and os.access(entry.path, os.X_OK) and not entry.is_dir():
                            found[entry.name] = entry.path
            except OSError:
                continue  # a PATH entry that is not there is no error to any shell
        return found

    def exists(self, path: str | Path) -> bool:
        return os.path.exists(path)

    @cached_property
    def engine(self) -> str | None:
        """The version of a container engine that answers, None without one."""
        import docker

        try:
            return docker.from_env(timeout=5).version()["Version"]
        except (docker.errors.DockerException, KeyError):
            return None


def probe(env: Mapping[str, str], cwd: Path) -> Host:
    """Look at the machine. Starts `rustc` (at most three) and nothing else; touches no network."""
    scripts = Path(sysconfig.get_path("scripts"))
    path = tuple(dict.fromkeys((*env.get("PATH", "").split(os.pathsep), str(scripts))))
    bare = Host(machine=platform.machine(), path=path, env=env, cwd=cwd, cache=cache_folder())
    toolchains, pin, rustup_error = _toolchains(bare)
    zig, zig_version = _zig()
    system_libclang = _system_libclang()
    zigbuild = bare_tool(scripts, "cargo-zigbuild") or _found(bare.which("cargo-zigbuild"))
    return Host(
        machine=bare.machine,
        path=path,
        env=env,
        cwd=cwd,
        cache=bare.cache,
        python=Path(sys.executable),
        scripts=scripts,
        root=os.geteuid() == 0,
        toolchains=toolchains,
        pin=pin,
        rustup_error=rustup_error,
        zig=zig,
        zig_version=zig_version,
        zigbuild=zigbuild,
        zigbuild_version=_version("cargo-zigbuild"),
        libclang=None if system_libclang or "LIBCLANG_PATH" in env else _wheel("clang", "native"),
        system_libclang=system_libclang,
        linkers=_linkers(env, cwd),
    )


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/buildlib, or what platformdirs knows of this system; works without HOME."""
    from platformdirs import user_cache_path

    return user_cache_path("buildlib", appauthor=False)


def bare_tool(folder: Path, name: str) -> Path | None:
    tool = folder / name
    return tool if tool.is_file() and os.access(tool, os.X_OK) else None


def _found(word: str | None) -> Path | None:
    return Path(word) if word else None


def _version(distribution: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _wheel(module: str, *inside: str) -> Path | None:
    from importlib.util import find_spec

    spec = find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, *inside)).exists():
            return path
    return None


def _zig() -> tuple[Path | None, str]:
    return _wheel("ziglang", "zig"), _version("ziglang")


def _system_libclang() -> bool:
    folders = (*Path("/usr/lib").glob("llvm-*/lib"), *Path("/usr/lib").glob("*-linux-gnu"), Path("/usr/lib64"))
    return any(any(folder.glob("libclang*.so*")) for folder in folders)


# --- Rust ---------------------------------------------------------------------------------------


def find_pin(cwd: Path) -> Pin | None:
    """The rust-toolchain file that rustup would obey in `cwd`: the nearest one upwards."""
    for folder in (cwd, *cwd.parents):
        for name in ("rust-toolchain", "rust-toolchain.toml"):
            file = folder / name
            if not file.is_file():
                continue
            text = file.read_text(encoding="utf-8", errors="replace")
            try:
                channel = tomllib.loads(text).get("toolchain", {}).get("channel", "")
            except tomllib.TOMLDecodeError:
                channel = text.strip()  # the old form: the channel alone
            return Pin(channel=channel, file=file) if channel else None
    return None


def _linkers(env: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """The linkers of [target.*] in cargo's configuration files, the nearest file first, as cargo merges them."""
    home = Path(env.get("CARGO_HOME") or Path(env.get("HOME", "/nonexistent"), ".cargo"))
    found: dict[str, str] = {}
    for folder in (*(parent / ".cargo" for parent in (cwd, *cwd.parents)), home):
        for name in ("config.toml", "config"):
            try:
                targets = tomllib.loads((folder / name).read_text(encoding="utf-8")).get("target", {})
            except (OSError, ValueError):
                continue  # not there; where it is broken, cargo says so in its own words
            for triple, table in targets.items():
                if isinstance(table, dict) and (linker := table.get("linker")):
                    relative = "/" in linker and not linker.startswith("/")
                    found.setdefault(triple, str(folder.parent / linker) if relative else linker)
    return found


def _toolchains(host: Host) -> tuple[tuple[Toolchain, ...], Pin | None, str]:
    """The candidates in order of preference: what RUSTC names (alone then), rustup's, the distribution's."""
    named, cargo = host.env.get("RUSTC"), host.env.get("CARGO")
    pin = find_pin(host.cwd)
    on_path = host.which("rustc")
    candidates: dict[str, tuple[str, str | None]] = {}
    if named:
        candidates[named] = ("RUSTC", cargo)
    else:
        if on_path:
            candidates[on_path] = ("", cargo)
        candidates.setdefault("/usr/bin/rustc", ("system", None))
    with ThreadPoolExecutor() as pool:
        asked = list(pool.map(lambda item: _toolchain(host, item[0], *item[1]), candidates.items()))
    found: dict[Path, Toolchain] = {}
    for toolchain in asked:
        if isinstance(toolchain, Toolchain):
            found.setdefault(toolchain.sysroot, toolchain)
    error = next((answer for answer in asked if isinstance(answer, str) and answer), "")
    return tuple(found.values()), pin, error


def _toolchain(host: Host, rustc: str, origin: str, cargo: str | None) -> Toolchain | str:
    """The toolchain behind `rustc`, or why there is none ("" when the file is simply not there)."""
    # A question must not make rustup download a pinned toolchain.
    env = {**host.env, "RUSTUP_AUTO_INSTALL": "0"}
    try:
        sysroot = Path(_ask((rustc, "--print", "sysroot"), env, host.cwd))
        # rustup's rustc is a proxy: the real one saves its start-up in every call.
        real = sysroot / "bin" / "rustc"
        verbose = _ask((str(real if real.is_file() else rustc), "-vV"), env, host.cwd)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{rustc}: {error.strerror}"
    except ValueError as error:
        return str(error)
    facts = {name: value for name, _, value in (line.partition(": ") for line in verbose.splitlines())}
    is_rustup = "toolchains" in sysroot.parts
    release, commit = facts.get("release", ""), facts.get("commit-hash", "unknown")
    root = host.cache / "sysroots" / f"{_key(release, commit)}-{RECIPE}"
    sources = _sources(sysroot, release)
    beside = sysroot / "bin" / "cargo"
    tool = cargo or (str(beside) if beside.is_file() else host.which("cargo"))
    if not tool:
        return f"{rustc} has no cargo beside it"
    return Toolchain(
        origin=origin or ("rustup" if is_rustup else "system"),
        rustc=real if real.is_file() and is_rustup else Path(rustc),
        cargo=Path(tool),
        release=release,
        commit=commit,
        host=facts.get("host", ""),
        sysroot=sysroot,
        stds=_stds(sysroot),
        managed=_stds(root) - _stds(sysroot),
        managed_root=root,
        sources=sources,
        vendored=sources is not None and (sources / "vendor").is_dir(),
    )


def _key(release: str, commit: str) -> str:
    """Names a compiler in folder names: two compilers never share one."""
    return f"{release}-{commit[:9]}"


def _ask(argv: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> str:
    done = subprocess.run(argv, env=dict(env), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()]
        raise ValueError(told[0].removeprefix("error: ") if told else f"{argv[0]} exited with {done.returncode}")
    return done.stdout.strip()


def _stds(sysroot: Path) -> frozenset[str]:
    return frozenset(path.parent.parent.name for path in (sysroot / "lib" / "rustlib").glob("*/lib/libstd-*.rlib"))


def _sources(sysroot: Path, release: str) -> Path | None:
    """The library sources of exactly this rustc. Debian keeps the version beside them; rustup's component
    lies inside the toolchain, so it belongs to it."""
    tree = sysroot / "lib" / "rustlib" / "src" / "rust"
    if not (tree / "library" / "std" / "Cargo.toml").is_file():
        return None
    stated = tree / "src" / "version"
    if stated.is_file() and stated.read_text(encoding="utf-8").strip() != release.split("-", maxsplit=1)[0]:
        return None
    return tree / "library"
