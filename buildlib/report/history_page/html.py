"""HTML in which every text is escaped, unless it is HTML already. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """Text that is HTML: made by this module, or by hand from parts that are."""

    __slots__ = ()


def html(value: str) -> Html:
    """The value as HTML: text is escaped."""
    return value if isinstance(value, Html) else Html(escape(value))


def element(name: str, *content: str, **attributes: str) -> Html:
    """An element with its content. `class_` is the attribute `class`, `data_label` is `data-label`."""
    words = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{words}>{''.join(map(html, content))}</{name}>")


def joined(parts: Iterable[str], separator: str = "") -> Html:
    """The parts one after the other."""
    return Html(html(separator).join(map(html, parts)))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table. On a narrow page each row is a block, in which a cell stands behind the title of its column; so "" is left out."""
    titles = joined(element("th", title, scope="col") for title in head)
    lines = []
    for row in rows:
        cells = zip(head, row, strict=True)
        lines.append(element("tr", *(element("td", cell, data_label=title, **_empty(cell)) for title, cell in cells)))
    return element("table", element("thead", element("tr", titles)), element("tbody", *lines))


def _empty(cell: str) -> dict[str, str]:
    return {} if cell else {"class_": "empty"}


def details(summary: str, *content: str, is_open: bool = False) -> Html:
    """A part that can be folded, which needs no script; on paper it is open."""
    return Html(f"<details{' open' if is_open else ''}>{element('summary', summary)}{joined(content)}</details>")


def bar(left: float, width: float, kind: str) -> Html:
    """A bar in a row as wide as the page allows; `left` and `width` are parts of 1."""
    left = min(max(left, 0.0), 0.997)
    width = min(max(width, 0.003), 1 - left)
    style = f"left:{100 * left:.1f}%;width:{100 * width:.1f}%"
    return element("span", element("i", class_=kind, style=style), class_="track", aria_hidden="true")


def sparkline(values: Sequence[float]) -> Html:
    """A line through the values; "" for a single one. The text beside it says what it shows."""
    if len(values) < 2:
        return Html()
    low, high = min(values), max(values)
    span, step = high - low or 1.0, 96 / (len(values) - 1)
    points = " ".join(f"{2 + at * step:.0f},{22 - 20 * (value - low) / span:.0f}" for at, value in enumerate(values))
    return Html(f'<svg class="spark" viewBox="0 0 100 24" aria-hidden="true"><polyline points="{points}"/></svg>')
