"""untargeted-compile (BL015): a stage for the build platform compiles for that platform, and the image gets the product."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from posixpath import join, normpath
from typing import NamedTuple

from buildlib.lint.analysis import EXPANSION, Analysis
from buildlib.lint.finding import Finding, make_finding
from buildlib.lint.parsing.containerfile import Instruction, Stage
from buildlib.lint.parsing.script import Command

# Commands that compile, with the arguments for it where others do something else.
COMPILERS = {
    "cargo": {"build", "install", "rustc", "b"}, "go": {"build", "install"}, "dotnet": {"publish"},
    "zig": {"build", "build-exe", "build-lib", "cc", "c++"}, "cmake": None, "rustc": None,
    "gcc": None, "g++": None, "cc": None, "c++": None, "clang": None, "clang++": None,
}  # fmt: skip
# Whatever chooses the target: BuildKit's arguments, cargo's and rustc's --target, Go's variables, and a cargo alias or a wrapper
# that does so (tonistiigi/xx). A file that is not read here, such as .cargo/config.toml, may do it as well; it is rare with a
# build platform, because the file would then name one target for all.
CHOOSES_TARGET = re.compile(
    r"\bTARGET(?:PLATFORM|ARCH|VARIANT|OS)\b|(?<![\w-])--?target(?![\w-])|\bCARGO_BUILD_TARGET\b|\bGO(?:ARCH|ARM)\b|\bxx-|\bzigbuild\b"
    r"|-Dtarget\b|CMAKE_TOOLCHAIN_FILE|CMAKE_SYSTEM_PROCESSOR|--toolchain\b|CROSS_COMPILE|--sysroot|-linux-(?:gnu|musl)|\bwasm|emcc|mingw|android"
)
DOTNET_TARGET = re.compile(
    r"^(?:-r|--runtime|-a|--arch|--os)(?:$|=)|RuntimeIdentifier|TargetFramework=.*(?:android|wasm)"
)
# Without these `dotnet publish` writes files for every machine, which `dotnet` starts; besides a program to start them.
DOTNET_NATIVE = re.compile(
    r"^--(?:self-contained|sc)(?:=true)?$|(?:PublishAot|PublishSingleFile|SelfContained)=true", re.IGNORECASE
)
LONGEST_START = 300  # characters of a command that are read
# What starts the portable files, or something else first: dotnet, a shell, a script, an init.
DOTNET_STARTS = re.compile(
    r"\W*(?:\S*/)?(?:(?:dotnet|sh|bash|ash|exec|env|tini|dumb-init|gosu|su-exec|supervisord|python3?|node)\b|\S*(?:entry-?point|\.\w*sh\b|/init\b))",
    re.IGNORECASE,
)
# Where products are without another word, by compiler.
CARGO_PRODUCTS = re.compile(r"/(?:release|debug)(?:/|$)|(?:^|/)target(?:/|$)|cargo/bin\b")
GO_PRODUCTS = re.compile(r"/go/bin\b|/release/")
C_PRODUCTS = re.compile(r"(?:^|/)(?:build\w*|out|bin|lib|dist|install)(?:/|$)|^/usr/local/?$")
INSTALLED = re.compile(r"/(?:cargo|go)/bin(?:/|$)")  # tools
MAJOR_VERSION = re.compile(r"v\d+|\.\.\.")
CARGO_VALUE = re.compile(
    r"--(?:version|root|registry|index|branch|tag|rev|features|bin|profile|jobs|target-dir)$|-[Fj]$"
)
PRODUCTS = {
    "cargo": CARGO_PRODUCTS, "go": GO_PRODUCTS, "cmake": C_PRODUCTS, "zig": re.compile(r"(?:^|/)zig-out(?:/|$)"),
    "dotnet": re.compile(r"(?:^|/)publish(?:/|$)"),
}  # fmt: skip
OUTPUT_FLAG = re.compile(r"^(?:-o|--output|--out-dir|--root|--prefix|--target-dir|-B|--build|--install)$")
PUT = ("cp", "mv", "install", "ln", "rsync")


class Product(NamedTuple):
    """A file or a directory in a stage that a compiler there, or in a stage that it copies from, has written.

    `tool` is the name of what `cargo install NAME` or `go install MODULE@VERSION` installs; "" for what is compiled from the context.
    """

    matches: Callable[[str], bool]  # whether a path is of it
    compiler: Command
    tool: str = ""

    def inherited(self) -> Product:
        """The product in a stage that is based on this one, which may put others beside a tool: only files with its name are of it."""
        if not self.tool:
            return self
        return self._replace(matches=lambda path: self.matches(path) and _is_named(path, self.tool))


def check(analysis: Analysis) -> Iterator[Finding]:
    """Report the first compiler of each stage for the build platform whose product another platform's image gets."""
    products: list[list[Product]] = []
    reported: set[int] = set()
    numbers: dict[str, int] = {}  # of the stages before, by name
    for_builds: list[bool] = []
    images = _images(analysis)
    for stage in analysis.file.stages:
        parents = analysis.possible_parents(stage)
        known = [products[number] for number in parents] if all(products[number] for number in parents) else []
        own = [product.inherited() for one in known for product in one]
        own_platform = stage.platform is not None and "BUILDPLATFORM" in stage.platform.text
        for_build = own_platform or (bool(parents) and all(for_builds[number] for number in parents))
        for_builds.append(for_build)
        for path, destination, source in _copies(analysis, stage, numbers):
            for product in products[source] if source < len(products) else ():
                if not product.matches(path):
                    continue
                if for_build:
                    own.append(
                        Product(_below([destination, join(destination, path.rpartition("/")[2])]), product.compiler)
                    )
                elif stage.number in images and source not in reported and product.compiler.span.start not in reported:
                    reported |= {source, product.compiler.span.start}
                    text = f"{product.compiler.name} compiles for the build platform, and every platform's image gets that program"
                    yield make_finding(analysis.source, "untargeted-compile", product.compiler.span, text)
        written = list(_products(analysis, stage)) if for_build else []
        if written and not _chooses_target(analysis, stage):
            own += written
        products.append(own)
        if stage.name:
            numbers[stage.name.lower()] = stage.number


