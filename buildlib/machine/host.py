"""The facts about this machine, read once and never changed; planners get them, tests invent them."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from buildlib.core.sysroot import Sysroot
from buildlib.core.targets import TARGETS
from buildlib.machine import cargo_config, docker_daemon, rust_toolchains
from buildlib.machine import zig as zigs
from buildlib.machine.cargo_config import CargoConfig
from buildlib.machine.rust_toolchains import Pin, SearchContext, Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """An entry of binfmt_misc: the interpreter with which the kernel starts binaries of another machine."""

    name: str
    interpreter: str
    flags: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A container engine: its version, those of its parts (containerd, runc), and `docker info`.

    `error` is the reason if none answers, in one line.
    """

    version: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True, kw_only=True)
class Host:
    """The machine, filled by `probe`, read by planners."""

    machine: str  # uname -m
    path: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    cache: Path = Path()  # the user's cache directory for buildlib (XDG)
    python: Path = Path()
    scripts: Path = Path()  # the directory of this Python's console scripts
    root: bool = False
    kernel: str = ""  # uname -r
    page_size: int = 4096  # bytes
    toolchains: tuple[Toolchain, ...] = ()
    pin: Pin | None = None
    rustup_error: str = ""  # why rustup has no toolchain for this directory, in its own words
    zig: Path | None = None
    zig_version: str = ""
    zigbuild: Path | None = None
    zigbuild_version: str = ""
    libclang: Path | None = None  # the directory of the libclang wheel, if the system has no libclang
    system_libclang: bool = False
    cargo_config: CargoConfig = field(default_factory=CargoConfig)
    runners: frozenset[str] = frozenset()  # the triples whose binaries a runner of the user's starts
    sysroots: Mapping[str, Sysroot] = field(default_factory=dict)  # by arch; `sysroot.install.provide` adds them

    def which(self, *names: str) -> str | None:
        """The first of `names` that is on PATH, as an absolute path; a name with a slash is the file itself."""
        return next((path for name in names if (path := self._which(name))), None)

    def _which(self, name: str) -> str | None:
        if "/" in name:
            return name if os.access(name, os.X_OK) else None
        if name not in self._executables:
            self._executables[name] = shutil.which(name, path=os.pathsep.join(filter(None, self.path)))
        return self._executables[name]

    @cached_property
    def _executables(self) -> dict[str, str | None]:
        """What was looked for on PATH so far."""
        return {}

    def exists(self, path: str | Path) -> bool:
        """Whether the file or directory exists; invented machines answer from a list."""
        return os.path.exists(path)

    @property
    def triple(self) -> str:
        """The triple that build scripts are compiled for, "" without a compiler."""
        return self.toolchains[0].host if self.toolchains else ""

    @cached_property
    def script_env(self) -> Mapping[str, str]:
        """The variables of the user that build scripts see: the environment, and [env] of cargo's configuration."""
        return self.cargo_config.applied(self.env)

    @cached_property
    def newest_glibc(self) -> str:
        """The newest glibc version that zig can link for, "" if that is not known."""
        return zigs.newest_glibc(self.zig) if self.zig else ""

    @property
    def engine(self) -> str | None:
        """The version of the container engine, None if none answers."""
        return self.daemon.version or None

    @cached_property
    def daemon(self) -> Daemon:
        """The container engine, asked once; `error` is set if it does not answer within 5 seconds."""
        try:
            version, info = docker_daemon.describe(self.env, timeout=5)
        except ConnectionError as error:
            return Daemon(error=str(error))
        components = version.get("Components")
        parts = {
            str(part.get("Name")): str(part.get("Version", ""))
            for part in (components if isinstance(components, list) else ())
            if isinstance(part, dict)
        }
        return Daemon(version=version["Version"], parts=parts, info=info)

    @cached_property
    def handlers(self) -> Mapping[str, Handler] | None:
        """The handlers of binfmt_misc by name, None if it is not mounted."""
        if not (BINFMT / "status").exists():
            return None
        handlers = {}
        for entry in sorted(BINFMT.iterdir()):
            if entry.name not in ("status", "register"):
                with suppress(OSError):  # it may have been removed meanwhile
                    handlers[entry.name] = parse_handler(
                        entry.name, entry.read_text(encoding="utf-8", errors="replace")
                    )
        return handlers

    def free(self, path: Path) -> int | None:
        """Free space in bytes where `path` is or would be created, None if the file system does not report it."""
        while not path.exists() and path != path.parent:
            path = path.parent
        try:
            status = os.statvfs(path)
        except OSError:
            return None
        # File systems without a size (overlays of some sandboxes, FUSE) report 0 of 0 blocks, which is not full.
        return status.f_bavail * status.f_frsize if status.f_blocks else None


