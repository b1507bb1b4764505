"""The environment of cargo and its children: the backend's variables, the compiler, and plain CC for build scripts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from shlex import quote

from buildlib.core.plan import Write
from buildlib.core.targets import Target
from buildlib.machine.host import Host
from buildlib.rust.backends.base import Backend, Script
from buildlib.rust.std import Compiler, rustc_wrapper

VERSION = "env2"  # part of the name of every target directory: change it when `environment` changes
# Set even if the user has set them: a user's plain names mean the host, and their values are kept under HOST_*.
ALWAYS_SET = ("PATH", "CARGO", "RUSTC", "CC", "CXX", "AR", "RANLIB", "LDFLAGS", "PKG_CONFIG")
# The plain names that build scripts know, and the programs that they mean on the host.
PLAIN = {"CC": ("cc", "gcc", "clang"), "CXX": ("c++", "g++", "clang++"), "AR": ("ar", "gcc-ar"), "RANLIB": ("ranlib",)}


def fingerprint(host: Host, backend: Backend) -> str:
    """Return eight hex digits over everything that a backend puts into the environment of build scripts.

    Build scripts do not notice that a variable changed, so another environment is another target directory.
    """
    host_tools = [_host_program(host, name) for name in PLAIN]
    facts = [VERSION, backend.fingerprint(host), host_tools, host.env.get("LDFLAGS"), str(host.libclang)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


def environment(
    host: Host, target: Target, backend: Backend, compiler: Compiler | None, tools: Path
) -> tuple[dict[str, str], tuple[Write, ...]]:
    """Return the variables for cargo, and the small scripts in the directory `tools` that they name.

    `compiler` is None for a backend that is not local. Variables that the user has set for the target are left out.
    """
    scripts: list[Write] = []

    def script(name: str, text: str) -> str:
        scripts.append(Write(path=tools / name, text=text, mode=0o755))
        return str(tools / name)

    if compiler is None:  # cross: the container has its own environment
        return dict(backend.variables(host, target, script, tools)), tuple(scripts)
    env: dict[str, str] = {"PATH": ":".join(host.path)}
    env["CARGO"] = str(compiler.toolchain.cargo)
    env["RUSTC"] = str(compiler.toolchain.rustc)
    if text := rustc_wrapper(compiler, target):
        env["RUSTC"] = script("rustc", text)
    env.update(backend.variables(host, target, script, tools))
    if backend.compiles_c(host, target):
        env.update(_plain_names(host, compiler.toolchain.host, target, script))
    if host.libclang:
        env["LIBCLANG_PATH"] = str(host.libclang)
    return {name: value for name, value in env.items() if name in ALWAYS_SET or name not in host.env}, tuple(scripts)


def _host_program(host: Host, name: str) -> str:
    """Return the host's own CC (CXX, AR, RANLIB) as shell words: users set CC="ccache gcc"."""
    path = host.which(*PLAIN[name])
    return host.env.get(f"HOST_{name}") or host.env.get(name) or (quote(path) if path else PLAIN[name][0])


def _plain_names(host: Host, host_triple: str, target: Target, script: Script) -> dict[str, str]:
    """Return CC, CXX, AR, RANLIB and PKG_CONFIG, for build scripts that know no other names.

    They mean the target's tools, except where the TARGET that cargo sets shows that a build dependency is compiled for this
    machine. The host's own tools stay under HOST_CC and CC_<host triple>, where the cc crate reads them.
    """
    env: dict[str, str] = {}
    for name, programs in PLAIN.items():
        own = _host_program(host, name)
        env[f"HOST_{name}"] = env[f"{name}_{host_triple.replace('-', '_')}"] = own
        env[name] = script(f"{target.triple}-{programs[0]}", _dispatch(host_triple, own, f'"${name}_{target.env}"'))
    if pkg_config := host.env.get("PKG_CONFIG") or host.which("pkg-config", "pkgconf"):
        # pkg-config must not find the host's libraries; without a directory for the target it finds none.
        libdir = f'"PKG_CONFIG_LIBDIR=${{PKG_CONFIG_LIBDIR_{target.env}:-/nonexistent}}"'
        path = f'"PKG_CONFIG_PATH=$PKG_CONFIG_PATH_{target.env}"'
        names = ("PKG_CONFIG_SYSROOT_DIR", "PKG_CONFIG_LIBDIR", "PKG_CONFIG_ALLOW_CROSS")
        configured = any(name in host.env for name in names)
        line = quote(pkg_config) if configured else f"env {libdir} {path} {quote(pkg_config)}"
        env["PKG_CONFIG"] = script(f"{target.triple}-pkg-config", _dispatch(host_triple, quote(pkg_config), line))
    return env


def _dispatch(host_triple: str, own: str, other: str) -> str:
    """Return a script that runs `own` for build dependencies and `other` for the target."""
    return f'#!/bin/sh\n[ "$TARGET" = {host_triple} ] && exec {own} "$@"\nexec {other} "$@"\n'
