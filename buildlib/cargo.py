"""Every line that starts with cargo, cargo-zigbuild or cross, and the environment around it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

from buildlib.artifacts import version
from buildlib.config import Config
from buildlib.emulation import is_native
from buildlib.errors import Lacking
from buildlib.host import Host
from buildlib.plan import Job, Step, Write, words
from buildlib.targets import Target
from buildlib.toolchain import Chosen, rustc_wrapper
from buildlib.workspace import Component, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """Who compiles and links for one target, and why it is this one."""

    name: str  # zig, gcc, cross
    why: str
    floor: str  # the oldest glibc its binaries may need, "" where none is promised
    gcc: str = ""  # the C compiler of the gcc backend
    linker: str = ""  # a linker that the workspace configures; it stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One target's compile: the job, and where its binaries will lie."""

    target: Target
    backend: Backend
    chosen: Chosen | None  # None: the compiler lives in cross's world
    job: Job
    folder: Path  # of the binaries


# --- which backend ----------------------------------------------------------------------------------


def gcc_for(host: Host, target: Target) -> str | None:
    """The GNU compiler that links for the target: Debian's cross compiler, or the machine's own."""
    if is_native(host, target) and not target.is_musl:
        return host.which("cc", "gcc")
    return host.which(f"{target.gnu}-gcc")


def pick_backend(host: Host, config: Config, target: Target, libc: Callable[[Target], str]) -> Backend:
    """The backend for `target`; `auto` takes the first that can serve it here. `libc` tells the version of the glibc
    that gcc links against, "" if not known. Lacking names what each would have needed."""
    linker = configured_linker(host, target)
    gcc_path = gcc_for(host, target) or ""
    zig = Backend(name="zig", why="needs no cross compiler", floor=_zig_floor(config, target))
    gcc = Backend(name="gcc", why=f"{gcc_path} is here", floor=config.glibc, gcc=gcc_path, linker=linker)
    cross = Backend(name="cross", why="a container engine is here", floor=config.glibc)
    if config.backend != "auto":
        picked = replace({"zig": zig, "gcc": gcc, "cross": cross}[config.backend], why="it was asked for")
    elif linker and host.which(linker):
        picked = replace(gcc, why=f"the workspace links with {linker}")
    elif host.zig and host.zigbuild:
        picked = replace(zig, why=f"the workspace's linker {linker} is not here") if linker else zig
    elif gcc_path:
        picked = gcc
    elif host.which("cross") and host.engine:
        picked = cross
    else:
        raise Lacking(
            f"no backend can link for {target.name} here: no zig, no {target.gnu}-gcc, no cross with a container engine",
            "pip install ziglang cargo-zigbuild",
        )
    return replace(picked, floor=picked.floor or libc(target)) if picked.name == "gcc" else picked


def _zig_floor(config: Config, target: Target) -> str:
    """What was asked for, raised to what there is for the target: one setting serves all arches."""
    if target.is_musl:
        return ""
    return max(config.glibc or target.glibc, target.oldest or "2.0", key=version)


def configured_linker(host: Host, target: Target) -> str:
    """The linker that the user's or the workspace's own configuration names for `target`, "" for none."""
    return host.env.get(f"CARGO_TARGET_{target.env.upper()}_LINKER") or host.linkers.get(target.triple, "")


# --- the compile ----------------------------------------------------------------------------------------


def build(host: Host, config: Config, workspace: Workspace, target: Target, backend: Backend,
          chosen: Chosen | None, components: tuple[Component, ...]) -> Build:  # fmt: skip
    """The job that compiles `components` for `target`."""
    compiler = chosen.toolchain.key if chosen else "image"
    key = f"{backend.name}-{_libc(config, backend)}-{compiler}-{_digest(host, backend)}"
    target_dir = workspace.target_dir / "buildlib" / key
    env, tools = environment(host, target, backend, chosen, target_dir / "tools" / target.name)
    argv = (
        *_program(host, backend, chosen), "--target", _triple(target, backend),
        "--profile", config.profile,
        *_selection(workspace, components),
        *(("--features", ",".join(config.features)) if config.features else ()),
        *(("--locked",) if workspace.lock.is_file() else ()),
        "--target-dir", str(target_dir), "--message-format", "json-render-diagnostics",
    )  # fmt: skip
    compile_step = Step(
        title=f"{target.name} · compile", argv=argv, env=env, unset=STALE, cwd=workspace.root, stdout="json"
    )
    profile = "debug" if config.profile in ("dev", "test") else config.profile
    profile = "release" if profile == "bench" else profile
    return Build(
        target=target,
        backend=backend,
        chosen=chosen,
        job=Job(name=target.name, steps=(*tools, compile_step)),
        folder=target_dir / target.triple / profile,
    )


