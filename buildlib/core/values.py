"""Check one value against its declared type, and describe types and values in messages.

Whatever is wrong is one UsageError that names the layer, the key, the value, what was expected, and the nearest key.
"""

from __future__ import annotations

import json
import re
import tomllib
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from buildlib.core.errors import UsageError
from buildlib.core.settings import meta_of
from buildlib.core.targets import suggestion

ENVIRONMENT = "environment"  # the name of that layer in messages
WIDTH = 80  # characters of a value in a message
DEPTH = 10  # of nested tables and lists in a message; tomllib reads hundreds of levels, and Python's stack has a limit
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")  # the TOML grammar
LOGIN = re.compile(r"(?<=://)[^/\s\"]*@")  # name and password in an address, as far as the last @ (RFC 3986, 3.2)
NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
PLURALS = {str: "strings", Literal: "strings", int: "integers", float: "numbers"}


def convert(source: str, key: str, value: Any, hint: Any, *, textual: bool = False) -> Any:
    """`value` of the setting `key` as the declared type `hint`, as a table or list of such values where that is one.

    `textual` reads words as numbers, words with commas as lists, and TOML or JSON as tables, as the environment and flags have them.
    UsageError for a value of another type, and for one outside the declared limits.
    """
    kind, parameters = _unwrap(hint)
    if _is_struct(kind):
        return _struct(source, key, value, kind)
    if textual and isinstance(value, str) and (kind is dict or (kind is tuple and _is_struct(parameters[0]))):
        value, textual = _read_tables(value, [] if kind is tuple else {}), False
    if kind is dict:
        items = table(source, key, value, meta_of(hint)).items()
        return {_name(source, key, name, parameters[0]): convert(source, join(key, name), item, parameters[1])
                for name, item in items}  # fmt: skip
    if isinstance(value, str) and "\0" in value:  # no path and no command line can hold it
        raise UsageError(_sentence(source, key, value, "a string without the character NUL"))
    if textual and isinstance(value, str):
        value = _read(value, kind, parameters)
    if kind is tuple and isinstance(value, list | tuple):
        value = [
            convert(source, f"{key}[{number}]", item, parameters[0], textual=textual)
            for number, item in enumerate(value)
        ]
        if _is_struct(parameters[0]):
            return value
    try:
        return msgspec.convert(value, hint, strict=not textual)
    except (msgspec.ValidationError, ValueError, OverflowError):  # the last two: an integer too large for a float
        raise _mismatch(source, key, value, hint) from None


def _name(source: str, key: str, name: str, hint: Any) -> str:
    """A name in the table `key`, as the declared type of its names."""
    try:
        return str(msgspec.convert(name, hint))
    except msgspec.ValidationError:
        raise UsageError(f"{source}: {key} has {name!r}: expected {describe(hint)}") from None


def _read(text: str, kind: Any, parameters: tuple[Any, ...]) -> str | list[str]:
    """A word of the environment: a list at its commas, a number without blanks around it."""
    if kind is tuple and not _is_struct(parameters[0]):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text.strip() if kind in (int, float) else text


def _read_tables(text: str, empty: Any) -> Any:
    """A table, or a list of tables, that a variable holds as JSON or TOML; the text itself if it is neither."""
    if not text.strip():
        return empty
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        # A value that spans lines could hold further keys.
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text.strip() else text
    except (ValueError, RecursionError):
        return text


def table(source: str, key: str, value: Any, meta: Meta | None = None) -> dict[str, Any]:
    """`value` if it is a table. UsageError otherwise, with the example in `meta`."""
    if isinstance(value, dict):
        return value
    help_text = ""
    if source == ENVIRONMENT:
        help_text = "a variable holds a table as TOML or JSON, on one line"
    raise UsageError(_sentence(source, key, value, f"a table{_example(meta or Meta())}"), help_text)


def join(key: str, name: str) -> str:
    """The dotted key of `name` in the table `key`, quoted as TOML needs it: builder.mirrors."docker.io"."""
    return f"{key}.{_key(name)}"


