"""The pages of help: of the program, and of each command. Pure: text for a width.

Invoke's own page of a command has no groups, no names of values and no examples, and puts its own options first.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from buildlib.usage.option_table import AT_TOP, GLOBAL, Option, grouped

WIDTHS = (40, 100)  # columns: narrower and wider terminals get these
LABEL = 30  # columns for options and commands at most; what is longer has its help below
COMMANDS = {
    "Build": ("build", "verify", "reproduce", "image", "merge", "sign", "dockerfile", "clean"),
    "Test": ("test", "bench", "smoke"),
    "Explain": ("plan", "config", "report", "lint", "explain"),
    "Set up": ("doctor", "setup", "builder", "builder.create", "builder.remove", "ci", "completion"),
}
USAGE = {
    **dict.fromkeys(("build", "reproduce", "plan", "test", "image"), "[OPTIONS] [-- CARGO-OPTIONS]"),
    "bench": "[OPTIONS] [-- BENCHMARK-OPTIONS]",
    **dict.fromkeys(("verify", "sign"), "[OPTIONS] [PATH|IMAGE]…"),
    "lint": "[OPTIONS] [PATH]…",
    "merge": "[OPTIONS] DIST…",
    "explain": "[OPTIONS] [FILE]…",
    "completion": "[OPTIONS] SHELL",
}
# Two for each command: what it does, and the words after `buildlib`.
EXAMPLES = {
    "build": (("two binaries for two arches", "build --arch arm64,armv7 --bin a,b"),
              ("static binaries, as cargo's profile `dist` makes them", "build --arch amd64-musl --profile dist")),
    "verify": (("everything in dist/", "verify"), ("every platform of an image", "verify ghcr.io/acme/app:1.0")),
    "reproduce": (("the programs for this machine", "reproduce"), ("of two arches", "reproduce --arch arm64,riscv64")),
    "image": (("images for all arches, to the registry", "image --push --registry ghcr.io/acme"),
              ("an image for this machine, to its Docker daemon", "image --load")),
    "sign": (("dist/", "sign --key cosign.key"), ("an image and all its platforms", "sign --key cosign.key ghcr.io/acme/app:1.0")),
    "merge": (("what two machines have built", "merge one/dist two/dist"),
              ("and move this tag to their images", "merge --tag 1.2 one/dist two/dist")),
    "dockerfile": (("show it", "dockerfile"), ("keep it, to change it", "dockerfile --write")),
    "clean": (("what would be removed, and how large it is", "clean --dry-run"),
              ("what has not changed for a month, in the cache", "clean --cache --older-than 30d")),
    "test": (("the tests of one package under QEMU", "test --arch arm64 -p a"),
             ("one test, with its output", "test --arch arm64 -- name -- --nocapture")),
    "bench": (("counted instructions for two arches", "bench --arch arm64,riscv64"),
              ("fail where they grow by more than 2 %", "bench --arch arm64 --baseline old.json --limit 2")),
    "smoke": (("each image of the registry, on each platform", "smoke"), ("one image on one", "smoke --component a --arch arm64")),
    "plan": (("what a build of all arches would run", "plan"), ("the same for programs", "plan --arch arm64 --json")),
    "config": (("every setting", "config"), ("for programs", "config --json")),
    "report": (("a page in the target directory", "report"), ("a page elsewhere", "report --output report.html")),
    "lint": (("this directory", "lint"), ("fix what can be fixed in one file", "lint Dockerfile --fix")),
    "explain": (("a log", "explain build.log"), ("the same, from standard input", "explain < build.log")),
    "doctor": (("what builds for arm64 lack", "doctor --arch arm64"), ("the connection to the registries", "doctor --network")),
    "setup": (("install what is missing, without a question", "setup --yes"), ("show what would run", "setup --dry-run")),
    "builder": (("show it", "builder"), ("create it", "builder.create")),
    "builder.create": (("create it", "builder.create"), ("again, with the settings as they are now", "builder.create --force")),
    "builder.remove": (("remove it", "builder.remove"), ("show what would run", "builder.remove --dry-run")),
    "ci": (("for GitHub", "ci > .github/workflows/multiarch.yml"), ("for GitLab", "ci --for gitlab > .gitlab-ci.yml")),
    "completion": (("for this shell", "completion bash > ~/.local/share/bash-completion/completions/buildlib"),
                   ("for fish", "completion fish > ~/.config/fish/completions/buildlib.fish")),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as the pages and completion need it. `text` is its docstring, `arguments` the option that its words become."""

    name: str
    text: str
    options: tuple[Option, ...]
    arguments: Option | None = None

    @property
    def summary(self) -> str:
        """The first sentence of the text."""
        return " ".join(self.text.partition("\n\n")[0].split())


