"""The little SVG that the report's charts are made of. Colours come from the page's style."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TICK_STEPS = (1, 2, 2.5, 5, 10)


def element(tag: str, /, *children: str, **attributes: object) -> Markup:
    """One SVG element; text and attributes are escaped, `class_` and `x_1` become class and x-1."""
    pairs = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    written = Markup().join(
        Markup(' {}="{}"').format(name, _number(value)) for name, value in pairs.items()
    )
    return Markup("<{}{}>{}</{}>").format(tag, written, Markup().join(children), tag)


def drawing(name: str, size: tuple[float, float], texts: tuple[str, str], *body: str) -> Markup:
    """A whole SVG image, scaled to the width it is given, as far as its letters stay legible.

    Args:
        name: its identity, unique in the page.
        size: width and height in its own units.
        texts: a title and a description, for those who cannot see it.
        body: its elements.
    """
    return element(
        "svg",
        element("title", texts[0], id=f"{name}-title"),
        element("desc", texts[1], id=f"{name}-desc"),
        *body,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        style=f"--width: {size[0]:g}px",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def text(x: float, y: float, content: str, **attributes: object) -> Markup:
    """A line of text."""
    return element("text", content, x=x, y=y, **attributes)


def line(start: tuple[float, float], end: tuple[float, float], **attributes: object) -> Markup:
    """A straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **attributes)


def path(points: Iterable[tuple[float, float]], **attributes: object) -> Markup:
    """A line through `points`."""
    return element("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), **attributes)


@dataclass(frozen=True)
class Scale:
    """A linear map of values to positions."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, room: float) -> Scale:
        """Over all `values`, with `room` (a share of their range) at both ends."""
        low, high = min(values), max(values)
        spread = (high - low) * room or abs(high) * room or room
        return cls(low - spread, high + spread, start, end)

    def __call__(self, value: float) -> float:
        """Position of `value`."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Up to `most` round values within the range."""
        rough = (self.high - self.low) / most
        magnitude = 10.0 ** math.floor(math.log10(rough))
        step = next(s * magnitude for s in TICK_STEPS if s * magnitude >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


@dataclass(frozen=True)
class Axes:
    """The plane of a chart."""

    x: Scale
    y: Scale

    def draw(
        self, labels: tuple[str, str], y_format: Callable[[float], str] = "{:g}".format
    ) -> Markup:
        """Grid, ticks and the names of both axes."""
        return Markup().join([self._columns(labels[0]), self._rows(labels[1], y_format)])

    def _columns(self, label: str) -> Markup:
        bottom, top = self.y.start, self.y.end
        parts = []
        for tick in self.x.ticks():
            at = self.x(tick)
            parts.append(line((at, bottom), (at, top), class_="grid"))
            parts.append(text(at, bottom + 18, f"{tick:g}", class_="tick", text_anchor="middle"))
        middle = (self.x.start + self.x.end) / 2
        parts.append(text(middle, bottom + 38, label, class_="label", text_anchor="middle"))
        return Markup().join(parts)

    def _rows(self, label: str, y_format: Callable[[float], str]) -> Markup:
        left, right = self.x.start, self.x.end
        parts = []
        for tick in self.y.ticks(5):
            at = self.y(tick)
            parts.append(line((left, at), (right, at), class_="grid"))
            shown = y_format(round(tick, 9))
            parts.append(text(left - 8, at + 4, shown, class_="tick", text_anchor="end"))
        parts.append(text(0, self.y.end - 27, label, class_="label"))
        return Markup().join(parts)


def _number(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
