"""The rustflags of the workspace for a target: what they ask of the machine, and what of them cannot be meant for the target.

`build.rustflags` and RUSTFLAGS are for every target, and often hold what only this machine can use: target-cpu=native, a linker.
Cargo takes the flags of a target from one place (`CargoConfig.rustflags`), so they can be handed over without single words in
CARGO_ENCODED_RUSTFLAGS, which both cargo and cargo-zigbuild read first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from buildlib.core.errors import UsageError
from buildlib.core.targets import Target
from buildlib.emulation.qemu import is_native
from buildlib.machine.cargo_config import Value
from buildlib.machine.cpus import is_foreign
from buildlib.machine.host import Host
from buildlib.rust.backends.base import Backend

GCC_FLAVORS = ("gcc", "gnu-cc")  # of rustc's -C linker-flavor: what zig understands


class Option(NamedTuple):
    """A codegen option of rustc, `-C name=value`, from the words `first` to `last` of the flags."""

    name: str
    value: str
    origin: Value
    first: int
    last: int


class Dropped(NamedTuple):
    """An option that is not handed over to a target, and why."""

    option: Option
    why: str

    def __str__(self) -> str:
        return f"{self.option.name}={self.option.value} ({self.option.origin.where}) {self.why}"


def options(flags: Sequence[Value]) -> Iterator[Option]:
    """Return the codegen options among `flags`: -C x=y, -Cx=y, --codegen x=y, --codegen=x=y."""
    position = 0
    while position < len(flags):
        first, text = position, flags[position].text
        if text in ("-C", "--codegen") and position + 1 < len(flags):
            position += 1
            text = flags[position].text
        elif text.startswith(("-C", "--codegen=")):
            text = text.removeprefix("--codegen=").removeprefix("-C")
        else:
            text = ""
        name, _, value = text.partition("=")
        if name:
            yield Option(name.replace("_", "-"), value, flags[first], first, position)
        position += 1


def chosen_linker(host: Host, triple: str) -> Value | None:
    """Return the linker for `triple`: the last -C linker among its flags, else the configured one."""
    named = [option for option in options(host.cargo_config.rustflags(triple)) if option.name == "linker"]
    return named[-1].origin._replace(text=named[-1].value) if named else host.cargo_config.linker(triple)


def fast_linkers(host: Host, triple: str) -> dict[str, Value]:
    """Return what -fuse-ld=X and --ld-path=X among the flags for `triple` name, with the origin of the flag."""
    found: dict[str, Value] = {}
    for option in options(host.cargo_config.rustflags(triple)):
        words = (
            option.value.split() if option.name == "link-args" else [option.value] if option.name == "link-arg" else []
        )
        for word in words:
            if match := re.fullmatch(r"(?:-fuse-ld|--ld-path)=(.+)", word):
                found[match[1]] = option.origin
    return found


def dropped(host: Host, target: Target, backend: Backend) -> tuple[Dropped, ...]:
    """Return the options among the flags of the workspace that cannot be handed over for `target`."""
    return tuple(
        Dropped(option, why)
        for option in options(host.cargo_config.rustflags(target.triple))
        if (why := _unusable(host, target, backend, option))
    )


def _unusable(host: Host, target: Target, backend: Backend, option: Option) -> str:
    """Why the option cannot be meant for the target, "" if it can."""
    match option.name:
        case "target-cpu" if option.value == "native":
            return "" if is_native(host, target) else "means the CPU of this machine"
        case "target-cpu" if is_foreign(option.value, target.triple):
            return f"is no CPU of {target.name}"
        case "linker" if backend.name == "zig":
            return "is for another linker than zig"
        case "linker" if target.triple != host.triple and option.origin in host.cargo_config.rustflags(host.triple):
            return "is the linker of this machine"
        case "linker-flavor" if backend.name == "zig" and option.value not in GCC_FLAVORS:
            return "is for another linker than zig"
    return ""


def replacement(host: Host, target: Target, backend: Backend) -> tuple[str, ...] | None:
    """Return the flags that replace those of the workspace for `target`, None if they can stay as they are.

    Raises:
        UsageError: it is not known which flags apply, because only rustc can evaluate the `cfg` of a table that has some.
    """
    left_out = dropped(host, target, backend)
    if not left_out:
        return None
    if undecided := host.cargo_config.undecided(target.triple):
        raise UsageError(
            f"{left_out[0]}, and cannot be left out for {target.name}, because {undecided[0].where} may apply as well",
            f"move it to [target.{host.triple}] of the same file",
        )
    positions = {position for drop in left_out for position in range(drop.option.first, drop.option.last + 1)}
    flags = host.cargo_config.rustflags(target.triple)
    return tuple(flag.text for position, flag in enumerate(flags) if position not in positions)