def probe(env: Mapping[str, str], cwd: Path) -> Host:
    """Read the facts about this machine. Starts `rustc` at most four times and nothing else; uses no network."""
    scripts = Path(sysconfig.get_path("scripts"))
    path = tuple(dict.fromkeys((*env.get("PATH", "").split(os.pathsep), str(scripts))))
    cache = cache_folder()
    which = partial(shutil.which, path=os.pathsep.join(filter(None, path)))
    config = cargo_config.read(env, cwd)
    with ThreadPoolExecutor(max_workers=1) as pool:  # the rest is read while the compilers answer
        finding = pool.submit(
            rust_toolchains.find_toolchains,
            SearchContext(env=env, cwd=cwd, which=which, cache=cache, named=config.rustc),
        )
        zig, zig_version = _zig()
        system_libclang = _system_libclang()
        zigbuild = executable(scripts, "cargo-zigbuild") or _path(which("cargo-zigbuild"))
        zigbuild_version = _version("cargo-zigbuild")
        libclang = None if system_libclang or "LIBCLANG_PATH" in config.applied(env) else _wheel("clang", "native")
        toolchains, pin, rustup_error = finding.result()
    return Host(
        machine=platform.machine(),
        path=path,
        env=env,
        cwd=cwd,
        cache=cache,
        python=Path(sys.executable),
        scripts=scripts,
        root=os.geteuid() == 0,
        kernel=platform.release(),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        toolchains=toolchains,
        pin=pin,
        rustup_error=rustup_error,
        zig=zig,
        zig_version=zig_version,
        zigbuild=zigbuild,
        zigbuild_version=zigbuild_version,
        libclang=libclang,
        system_libclang=system_libclang,
        cargo_config=config,
        runners=_runners(config, toolchains[0].host if toolchains else ""),
    )


def parse_handler(name: str, text: str) -> Handler:
    """An entry of binfmt_misc from the text that the kernel writes: a line per field, the first is `enabled` or `disabled`."""
    fields = dict(line.partition(" ")[::2] for line in text.replace("flags:", "flags").splitlines())
    return Handler(
        name=name,
        interpreter=fields.get("interpreter", ""),
        flags=fields.get("flags", "").strip(),
        enabled="enabled" in fields,
    )


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/buildlib, or the cache directory that platformdirs has for this system; works without HOME."""
    if platform.system() == "Linux":  # as platformdirs has it, without its import
        chosen = Path(os.environ.get("XDG_CACHE_HOME", "").strip())
        return (chosen if chosen.is_absolute() else Path("~/.cache").expanduser()) / "buildlib"
    from platformdirs import user_cache_path

    return user_cache_path("buildlib", appauthor=False)


def executable(folder: Path, name: str) -> Path | None:
    """The program `name` in `folder`, None if it does not exist or may not be executed."""
    tool = folder / name
    return tool if tool.is_file() and os.access(tool, os.X_OK) else None


def _path(word: str | None) -> Path | None:
    return Path(word) if word else None


def _version(distribution: str) -> str:
    """The version of an installed distribution, "" if it is not."""
    prefix = f"{distribution.replace('-', '_')}-"
    for folder in sys.path:
        with suppress(OSError):
            with os.scandir(folder or ".") as entries:
                names = [one.name for one in entries if one.name.startswith(prefix) and one.name.endswith(".dist-info")]
            if names:
                return names[0].removeprefix(prefix).removesuffix(".dist-info")
    from importlib import metadata  # late: it takes longer than most of a build with nothing to do

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
    # libclang-cpp is another library, which bindgen cannot use.
    names = (file.name for folder in folders for file in folder.glob("libclang*.so*"))
    return any(re.fullmatch(r"libclang(-[\d.]+)?\.so(\.[\d.]+)?", name) for name in names)


def _runners(config: CargoConfig, host: str) -> frozenset[str]:
    """The triples for which the configuration names a runner. One that a cfg table names for `host` too is no emulator."""
    for_host = config.runner(host)
    named = {triple for triple, table in config.targets.items() if table.runner}
    others = {target.triple for target in TARGETS.values() if config.runner(target.triple) not in (None, for_host)}
    return frozenset(triple for triple in named | others if not triple.startswith("cfg("))
