"""A network drawn: its layers below each other, with their channels, and the lines between them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from edgespiral.report.drawing import svg
from edgespiral.report.drawing.charts import Figures, short
from edgespiral.report.drawing.lanes import laid_out
from edgespiral.report.drawing.svg import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from edgespiral.core.records.inspection import NetworkNode
    from edgespiral.report.drawing.lanes import Lanes, Wire

WIDTH, EDGE = 560.0, 10.0
LAYER_ROW, JOIN_ROW, BAR = 17.0, 13.0, 9.0
LANE, LANES_AT_MOST = 13.0, 130.0
NAMES, FIGURES = 172.0, 92.0
ARROW = "\N{RIGHTWARDS ARROW}"


@dataclass(frozen=True)
class Shares:
    """What is dark of each layer.

    Attributes:
        dark: channels, by layer; a layer that is not there is gone.
        form: says both counts where they differ, the whole as 0 and the dark part as 1.
        columns: what the whole and the dark part are called.
    """

    dark: Mapping[str, int]
    form: str
    columns: tuple[str, str]

    def of(self, node: NetworkNode) -> int:
        """Dark channels of a layer, 0 for one that is gone."""
        return self.dark.get(node.layer, 0)

    def is_gone(self, node: NetworkNode) -> bool:
        """Whether it is a layer that is not there any more."""
        return node.channels is not None and node.layer not in self.dark

    def text(self, node: NetworkNode) -> str:
        """Its channels, as they are said beside its bar."""
        if node.channels is None:
            return ""
        if self.is_gone(node):
            return f"{node.channels} {ARROW} gone"
        dark = self.of(node)
        return f"{dark}" if dark == node.channels else self.form.format(node.channels, dark)


def cut_shares(after: Mapping[str, int]) -> Shares:
    """What a cut has left of each layer."""
    return Shares(after, f"{{}} {ARROW} {{}}", ("teacher", "student"))


def network_chart(network: Sequence[NetworkNode], after: Mapping[str, int]) -> Markup:
    """A teacher as a network, and what a cut has left of it.

    Args:
        network: the teacher's nodes, each after those that it reads.
        after: channels of the student's layers, by the teacher's names.
    """
    shares = cut_shares(after)
    return drawn(
        "network", ("The network, and what was cut", _told(network, shares)), network, shares
    )


def drawn(
    identity: str, texts: tuple[str, str], network: Sequence[NetworkNode], shares: Shares
) -> Markup:
    """The image.

    Args:
        identity: unique in its page.
        texts: title and description.
        network: at least one node.
        shares: how much of each layer is dark.
    """
    places = {node.name: row for row, node in enumerate(network)}
    lanes = laid_out([[places[name] for name in node.inputs] for node in network])
    gone = _gone(network, shares)
    heights = [JOIN_ROW if node.channels is None else LAYER_ROW for node in network]
    bottoms = list(accumulate(heights, initial=EDGE))
    middles = [bottom + height / 2 for bottom, height in zip(bottoms, heights, strict=False)]
    plane = _Plane(lanes, middles, max(node.channels or 0 for node in network) or 1)
    rows = enumerate(network)
    return svg.drawing(
        identity,
        (WIDTH, bottoms[-1] + EDGE),
        texts,
        *(plane.wire(wire, gone=gone[wire.source] or gone[wire.target]) for wire in lanes.wires),
        *(plane.row(row, node, shares, gone=gone[row]) for row, node in rows),
    )


def network_figures(network: Sequence[NetworkNode], shares: Shares) -> Figures:
    """A row a layer: its kind, what it reads, and its channels."""
    names = {node.name: node.shown_name for node in network}
    rows = tuple(
        (
            node.layer,
            node.operator,
            ", ".join(names[name] for name in node.inputs),
            str(node.channels),
            "gone" if shares.is_gone(node) else str(shares.of(node)),
        )
        for node in network
        if node.channels is not None
    )
    return Figures(("layer", "kind", "reads", *shares.columns), rows)


def _told(network: Sequence[NetworkNode], shares: Shares) -> str:
    """The description of a cut network, for those who cannot see it."""
    layers = [node for node in network if node.channels is not None]
    gone = [node.layer for node in layers if shares.is_gone(node)]
    narrower = sum(shares.of(node) < (node.channels or 0) for node in layers) - len(gone)
    parts = [f"{len(layers)} layers, {narrower} of them narrower than in the teacher"]
    parts.append(f"gone: {', '.join(gone)}" if gone else "none is gone")
    return f"{'; '.join(parts)}."


def _gone(network: Sequence[NetworkNode], shares: Shares) -> list[bool]:
    """By row, whether nothing flows there any more; a join lives on with one of its values."""
    gone: dict[str, bool] = {}
    for node in network:
        is_join = node.channels is None and bool(node.inputs)
        lost_all = is_join and all(gone[name] for name in node.inputs)
        gone[node.name] = shares.is_gone(node) or lost_all
    return list(gone.values())


@dataclass(frozen=True)
class _Plane:
    """Positions: of lanes from the left, of rows from above, of channels along the bars."""

    lanes: Lanes
    middles: Sequence[float]
    longest: int

    @property
    def step(self) -> float:
        return min(LANE, LANES_AT_MOST / self.lanes.count)

    def x(self, lane: int) -> float:
        return EDGE + (lane + 0.5) * self.step

    @property
    def names(self) -> float:
        return EDGE + self.lanes.count * self.step + 6

    @property
    def scale(self) -> Scale:
        return Scale(0, self.longest, self.names + NAMES, WIDTH - FIGURES)

    def wire(self, wire: Wire, *, gone: bool) -> Markup:
        start, end = self.middles[wire.source], self.middles[wire.target]
        bend = min(JOIN_ROW, (end - start) / 2)
        lane_of, lane = self.lanes.lane_of, self.x(wire.lane)
        points = (
            (self.x(lane_of[wire.source]), start),
            (lane, start + bend),
            (lane, end - bend),
            (self.x(lane_of[wire.target]), end),
        )
        return svg.path(points, class_="wire gone" if gone else "wire")

    def row(self, row: int, node: NetworkNode, shares: Shares, *, gone: bool) -> Markup:
        """A node's circle, name and bar; with a pointer over any of it, all that is known."""
        x, y = self.x(self.lanes.lane_of[row]), self.middles[row]
        kind = "join" if node.channels is None else "layer"
        channels = shares.text(node)
        told = node.operator if not node.layer else f"{node.layer}: {node.operator}"
        parts = [
            svg.element("title", f"{told}, {channels} channels" if channels else told),
            svg.element(
                "rect", x=0, y=y - JOIN_ROW / 2, width=WIDTH, height=JOIN_ROW, class_="row"
            ),
            svg.element(
                "circle", cx=x, cy=y, r=4 if kind == "layer" else 3,
                class_=f"{kind} gone" if gone else kind,
            ),
            svg.text(
                self.names, y + 4, short(node.shown_name), class_="tick gone" if gone else "tick"
            ),
        ]  # fmt: skip
        if node.channels is not None:
            parts += self._bars(y, node.channels, shares.of(node), channels, gone=gone)
        return svg.element("g", *parts)

    def _bars(self, y: float, whole: int, dark: int, told: str, *, gone: bool) -> list[Markup]:
        scale = self.scale
        bars = [(whole, "before gone" if gone else "before"), (dark, "after")]
        return [
            *(
                svg.element(
                    "rect", x=scale.start, y=y - BAR / 2, width=scale(width) - scale.start,
                    height=BAR, rx=1.5, class_=kind,
                )
                for width, kind in bars
                if width
            ),
            svg.text(scale(whole) + 8, y + 4, told, class_="tick"),
        ]  # fmt: skip