# What an outer cargo leaves in the environment of its children; it would be taken for the user's own wish.
STALE = ("CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_*", "CARGO_BUILD_TARGET")
RECIPE = "env1"  # part of every target folder's name: a change of `environment` must change this


def _program(host: Host, backend: Backend, chosen: Chosen | None) -> tuple[str, ...]:
    match backend.name:
        case "zig":
            return (str(host.zigbuild), "build")
        case "cross":
            return (host.which("cross") or "cross", "build")
    return (str(chosen.toolchain.cargo) if chosen else "cargo", "build")


def _triple(target: Target, backend: Backend) -> str:
    # cargo-zigbuild reads the suffix as the glibc to link against.
    return f"{target.triple}.{backend.floor}" if backend.name == "zig" and backend.floor else target.triple


def _selection(workspace: Workspace, components: tuple[Component, ...]) -> tuple[str, ...]:
    if components == workspace.components:
        return ("--workspace", "--bins")
    packages = dict.fromkeys(component.package for component in components)
    return (*words("--package", packages), *words("--bin", (component.name for component in components)))


def _libc(config: Config, backend: Backend) -> str:
    # The musl targets share the folder, and with it the compiled build scripts, of the gnu ones.
    return backend.floor or config.glibc or "2.31"


def _digest(host: Host, backend: Backend) -> str:
    """Eight letters over all that a backend puts into the environment of build scripts: those do not notice when a
    variable changes, so another environment must be another folder."""
    ours = {"zig": (host.zig_version, host.zigbuild_version), "gcc": (backend.gcc, backend.linker)}.get(backend.name)
    host_tools = [_own(host, name) for name in PLAIN]
    told = json.dumps([RECIPE, ours, host_tools, host.env.get("LDFLAGS"), str(host.libclang)])
    return hashlib.sha256(told.encode()).hexdigest()[:8]


# --- the environment --------------------------------------------------------------------------------------


Script = Callable[[str, str], str]  # name, text -> path


def environment(host: Host, target: Target, backend: Backend, chosen: Chosen | None,
                tools: Path) -> tuple[dict[str, str], tuple[Write, ...]]:  # fmt: skip
    """What cargo's children see, and the small scripts that it names in `tools`. The user's own words stay."""
    scripts: list[Write] = []

    def script(name: str, text: str) -> str:
        scripts.append(Write(path=tools / name, text=text, mode=0o755))
        return str(tools / name)

    if chosen is None:  # cross: the container has an environment of its own
        script("rustup", CROSS_RUSTUP.format(rustup=quote(host.which("rustup") or "rustup")))
        return {"PATH": ":".join((str(tools), *host.path))}, tuple(scripts)
    env: dict[str, str] = {"PATH": ":".join(host.path)}
    env["CARGO"] = str(chosen.toolchain.cargo)
    env["RUSTC"] = str(chosen.toolchain.rustc)
    if text := rustc_wrapper(chosen, target):
        env["RUSTC"] = script("rustc", text)
    if backend.name == "zig":
        env.update(_zig(host, target, backend, script))
    else:
        env.update(_gcc(target, backend, script))
    if f"CC_{target.env}" in env or (backend.name == "zig" and not is_native(host, target)):
        env.update(_plain(host, chosen.toolchain.host, target, script))
    if host.libclang:
        env["LIBCLANG_PATH"] = str(host.libclang)
    return {name: value for name, value in env.items() if name in OURS or name not in host.env}, tuple(scripts)


# cross 0.2.5 does not know the "(active, default)" that today's rustup writes behind a toolchain, takes it for missing,
# and has rustup "install" it: a stable toolchain would be updated by a build.
CROSS_RUSTUP = """\
#!/bin/sh
[ "$1 $2" = "toolchain list" ] && {{ {rustup} "$@" | sed 's/ (.*//'; exit; }}
exec {rustup} "$@"
"""

# Set whatever the user set: plain names speak of the host there, and that is kept under HOST_*.
OURS = ("PATH", "CARGO", "RUSTC", "CC", "CXX", "AR", "RANLIB", "LDFLAGS", "PKG_CONFIG", "PKG_CONFIG_PATH")


