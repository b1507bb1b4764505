"""Tables as lines of text: each column is as wide as its content. Pure.

What is too wide for a terminal loses columns, not parts of words: half a digest or path is of no use.
"""

from __future__ import annotations

from collections.abc import Sequence

from buildlib.display.terminal import columns

GAP = 2  # columns of the terminal between two columns of the table


def fitting(head: Sequence[str], rows: Sequence[Sequence[str]], important: Sequence[str], width: int) -> list[int]:
    """The indexes of the columns that are shown in `width`: the most important one, and each further one that fits as well.

    `important` has titles, the most important first; columns that it does not name follow it, from left to right.
    """
    ranks = {title: rank for rank, title in enumerate(important)}
    widths = _widths(head, rows)
    first, *others = sorted(range(len(head)), key=lambda at: (ranks.get(head[at], len(ranks)), at))
    shown, used = [first], widths[first]
    for at in others:
        if used + GAP + widths[at] <= width:
            shown.append(at)
            used += GAP + widths[at]
    return sorted(shown)


def lines(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    important: Sequence[str] = (),
    below: str = "",
    width: int | None = None,
) -> list[str]:
    """The table: a line with the titles, one per row, and last the titles of the columns that were omitted, "" for none.

    No line ends with blanks. Without a `width` all columns are shown. Where the column `below` does not fit, its cells that are
    not empty are in lines of their own, which may be longer.
    """
    shown = list(range(len(head))) if width is None else fitting(head, rows, important, width)
    widths = _widths(head, rows)
    texts = [(" " * GAP).join(_padded(row[at], widths[at]) for at in shown).rstrip(" ") for row in (head, *rows)]
    omitted = [title for at, title in enumerate(head) if at not in shown]
    if below and below in omitted:
        at = head.index(below)
        omitted.remove(below)
        notes = (f"\n    {below}: {row[at]}" if row[at] else "" for row in rows)
        texts[1:] = [text + note for text, note in zip(texts[1:], notes, strict=True)]
    return [*texts, ", ".join(omitted)]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))


def _widths(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(columns, cells)) for cells in zip(head, *rows, strict=True)]
