"""Why a build compiles with these flags, and sets these variables: for the report of a bug."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.core.targets import Target, cargo_variable
from buildlib.machine.cargo_config import Value
from buildlib.machine.host import Host
from buildlib.rust.backends.base import Backend

LIBRARIES = "the system libraries of the target"
SCRIPTS = "for build scripts that know no other name"
# By the name of the variable without the target that it may end with.
REASONS = {
    "AR": SCRIPTS,
    "BINDGEN_EXTRA_CLANG_ARGS": "headers of the target",
    "CARGO": "of the same toolchain as rustc",
    "CARGO_ENCODED_RUSTFLAGS": "the configured flags without what cannot be meant for the target",
    "CARGO_ZIGBUILD_CACHE_DIR": "cargo-zigbuild writes its wrappers without a lock",
    "CARGO_ZIGBUILD_ZIG_COMMAND": "the zig of this installation, not the one of the first Python on PATH",
    "CC": SCRIPTS,
    "CFLAGS": LIBRARIES,
    "CMAKE_TOOLCHAIN_FILE": "the compilers and libraries of the target",
    "CXX": SCRIPTS,
    "CXXFLAGS": LIBRARIES,
    "JEMALLOC_SYS_WITH_LG_PAGE": "the largest pages of the arch",
    "LDFLAGS": "lld refuses version scripts that name absent symbols",
    "LIBCLANG_PATH": "the system has no libclang",
    "PKG_CONFIG": "finds no library of this machine",
    "PKG_CONFIG_LIBDIR": LIBRARIES,
    "PKG_CONFIG_SYSROOT_DIR": LIBRARIES,
    "RANLIB": SCRIPTS,
    "RUSTC": "the compiler of the target's std",
    "ZIG_GLOBAL_CACHE_DIR": "there is no HOME",
}
LINKERS = {
    "zig": "zig's linker does not fall back from a shared library to the archive",
    "gcc": "the GNU compiler for the target",
}


def reason(name: str, target: Target, backend: Backend) -> str:
    """Why a build with `backend` sets the variable `name`; "" for one that is only handed on."""
    if name == cargo_variable(target.triple, "LINKER"):
        return LINKERS.get(backend.name, "")
    own = name.removesuffix(f"_{target.env}").removesuffix(f"_{target.triple}")
    if own != name and own in ("AR", "CC", "CXX", "RANLIB"):
        return "the compiler of the target"
    if own in REASONS:
        return REASONS[own]
    # HOST_CC, CC_<triple of this machine>, and its linker
    of_host = name.startswith(("HOST_", "AR_", "CC_", "CXX_", "RANLIB_")) or name.endswith("_LINKER")
    return "for what runs during the build" if of_host else ""


def rustflags(host: Host, target: Target) -> Iterator[str]:
    """The configured flags for the target, each run of them with what has set it."""
    flags = host.cargo_config.rustflags(target.triple)
    undecided = host.cargo_config.undecided(target.triple)
    for values, text in ((flags, ""), (undecided, ", if rustc says that it applies")):
        yield from (f"{' '.join(words)} ({where}{text})" for where, words in _by_origin(values).items())


def _by_origin(flags: tuple[Value, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for flag in flags:
        found.setdefault(flag.where, []).append(flag.text)
    return found
