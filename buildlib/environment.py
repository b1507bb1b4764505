"""What cargo's children see: the variables of a backend, and the small scripts that they name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from shlex import quote

from buildlib.backends import Backend
from buildlib.emulation import is_native
from buildlib.host import Host
from buildlib.plan import Write, words
from buildlib.targets import Target
from buildlib.toolchain import Chosen, rustc_wrapper

Script = Callable[[str, str], str]  # name, text -> path
RECIPE = "env2"  # part of every target folder's name: a change of `environment` must change this


def digest(host: Host, backend: Backend) -> str:
    """Eight letters over all that a backend puts into the environment of build scripts: those do not notice when a
    variable changes, so another environment must be another folder."""
    ours = {"zig": (host.zig_version, host.zigbuild_version), "gcc": (backend.gcc, backend.linker)}.get(backend.name)
    host_tools = [_own(host, name) for name in PLAIN]
    told = json.dumps([RECIPE, ours, host_tools, host.env.get("LDFLAGS"), str(host.libclang)])
    return hashlib.sha256(told.encode()).hexdigest()[:8]


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
        env.update(_zig(host, target, backend, script, tools))
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
OURS = ("PATH", "CARGO", "RUSTC", "CC", "CXX", "AR", "RANLIB", "LDFLAGS", "PKG_CONFIG")


def _zig(host: Host, target: Target, backend: Backend, script: Script, tools: Path) -> dict[str, str]:
    whose = hashlib.sha256(str(tools).encode()).hexdigest()[:8]
    env = {
        # The zig of this installation, not of whatever python3 is first on PATH; saves starting that, too.
        "CARGO_ZIGBUILD_ZIG_COMMAND": str(host.zig),
        # cargo-zigbuild (0.24) links and writes its wrappers there without a lock: of two that start at once one ends with "File
        # exists". Each project has its own, by a path without spaces, for the wrappers are CC; and so has each floor.
        "CARGO_ZIGBUILD_CACHE_DIR": str(host.cache / "zigbuild" / f"{backend.floor or 'musl'}-{whose}"),
        # lld refuses version scripts that name absent symbols, GNU ld does not (librdkafka has one).
        "LDFLAGS": f"{host.env.get('LDFLAGS', '')} -Wl,--undefined-version".strip(),
        f"CARGO_TARGET_{target.env.upper()}_LINKER": script(
            f"{target.triple}-link-cc",
            f'#!/bin/sh\nexec {quote(str(host.python))} -I -S {quote(str(LINKER))} "$CC_{target.env}" "$@"\n',
        ),
    }
    if "HOME" not in host.env and "XDG_CACHE_HOME" not in host.env:
        env["ZIG_GLOBAL_CACHE_DIR"] = str(host.cache / "zig")
    if not host.which("cc"):
        # No compiler at all, as in a slim container: zig links build scripts and proc macros, too. rustc looks for `cc`.
        for name in ("cc", "c++", "ar", "ranlib"):
            found = script(f"host/{name}", f'#!/bin/sh\nexec {quote(str(host.zigbuild))} zig {name} -- "$@"\n')
        env["PATH"] = ":".join((*host.path, str(Path(found).parent)))
    return env


LINKER = Path(__file__).with_name("linker.py")


def _gcc(target: Target, backend: Backend, script: Script) -> dict[str, str]:
    gcc = backend.gcc
    prefix = gcc.removesuffix("gcc") if gcc.endswith(f"{target.gnu}-gcc") else ""
    env = {} if backend.linker else {f"CARGO_TARGET_{target.env.upper()}_LINKER": gcc}
    if not prefix:
        return env  # the machine's own compiler: cargo and cc find it
    # Debian's cross headers; bindgen splits the words as a shell does.
    headers = (*((quote(backend.headers),) if backend.headers else ()), f"/usr/{target.gnu}/include")
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
        f"BINDGEN_EXTRA_CLANG_ARGS_{target.env}": " ".join((f"--target={target.gnu}", *words("-isystem", headers))),
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
