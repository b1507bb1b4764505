"""Evaluate the `cfg(...)` keys of cargo's [target] tables for a triple, without asking rustc.

The grammar is cargo's (the crate cargo-platform): a name, `name = "value"`, true, false, all(...), any(...) and not(...). What the
triple of a Linux target decides is decided: unix, windows, target_os, target_family, target_arch, target_env, target_vendor,
target_endian and target_pointer_width. Anything else (target_feature, panic, names that --cfg defines) is unknown, because only rustc
with the flags of the build can tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# From rustc's target specifications: the first part of a triple -> target_arch, target_pointer_width, target_endian.
ARCHES = {
    "x86_64": ("x86_64", "64", "little"), "aarch64": ("aarch64", "64", "little"), "i686": ("x86", "32", "little"),
    "riscv64gc": ("riscv64", "64", "little"), "s390x": ("s390x", "64", "big"), "arm": ("arm", "32", "little"),
    "armv7": ("arm", "32", "little"), "powerpc64le": ("powerpc64", "64", "little"),
    "loongarch64": ("loongarch64", "64", "little"),
}  # fmt: skip
NAMES = ("arch", "pointer_width", "endian", "os", "env", "vendor", "family")
TOKEN = re.compile(r'\s*(?:(?:r#)?([A-Za-z_][A-Za-z0-9_]*)|("[^"]*")|([(),=]))\s*')
OPERATORS = ("all", "any", "not")


def matches(key: str, triple: str) -> bool | None:
    """Whether the key `cfg(...)` of a [target] table applies to `triple`; None if that cannot be decided, or is no cfg."""
    tokens = _tokens(key)
    if tokens[:2] != ["cfg", "("]:
        return None
    try:
        parser = _Parser(tokens[2:], facts(triple))
        value = parser.expression()
        return value if parser.rest() in ([")"], [",", ")"]) else None
    except (ValueError, RecursionError):
        return None  # cargo itself reports what is wrong


def facts(triple: str) -> Mapping[str, str]:
    """The values of the names that `triple` decides; none for a triple that is no known Linux target."""
    arch, vendor, system, abi = (*triple.split("-"), "", "", "", "")[:4]
    env = next((name for name in ("gnu", "musl") if abi.startswith(name)), "")
    if system != "linux" or arch not in ARCHES or not env:
        return {}
    return {
        f"target_{name}": value
        for name, value in zip(NAMES, (*ARCHES[arch], "linux", env, vendor, "unix"), strict=True)
    }


def _tokens(text: str) -> list[str]:
    """Names, strings with their quotes, and punctuation; a text that is not made of these ends with a token that fits nowhere."""
    tokens: list[str] = []
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if not match:
            return [*tokens, "?"]
        tokens.append(next(group for group in match.groups() if group))
        position = match.end()
    return tokens


class _Parser:
    """Reads and evaluates an expression. Methods raise ValueError where the tokens are not one."""

    def __init__(self, tokens: list[str], known: Mapping[str, str]) -> None:
        self._tokens = tokens[::-1]
        self._known = known

    def rest(self) -> list[str]:
        """The tokens that have not been read."""
        return self._tokens[::-1]

    def expression(self) -> bool | None:
        """Read one expression and return its value, None for unknown."""
        name = self._take()
        if not name.isidentifier():
            raise ValueError(name)
        if name in OPERATORS and self._next_is("("):
            return self._combination(name)
        if self._next_is("="):
            value = self._take()
            if not value.startswith('"'):
                raise ValueError(value)
            return self._equals(name, value.strip('"'))
        if name in ("true", "false"):
            return name == "true"
        return None if not self._known or name not in ("unix", "windows") else name == "unix"

    def _combination(self, operator: str) -> bool | None:
        """The arguments of an operator and what follows from them, in Kleene's logic."""
        values: list[bool | None] = []
        while not self._next_is(")"):
            values.append(self.expression())
            if not self._next_is(",") and self.rest()[:1] != [")"]:
                raise ValueError(operator)
        if operator == "not":
            (value,) = values
            return None if value is None else not value
        decisive = operator == "any"  # one such value decides
        if decisive in values:
            return decisive
        return None if None in values else not decisive

    def _equals(self, name: str, value: str) -> bool | None:
        return None if name not in self._known else self._known[name] == value

    def _take(self) -> str:
        if not self._tokens:
            raise ValueError("incomplete")
        return self._tokens.pop()

    def _next_is(self, token: str) -> bool:
        """Whether `token` is next; it is read then."""
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False
