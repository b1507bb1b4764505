"""What an option takes and where the help shows it: one row for each option, for the pages of help and for completion.

Options of one name mean the same in every command; where they do not, the row of COMMAND.OPTION is the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from invoke.parser.argument import Argument

# What completion offers as a value. Those of "workspace" are asked of cargo and of the settings when they are needed.
Kind = Literal[
    "text", "choice", "arch", "triple", "component", "binary", "package", "example", "feature", "profile", "file", "directory",
]  # fmt: skip
OF_WORKSPACE = ("component", "binary", "package", "example", "feature", "profile")

SELECTION, FEATURES, COMPILATION, IMAGE, OUTPUT = "Selection", "Features", "Compilation", "Image", "Output"
GROUPS = (SELECTION, FEATURES, COMPILATION, IMAGE, OUTPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One option: its group, what stands for its value ("" for a switch), and what the value may be."""

    group: str
    value: str = ""
    kind: Kind = "text"
    choices: tuple[str, ...] = ()


def _choice(group: str, value: str, *choices: str) -> Row:
    return Row(group=group, value=value, kind="choice", choices=choices)


_SWITCHES = {
    SELECTION: ("workspace", "bins", "lib"),
    FEATURES: ("all-features", "no-default-features"),
    COMPILATION: ("release", "offline", "locked", "frozen", "run", "fix", "yes", "doctor.network", "strict"),
    IMAGE: (
        "push",
        "load",
        "build",
        "in-docker",
        "check-bases",
        "force",
        "image.strict",
        "write",
    ),
    OUTPUT: ("json", "report", "verbose", "quiet", "cache", "dry"),
}
ROWS = {
    **{name: Row(group=group) for group, names in _SWITCHES.items() for name in names},
    "package": Row(group=SELECTION, value="PACKAGE[,…]", kind="package"),
    "exclude": Row(group=SELECTION, value="PACKAGE[,…]", kind="package"),
    "component": Row(group=SELECTION, value="COMPONENT[,…]", kind="component"),
    "bin": Row(group=SELECTION, value="BINARY[,…]", kind="binary"),
    "example": Row(group=SELECTION, value="EXAMPLE[,…]", kind="example"),
    "path": Row(group=SELECTION, value="PATH", kind="file"),
    "file": Row(group=SELECTION, value="FILE", kind="file"),
    "result": Row(group=SELECTION, value="DIST", kind="directory"),
    "rule": Row(group=SELECTION, value="RULE"),
    "features": Row(group=FEATURES, value="FEATURE[,…]", kind="feature"),
    "arch": Row(group=COMPILATION, value="ARCH[,ARCH…]", kind="arch"),
    "target": Row(group=COMPILATION, value="TRIPLE", kind="triple"),
    "profile": Row(group=COMPILATION, value="PROFILE", kind="profile"),
    "backend": _choice(COMPILATION, "BACKEND", "auto", "zig", "gcc", "cross"),
    "glibc": Row(group=COMPILATION, value="VERSION"),
    "shard": Row(group=COMPILATION, value="N/COUNT"),
    "library": Row(group=COMPILATION, value="PACKAGE[,…]"),
    "jobs": Row(group=COMPILATION, value="N"),
    "target-dir": Row(group=COMPILATION, value="DIR", kind="directory"),
    "cpu": Row(group=COMPILATION, value="CPU"),
    "tag": Row(group=IMAGE, value="TAG"),
    "merge.tag": Row(group=IMAGE, value="TAG[,…]"),
    "image.tag": Row(group=IMAGE, value="TAG[,…]"),
    "output": Row(group=IMAGE, value="DIR", kind="directory"),
    "sign": Row(group=IMAGE, value="KEY", kind="file"),
    "attest": _choice(IMAGE, "WHAT[,…]", "sbom", "provenance"),
    "key": Row(group=SELECTION, value="KEY", kind="file"),
    "engine": _choice(IMAGE, "ENGINE", "auto", "docker", "none"),
    "registry": Row(group=IMAGE, value="HOST/PATH"),
    "image.cache": Row(group=IMAGE, value="DIR", kind="directory"),
    "network": _choice(IMAGE, "NETWORK", "host"),
    "clean.dist": Row(group=OUTPUT),
    "older-than": Row(group=OUTPUT, value="AGE"),
    "dist": Row(group=OUTPUT, value="DIR", kind="directory"),
    "report.output": Row(group=OUTPUT, value="FILE", kind="file"),
    "format": _choice(OUTPUT, "FORMAT", "text", "json", "sarif", "github"),
    "baseline": Row(group=OUTPUT, value="FILE", kind="file"),
    "limit": Row(group=OUTPUT, value="PERCENT"),
    "for": _choice(OUTPUT, "SYSTEM", "github", "gitlab"),
    "install": Row(group=OUTPUT, value="COMMAND"),
    "shell": _choice(OUTPUT, "SHELL", "bash", "zsh", "fish"),
    "values": _choice(OUTPUT, "KIND", *OF_WORKSPACE),
    "color": _choice(OUTPUT, "WHEN", "auto", "always", "never"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a command: its words (`-p`, `--package`), its row, its help, and whether it may be repeated."""

    words: tuple[str, ...]
    row: Row
    help: str
    repeats: bool = False

    @property
    def takes_value(self) -> bool:
        """Whether the next word is its value."""
        return bool(self.row.value)

    @property
    def label(self) -> str:
        """How a page shows it: `-p, --package PACKAGE[,…]`; a long option alone is put below the other long ones."""
        indent = "" if len(self.words[0]) == 2 else "    "
        return f"{indent}{', '.join(self.words)}{f' {self.row.value}' if self.row.value else ''}"


def option(command: str, argument: Argument) -> Option:
    """The option that Invoke's argument is. KeyError for one without a row."""
    name = argument.names[0]
    row = ROWS.get(f"{command}.{name}") or ROWS[name]
    names = [f"no-{name}" if argument.kind is bool and argument.default is True else name, *argument.names[1:]]
    words = sorted((f"--{one}" if len(one) > 1 else f"-{one}" for one in names), key=lambda word: len(word) > 2)
    return Option(words=tuple(words), row=row, help=argument.help or "", repeats=argument.kind is list)


# Options that every command has. Invoke's others (--hide, --pty, --write-pyc, …) work, but they are about its own functions.
GLOBAL = (
    Option(
        words=("--color",),
        row=ROWS["color"],
        help="colours in messages and tables; default: auto [env: NO_COLOR, FORCE_COLOR]",
    ),
    Option(words=("--dry-run",), row=ROWS["dry"], help="show what would run, and change nothing"),
    Option(words=("--debug",), row=ROWS["dry"], help="show the traceback of an unexpected error"),
    Option(words=("-h", "--help"), row=ROWS["dry"], help="show this page"),
)
AT_TOP = (
    *GLOBAL,
    Option(words=("-l", "--list"), row=ROWS["dry"], help="list the commands"),
    Option(words=("-V", "--version"), row=ROWS["dry"], help="show the version"),
)


def grouped(options: tuple[Option, ...]) -> Iterator[tuple[str, list[Option]]]:
    """Yield title and options of each group. A command with few options has one group."""
    if len(options) < 9:
        if options:
            yield "Options", list(options)
        return
    for group in GROUPS:
        if members := [one for one in options if one.row.group == group]:
            yield group, members
