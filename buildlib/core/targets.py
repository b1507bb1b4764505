"""One target per architecture and C library, with every name that the tools give it.

Sources: Rust's platform support table for triples, the OCI image index for platforms, the psABI documents and <elf.h> for the ELF
identities, the glibc ABI lists for loader paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

from buildlib.core.errors import UsageError

SMALLEST_PAGE = 4096  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The fields of the ELF header of a binary for this architecture.

    `flags` is compared under `mask`: those bits of e_flags name the float ABI. `arm` is the highest Tag_CPU_arch that .ARM.attributes
    may have (ARM IHI 0045, 10 is v7), 0 for other architectures.
    """

    machine: int
    bits: int = 64
    little: bool = True
    mask: int = 0
    flags: int = 0
    arm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One architecture and C library, with every name that the tools give it."""

    name: str  # the arch that users type
    triple: str  # Rust
    oci: str  # OCI platform
    debian: str
    gnu: str  # GNU triplet: cross compilers, /usr/<gnu>
    qemu: str  # qemu-<this>
    loader: str  # the dynamic loader of a glibc binary (PT_INTERP); "" for static musl
    elf: Identity
    glibc: str = "2.31"  # the default minimum glibc; "" for musl
    oldest: str = ""  # the oldest glibc that can be linked against, where it is newer than the usual minimum
    qemu_since: str = ""  # the first QEMU that runs what Rust compiles for it, if older ones are still in use
    # The oldest CPU that has what Rust compiles for by default, as QEMU names it; "" if that was not tried.
    cpu: str = ""
    page_size: int = SMALLEST_PAGE  # bytes: the largest pages of its kernels
    also: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_musl(self) -> bool:
        """Whether binaries are static and use musl."""
        return not self.glibc

    @property
    def multiarch(self) -> str:
        """Debian's directory of this architecture's libraries, as in /usr/lib/<multiarch>."""
        return self.gnu.replace("i686", "i386")

    @property
    def arch(self) -> str:
        """The architecture alone: the name without the C library."""
        return self.name.removesuffix("-musl")

    @property
    def env(self) -> str:
        """The triple as environment variables spell it: aarch64_unknown_linux_gnu."""
        return self.triple.replace("-", "_")


# fmt: off
GNU = (
    Target(
        name="amd64", triple="x86_64-unknown-linux-gnu", oci="linux/amd64", debian="amd64", gnu="x86_64-linux-gnu",
        qemu="x86_64", loader="/lib64/ld-linux-x86-64.so.2", elf=Identity(machine=62), cpu="qemu64,-sse3,-cx16,-lahf-lm",
        also=("x64", "x86-64"),
    ),
    Target(
        name="arm64", triple="aarch64-unknown-linux-gnu", oci="linux/arm64", debian="arm64", gnu="aarch64-linux-gnu",
        qemu="aarch64", loader="/lib/ld-linux-aarch64.so.1", elf=Identity(machine=183),
        # Armv8.0. The ABI allows pages of 4, 16 and 64 KiB (ARM IHI 0056): Apple's have 16, some distributions' 64.
        cpu="cortex-a53", page_size=65536,
        also=("linux/arm64/v8", "armv8", "arm64v8"),
    ),
    Target(
        name="armv7", triple="armv7-unknown-linux-gnueabihf", oci="linux/arm/v7", debian="armhf",
        gnu="arm-linux-gnueabihf", qemu="arm", loader="/lib/ld-linux-armhf.so.3",
        elf=Identity(machine=40, bits=32, mask=0x600, flags=0x400, arm=10), cpu="cortex-a9,neon=off",
        # Docker reads linux/arm as linux/arm/v7; armv7l and armv8l are what `uname -m` says.
        also=("arm", "linux/arm", "armv7l", "armv8l", "arm32v7", "armv7hf"),
    ),
    Target(
        name="armv6", triple="arm-unknown-linux-gnueabihf", oci="linux/arm/v6", debian="armhf",
        gnu="arm-linux-gnueabihf", qemu="arm", loader="/lib/ld-linux-armhf.so.3",
        # 9 is v6K, the highest of the v6 family that is not v7 (7 is v6KZ, the Raspberry Pi's).
        elf=Identity(machine=40, bits=32, mask=0x600, flags=0x400, arm=9), also=("armv6l", "arm32v6"),
    ),
    Target(
        name="386", triple="i686-unknown-linux-gnu", oci="linux/386", debian="i386", gnu="i686-linux-gnu",
        qemu="i386", loader="/lib/ld-linux.so.2", elf=Identity(machine=3, bits=32), also=("x86", "i686", "ia32"),
    ),
    Target(
        name="riscv64", triple="riscv64gc-unknown-linux-gnu", oci="linux/riscv64", debian="riscv64",
        gnu="riscv64-linux-gnu", qemu="riscv64", loader="/lib/ld-linux-riscv64-lp64d.so.1",
        elf=Identity(machine=243, mask=0x6, flags=0x4), cpu="sifive-u54", also=("riscv64gc",),
    ),
    Target(
        name="ppc64le", triple="powerpc64le-unknown-linux-gnu", oci="linux/ppc64le", debian="ppc64el",
        gnu="powerpc64le-linux-gnu", qemu="ppc64le", loader="/lib64/ld64.so.2",
        # zig's libunwind prints IEEE 128-bit long doubles (__snprintfieee128), which glibc has had since 2.32.
        elf=Identity(machine=21, mask=0x3, flags=0x2), glibc="2.32", oldest="2.32", also=("powerpc64le",),
    ),
    Target(
        name="s390x", triple="s390x-unknown-linux-gnu", oci="linux/s390x", debian="s390x", gnu="s390x-linux-gnu",
        qemu="s390x", loader="/lib/ld64.so.1", elf=Identity(machine=22, little=False),
    ),
    Target(
        name="loong64", triple="loongarch64-unknown-linux-gnu", oci="linux/loong64", debian="loong64",
        gnu="loongarch64-linux-gnu", qemu="loongarch64", loader="/lib64/ld-linux-loongarch-lp64d.so.1",
        # 2.36 is the first glibc with LoongArch; Rust's target enables LSX, which QEMU supports since 8.1.
        elf=Identity(machine=258, mask=0x7, flags=0x3), glibc="2.36", oldest="2.36", qemu_since="8.1",
        also=("loongarch64",),
    ),
)
# fmt: on


def _musl(row: Target) -> Target:
    return replace(
        row, name=f"{row.name}-musl", triple=row.triple.replace("gnu", "musl"), gnu=row.gnu.replace("gnu", "musl"),
        loader="", glibc="", oldest="", also=tuple(f"{word}-musl" for word in _words(row)),
    )  # fmt: skip


def _words(row: Target) -> tuple[str, ...]:
    """Every spelling of this target. The Debian name of armv6 is also armv7's: the first target keeps it."""
    return (row.name, row.triple, row.oci, row.oci.removeprefix("linux/"), row.debian, row.gnu, row.qemu, *row.also)


