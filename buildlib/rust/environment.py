"""The environment of cargo and its children: the backend's variables, the compiler, and plain CC for build scripts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from shlex import quote

from buildlib import elf
from buildlib.compiler_cache import containers
from buildlib.compiler_cache.scripts import CompilerCache, std_identity
from buildlib.core.plan import Script, Trims, Write, words
from buildlib.core.sysroot import Sysroot
from buildlib.core.targets import SMALLEST_PAGE, Target, cargo_variable
from buildlib.crates.locked import locked
from buildlib.machine import pkg_config
from buildlib.machine.host import Host
from buildlib.machine.pkg_config import targeted
from buildlib.rust import user_flags
from buildlib.rust.backends.base import Backend
from buildlib.rust.configured_programs import links_scripts, stand_in
from buildlib.rust.std import Compiler, rustc_wrapper
from buildlib.rust.trim import c_flags

VERSION = "env7"  # part of the name of every target directory: change it when `environment` changes
# Set even if the user has set them: a user's plain names mean the host, and their values are kept under HOST_*.
ALWAYS_SET = ("PATH", "CARGO", "RUSTC", "CC", "CXX", "AR", "RANLIB", "LDFLAGS", "PKG_CONFIG", "CARGO_ENCODED_RUSTFLAGS")
# The plain names that build scripts know, and the programs that they mean on the host.
PLAIN = {"CC": ("cc", "gcc", "clang"), "CXX": ("c++", "g++", "clang++"), "AR": ("ar", "gcc-ar"), "RANLIB": ("ranlib",)}
COMPILERS = ("CC", "CXX")
# What build scripts may use of this machine, and the crates without which they do not. Crates that compile C without these run
# configure and make themselves.
C_COMPILER, LIBCLANG = "C compiler", "libclang"
EVERYTHING = frozenset({C_COMPILER, LIBCLANG})
COMPILE_C = frozenset(
    {"cc", "cmake", "autotools", "meson-next", "gcc", "krb5-src", "sasl2-sys", "rdkafka-sys", "isal-sys"}
)


def uses(lock: str) -> frozenset[str]:
    """Return what builds of a workspace may use of this machine's own compilers, from the text of its Cargo.lock.

    It is the lock file and not the crate graph of one build, so that all builds and tests of a workspace share a target directory.
    """
    crates = locked(lock)
    if not crates:
        return EVERYTHING
    return frozenset(
        name for name, users in ((C_COMPILER, COMPILE_C), (LIBCLANG, {"clang-sys"})) if not crates.isdisjoint(users)
    )


def fingerprint(
    host: Host,
    backend: Backend,
    used: Collection[str] = EVERYTHING,
    sysroot: Sysroot | None = None,
    *,
    trim: bool = True,
) -> str:
    """Return eight hex digits over everything that a backend puts into the environment of build scripts.

    Build scripts do not notice that a variable changed, so another environment is another target directory. What nothing uses does
    not count: installing it later must not compile everything again. `used` is what `uses` returns. Sysroots with the same packages
    are the same for all targets, which then share the compiled build scripts.
    """
    explicit = [
        host.script_env.get(name)
        for name in ("LDFLAGS", *(f"{prefix}{name}" for name in PLAIN for prefix in ("", "HOST_")))
    ]
    facts = [VERSION, backend.fingerprint(host), explicit, *(() if trim else ("local paths",))]
    facts += [[_host_program(host, name) for name in PLAIN]] if C_COMPILER in used else []
    facts += [str(host.libclang)] if LIBCLANG in used else []
    facts += [sysroot.suite, sorted(sysroot.packages.items())] if sysroot else []
    return _digits(facts)


def own_suffix(backend: Backend) -> str:
    """Return what the name of a target's directory ends with: eight hex digits over what the backend sets for this target alone."""
    facts = backend.own_fingerprint()
    return f".{_digits(facts)}" if facts else ""


def _digits(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]


