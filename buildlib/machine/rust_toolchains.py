"""The Rust compilers on this machine, the std of each, and the version that rust-toolchain.toml requires."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from buildlib.machine.cargo_config import Value

# Part of the path of every managed sysroot: cargo does not notice when the content of a sysroot changes, so a change in how std is
# built (rust/std.py) must change this.
STD_VERSION = "std2"


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """One rustc with its cargo. `stds` are the triples whose standard library is in `sysroot`."""

    origin: str  # "rustup", "system", or what has named it: "RUSTC", "CARGO_BUILD_RUSTC", "build.rustc"
    rustc: Path
    cargo: Path
    release: str  # "1.96.0"
    commit: str  # commit hash, "unknown" if rustc does not print one
    host: str  # triple
    sysroot: Path
    stds: frozenset[str] = frozenset()
    managed: frozenset[str] = frozenset()  # triples whose std buildlib has built for this rustc
    managed_root: Path = Path()  # the sysroot of those
    sources: Path | None = None  # the `library` directory of exactly this rustc
    vendored: bool = False  # whether the crates that std needs are in it

    def __str__(self) -> str:
        return f"rustc {self.release} ({self.origin})"

    @property
    def key(self) -> str:
        """The compiler in names of directories: two compilers never have the same key."""
        return _key(self.release, self.commit)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The toolchain that a rust-toolchain file requires: a channel, or the one in a directory."""

    file: Path
    channel: str = ""
    folder: Path | None = None

    def __str__(self) -> str:
        return f"Rust {self.channel}" if self.folder is None else f"the toolchain {self.folder}"

    def allows(self, toolchain: Toolchain) -> bool:
        """Whether the toolchain is the required one: rustup resolves pins itself, any other rustc must have that release."""
        if toolchain.origin != "system":
            return True
        if self.folder is not None:
            return toolchain.sysroot.resolve() == self.folder.resolve()
        numbered = toolchain.release.split("-")[0]
        is_release = "-" not in toolchain.release
        return is_release and (self.channel == "stable" or f"{numbered}.".startswith(f"{self.channel}."))


def find_pin(cwd: Path) -> Pin | None:
    """The rust-toolchain file that rustup uses in `cwd`: the first in it and the directories above, None without a toolchain."""
    for folder in (cwd, *cwd.parents):
        for name in ("rust-toolchain", "rust-toolchain.toml"):
            file = folder / name
            if not file.is_file():
                continue
            text = file.read_text(encoding="utf-8-sig", errors="replace")
            try:
                table = tomllib.loads(text).get("toolchain")
            except (ValueError, RecursionError):
                table = {"channel": text.strip()}  # the old form: the channel alone
            channel, path = (table.get(key) if isinstance(table, dict) else "" for key in ("channel", "path"))
            if path and isinstance(path, str):
                return Pin(file=file, folder=Path(path))
            return Pin(file=file, channel=channel) if channel and isinstance(channel, str) else None
    return None


@dataclass(frozen=True, kw_only=True)
class SearchContext:
    """What the search for compilers depends on."""

    env: Mapping[str, str]
    cwd: Path
    which: Callable[..., str | None]  # names -> the first that is on PATH
    cache: Path
    named: Value | None = None  # the compiler that cargo would use, if something names one


def find_toolchains(around: SearchContext) -> tuple[tuple[Toolchain, ...], Pin | None, str]:
    """Find the compilers. Starts each rustc twice; uses no network.

    Returns:
        The compilers in order of preference: only the one that is named, else that on PATH, then the distribution's, unless
        RUSTUP_TOOLCHAIN chooses one. The pin.
        The reason why a compiler cannot be used, "" if all can.
    """
    named, cargo = around.named, around.env.get("CARGO")
    candidates: dict[str, tuple[str, str | None]] = {}
    if named:
        path = named.text if "/" in named.text else around.which(named.text) or named.text
        candidates[path] = (named.key or named.source, cargo)
    else:
        on_path = around.which("rustc")
        if on_path:
            candidates[on_path] = ("", cargo)
        if not (on_path and _chosen(around.env)):
            candidates.setdefault("/usr/bin/rustc", ("system", None))
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda item: _toolchain(around, item[0], *item[1]), candidates.items()))
    toolchains: dict[Path, Toolchain] = {}
    for answer in answers:
        if isinstance(answer, Toolchain):
            toolchains.setdefault(answer.sysroot, answer)
    error = next((answer for answer in answers if isinstance(answer, str) and answer), "")
    if named and not answers[0]:
        error = f"{named.where} names {named.text}, which does not exist"
    return tuple(toolchains.values()), find_pin(around.cwd), error


def _chosen(env: Mapping[str, str]) -> bool:
    """Whether RUSTUP_TOOLCHAIN chooses a toolchain. rustup sets it to the default one for what `cargo` starts, which is no choice."""
    settings = Path(env.get("RUSTUP_HOME") or Path(env.get("HOME", "/"), ".rustup"), "settings.toml")
    try:
        default = tomllib.loads(settings.read_text(encoding="utf-8")).get("default_toolchain")
    except (OSError, ValueError):
        default = None
    return env.get("RUSTUP_TOOLCHAIN", "") not in ("", default)


def _toolchain(around: SearchContext, rustc: str, origin: str, cargo: str | None) -> Toolchain | str:
    """The toolchain of `rustc`, or why it cannot be used ("" if the file does not exist)."""
    # rustup must not download a pinned toolchain to answer.
    env = {**around.env, "RUSTUP_AUTO_INSTALL": "0"}
    try:
        sysroot = Path(_ask((rustc, "--print", "sysroot"), env, around.cwd))
        # rustup's rustc is a proxy: calling the real one saves the start of the proxy in every call.
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
    """The toolchain, from the output of `rustc -vV` and the content of its sysroot."""
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
    """The name of a compiler in names of directories."""
    return f"{release}-{commit[:9]}"


def _ask(argv: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> str:
    """The output of a command. ValueError with the first line of its errors if it fails."""
    done = subprocess.run(argv, env=dict(env), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise ValueError(lines[0].removeprefix("error: ") if lines else f"{argv[0]} exited with code {done.returncode}")
    return done.stdout.strip()


def _stds(sysroot: Path) -> frozenset[str]:
    return frozenset(path.parent.parent.name for path in (sysroot / "lib" / "rustlib").glob("*/lib/libstd-*.rlib"))


def _sources(sysroot: Path, release: str) -> Path | None:
    """The library sources of exactly this rustc, None if there are none.

    Debian's package has a file with the version; rustup's component is inside the toolchain, so it always fits.
    """
    tree = sysroot / "lib" / "rustlib" / "src" / "rust"
    if not (tree / "library" / "std" / "Cargo.toml").is_file():
        return None
    version = tree / "src" / "version"
    if version.is_file() and version.read_text(encoding="utf-8").strip() != release.split("-", maxsplit=1)[0]:
        return None
    return tree / "library"
