"""What a request needs, minus what this machine has; and the cures, as a plan."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace

from buildlib import emulation, toolchain
from buildlib.backends import Backend, gcc_for
from buildlib.host import Host
from buildlib.plan import Cure, Need, Step, apt_install
from buildlib.targets import Target
from buildlib.workspace import Tool, knowledge

# Debian's security suite carries a current compiler as *-web; Ubuntu and later Debians under the plain names.
DISTRIBUTION_RUST = (("rustc-web", "cargo-web", "rust-web-src"), ("rustc", "cargo", "rust-src"))
WHEELS = "pip install 'buildlib[host-tools]'"


_PAIR = ("cargo-zigbuild>=0.24,<0.25", "ziglang>=0.17,<0.18")  # as pyproject.toml has it
_ZIG = Step(title="zig and cargo-zigbuild", argv=(sys.executable, "-m", "pip", "install", *_PAIR), attempts=3)


def needs(
    targets: Iterable[Target], backends: Mapping[str, Backend], tools: Mapping[str, tuple[str, ...]]
) -> tuple[Need, ...]:
    """Everything a build of `targets` wants of the machine. `tools` maps a host tool to the crates that run it."""
    targets = tuple(targets)
    found = [_std(target) for target in targets if backends[target.name].name != "cross"]
    found += [need for target in targets for need in _backend(target, backends[target.name])]
    found += [_host_tool(knowledge()[1][name], crates) for name, crates in tools.items()]
    found += [need for target in targets for need in emulation.needs(target)]
    return tuple({need.what: need for need in found}.values())


def missing(wanted: Iterable[Need], host: Host) -> tuple[Need, ...]:
    return tuple(need for need in wanted if not need.met(host))


def _std(target: Target) -> Need:
    rustup = Cure(text=f"rustup target add {target.triple}")
    packaged = Cure(text=f"apt-get install {' '.join(DISTRIBUTION_RUST[0])}")  # `setup` picks what is to be had
    return Need(
        what=f"Rust standard library for {target.name}",
        why=f"compile for {target.triple}",
        # A rung that is there counts: the build climbs it by itself.
        met=lambda host: toolchain.ready(host, target) is not None or bool(toolchain.rungs(host, target)),
        cures=(rustup, packaged),
    )


def _backend(target: Target, backend: Backend) -> tuple[Need, ...]:
    match backend.name:
        case "zig":
            cure = (Cure(text="pip install ziglang cargo-zigbuild", steps=(_ZIG,), root=False),)
            return (
                Need(
                    what="zig", why="the zig backend links with it", met=lambda host: host.zig is not None, cures=cure
                ),
                Need(
                    what="cargo-zigbuild",
                    why="zig links through it",
                    met=lambda host: host.zigbuild is not None,
                    cures=cure,
                ),
                Need(
                    what="the pair of zig and cargo-zigbuild that was tested",
                    why="which flags one takes and the other translates changes between versions",
                    met=lambda host: not host.zig_version or _is_pair(host),
                    cures=(Cure(text=f"pip install {' '.join(map(repr, _PAIR))}"),),
                    must=False,
                ),
            )
        case "gcc":
            package, libc = f"gcc-{target.gnu.replace('_', '-')}", f"libc6-dev-{target.debian}-cross"
            return (
                Need(
                    what=f"{target.gnu}-gcc",
                    why=f"the gcc backend links {target.name} with it",
                    met=lambda host: bool(backend.linker) or gcc_for(host, target) is not None,
                    cures=(Cure(text=f"apt-get install {package}", steps=(apt_install(package, libc),)),),
                ),
            )
    return (
        Need(what="cross", why="the cross backend calls it", met=lambda host: host.which("cross") is not None,
             cures=(Cure(text="cargo install cross"),)),
        Need(what="rustup", why="cross asks it for the toolchain",
             met=lambda host: host.which("rustup") is not None, cures=(Cure(text="install rustup, or choose --backend zig"),)),
        Need(what="a container engine that answers", why="cross compiles in a container",
             met=lambda host: host.engine is not None, cures=(Cure(text="start Docker, or choose --backend zig"),)),
    )  # fmt: skip


def _is_pair(host: Host) -> bool:
    return host.zig_version.startswith("0.17.") and host.zigbuild_version.startswith("0.24.")


def _host_tool(tool: Tool, crates: tuple[str, ...]) -> Need:
    wheel = (Cure(text=WHEELS),) if tool.wheel else ()
    apt = Cure(text=f"apt-get install {tool.apt}", steps=(apt_install(tool.apt),))
    return Need(
        what=tool.name,
        why=f"{', '.join(crates)} run{'s' if len(crates) == 1 else ''} it",
        met=lambda host: has_tool(host, tool),
        cures=(*wheel, apt),
    )


def has_tool(host: Host, tool: Tool) -> bool:
    """Whether the machine has the tool: named in the environment, on PATH, or as a wheel beside us."""
    if tool.env and host.env.get(tool.env):
        return True
    match tool.name:
        case "libclang":
            return host.system_libclang or host.libclang is not None
        case "c++":  # zig brings one; for gcc it comes with the compiler's own package
            return host.zig is not None or host.which("c++", "g++") is not None
    return host.which(*tool.commands) is not None


def packages(lacking: Iterable[Need]) -> tuple[str, ...]:
    """The distribution's packages that the needs' own cures name, each once."""
    steps = (step for need in lacking for cure in need.cures[-1:] if cure.root for step in cure.steps)
    return tuple(dict.fromkeys(name for step in steps for name in step.argv[4:]))


def own_steps(lacking: Iterable[Need]) -> tuple[Step, ...]:
    """What the person's own environment gets, without root; each once."""
    steps = (step for need in lacking for cure in need.cures if not cure.root for step in cure.steps)
    return tuple({step.argv: step for step in steps}.values())


def privileged(host: Host, step: Step) -> Step:
    """The step as root: itself, or through sudo, which may ask for a password on the terminal."""
    return step if host.root else replace(step, argv=("sudo", *step.argv), terminal=True)


def describe(lacking: Iterable[Need]) -> str:
    """One line a need, its cures behind it."""
    return "\n".join(f"  {need.what} ({need.why}): {' or '.join(cure.text for cure in need.cures)}" for need in lacking)
