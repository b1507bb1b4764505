"""The script for zsh: a file of the function path, or `source <(buildlib completion zsh)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from buildlib.usage.completion import words
from buildlib.usage.help_pages import Command
from buildlib.usage.option_table import AT_TOP, Option

_SCRIPT = r"""#compdef buildlib
# zsh completion for buildlib; made by `buildlib completion zsh`
_buildlib() {
    local command= prev=$words[CURRENT-1] kind= commas= argument= word skip= i
    local -a options list commands
    commands=(
@NAMES@
    )
    for ((i = 2; i < CURRENT; i++)); do
        word=$words[i]
        if [[ -n $skip ]]; then skip=; continue; fi
        case $word in
            --) _files; return ;;
            --color) skip=1 ;;
            -*) ;;
            *) [[ -z $command ]] && command=$word ;;
        esac
    done
    if [[ $PREFIX == --*=* ]]; then
        prev=${PREFIX%%=*}
        compset -P 1 '*='
    fi
    case $command in
@COMMANDS@
        *)
            options=(
@TOP@
            )
            argument=:command
            [[ $prev == --color ]] && kind=fixed list=(auto always never)
            ;;
    esac
    if [[ -z $kind ]]; then
        if [[ $PREFIX == -* ]]; then
            _describe -o option options
            return
        fi
        case $argument in
            :command) _describe command commands; return ;;
            :file) kind=file ;;
            *) kind=fixed list=(${=argument}) ;;
        esac
    fi
    case $kind in
        file) _files; return ;;
        directory) _files -/; return ;;
        fixed) ;;
        *) list=(${(f)"$(@ASK@ $kind 2>/dev/null)"}) ;;
    esac
    [[ -n $commas ]] && compset -P '*,'
    compadd -- $list
}
if [[ $funcstack[1] == _buildlib ]]; then
    _buildlib "$@"
else
    compdef _buildlib buildlib
fi
"""


def script(commands: Iterable[Command]) -> str:
    """The script."""
    commands = tuple(commands)
    names = [(command.name, command.summary) for command in commands] + [("help", "show the page of a command")]
    return (
        _SCRIPT.replace("@COMMANDS@", "\n".join(line for command in commands for line in _case(command)))
        .replace("@TOP@", "\n".join(_described(AT_TOP)))
        .replace("@NAMES@", "\n".join(f"        {words.quoted(_pair(name, text))}" for name, text in names))
        .replace("@ASK@", words.ASK)
        .removesuffix("\n")
    )


def _pair(word: str, text: str) -> str:
    """A word and its description; a colon ends the word."""
    return f"{word.replace(':', chr(92) + ':')}:{text}"


def _described(options: Iterable[Option]) -> Iterator[str]:
    return (f"                {words.quoted(_pair(word, one.help))}" for one in options for word in one.words)


def _case(command: Command) -> Iterator[str]:
    """Yield the lines of one command: its options, and what each of them takes."""
    yield f"        {command.name})"
    yield "            options=("
    yield from _described(words.options(command))
    yield "            )"
    if command.arguments:
        argument = ":file" if command.arguments.row.kind == "file" else words.spaced(words.fixed(command.arguments))
        yield f"            argument={words.quoted(argument)}"
    yield "            case $prev in"
    yield from (f"                {'|'.join(one.words)}) {_value(one)} ;;" for one in words.with_values(command))
    yield "            esac"
    yield "            ;;"


def _value(option: Option) -> str:
    commas = " commas=1" if words.takes_commas(option) else ""
    if known := words.fixed(option):
        return f"kind=fixed{commas} list=({words.spaced(known)})"
    return f"kind={option.row.kind}{commas}"
