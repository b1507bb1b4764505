"""Import Invoke without what few commands need of it: 60 ms of every command, of 130.

`unittest.mock`, for MockContext, imports asyncio. `importlib.metadata`, for `invoke.__version__`, imports email. Invoke's copy of
PyYAML is for its configuration files. Each is imported when it is used.

The imports of all commands begin here, so that this is also where Python is told to look for garbage less often meanwhile.
"""

from __future__ import annotations

import gc
import importlib
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

MOCK, METADATA, YAML = "unittest.mock", "importlib.metadata", "invoke.vendor.yaml"


class _Yaml(ModuleType):
    """Takes the place of Invoke's PyYAML until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # of the import system
            raise AttributeError(name)
        if sys.modules.get(YAML) is self:
            del sys.modules[YAML]
        try:
            module = import_module(YAML)
        except ImportError:  # distributions remove the copy; Invoke takes the package then
            module = import_module("yaml")
        return getattr(module, name)


def _mock(*args: Any, **kwargs: Any) -> Any:
    return import_module(MOCK).Mock(*args, **kwargs)


def _version(name: str) -> Any:
    if name == "__version__":
        return import_module(METADATA).version("invoke")
    raise AttributeError(f"module 'invoke' has no attribute {name!r}")


def _import_invoke() -> None:
    stand_ins: dict[str, ModuleType] = {}
    if MOCK not in sys.modules:
        stand_ins[MOCK] = ModuleType(MOCK)
        stand_ins[MOCK].Mock = _mock  # type: ignore[attr-defined]  # Invoke 3.0 calls it and uses nothing else
    if METADATA not in sys.modules:
        stand_ins[METADATA] = importlib.metadata = ModuleType(METADATA)
        stand_ins[METADATA].version = str  # type: ignore[attr-defined]
    sys.modules.update(stand_ins)
    sys.modules[YAML] = _Yaml(YAML)
    try:
        invoke = import_module("invoke")
    finally:
        for name in stand_ins:
            del sys.modules[name]
        if METADATA in stand_ins:
            del importlib.metadata
    if METADATA in stand_ins:
        del invoke.__version__
        vars(invoke)["__getattr__"] = _version


# Imports make many objects and no garbage. With Python's own threshold of 700 a tenth of a short command is spent looking for some.
gc.set_threshold(50_000)
if "invoke" not in sys.modules:
    _import_invoke()
