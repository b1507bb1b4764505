"""Import Invoke without `unittest.mock`: only its MockContext needs that, and it imports asyncio. 30 ms of every command, of 130."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

MOCK = "unittest.mock"


def _mock(*args: Any, **kwargs: Any) -> Any:
    return import_module(MOCK).Mock(*args, **kwargs)


if "invoke" not in sys.modules and MOCK not in sys.modules:
    sys.modules[MOCK] = ModuleType(MOCK)
    sys.modules[MOCK].Mock = _mock  # type: ignore[attr-defined]  # Invoke 3.0 calls it and uses nothing else
    try:
        import_module("invoke")
    finally:
        del sys.modules[MOCK]
