"""Which image serves a platform, as containerd and BuildKit decide. Pure.

Model: containerd/platforms (`Normalize` in database.go, `platformVector` in compare.go), which BuildKit asks with `platforms.Only` for
the manifest (util/imageutil/config.go) and for the layers (util/pull/pull.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

ALIASES = {
    "i386": ("386", ""), "x86_64": ("amd64", None), "x86-64": ("amd64", None), "aarch64": ("arm64", None),
    "armhf": ("arm", "v7"), "armel": ("arm", "v6"),
}  # fmt: skip
VARIANTS = {
    "amd64": {"v1": ""},
    "arm64": {"8": "", "v8": "", "v8.0": "", "9": "v9", "9.0": "v9", "v9.0": "v9"},
    "arm": {"": "v7", "7": "v7", "5": "v5", "6": "v6", "8": "v8"},
}
SYSTEMS = frozenset(
    (
        "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd",
        "plan9", "solaris", "windows", "zos",
    )
)  # fmt: skip
ARCHITECTURES = frozenset(
    (
        "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64", "mips", "mipsle", "mips64",
        "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm",
    )
)  # fmt: skip


def normalize(text: str) -> str:
    """A platform in the spelling of `Target.oci`: linux/arm64/v8 is linux/arm64, linux/arm is linux/arm/v7."""
    system, _, rest = text.lower().partition("/")
    written, _, variant = rest.partition("/")
    architecture, fixed = ALIASES.get(written, (written, None))
    variant = variant if fixed is None else fixed
    variant = VARIANTS.get(architecture, {}).get(variant, variant)
    return "/".join(part for part in ("darwin" if system == "macos" else system, architecture, variant) if part)


def parse(text: str, build: str) -> str:
    """The value of --platform, normalized. `build` is the platform that builds; a system alone means its architecture.

    Raises:
        ValueError: It is not a platform.
    """
    parts = text.split("/")
    if not all(part and part.replace("_", "").replace("-", "").replace(".", "").isalnum() for part in parts):
        raise ValueError(text)
    if len(parts) == 1:
        system = normalize(text)
        if system in SYSTEMS:
            return normalize(f"{system}/{build.partition('/')[2]}")
        platform = normalize(f"linux/{text}")
        if platform.split("/")[1] not in ARCHITECTURES:
            raise ValueError(text)
        return platform
    if len(parts) > 3:
        raise ValueError(text)
    return normalize(text)


def _served_by(platform: str) -> Iterator[str]:
    """The platforms whose images run on `platform` and have its architecture, the best first; all normalized."""
    system, architecture, variant = (*platform.split("/"), "", "")[:3]
    yield platform
    number = variant.removeprefix("v")
    if architecture == "arm" and number.isdecimal():
        yield from (normalize(f"{system}/arm/v{lower}") for lower in range(int(number) - 1, 4, -1) if int(number) < 16)
    elif architecture == "amd64" and number.isdecimal():
        yield from (normalize(f"{system}/amd64/v{lower}") for lower in range(min(int(number), 16) - 1, 0, -1))
    elif architecture == "arm64" and variant:
        major, _, minor = number.partition(".")
        if major.isdecimal() and (minor or "0").isdecimal():
            yield from _older_arm64(system, int(major), min(int(minor or 0), 16))


def _older_arm64(system: str, major: int, minor: int) -> Iterator[str]:
    """Arm's versions before this one; v9.0 contains v8.5, v9.1 contains v8.6, and so on."""
    yield from (
        normalize(f"{system}/arm64/v{major}{f'.{lower}' if lower else ''}") for lower in range(minor - 1, -1, -1)
    )
    if major == 9:
        newest = min(minor + 5, 9)
        yield from (normalize(f"{system}/arm64/v8{f'.{lower}' if lower else ''}") for lower in range(newest, -1, -1))


def serves(platform: str, available: Iterable[str]) -> str:
    """The platform of the image that BuildKit takes for `platform`, "" if there is none of its architecture.

    BuildKit would go on and take an image for 386 for amd64, and one for arm for arm64. These do not count: the image would be for
    another architecture than its index says, and the gate would refuse it.
    """
    names = {normalize(name): name for name in available}
    return next((names[name] for name in _served_by(normalize(platform)) if name in names), "")