def environment(
    host: Host,
    target: Target,
    backend: Backend,
    compiler: Compiler | None,
    tools: Path,
    trims: Trims = (),
    cache: CompilerCache | None = None,
) -> tuple[dict[str, str], tuple[Write, ...]]:
    """Return the variables for cargo, and the small scripts in the directory `tools` that they name.

    `compiler` is None for a backend that is not local. Variables that the user has set for the target are left out.

    Raises:
        UsageError: the workspace's rustflags cannot be used for the target, and not be separated.
    """
    scripts: list[Write] = []

    def script(name: str, text: str) -> str:
        scripts.append(Write(path=tools / name, text=text, mode=0o755))
        return str(tools / name)

    if compiler is None:  # cross: the container has its own environment
        env = dict(backend.variables(host, target, script, tools))
        return env | (containers.variables(cache, script, target) if cache else {}), tuple(scripts)
    own = compiler.toolchain
    env = {"PATH": ":".join(host.path), "CARGO": str(own.cargo), "RUSTC": str(own.rustc)}
    if text := rustc_wrapper(host, compiler, target, trims):
        env["RUSTC"] = script("plain/rustc" if cache else "rustc", text)
    if cache:
        std = map(std_identity, compiler.std_folders(target))
        env["RUSTC"] = cache.rustc(script, own.rustc, env["RUSTC"], std)
    env.update(backend.variables(host, target, script, tools))
    if trims:
        env.update(_trimming(host, target, env, script, c_flags(trims), cache))
    if target.page_size > SMALLEST_PAGE:
        # jemalloc compiles the page size in, and aborts on larger pages. It is the power of two of the largest ones.
        env["JEMALLOC_SYS_WITH_LG_PAGE"] = str(target.page_size.bit_length() - 1)
    if backend.compiles_c(host, target):
        env.update(_plain_names(host, own.host, target, script))
    if host.libclang:
        env["LIBCLANG_PATH"] = str(host.libclang)
    if (flags := user_flags.replacement(host, target, backend)) is not None:
        env["CARGO_ENCODED_RUSTFLAGS"] = "\x1f".join(flags)
    users = host.script_env
    kept = {
        name: value for name, value in env.items() if name in ALWAYS_SET or name not in users or _is_absent(host, name)
    }
    kept |= _host_linker(host, target, backend, own.host)
    return kept | _system_libraries(host, target, env), tuple(scripts)


def _trimming(
    host: Host, target: Target, env: Mapping[str, str], script: Script, flags: str, cache: CompilerCache | None
) -> dict[str, str]:
    """The compilers of C for the target, as scripts that add `flags`: zig, a cross compiler, or this machine's own."""
    if zig := env.get("CARGO_ZIGBUILD_ZIG_COMMAND"):
        text = _trimming_zig(Path(zig), host.cache / "zig-debug", flags)
        if not cache:
            return {"CARGO_ZIGBUILD_ZIG_COMMAND": script("zig", text)}
        return {
            "CARGO_ZIGBUILD_ZIG_COMMAND": script("zig", cache.zig(script, script("plain/zig", text), host.zig_version))
        }
    found = {}
    for name in COMPILERS:
        variable = f"{name}_{target.env}"
        own = quote(env[variable]) if variable in env else _host_program(host, name) if host.which(*PLAIN[name]) else ""
        if own and not targeted(host.script_env, name, target):
            kind = PLAIN[name][0]
            text = f'#!/bin/sh\nexec {own} {flags} "$@"\n'
            if cache and (program := host.which(own)):
                plain = script(f"plain/{target.triple}-{kind}", text)
                text = cache.c_compiler(script, kind, plain, f"{kind} {elf.digest(Path(program))}")
            found[variable] = script(f"{target.triple}-trim-{kind}", text)
    return found


def _trimming_zig(zig: Path, cache: Path, flags: str) -> str:
    """A script in place of zig that adds `flags` where it compiles C.

    What it links is with debug information: zig compiles its C library with debug information then as well, which has the paths of
    zig and of the directory in which it did that first. Its cache does not know the flags in this variable of clang's, so what is
    compiled with them has its own.
    """
    command, folder = quote(str(zig)), zig.resolve().parent
    options = "# +-fdebug-compilation-dir=/zig" + ("" if " " in str(folder) else f" +-ffile-prefix-map={folder}=/zig")
    return f"""#!/bin/sh
case "$1" in
cc | c++)
    case " $* " in
    *" -c "* | *" -S "* | *" -E "* | *" -s "* | *strip-*) ;;
    *) export CCC_OVERRIDE_OPTIONS={quote(options)} ZIG_GLOBAL_CACHE_DIR={quote(str(cache))} ;;
    esac
    kind=$1
    shift
    exec {command} "$kind" {flags} "$@"
    ;;
esac
exec {command} "$@"
"""


