"""The script for bash 3.2 and newer; it needs nothing of the package bash-completion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from buildlib.usage.completion import words
from buildlib.usage.help_pages import Command
from buildlib.usage.option_table import AT_TOP, Option

_SCRIPT = r"""# bash completion for buildlib; made by `buildlib completion bash`
_buildlib() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local command= options= list= kind= commas= argument= before= word i
    local IFS=$' \t\n'
    COMPREPLY=()
    # bash splits `--arch=arm64` at the equals sign.
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --) return ;;
            --color) [[ ${COMP_WORDS[i+1]} == = ]] && ((i++)); ((i++)) ;;
            -* | =) ;;
            *) [[ -z $command ]] && command=$word ;;
        esac
    done
    case $command in
@COMMANDS@
        *)
            options='@TOP@'
            argument='@NAMES@'
            [[ $prev == --color ]] && kind=fixed list='auto always never'
            ;;
    esac
    if [[ -z $kind ]]; then
        if [[ $cur == -* ]]; then
            COMPREPLY=($(compgen -W "$options" -- "$cur"))
            return
        fi
        case $argument in
            :file) kind=file ;;
            *) kind=fixed list=$argument ;;
        esac
    fi
    case $kind in
        file | directory)
            compopt -o filenames 2>/dev/null
            # Names of files may have blanks and asterisks.
            while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -A "$kind" -- "$cur")
            return
            ;;
        fixed) ;;
        *) list=$(@ASK@ "$kind" 2>/dev/null) ;;
    esac
    if [[ -n $commas && $cur == *,* ]]; then
        before=${cur%,*},
        cur=${cur##*,}
    fi
    COMPREPLY=($(compgen -P "$before" -W "$list" -- "$cur"))
}
complete -F _buildlib -o bashdefault -o default buildlib
"""


def script(commands: Iterable[Command]) -> str:
    """The script."""
    commands = tuple(commands)
    cases = "\n".join(line for command in commands for line in _case(command))
    names = words.spaced((*(command.name for command in commands), "help"))
    return (
        _SCRIPT.replace("@COMMANDS@", cases)
        .replace("@TOP@", words.spaced(word for one in AT_TOP for word in one.words))
        .replace("@NAMES@", names)
        .replace("@ASK@", words.ASK)
        .removesuffix("\n")
    )


def _case(command: Command) -> Iterator[str]:
    """Yield the lines of one command: its options, and what each of them takes."""
    options = words.spaced(word for one in words.options(command) for word in one.words)
    yield f"        {command.name})"
    yield f"            options='{options}'"
    if command.arguments:
        argument = ":file" if command.arguments.row.kind == "file" else words.spaced(words.fixed(command.arguments))
        yield f"            argument='{argument}'"
    yield "            case $prev in"
    yield from (f"                {'|'.join(one.words)}) {_value(one)} ;;" for one in words.with_values(command))
    yield "            esac"
    yield "            ;;"


def _value(option: Option) -> str:
    commas = " commas=1" if words.takes_commas(option) else ""
    if known := words.fixed(option):
        return f"kind=fixed{commas} list='{words.spaced(known)}'"
    return f"kind={option.row.kind}{commas}"
