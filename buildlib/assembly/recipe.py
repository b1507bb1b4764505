"""What the image of each platform is made from, as annotations of the index that joins them.

The digest of an index's inputs is one of those of its platforms: what several machines have made is joined to the index that one
machine would have made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from buildlib.builder.buildx import BASES, INPUTS


def hashed(*parts: object) -> str:
    """A digest of JSON data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is made from.

    `inputs` maps a platform to a digest of all inputs; {} if these cannot be known. `bases` maps a base image to its digest.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of the index; without INPUTS if the inputs cannot be known."""
        bases = " ".join(sorted(f"{name}@{digest}" for name, digest in self.bases.items()))
        inputs = {INPUTS: hashed(self.inputs)} if self.inputs else {}
        return inputs | ({BASES: bases} if bases else {})


def joined(recipes: Iterable[Recipe]) -> Recipe:
    """The recipe of the parts of one image. The inputs are known if those of all parts are."""
    recipes = list(recipes)
    return Recipe(
        inputs={p: one for recipe in recipes for p, one in recipe.inputs.items()} if all(one.inputs for one in recipes) else {},
        bases={name: digest for recipe in recipes for name, digest in recipe.bases.items()},
    )  # fmt: skip
