"""Which stages provide compilers for another architecture, and for which one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from buildlib.lint.parsing.arch_words import TRIPLE, find_arch_words
from buildlib.lint.parsing.containerfile import File, Stage

COMPILES = re.compile(
    r"\b(?:cargo|cargo-zigbuild|cross)\s+(?:\+\S+\s+)?(?:z?build|zigbuild|rustc|install(?=[^&;|]*\s--(?:path|target)))\b"
    r"|\bgo\s+(?:build\b|install\b(?![^&;|]*@))"
)
CROSS_COMPILER = re.compile(
    r"\b(?:gcc|g\+\+)-(?:\d+-)?[\w-]+-linux-gnu\w*|crossbuild-essential-\w+|(?:musl|cross|gcc)-toolchain|musl-cross|crosstool|ct-ng|binutils-[\w-]+-linux-gnu"
    r"|--target=(?!bun-)[\w-]+-(?:linux|elf|eabi)",
)
# Images of cross compilers, with the target in their names or tags: rustembedded/cross:aarch64-unknown-linux-musl.
CROSS_BASE = re.compile(
    r"(?<![a-z])cross(?:deps|tools?|tool-ng|compil\w*|build\w*)?(?![a-z])|muslcc|musl-builder|rust-musl|zigbuild|gcc-arm|arm-gcc",
    re.IGNORECASE,
)
# Variables of an image with a cross toolchain, whose values may be a triple.
TOOLCHAIN_VARIABLE = re.compile(r"^(?:CROSS_(?:COMPILE|TRIPLE|ROOT|PREFIX)|CMAKE_TOOLCHAIN_FILE)$")
# Variables that cargo, cc and bindgen read for one target only: an image that sets them is made for that target.
PER_TARGET = re.compile(r"^CARGO_TARGET_|^(?:CC|CXX|AR|RANLIB|CFLAGS|CXXFLAGS)_(?:\w+_)(?:linux|unknown|none)_\w+$")
# Archives and directories of a toolchain or a sysroot: gcc-linaro-7.4.1-x86_64_arm-linux-gnueabihf.tar.xz.
TOOLCHAIN_PATH = re.compile(
    r"(?:tool-?chains?|sysroot|linaro|bootlin|gcc-arm|arm-gnu|x-tools|cross)(?![a-z])|(?<![a-z])gcc-(?:\d[\d.]*-)?(?=[a-z])",
    re.IGNORECASE,
)
# Directories for a target in a variable, which ENV adds to PATH: /opt/x-tools/$TARGET/bin.
CROSS_DIRECTORY = re.compile(r"/(?:x-tools|sysroots?)/\$")
WORD = re.compile(r"[^\s\"'=;&|()]+")
FOREIGN = re.compile(r"\bdpkg\s+--add-architecture[ =]+[\"']?(\w+)")


def cross_arches(file: File, texts: Sequence[str]) -> list[frozenset[str] | None]:
    """The targets of the cross compilers in each stage and its ancestors; None without cross compilers.

    `texts` are the scripts of each stage.
    """
    arches: list[frozenset[str] | None] = []
    numbers: dict[str, int] = {}  # of the stages before, by name
    for stage in file.stages:
        inherited = arches[stage.parent] if stage.parent is not None else None
        compilers = [match[0] for match in CROSS_COMPILER.finditer(texts[stage.number])]
        triples = (TRIPLE.search(compiler.partition("-")[2]) for compiler in compilers)
        pairs = [pair for instruction in stage.instructions for pair in instruction.pairs]
        values = [value.text for _, value in pairs if value]
        paths = [
            word
            for text in (texts[stage.number], *values)
            for word in WORD.findall(text)
            if "/" in word or ".t" in word
        ]
        paths += [path for path, number in _copies(stage, numbers) if arches[number] is not None]
        archives = [
            path for path in paths if TOOLCHAIN_PATH.search(path) and TRIPLE.search(path) and "rust" not in path
        ]
        directories = [path for value in values for path in WORD.findall(value) if CROSS_DIRECTORY.search(path)]
        named = [value.text for name, value in pairs if value and TOOLCHAIN_VARIABLE.match(name.text)]
        image = [stage.base.text] if stage.parent is None and CROSS_BASE.search(stage.base.text) else []
        targets = [match[0] for path in archives for match in TRIPLE.finditer(path)]
        found = [*(triple[0] for triple in triples if triple), *targets, *named, *image]
        own = frozenset(match.arch for text in found for match in find_arch_words(text))
        is_cross = (
            compilers
            or archives
            or directories
            or named
            or image
            or any(PER_TARGET.match(name.text) for name, _ in pairs)
        )
        if stage.name:
            numbers[stage.name.lower()] = stage.number
        arches.append(own | (inherited or frozenset()) if is_cross else inherited)
    return arches


def _copies(stage: Stage, numbers: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """The paths that a stage copies from a stage before it, with the number of that."""
    for instruction in stage.instructions:
        source = instruction.flag("from")
        number = numbers.get(source.bare.lower()) if source else None
        yield from ((word.bare, number) for word in instruction.words if number is not None)


def compiling_stages(file: File, texts: Sequence[str]) -> list[bool]:
    """Whether a project is compiled in each stage, in an ancestor, or in a stage based on it."""
    compiles: list[bool] = []
    for stage in file.stages:
        inherited = stage.parent is not None and compiles[stage.parent]
        compiles.append(inherited or bool(COMPILES.search(texts[stage.number])))
    for stage in reversed(file.stages):
        if stage.parent is not None and compiles[stage.number]:
            compiles[stage.parent] = True
    return compiles