def program_page(commands: Iterable[Command], version: str, columns: int) -> str:
    """The page of `buildlib --help`."""
    width = _width(columns)
    by_name = {command.name: command for command in commands}
    parts = [
        f"buildlib {version}\n{_fill('Verified binaries and images of a Rust workspace, for every architecture.', width)}",
        "Usage: buildlib COMMAND [OPTIONS]",
        *(_columns(title, [(name, by_name[name].summary) for name in names if name in by_name], width)
          for title, names in COMMANDS.items()),
        _columns("Options", [(one.label, one.help) for one in AT_TOP], width),
        _examples((("the page of a command", "help build"), ("binaries for two arches", "build --arch arm64,armv7")), width),
        _fill("Every setting can be set by a variable BUILDLIB_NAME; `buildlib config` shows names and values.", width),
    ]  # fmt: skip
    return "\n\n".join(parts)


def command_page(command: Command, columns: int) -> str:
    """The page of `buildlib COMMAND --help`."""
    width = _width(columns)
    usage = USAGE.get(command.name, "[OPTIONS]")
    paragraphs = [_fill(" ".join(part.split()), width) for part in command.text.split("\n\n")]
    parts = ["\n\n".join(paragraphs), _fill(f"Usage: buildlib {command.name} {usage}", width, hanging=7)]
    if command.arguments:
        value = f"[{command.arguments.row.value}]…"
        parts.append(_columns("Arguments", [(value, command.arguments.help)], width))
    parts += [
        _columns(title, [(one.label, one.help) for one in options], width)
        for title, options in grouped(command.options)
    ]
    parts.append(_columns("Global options", [(one.label, one.help) for one in GLOBAL], width))
    parts.append(_examples(EXAMPLES[command.name], width))
    return "\n\n".join(parts)


def _width(columns: int) -> int:
    return min(max(columns, WIDTHS[0]), WIDTHS[1])


def _fill(text: str, width: int, hanging: int = 0) -> str:
    """The text in lines of at most `width` columns; a word that is longer has a line of its own."""
    return textwrap.fill(text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


def _columns(title: str, rows: Iterable[tuple[str, str]], width: int) -> str:
    """A title and two columns: labels, and texts. A label that is too long for its column has its text below."""
    rows = list(rows)
    limit = min(LABEL, width // 2 - 4)
    label_width = max((len(label) for label, _ in rows if len(label) <= limit), default=0)
    lines = [f"{title}:"]
    for label, text in rows:
        indent = " " * (label_width + 4)
        filled = textwrap.fill(
            text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        if len(label) <= label_width:
            lines.append(f"  {label:<{label_width}}{filled[label_width + 2 :]}".rstrip())
        else:
            lines += [f"  {label}", *([filled] if filled else [])]
    return "\n".join(lines)


def _examples(examples: Iterable[tuple[str, str]], width: int) -> str:
    lines = ["Examples:"]
    for text, words in examples:
        lines.append(textwrap.indent(_fill(f"# {text}", width - 2, hanging=2), "  "))
        lines.append(f"  buildlib {words}")
    return "\n".join(lines)