def _zig(host: Host, target: Target, backend: Backend, script: Script) -> dict[str, str]:
    floor = backend.floor or "musl"
    env = {
        # The zig of this installation, not of whatever python3 is first on PATH; saves starting that, too.
        "CARGO_ZIGBUILD_ZIG_COMMAND": str(host.zig),
        # cargo-zigbuild writes one cmake file per triple; two floors at once must not share it.
        "CARGO_ZIGBUILD_CACHE_DIR": str(host.cache / "zigbuild" / floor),
        # lld refuses version scripts that name absent symbols, GNU ld does not (librdkafka has one).
        "LDFLAGS": f"{host.env.get('LDFLAGS', '')} -Wl,--undefined-version".strip(),
        f"CARGO_TARGET_{target.env.upper()}_LINKER": script(
            f"{target.triple}-link-cc",
            f'#!/bin/sh\nexec {quote(str(host.python))} -I -S {quote(str(LINKER))} "$CC_{target.env}" "$@"\n',
        ),
    }
    if "HOME" not in host.env and "XDG_CACHE_HOME" not in host.env:
        env["ZIG_GLOBAL_CACHE_DIR"] = str(host.cache / "zig")
    return env


LINKER = Path(__file__).with_name("linker.py")


def _gcc(target: Target, backend: Backend, script: Script) -> dict[str, str]:
    gcc = backend.gcc
    prefix = gcc.removesuffix("gcc") if gcc.endswith(f"{target.gnu}-gcc") else ""
    env = {} if backend.linker else {f"CARGO_TARGET_{target.env.upper()}_LINKER": gcc}
    if not prefix:
        return env  # the machine's own compiler: cargo and cc find it
    include = f"/usr/{target.gnu}/include"  # Debian's cross headers
    toolchain_file = "\n".join(
        (
            "set(CMAKE_SYSTEM_NAME Linux)",
            f"set(CMAKE_SYSTEM_PROCESSOR {target.triple.split('-')[0]})",
            f"set(CMAKE_C_COMPILER {prefix}gcc)",
            f"set(CMAKE_CXX_COMPILER {prefix}g++)",
            f"set(CMAKE_FIND_ROOT_PATH /usr/{target.gnu})",
            "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)",
            "set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)",
            "set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)",
            "set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)",
            "",
        )
    )
    return env | {
        f"CC_{target.env}": gcc,
        f"CXX_{target.env}": f"{prefix}g++",
        f"AR_{target.env}": f"{prefix}ar",
        f"RANLIB_{target.env}": f"{prefix}ranlib",
        f"CMAKE_TOOLCHAIN_FILE_{target.env}": script("toolchain.cmake", toolchain_file),
        f"BINDGEN_EXTRA_CLANG_ARGS_{target.env}": f"--target={target.gnu} -isystem {include}",
    }


PLAIN = {"CC": ("cc", "gcc", "clang"), "CXX": ("c++", "g++", "clang++"), "AR": ("ar", "gcc-ar"), "RANLIB": ("ranlib",)}


def _own(host: Host, name: str) -> str:
    """The host's own CC (CXX, AR, RANLIB), in words: a person may have said CC="ccache gcc"."""
    found = host.which(*PLAIN[name])
    return host.env.get(f"HOST_{name}") or host.env.get(name) or (quote(found) if found else PLAIN[name][0])


def _plain(host: Host, host_triple: str, target: Target, script: Script) -> dict[str, str]:
    """CC and friends, for build scripts that know no other name.

    They mean the target's compiler, except where cargo says in TARGET that a build dependency is compiled for
    this machine; the host's own stay under HOST_CC and CC_<host triple>, as the cc crate reads them.
    """
    env: dict[str, str] = {}
    for name, commands in PLAIN.items():
        own = _own(host, name)
        env[f"HOST_{name}"] = env[f"{name}_{host_triple.replace('-', '_')}"] = own
        env[name] = script(f"{target.triple}-{commands[0]}", _dispatch(host_triple, own, f'"${name}_{target.env}"'))
    if pkg_config := host.env.get("PKG_CONFIG") or host.which("pkg-config", "pkgconf"):
        # The host's libraries must not be found: without a folder of the target's own there are none.
        libdir = f'"PKG_CONFIG_LIBDIR=${{PKG_CONFIG_LIBDIR_{target.env}:-/nonexistent}}"'
        path = f'"PKG_CONFIG_PATH=$PKG_CONFIG_PATH_{target.env}"'
        set_up = any(
            name in host.env for name in ("PKG_CONFIG_SYSROOT_DIR", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_ALLOW_CROSS")
        )
        line = quote(pkg_config) if set_up else f"env {libdir} {path} {quote(pkg_config)}"
        env["PKG_CONFIG"] = script(f"{target.triple}-pkg-config", _dispatch(host_triple, quote(pkg_config), line))
    return env


def _dispatch(host_triple: str, own: str, other: str) -> str:
    return f'#!/bin/sh\n[ "$TARGET" = {host_triple} ] && exec {own} "$@"\nexec {other} "$@"\n'