def _struct(source: str, key: str, value: Any, kind: type[Struct]) -> dict[str, Any]:
    values, fields = table(source, key, value), {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in values:
        if name not in fields:
            raise UsageError(f"{source}: {key} has no {name!r}", suggestion(name, fields))
    hints = get_type_hints(kind, include_extras=True)
    for name, field in fields.items():
        if field.required and name not in values:
            example = (meta_of(hints[field.name]).examples or ["…"])[0]
            raise UsageError(f"{source}: {key}: missing key {name!r}", f"add {name} = {toml(example)}")
    return {name: convert(source, f"{key}.{name}", item, hints[fields[name].name]) for name, item in values.items()}


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _unwrap(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type behind Annotated without its parameters, and the parameters."""
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(bare) or bare, get_args(bare)


# --- messages -----------------------------------------------------------------------------------------------------------------


def _mismatch(source: str, key: str, value: Any, hint: Any) -> UsageError:
    kind, words = _unwrap(hint)
    if kind is Literal and isinstance(value, str):
        return UsageError(f"{source}: unknown {key} {value!r} (expected {_listed(words)})", suggestion(value, words))
    # 2.40 is the number 2.4 in TOML, so the value cannot be repeated with quotes.
    unquoted = kind is str and isinstance(value, int | float) and not isinstance(value, bool)
    message = _sentence(source, key, value, f"{describe(hint)}{_example(meta_of(hint))}")
    return UsageError(message, "write it in quotes" if unquoted else "")


def _sentence(source: str, key: str, value: Any, expected: str) -> str:
    start = f"{source}: {key}" if key else source
    text = LOGIN.sub("***@", toml(value))
    return f"{start} = {text if len(text) <= WIDTH else f'{text[:WIDTH]}…'}: expected {expected}"


def _example(meta: Meta) -> str:
    return f" such as {toml(meta.examples[0])}" if meta.examples else ""


def describe(hint: Any) -> str:
    """A declared type in words: "a string", "an integer from 1 to 65535", "a list of strings", "auto, zig, gcc or cross"."""
    kind, parameters = _unwrap(hint)
    meta = meta_of(hint)
    if meta.extra and "expected" in meta.extra:
        return str(meta.extra["expected"])
    if kind is Literal:
        return _listed(parameters)
    if kind in (Union, types.UnionType):
        return _listed(tuple(map(describe, parameters)))
    if kind is tuple:
        words = f"list of {PLURALS.get(_unwrap(parameters[0])[0], 'tables')}"
    elif kind in NAMES:
        words = NAMES[kind].partition(" ")[2] if kind is not bool else ""
    else:
        return "a table"
    if meta.min_length:
        return f"a non-empty {words}"
    return f"{NAMES.get(kind, f'a {words}')}{_limits(meta)}"


def _limits(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    if meta.ge is not None:
        return f" of at least {meta.ge}"
    return "" if meta.gt is None else f" greater than {meta.gt}"


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def toml(value: Any, depth: int = DEPTH) -> str:
    """A value as TOML writes it; "…" for what is nested more than `depth` levels deep."""
    match value:
        case _ if depth < 0:
            text = "…"
        case bool():
            text = str(value).lower()
        case str():
            text = _quote(value)
        case int() if value.bit_length() > 64:
            text = hex(value)  # Python writes at most 4300 decimal digits
        case dict():
            rows = ", ".join(f"{_key(name)} = {toml(item, depth - 1)}" for name, item in value.items())
            text = f"{{ {rows} }}" if rows else "{}"
        case list() | tuple():
            text = f"[{', '.join(toml(item, depth - 1) for item in value)}]"
        case _:
            text = str(value)
    return text


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _quote(name)


def _quote(text: str) -> str:
    """A basic string of TOML; an unpaired surrogate (a byte of the environment that is not UTF-8) becomes an escape."""
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return quoted.encode("utf-8", "backslashreplace").decode("utf-8")
