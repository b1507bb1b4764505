"""Which stages provide compilers for another architecture, and for which one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from buildlib.lint.parsing.arch_words import TRIPLE, find_arch_words
from buildlib.lint.parsing.containerfile import File

COMPILES = re.compile(
    r"\b(?:cargo|cargo-zigbuild|cross)\s+(?:\+\S+\s+)?(?:z?build|zigbuild|install|rustc)\b|\bgo\s+(?:build|install)\b"
)
CROSS_COMPILER = re.compile(
    r"\b(?:gcc|g\+\+)-(?:\d+-)?[\w-]+-linux-gnu\w*|crossbuild-essential-\w+|(?:musl|cross|gcc)-toolchain|musl-cross|crosstool|ct-ng|binutils-[\w-]+-linux-gnu"
    r"|--target=[\w-]+-(?:linux|elf|eabi)",
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
FOREIGN = re.compile(r"\bdpkg\s+--add-architecture[ =]+[\"']?(\w+)")


def cross_arches(file: File, texts: Sequence[str]) -> list[frozenset[str] | None]:
    """The targets of the cross compilers in each stage and its ancestors; None without cross compilers.

    `texts` are the scripts of each stage.
    """
    arches: list[frozenset[str] | None] = []
    for stage in file.stages:
        inherited = arches[stage.parent] if stage.parent is not None else None
        compilers = [match[0] for match in CROSS_COMPILER.finditer(texts[stage.number])]
        triples = (TRIPLE.search(compiler.partition("-")[2]) for compiler in compilers)
        pairs = [pair for instruction in stage.instructions for pair in instruction.pairs]
        named = [value.text for name, value in pairs if value and TOOLCHAIN_VARIABLE.match(name.text)]
        image = [stage.base.text] if stage.parent is None and CROSS_BASE.search(stage.base.text) else []
        found = [*(triple[0] for triple in triples if triple), *named, *image]
        own = frozenset(match.arch for text in found for match in find_arch_words(text))
        is_cross = compilers or named or image or any(PER_TARGET.match(name.text) for name, _ in pairs)
        arches.append(own | (inherited or frozenset()) if is_cross else inherited)
    return arches


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
