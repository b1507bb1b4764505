"""The Rust on this machine: which compilers there are, which std each has, and what rust-toolchain.toml asks for."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# Part of the path of every managed sysroot: cargo does not notice when a sysroot's content changes,
# so a change in how std is built (toolchain.py) must change this.
STD_VERSION = "std1"


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


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """What the search needs to know of the machine."""

    env: Mapping[str, str]
    cwd: Path
    which: Callable[..., str | None]  # names -> the first that PATH holds
    cache: Path


def find_toolchains(around: SearchContext) -> tuple[tuple[Toolchain, ...], Pin | None, str]:
    """The compilers in order of preference (what RUSTC names, alone then; rustup's; the distribution's), the pin, and why
    there is no first one ("" when there is). Starts each rustc twice; no network."""
    named, cargo = around.env.get("RUSTC"), around.env.get("CARGO")
    candidates: dict[str, tuple[str, str | None]] = {}
    if named:
        candidates[named] = ("RUSTC", cargo)
    else:
        if on_path := around.which("rustc"):
            candidates[on_path] = ("", cargo)
        candidates.setdefault("/usr/bin/rustc", ("system", None))
    with ThreadPoolExecutor() as pool:
        asked = list(pool.map(lambda item: _toolchain(around, item[0], *item[1]), candidates.items()))
    found: dict[Path, Toolchain] = {}
    for toolchain in asked:
        if isinstance(toolchain, Toolchain):
            found.setdefault(toolchain.sysroot, toolchain)
    error = next((answer for answer in asked if isinstance(answer, str) and answer), "")
    return tuple(found.values()), find_pin(around.cwd), error


def _toolchain(around: SearchContext, rustc: str, origin: str, cargo: str | None) -> Toolchain | str:
    """The toolchain behind `rustc`, or why there is none ("" when the file is simply not there)."""
    # A question must not make rustup download a pinned toolchain.
    env = {**around.env, "RUSTUP_AUTO_INSTALL": "0"}
    try:
        sysroot = Path(_ask((rustc, "--print", "sysroot"), env, around.cwd))
        # rustup's rustc is a proxy: the real one saves its start-up in every call.
        real = sysroot / "bin" / "rustc"
        verbose = _ask((str(real if real.is_file() else rustc), "-vV"), env, around.cwd)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{rustc}: {error.strerror}"
    except ValueError as error:
        return str(error)
    beside = sysroot / "bin" / "cargo"
    tool = cargo or (str(beside) if beside.is_file() else around.which("cargo"))
    if not tool:
        return f"{rustc} has no cargo beside it"
    is_rustup = "toolchains" in sysroot.parts
    rustc = str(real) if real.is_file() and is_rustup else rustc
    return _read(
        sysroot, verbose, Path(rustc), Path(tool), origin or ("rustup" if is_rustup else "system"), around.cache
    )


def _read(sysroot: Path, verbose: str, rustc: Path, cargo: Path, origin: str, cache: Path) -> Toolchain:
    """The toolchain, from what `rustc -vV` says and its sysroot holds."""
    facts = {name: value for name, _, value in (line.partition(": ") for line in verbose.splitlines())}
    release, commit = facts.get("release", ""), facts.get("commit-hash", "unknown")
    root = cache / "sysroots" / f"{_key(release, commit)}-{STD_VERSION}"
    sources = _sources(sysroot, release)
    return Toolchain(
        origin=origin,
        rustc=rustc,
        cargo=cargo,
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
