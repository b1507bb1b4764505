"""gcc: cargo with a GNU cross compiler, or plain cargo for the native arch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from buildlib.core.plan import Script, words
from buildlib.core.requirements import Fix, Requirement, apt_install
from buildlib.core.targets import Target, cargo_variable
from buildlib.emulation.qemu import is_native
from buildlib.machine.host import Host
from buildlib.machine.pkg_config import targeted
from buildlib.machine.rust_toolchains import Toolchain
from buildlib.rust.backends.base import cmake_toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Gcc:
    """Compiles with cargo, links with `gcc` or with the linker that the workspace configures."""

    why: str
    minimum_glibc: str  # the version that it links against, unless configured
    gcc: str = ""  # path of the C compiler
    linker: str = ""  # a linker that the workspace configures; it is used as it is
    headers: str = ""  # gcc's directory of stddef.h, for a libclang without headers

    name = "gcc"
    local = True

    def requirements(self, target: Target) -> tuple[Requirement, ...]:
        """Require the compiler, or the linker that the workspace configures in its place."""
        package, libc = f"gcc-{target.gnu.replace('_', '-')}", f"libc6-dev-{target.debian}-cross"
        if self.linker:
            return (
                Requirement(
                    what=self.linker, why=f"cargo's configuration names it as the linker for {target.name}",
                    met=lambda host: host.which(self.linker) is not None,
                    fixes=(Fix(text=f"install {self.linker}, or choose --backend zig"),),
                ),
            )  # fmt: skip
        return (
            Requirement(
                what=f"{target.gnu}-gcc",
                why=f"the gcc backend links {target.name} with it",
                met=lambda host: compiler_for(host, target) is not None,
                fixes=(Fix(text=f"apt-get install {package}", steps=(apt_install(package, libc),)),),
            ),
        )

    def program(self, host: Host, toolchain: Toolchain | None) -> tuple[str, ...]:
        """Return the path of cargo."""
        return (str(toolchain.cargo) if toolchain else "cargo",)

    def triple(self, target: Target) -> str:
        """Return Rust's triple."""
        return target.triple

    def compiles_c(self, host: Host, target: Target) -> bool:
        """Return True for a cross compiler: cargo and the cc crate find the machine's own by themselves."""
        return bool(self._prefix(target))

    def _prefix(self, target: Target) -> str:
        """Return the path of a cross compiler's tools up to their names, as in /usr/bin/aarch64-linux-gnu-."""
        return self.gcc.removesuffix("gcc") if self.gcc.endswith(f"{target.gnu}-gcc") else ""

    def variables(self, host: Host, target: Target, script: Script, tools: Path) -> Mapping[str, str]:
        """Return the linker; for a cross compiler also its tools, a CMake toolchain file and arguments for bindgen."""
        link = self.gcc
        if sysroot := host.sysroots.get(target.name):  # GNU ld also links libraries with those that they need
            text = f'#!/bin/sh\nexec {quote(link)} {quote(sysroot.search)} "$@" -Wl,-rpath-link,{quote(str(sysroot.shared))}\n'
            link = script(f"{target.triple}-link-cc", text)
        env = {} if self.linker else {cargo_variable(target.triple, "LINKER"): link}
        prefix = self._prefix(target)
        if not prefix:
            return env
        # By way of the variables, for the scripts that may be in the place of these compilers; not what a user has set, which may
        # have arguments.
        own = {"CC": self.gcc, "CXX": f"{prefix}g++"}
        compilers = {
            f"{'C' if name == 'CC' else name}_COMPILER": path
            if targeted(host.script_env, name, target)
            else f"$ENV{{{name}_{target.env}}}"
            for name, path in own.items()
        }
        cmake = cmake_toolchain(host, target, compilers, f"/usr/{target.gnu}")
        # Debian's directory of cross headers. bindgen splits the words like a shell.
        headers = (*((quote(self.headers),) if self.headers else ()), f"/usr/{target.gnu}/include")
        return env | {
            f"CC_{target.env}": self.gcc,
            f"CXX_{target.env}": f"{prefix}g++",
            f"AR_{target.env}": f"{prefix}ar",
            f"RANLIB_{target.env}": f"{prefix}ranlib",
            f"CMAKE_TOOLCHAIN_FILE_{target.env}": script("toolchain.cmake", cmake),
            f"BINDGEN_EXTRA_CLANG_ARGS_{target.env}": " ".join((f"--target={target.gnu}", *words("-isystem", headers))),
        }

    def fingerprint(self, host: Host) -> object:
        """Return whether it is a cross compiler: then build scripts for this machine get its compilers under other names."""
        return self.gcc.endswith("-gcc")

    def own_fingerprint(self) -> object:
        """Return the compiler and the linker."""
        return (self.gcc, self.linker)


def compiler_for(host: Host, target: Target) -> str | None:
    """Return the GNU compiler that links for the target: Debian's cross compiler, or the machine's own."""
    if is_native(host, target) and not target.is_musl:
        return host.which("cc", "gcc")
    return host.which(f"{target.gnu}-gcc")
