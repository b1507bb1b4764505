"""Scripts in the place of rustc and the C compilers, which compile through sccache.

What a crate compiles to depends on no path of this machine (`rust.trim`), but sccache's key for it does: the working directory, the
path of a registry's sources, the variables that cargo sets. So there are two scripts around sccache. The outer one, which cargo knows
as rustc, puts names in the place of paths. sccache takes the inner one for the compiler; it puts the paths back. The same is done with
the list of source files (`.d`), which is in the cache too. What has a path of this machine in it after all must not get into the
cache: the inner script exits with LOCAL, and the outer one compiles without sccache.

The variable CARGO_BUILDLIB is part of the key, as all that begin with CARGO_. It has the identity of std, because sccache refuses
`--sysroot`, and reads of a toolchain only its shared libraries. For C the content of the inner script is part of the key.

What is in sccache's keys: generate_hash_key in src/compiler/rust.rs and c.rs of sccache 0.16, and its docs/Rust.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shlex import quote
from typing import TypedDict

from buildlib import elf
from buildlib.core.plan import Job, Script, Trims, Write

VERSION = "1"  # part of every key: change it when a change of the scripts changes what compilers make
# Exit codes that no compiler has: a path of this machine is in what was compiled; sccache itself failed.
LOCAL, FAILED = 199, 2
# Variables of the scripts begin with an underscore: what begins with BUILDLIB_ is a setting, also for a buildlib that a test starts.
SOCKET, LOG = "SCCACHE_SERVER_UDS", "_BUILDLIB_CACHE_LOG"
NO_SERVER = "no-server.toml"
NO_STORE = '[cache.redis]\nendpoint = "none://buildlib"\n'  # an address that sccache refuses
# The paths as they are in keys and in the cache. In a list of files "/src/" could be anything.
NAMES = {
    "/src/..": "/.buildlib/beside/",
    "/src": "/.buildlib/workspace/",
    "/cargo": "/.buildlib/cargo/",
    "/target": "/.buildlib/target/",
}
OUTPUTS = ("/src", "/cargo", "/target")  # the directories whose paths must not be in what is compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerCache:
    """How the compilations for one target use the cache."""

    sccache: Path
    socket: Path  # of the server
    folder: Path  # of the inner scripts
    trims: Trims
    in_wrapper: bool = False  # whether the user's configuration has sccache around rustc already
    engine: str = ""  # the path of docker or podman, where cross compiles in a container
    probe: Job | None = None  # makes cross record how it starts that container

    @property
    def log(self) -> Path:
        """The file with a line for each compilation: see `use`."""
        return self.folder / "compilations"

    @property
    def container_options(self) -> Path:
        """The file that `probe` writes: the options and the image of `docker run`, each with a null byte behind it."""
        return self.folder / "container-options"

    @property
    def arch(self) -> str:
        """The target's name: `rust.cargo.invocation` gives each target a directory, which has the scripts. A dot ends the name."""
        return self.folder.parents[1].name.partition(".")[0]

    @property
    def actions(self) -> tuple[Write, ...]:
        """What a build begins with: an empty log, and a configuration that no server starts with.

        Without a server sccache's client starts one of its own, for a store of this user.
        """
        return (Write(path=self.log, text=""), Write(path=self.folder / NO_SERVER, text=NO_STORE))

    @property
    def environment(self) -> dict[str, str]:
        """Variables for cargo, which the scripts and sccache's client read."""
        return {
            SOCKET: str(self.socket), LOG: str(self.log), "SCCACHE_CONF": str(self.folder / NO_SERVER),
            "SCCACHE_IGNORE_SERVER_IO_ERROR": "1",
            # Two around each other would wait for each other's jobs. An empty value means none.
            **(dict.fromkeys(("RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"), "") if self.in_wrapper else {}),
        }  # fmt: skip

    @property
    def again(self) -> str:
        """The exit codes after which the outer scripts compile without sccache, as a pattern of a shell.

        In containers any failure: there the server may lack a file that the container of cargo has.
        """
        return "[!0]*" if self.engine else f"{FAILED} | {LOCAL}"

    def rustc(self, script: Script, rustc: Path, plain: str, std: Iterable[str], name: str = "rustc") -> str:
        """Write the two scripts, and return the path of the outer one.

        `rustc` is the compiler itself, `plain` one with all flags that a compilation needs. `std` are the identities of the standard
        libraries of this machine and of the target, as words of a shell, and `name` is that of the outer script.
        """
        own, of_target = std
        local = [f"-e {quote(f'{path}/')}" for path, name in self.trims if name in OUTPUTS]
        words = {
            "PATHS": f"{_arrays(self.trims)}\n{filled('paths.bash', {})}",
            "PLAIN": quote(plain),
            "SCCACHE": quote(str(self.sccache)),
            "AGAIN": self.again,
            "RUSTC": quote(str(rustc)),
            "HOST_KEY": f"{VERSION}-{own}",
            "TARGET_KEY": f"{VERSION}-{own}-{of_target}",
            "OWN": " ".join(local or ("-e /.buildlib/",)),  # grep needs a pattern, and a name of a key is in no output
        }
        words["INNER"] = quote(script("cached/rustc", filled("rustc_inner.bash", words)))
        return script(name, filled("rustc_outer.bash", words))

    def c_compiler(self, script: Script, name: str, plain: str, identity: str) -> str:
        """The text of a script that compiles through the cache.

        `name` is one by which sccache knows a compiler of C (cc, c++), `plain` a program that compiles without the cache, `identity`
        what compiles, without paths.
        """
        return f'#!/bin/sh\n{self._compilation(script, name, plain, identity)}exec {quote(plain)} "$@"\n'

    def zig(self, script: Script, plain: str, version: str) -> str:
        """The text of a script in place of zig, whose first argument says whether it compiles C or C++."""
        cases = []
        for kind in ("cc", "c++"):
            compiler = script(f"plain/zig-{kind}", f'#!/bin/sh\nexec {quote(plain)} {kind} "$@"\n')
            text = self._compilation(script, kind, compiler, f"zig {version} {kind}")
            cases.append(f'{kind})\nshift\n{text}set -- {kind} "$@"\n;;\n')
        return f'#!/bin/sh\ncase "$1" in\n{"".join(cases)}esac\nexec {quote(plain)} "$@"\n'

    def _compilation(self, script: Script, name: str, plain: str, identity: str) -> str:
        """Lines of a shell script that compile "$@" through the cache and exit, if it is a compilation."""
        folder = hashlib.sha256(identity.encode()).hexdigest()[:8]
        inner = script(f"cached/{folder}/{name}", filled("c_inner.sh", {"IDENTITY": f"{VERSION} {identity}"}))
        return self.c_lines(quote(plain), quote(inner))

    def c_lines(self, plain: str, inner: str) -> str:
        """Lines of a shell script that compile "$@" by `inner` through the cache and exit, if it is a compilation.

        `plain` compiles without the cache; both are words of a shell.
        """
        words = {"PLAIN": plain, "SCCACHE": quote(str(self.sccache)), "INNER": inner, "AGAIN": self.again}
        return filled("c_outer.sh", words)