def _system_libraries(host: Host, target: Target, env: Mapping[str, str]) -> dict[str, str]:
    """Where the target's sysroot is, for the crates pkg-config, cc and bindgen, in addition to the flags that the user has set."""
    sysroot = host.sysroots.get(target.name)
    if not sysroot:
        return {}
    own_search = any(targeted(host.script_env, name, target) for name in sysroot.pkg_config)
    variables = {} if own_search else sysroot.pkg_config
    found = {f"{name}_{target.env}": value for name, value in variables.items()}
    # The crate cc reads the first of these that is set, and bindgen the first two and the last.
    for flags in ("CFLAGS", "CXXFLAGS", "BINDGEN_EXTRA_CLANG_ARGS"):
        spellings = (f"{flags}_{target.triple}", f"{flags}_{target.env}", f"TARGET_{flags}", flags)
        name = next((spelling for spelling in spellings if spelling in host.script_env), "")
        own = host.script_env.get(name) or env.get(f"{flags}_{target.env}", "")
        found[name if name == spellings[0] else spellings[1]] = f"{own} {_headers(host, target)}".strip()
    return found


def _headers(host: Host, target: Target) -> str:
    """The compiler's flags for the headers of the target's sysroot, as shell words; "" without one."""
    sysroot = host.sysroots.get(target.name)
    return " ".join(words("-isystem", map(quote, sysroot.includes))) if sysroot else ""


def _is_absent(host: Host, name: str) -> bool:
    """Whether the user's variable names a linker that is not installed: the backend links then."""
    return name.endswith("_LINKER") and host.which(host.script_env[name]) is None


def _host_linker(host: Host, target: Target, backend: Backend, host_triple: str) -> dict[str, str]:
    """The linker for build scripts, where the configuration prefers one that is not installed."""
    other = stand_in(host, target, backend, host_triple) if links_scripts(host, target, backend, host_triple) else None
    return {cargo_variable(host_triple, "LINKER"): other} if other else {}


def _host_program(host: Host, name: str) -> str:
    """Return the host's own CC (CXX, AR, RANLIB) as shell words: users set CC="ccache gcc"."""
    path = host.which(*PLAIN[name])
    env = host.script_env
    return env.get(f"HOST_{name}") or env.get(name) or (quote(path) if path else PLAIN[name][0])


def _plain_names(host: Host, host_triple: str, target: Target, script: Script) -> dict[str, str]:
    """Return CC, CXX, AR, RANLIB and PKG_CONFIG, for build scripts that know no other names.

    They mean the target's tools, except where the TARGET that cargo sets shows that a build dependency is compiled for this
    machine. The host's own tools stay under HOST_CC and CC_<host triple>, where the cc crate reads them.
    """
    env: dict[str, str] = {}
    for name, programs in PLAIN.items():
        own = _host_program(host, name)
        env[f"HOST_{name}"] = env[f"{name}_{host_triple.replace('-', '_')}"] = own
        other = f'"${name}_{target.env}" {_headers(host, target) if name in COMPILERS else ""}'.rstrip()
        env[name] = script(f"{target.triple}-{programs[0]}", _dispatch(host_triple, own, other))
    if search := pkg_config.for_target(host, target):
        own = quote(pkg_config.for_host(host) or "pkg-config")
        env["PKG_CONFIG"] = script(f"{target.triple}-pkg-config", _dispatch(host_triple, own, search.shell))
    return env


def _dispatch(host_triple: str, own: str, other: str) -> str:
    """Return a script that runs `own` for build dependencies and `other` for the target."""
    return f'#!/bin/sh\n[ "$TARGET" = {host_triple} ] && exec {own} "$@"\nexec {other} "$@"\n'
