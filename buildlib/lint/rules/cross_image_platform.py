"""cross-image-platform (BL013): an image in Cross.toml for one architecture, or for another target."""

from __future__ import annotations

from collections.abc import Iterator

from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.arch_words import find_arch_words
from buildlib.lint.parsing.toml_file import TomlFile, other_arch


def check(file: TomlFile) -> Iterator[Finding]:
    """Check the images of Cross.toml."""
    for triple, table in file.cross_tables():
        image = table.get("image")
        name = image.get("name") if isinstance(image, dict) else image
        if not isinstance(name, str):
            continue
        if triple and (arch := other_arch(triple, name)):
            text = f"the image for {triple} is {name}, which is for {arch}"
        elif not triple and (word := next(find_arch_words(name), None)):
            text = f"the image for all targets is {name}, which is for {word.arch}"
        else:
            continue
        yield make_finding(file.source, "cross-image-platform", file.place(name, triple), text)
