"""Whether parts are those of one command: none missing, none twice, all from the same sources and settings. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from buildlib import __version__
from buildlib.core.errors import BuildError
from buildlib.shards.result import Result

HELP = "make all parts from the same commit with the same options, and name each of them once"
COMMANDS = ("build", "test", "image", "smoke")


def check(results: Sequence[Result], commit: str, arches: Sequence[str]) -> None:
    """BuildError that lists everything that does not fit. `commit` and `arches` are those of this workspace."""
    problems = [*_origins(results, commit), *_division(results, arches)]
    problems = problems or [*_commands(results)]
    if problems:
        raise BuildError("\n  ".join(("these parts cannot be merged:", *problems)), HELP)


def _origins(results: Iterable[Result], commit: str) -> Iterator[str]:
    for result in results:
        other = result.record.commit
        if other != commit:
            yield f"{result}: from {_commit(other)}, expected {_commit(commit)}"
        if result.record.buildlib != __version__:
            yield f"{result}: made by buildlib {result.record.buildlib}, expected {__version__}"


def _commit(text: str) -> str:
    revision, _, changes = text.partition("+")
    if not revision:
        return "a directory without git"
    return f"commit {revision[:12]}{f' with changes {changes}' if changes else ''}"


def _division(results: Sequence[Result], arches: Sequence[str]) -> Iterator[str]:
    """Every arch in exactly one part, and every part there exactly once."""
    first = results[0]
    for result in results:
        if list(result.record.arches) != list(arches):
            yield f"{result}: of the arches {_names(result.record.arches)}, expected {_names(arches)}"
        elif result.shard.count != first.shard.count:
            yield f"{result}: one of {result.shard.count} parts, but {first} is one of {first.shard.count}"
        elif sorted(name for part in result.record.parts for name in part) != sorted(arches):
            yield f"{result}: its parts are not the arches {_names(arches)}, each once"
        elif len(result.record.parts) != result.shard.count:
            yield f"{result}: {len(result.record.parts)} parts, expected {result.shard.count}"
        elif result.record.parts != first.record.parts:
            yield f"{result}: divided in another way than {first}: {_parts(result)}, expected {_parts(first)}; are ci.times the same?"
    numbers = [result.shard.number for result in results]
    for number in range(1, first.shard.count + 1):
        if number not in numbers:
            own = first.record.parts[number - 1] if number <= len(first.record.parts) else ()
            yield f"part {number}/{first.shard.count} is missing ({_names(own)})"
        elif numbers.count(number) > 1:
            twice = ", ".join(str(result.folder) for result in results if result.shard.number == number)
            yield f"part {number}/{first.shard.count} is there {numbers.count(number)} times: {twice}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _parts(result: Result) -> str:
    return " | ".join(map(_names, result.record.parts))


def _commands(results: Sequence[Result]) -> Iterator[str]:
    """Every command has succeeded for each part, with the same settings."""
    for command in COMMANDS:
        done = [result for result in results if command in result.record.commands]
        for result in results if done else ():
            if result not in done:
                yield f"{result}: no result of `{command}`, which {done[0]} has"
                continue
            expected, actual = (one.record.commands[command].settings for one in (done[0], result))
            for key in dict.fromkeys((*expected, *actual)):
                if expected.get(key) != actual.get(key):
                    values = f"{_value(actual.get(key))}, but {_value(expected.get(key))} in {done[0]}"
                    yield f"{result}: `{command}` with {key} = {values}"
    if not any(command in result.record.commands for command in COMMANDS for result in results):
        yield "no part has a result"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:200]