def _images(analysis: Analysis) -> set[int]:
    """The stages that become an image, or that such a stage for the target platform is based on or copies from.

    Not among them is a stage that only stages for the build platform use: what is in it runs there.
    """
    users: dict[int, set[int]] = {}
    numbers: dict[str, int] = {}
    for stage in analysis.file.stages:
        base = EXPANSION.split(stage.base.text)
        used = {number for _, _, number in _copies(analysis, stage, numbers)} | _mount_sources(stage, numbers)
        used |= {stage.parent} if stage.parent is not None else set()
        if len(base) > 1 and any(base):  # FROM binary-$FLAG
            pattern = re.compile(".+".join(map(re.escape, base)), re.IGNORECASE)
            used |= {number for name, number in numbers.items() if pattern.fullmatch(name)}
        for number in used:
            users.setdefault(number, set()).add(stage.number)
        if stage.name:
            numbers[stage.name.lower()] = stage.number
    images: set[int] = set()
    last = len(analysis.file.stages) - 1
    for stage in reversed(analysis.file.stages):
        root = analysis.file.roots[stage.number]
        for_build = any(one.platform is not None and "BUILDPLATFORM" in one.platform.text for one in (stage, root))
        if not for_build and (stage.number == last or not users.get(stage.number) or users[stage.number] & images):
            images.add(stage.number)
    return images


def _mount_sources(stage: Stage, numbers: dict[str, int]) -> set[int]:
    flags = (flag.text for instruction in stage.instructions for flag in instruction.flags)
    names = (match[1] for flag in flags for match in re.finditer(r"(?:=|,)from=([^,]+)", flag))
    return {number for name in names if (number := _number(name, numbers)) is not None}


def _products(analysis: Analysis, stage: Stage) -> Iterator[Product]:
    """What the compilers of a stage write."""
    directory = "/"
    for instruction in stage.instructions:
        if instruction.kind == "workdir" and instruction.words:
            directory = join(directory, instruction.words[0].bare)
        script = analysis.script(stage, instruction)
        commands = script.commands if script else ()
        for compiler in (command for command in commands if _compiles(analysis, command)):
            words = [word.bare for word in compiler.words]
            outputs = [after for flag, after in pairwise(words) if OUTPUT_FLAG.match(flag)]
            outputs += [word for word in words if word.startswith("/")]
            outputs += [word.partition("=")[2] for word in words if "PREFIX=" in word or word.startswith("--out")]
            tool = _installed_tool(words)
            yield Product(_below([join(directory, word) for word in outputs if word]), compiler, tool)
            if usual := INSTALLED if tool else PRODUCTS.get(compiler.name):
                yield Product(lambda path, usual=usual: usual.search(path) is not None, compiler, tool)  # type: ignore[misc]
            for put in (command for command in commands if command.name in PUT and len(command.words) > 2):
                sources = [word.bare for word in put.words[1:-1]]
                if tool and not any(_is_named(source, tool) or INSTALLED.search(source) for source in sources):
                    continue
                destination = join(directory, put.words[-1].bare)
                names = [source.rpartition("/")[2] for source in sources]
                yield Product(_below([destination, *(join(destination, name) for name in names)]), compiler, tool)


def _installed_tool(words: list[str]) -> str:
    """The name of the tool that a command installs from a registry; "" for a command that compiles the project."""
    if words[:1] == ["cargo"] and "install" in words[1:3]:
        if any(word in ("--path", "--git") or word.startswith(("--path=", "--git=")) for word in words):
            return ""
        rest = words[words.index("install") + 1 :]
        names = [
            word for before, word in pairwise(["", *rest]) if word[:1] not in "-$." and not CARGO_VALUE.match(before)
        ]
        return names[0].partition("@")[0] if names else ""
    if words[:2] == ["go", "install"]:
        module = next((word.partition("@")[0] for word in words if "@" in word and not word.startswith("-")), "")
        return next((part for part in reversed(module.split("/")) if not MAJOR_VERSION.fullmatch(part)), "")
    return ""