def filled(template: str, words: Mapping[str, str]) -> str:
    """The text of a file of this package, with the words in the place of their names between two @."""
    text = Path(__file__).with_name(template).read_text(encoding="utf-8")
    for name, value in {**words, "LOCAL": str(LOCAL), "FAILED": str(FAILED)}.items():
        text = text.replace(f"@{name}@", value)
    return text


def _arrays(trims: Trims) -> str:
    """The paths of this machine and their names in keys as arrays of bash, the innermost first."""
    pairs = [(f"{path}/", NAMES.get(name, f"/.buildlib{name}/")) for path, name in reversed(trims)]
    return f"paths=({' '.join(quote(path) for path, _ in pairs)})\nnames=({' '.join(quote(name) for _, name in pairs)})"


def identity(folder: Path) -> str:
    """A digest of a directory of compiled libraries. OSError as of the file system."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.rlib")):
        digest.update(f"{file.name}\0{elf.digest(file)}\0".encode())
    return digest.hexdigest()[:32]


# Once for a command: all targets share the one of this machine, and it is tens of megabytes.
std_identity = cache(identity)


class CacheUse(TypedDict):
    """How many compilations sccache could keep the result of, and how many of them the cache already had."""

    compilations: int
    hits: int


def use(log: str = "") -> CacheUse:
    """The use of the cache by the text of a log; without one no use.

    The outer script writes a line for each compilation that succeeded by way of sccache, the inner one a line where it compiled.
    """
    lines = log.splitlines()
    compilations, compiled = sum(line in ("rustc", "C") for line in lines), lines.count("compiled")
    return CacheUse(compilations=compilations, hits=max(0, compilations - compiled))
