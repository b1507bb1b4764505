"""Which arches a machine takes of a command that several machines share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from buildlib.core import shard
from buildlib.core.shard import Parts, Shard
from buildlib.core.targets import TARGETS, Target
from buildlib.process.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One machine's part. `arches` are those of the whole command, in order, `parts` those of each machine."""

    shard: Shard
    arches: tuple[str, ...]
    parts: Parts

    @property
    def names(self) -> tuple[str, ...]:
        """The arches of this part."""
        return self.parts[self.shard.number - 1]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets of this part."""
        return tuple(TARGETS[name] for name in self.names)

    @property
    def whole(self) -> tuple[Target, ...]:
        """The targets of all parts."""
        return tuple(TARGETS[name] for name in self.arches)

    def own(self, targets: Iterable[Target]) -> tuple[Target, ...]:
        """Those of `targets` that belong to this part."""
        return tuple(target for target in targets if target.name in self.names)


def part_of(context: Context, text: str, words: tuple[str, ...]) -> Part:
    """The part that --shard names. `words` are the values of --arch; without any it is `all`.

    UsageError for what names no part or no arch.
    """
    chosen = shard.parse(text)
    names = tuple(target.name for target in context.targets(words, "all"))
    part = Part(shard=chosen, arches=names, parts=shard.divide(names, chosen.count, context.config.ci.times))
    own = ", ".join(part.names) or "none, because there are more parts than arches"
    context.console.note(f"part {chosen} of {', '.join(names)}: {own}")
    return part
