"""Cargo's options, which the commands that compile share: declared once, added to a command's signature."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from invoke.parser.argument import Argument
from invoke.tasks import Task

from buildlib.cli.entry import CommandTask, command, extra_words, setting_help, settings_help, split
from buildlib.core.errors import UsageError

if TYPE_CHECKING:
    from buildlib.core.request import Request

LISTS = ("package", "exclude", "bin", "component", "example", "features", "library", "target")
SWITCHES = (
    "workspace", "bins", "lib", "all_features", "no_default_features", "release", "offline", "locked", "frozen", "quiet",
)  # fmt: skip
TEXTS = ("profile", "jobs")
OTHER_NAMES = {
    "package": "p", "jobs": "j", "verbose": "v", "quiet": "q", "release": "r", "features": "F", "workspace": "all",
}  # fmt: skip
HELP = {
    "package": "a package of the workspace; default: the default members, as for cargo",
    "exclude": "with --workspace: without this package",
    "workspace": "all packages of the workspace",
    "component": "a binary of the workspace, or PACKAGE/BINARY; default: all of the packages",
    "bin": "the same as --component",
    "bins": "all binaries, beside what --lib and --example select",
    "lib": "libraries that other languages link: cdylib and staticlib",
    "example": "an example",
    "all_features": "all features of the packages",
    "no_default_features": "without the feature `default`",
    "release": "the same as --profile release",
    "target": "a Rust triple; the same as --arch",
    "offline": "cargo does not use the network",
    "locked": "Cargo.lock must be up to date; the default if there is one",
    "frozen": "the same as --locked --offline",
    "jobs": "how many jobs cargo runs at once",
    "verbose": "all that cargo prints, with its command lines; twice for build scripts too",
    "quiet": "only warnings, errors and the result",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CargoOptions:
    """What the options say: a request, settings that they override, and spellings of targets."""

    request: Request
    features: list[str]
    libraries: list[str]
    targets: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the options override."""
        return {"features": self.features, "libraries": self.libraries, "profile": self.request.profile}


class CargoTask(CommandTask):
    """A task whose options have cargo's other names."""

    def _arguments(self, texts: dict[str, str], ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments, with the other name of those that have one in cargo."""
        arguments = super()._arguments(texts, ignore_unknown_help)
        for argument in arguments:
            if argument.name in OTHER_NAMES:
                argument.names = (*argument.names, OTHER_NAMES[argument.name])
        return arguments


def cargo_command(
    *, iterable: Iterable[str] = (), help: Mapping[str, str | Callable[[], str]]
) -> Callable[[Callable[..., int | None]], Task[Any]]:
    """Return a decorator for the function of a command that compiles: its parameter `cargo` becomes cargo's options."""

    def decorate(body: Callable[..., int | None]) -> Task[Any]:
        return CargoTask(
            command(_with_options(body)), auto_shortflags=False, iterable=[*iterable, *LISTS], incrementable=["verbose"],
            help={**HELP, **settings_help("features"), "library": setting_help("libraries"), **help},
        )  # fmt: skip

    return decorate


def _with_options(body: Callable[..., int | None]) -> Callable[..., int | None]:
    """Replace the parameter `cargo` of `body` by one parameter for each option."""

    def enter(c: Any, console: Any, **values: Any) -> int | None:
        options = {name: values.pop(name) for name in (*LISTS, *SWITCHES, *TEXTS, "verbose")}
        return body(c, console, _read(options), **values)

    enter.__name__, enter.__doc__, enter.__module__ = body.__name__, body.__doc__, body.__module__
    defaults: dict[str, Any] = {
        **dict.fromkeys(LISTS, inspect.Parameter.empty), **dict.fromkeys(SWITCHES, False), **dict.fromkeys(TEXTS, ""), "verbose": 0,
    }  # fmt: skip
    signature = inspect.signature(body)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "cargo"]
    added = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in defaults.items()
    ]
    ordered = sorted((*kept, *added), key=lambda one: one.default is not inspect.Parameter.empty)
    enter.__signature__ = signature.replace(parameters=ordered)  # type: ignore[attr-defined]
    return enter


def _read(values: Mapping[str, Any]) -> CargoOptions:
    from buildlib.core.request import Request

    if values["release"] and values["profile"] not in ("", "release"):
        raise UsageError(f"--release and --profile {values['profile']} exclude each other", "leave one out")
    if values["jobs"] and not values["jobs"].lstrip("-").isdigit() and values["jobs"] != "default":
        raise UsageError(f"--jobs expects a number, got {values['jobs']!r}")
    # cargo-zigbuild takes numbers alone.
    jobs = str(os.cpu_count() or 1) if values["jobs"] == "default" else values["jobs"]
    switches = {name: values[name] for name in SWITCHES if name not in ("lib", "release")}
    request = Request(
        **switches, packages=tuple(split(values["package"])), exclude=tuple(split(values["exclude"])), library=values["lib"],
        components=tuple(split((*values["component"], *values["bin"]))), examples=tuple(split(values["example"])),
        profile="release" if values["release"] else values["profile"], jobs=jobs, verbose=int(values["verbose"]),
        rest=extra_words(),
    )  # fmt: skip
    features = " ".join(values["features"]).replace(",", " ").split()  # cargo takes spaces too
    libraries = list(split(values["library"]))
    return CargoOptions(request=request, features=features, libraries=libraries, targets=tuple(values["target"]))
