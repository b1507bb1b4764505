"""The libraries that a package names in [package.metadata.system-deps], from which the crate system-deps runs pkg-config.

The format is documented at the top of that crate's src/lib.rs (version 7): a version, or a table of `name`, `version`, `feature`,
`optional`, `fallback-names`, and tables for versions (`v1_2`); tables under `cfg(...)` are for some targets.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from buildlib.machine.cfg_expression import matches


def declared(script: Path, features: Collection[str], triple: str) -> tuple[str, ...]:
    """Return the names of the .pc files that the build script `script` requires, sorted; none where the manifest is not found."""
    manifest = next((folder / "Cargo.toml" for folder in script.parents if (folder / "Cargo.toml").is_file()), None)
    try:
        table = tomllib.loads(manifest.read_text(encoding="utf-8")) if manifest else {}
        return tuple(sorted(set(required(table["package"]["metadata"]["system-deps"], features, triple))))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ()


def required(table: Mapping[str, Any], features: Collection[str], triple: str) -> Iterator[str]:
    """Return the names of the .pc files in a [package.metadata.system-deps] that are not optional for these features."""
    for key, entry in table.items():
        if key.startswith("cfg("):
            if matches(key, triple):
                yield from required(entry, features, triple)
            continue
        options = entry if isinstance(entry, dict) else {"version": entry}
        # The highest version among the enabled features decides, and may have another name.
        versions = [name for name in options if name in features and isinstance(options[name], dict)]
        options = {**options, **(options[max(versions, key=_numbers)] if versions else {})}
        wanted = options.get("feature")
        # A library with other names to try may be found under any of them.
        if options.get("optional") or options.get("fallback-names") or (wanted and wanted not in features):
            continue
        yield options.get("name", key)


def _numbers(name: str) -> list[int]:
    """The version of a feature: v1_18_3 is [1, 18, 3]."""
    return [int(part) for part in name.lstrip("v").split("_") if part.isdigit()]