def _is_named(path: str, tool: str) -> bool:
    """Whether a path is the directory of the installed programs, or a program named after the tool: diesel of diesel_cli."""
    name = path.rstrip("/").rpartition("/")[2]
    return name == "bin" or "*" in name or (bool(name) and (name.startswith(tool) or tool.startswith(name)))


def _below(outputs: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path is one of these, is below one, or has one below it."""
    known = {normpath(output) for output in outputs if not output.startswith("/dev/")} - {
        "/",
        "/usr/bin",
        "/usr/local/bin",
        "/bin",
        "/tmp",
    }

    def matches(path: str) -> bool:
        whole = normpath(join("/", path))
        return any(
            whole == one or whole.startswith(f"{one}/") or one.startswith(whole.rstrip("/") + "/") for one in known
        )

    return matches


def _copies(analysis: Analysis, stage: Stage, numbers: dict[str, int]) -> Iterator[tuple[str, str, int]]:
    """What a stage takes from other stages: path, destination, and the number of the stage."""
    for instruction in stage.instructions:
        source = instruction.flag("from") if instruction.kind == "copy" else None
        number = _number(source.bare, numbers) if source is not None else None
        if number is not None:
            yield from ((word.bare, instruction.words[-1].bare, number) for word in instruction.words[:-1])
        yield from _mounted(analysis, stage, instruction, numbers)


def _mounted(
    analysis: Analysis, stage: Stage, instruction: Instruction, numbers: dict[str, int]
) -> Iterator[tuple[str, str, int]]:
    """What commands copy from a mounted stage: RUN --mount=type=bind,from=build,target=/b cp /b/app /app."""
    script = analysis.script(stage, instruction)
    for flag in instruction.flags if script else ():
        options = dict(part.partition("=")[::2] for part in flag.text.removeprefix("--mount=").split(","))
        number = _number(options.get("from", ""), numbers)
        target = options.get("target") or options.get("dst") or options.get("destination") or "/"
        for command in script.commands if script and number is not None else ():
            for word in command.words[1:-1] if command.name in PUT else ():
                if number is not None and word.bare.startswith(target):
                    path = join(
                        "/", options.get("source") or options.get("src") or "/", word.bare[len(target) :].lstrip("/")
                    )
                    yield path, command.words[-1].bare, number


def _number(name: str, numbers: dict[str, int]) -> int | None:
    return int(name) if name.isdecimal() and len(name) < 6 else numbers.get(name.lower())


def _chooses_target(analysis: Analysis, stage: Stage) -> bool:
    """Whether something in the stage or its ancestors may choose a target. A declaration of an ARG alone chooses nothing."""
    numbers = {stage.number}
    for one in reversed(analysis.file.stages[: stage.number + 1]):
        numbers |= {*analysis.possible_parents(one)} if one.number in numbers else set()
    for one in (analysis.file.stages[number] for number in numbers):
        for instruction in one.instructions:
            if instruction.kind == "arg" and all(value is None for _, value in instruction.pairs):
                continue
            text = analysis.source.text[instruction.span.start : instruction.span.end].decode("utf-8", "replace")
            if CHOOSES_TARGET.search(text):
                return True
    return False


def _compiles(analysis: Analysis, command: Command) -> bool:
    if command.name not in COMPILERS:
        return False
    verbs, words = COMPILERS[command.name], [word.bare for word in command.words[1:]]
    if command.name == "dotnet" and not _is_native(analysis, words):
        return False
    return (
        bool(words)
        and words[0] not in ("--version", "-v", "-V", "version")
        and (verbs is None or bool(verbs & set(words[:2])))
    )


def _is_native(analysis: Analysis, words: list[str]) -> bool:
    """Whether `dotnet publish` writes a program for one machine, and the image starts that and not `dotnet` or a script."""
    if any(DOTNET_TARGET.search(word) for word in words):
        return False
    if any(DOTNET_NATIVE.search(word) for word in words):
        return True
    last = analysis.file.stages[-1].instructions
    starts = [one for one in last if one.kind in ("entrypoint", "cmd")]
    texts = [
        one.words[0].bare if one.words else one.script.text.decode("utf-8", "replace") if one.script else ""
        for one in starts
    ]
    own = {
        word.bare.rpartition("/")[2]
        for one in last
        if one.kind in ("copy", "add") and not one.flag("from")
        for word in one.words
    }
    return bool(texts) and not any(
        DOTNET_STARTS.match(text[:LONGEST_START]) or text.rpartition("/")[2] in own for text in texts
    )
