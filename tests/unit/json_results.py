"""Whether what a command prints with --json has the declared type, with no other keys."""

import json

import msgspec

from buildlib.cli import command_list
from buildlib.report.reply import ReplyData
from buildlib.report.results import MAPS, RESULTS

COMMON = tuple(ReplyData.__annotations__)


def result_of(command):
    """The name in RESULTS of what the command prints with --json."""
    return {"lint": "lint-json"}.get(command, command)


def commands():
    """The commands, and the names of their results; a command without one is an error."""
    found = {name: result_of(name) for name in command_list.names()}
    assert set(found.values()) <= RESULTS.keys()
    return found


def typed(name, data):
    """The data as its type has it. ValidationError for another type; keys that are not declared are left out."""
    if name not in MAPS:
        return msgspec.to_builtins(msgspec.convert(data, RESULTS[name]))
    common = {key: data[key] for key in COMMON}
    rest = {key: value for key, value in data.items() if key not in COMMON}
    return typed_as(rest, RESULTS[name]) | typed_as(common, ReplyData)


def typed_as(data, kind):
    return msgspec.to_builtins(msgspec.convert(data, kind))


def documents(text, *, lines=False):
    """What stdout holds: one JSON document, or one in each line."""
    return [json.loads(line) for line in text.splitlines()] if lines else [json.loads(text)]


def replies(document):
    """The parts of a document that have the keys of every result."""
    return document if isinstance(document, list) else [document]


def check(name, document, code):
    """Compare a document with its type, or with that of a failure, and its codes with the exit code of the command."""
    is_failure = isinstance(document, dict) and document.keys() == set(COMMON)
    kind = "failure" if is_failure else name
    assert (kind, typed(kind, document)) == (kind, document)
    rows = replies(document)
    assert [row["ok"] for row in rows] == [not row["errors"] for row in rows] == [row["exit_code"] == 0 for row in rows]
    assert next((row["exit_code"] for row in rows if not row["ok"]), 0) == code, document
    return kind