TARGETS: Mapping[str, Target] = {row.name: row for row in (*GNU, *map(_musl, GNU))}


def _spellings() -> dict[str, str]:
    spellings: dict[str, str] = {}
    for row in TARGETS.values():
        for word in _words(row):
            spellings.setdefault(word, row.name)
            spellings.setdefault(word.replace("unknown-", ""), row.name)  # aarch64-linux-gnu
    return spellings


SPELLINGS: Mapping[str, str] = _spellings()


def find_target(word: str) -> Target:
    """The target that `word` names in any spelling. UsageError with the nearest known spelling otherwise."""
    key = word.strip().lower().replace("_", "-")
    name = SPELLINGS.get(key) or SPELLINGS.get(word.strip().lower())
    if name:
        return TARGETS[name]
    near = nearest(key, SPELLINGS)
    help_text = f"did you mean {SPELLINGS[near]}?" if near else f"one of: {' '.join(row.name for row in GNU)}"
    raise UsageError(f"unknown architecture {word!r}", help_text)


def cargo_variable(triple: str, key: str) -> str:
    """The environment variable of a key of cargo's table `[target.<triple>]`, in upper case: CARGO_TARGET_<TRIPLE>_<KEY>."""
    return f"CARGO_TARGET_{triple.upper().replace('-', '_').replace('.', '_')}_{key}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word most similar to `word`, "" when none is similar.

    A tie goes to the longer common beginning: arm65 is as similar to armv6 as to arm64, and arm64 is what the user meant.
    """
    import difflib

    def similarity(other: str) -> tuple[float, int]:
        beginning = takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False))
        return difflib.SequenceMatcher(None, word, other).ratio(), len(list(beginning))

    return max(difflib.get_close_matches(word, known, n=8), key=similarity, default="")


def suggestion(word: str, known: Iterable[str]) -> str:
    """The help text for an unknown word: the nearest known one, or all of them."""
    known = tuple(known)
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else f"one of: {' '.join(known)}"


def short_name(machine: str) -> str:
    """The arch of what `uname -m` prints; the word itself if it belongs to no target."""
    return SPELLINGS.get(machine.lower().replace("_", "-"), machine)


def native(machine: str) -> Target:
    """The target of this machine, from what `uname -m` prints. UsageError for an unknown machine."""
    return find_target(machine)


def select(words: Iterable[str], configured: Iterable[str], machine: str) -> tuple[Target, ...]:
    """The targets that the values of `--arch` name, each once, in the order given.

    A value may hold commas. `all` means the configured ones, `native` means `machine`.

    Raises:
        UsageError: a value that names no target, or no target at all: an empty variable of a script must not make a command succeed
            that did nothing.
    """
    picked: dict[str, Target] = {}
    for word in (part for words_ in words for part in words_.split(",") if part.strip()):
        match word.strip().lower():
            case "all":
                rows = tuple(find_target(name) for name in configured)
            case "native":
                rows = (native(machine),)
            case _:
                rows = (find_target(word),)
        picked.update((row.name, row) for row in rows)
    if not picked:
        raise UsageError("no architecture is selected", "name one with --arch, or in the setting `arches`")
    return tuple(picked.values())
