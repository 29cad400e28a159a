"""What TensorRT's `trtexec` exports, read without a device; 8.6 and 10.x write the same keys.

Samples are single inferences, never the tool's own summary.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.runtimes.agent_answer import finite_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgespiral.core.records.measurement import LayerLatency
    from edgespiral.measure.runtimes.weighted_layers import WeightedLayer

# Names are told apart by ASCII's separators of records and of units.
ORIGIN = re.compile(r"\[ONNX Layer: ([^\x1e\x1f]+?)\](?=[\x1e\x1f\[]|, |$)")
# A part of the network that was compiled or sent to the DLA as a whole, by its first and last node,
# either of which may be a weight or something else without weights.
REGION = re.compile(r"\{ForeignNode\[(.+?)(?:\.\.\.(.+?))?\]\}")
COPIES = "Reformatting CopyNode"
# What stands before and behind a layer's name where several were fused.
BEFORE, BEHIND = r"(?:^|(?<=[\s,|+(\[]))", r"(?=$|[\s,|+)\]])"


def sample_times(records: object, *, transfers: bool) -> list[float]:
    """The latency of each inference in ms, from `--exportTimes`.

    Args:
        records: the exported document.
        transfers: with the copies of inputs and outputs, instead of the GPU's own time.

    Raises:
        MeasurementError: there are none, or some are without a time.
    """
    key = "latencyMs" if transfers else "computeMs"
    try:
        times = [finite_number(record[key]) for record in records]  # type: ignore[attr-defined]
    except (TypeError, KeyError, ValueError) as error:
        raise MeasurementError(f"trtexec exported times without {key}") from error
    if not times:
        raise MeasurementError("trtexec exported no times")
    return times


def layer_times(
    profile: object, info: object, nodes: Sequence[WeightedLayer]
) -> list[LayerLatency]:
    """The time of each weighted layer of a model, from `--exportProfile`.

    TensorRT fuses layers. Where several weighted ones became one, each is given the share of the
    time that it has of their multiplications. What cannot be told from the names is not guessed:
    its layers are left out, and only whole models' times tell of them.

    Args:
        profile: the exported times.
        info: the exported layer information, which tells where a layer comes from.
        nodes: the model's weighted layers, in the order that they run.

    Raises:
        MeasurementError: a weighted layer is not among those that ran.
    """
    origins, rows = _origins(info), _rows(profile)
    named = _named(nodes)
    members = [named.members(name, origins.get(name, "")) for name, _ in rows]
    regions = _regions([(name, origins.get(name, "")) for name, _ in rows], members, named)
    spent_ms: dict[int, float] = {}
    nowhere = False
    for place, (_, mean_ms) in enumerate(rows):
        inside = regions.get(place, members[place])
        nowhere = nowhere or not inside
        total = sum(nodes[index].multiplications for index in inside)
        for index in inside:
            share = nodes[index].multiplications / total
            spent_ms[index] = spent_ms.get(index, 0.0) + mean_ms * share
    missing = [node.name for index, node in enumerate(nodes) if index not in spent_ms]
    if missing and not nowhere:
        raise MeasurementError(f"trtexec's profile has no layer for {', '.join(missing[:3])}")
    return [nodes[index].timed(spent_ms[index]) for index in sorted(spent_ms)]


def _rows(profile: object) -> list[tuple[str, float]]:
    try:
        rows = [row for row in profile if "name" in row]  # type: ignore[attr-defined]
        return [(str(row["name"]), finite_number(row["averageMs"])) for row in rows]
    except (TypeError, KeyError, ValueError) as error:
        raise MeasurementError("trtexec's profile cannot be read") from error


def _origins(info: object) -> dict[str, str]:
    layers: Any = info.get("Layers", []) if isinstance(info, dict) else []
    return {
        str(layer["Name"]): str(layer.get("Metadata", ""))
        for layer in layers
        if isinstance(layer, dict)
    }


@dataclass(frozen=True)
class _Named:
    """Weighted layers by name; those that share one with another cannot be told apart."""

    count: int
    places: Mapping[str, int]
    ambiguous: frozenset[int]
    words: re.Pattern[str]

    def members(self, name: str, origin: str) -> list[int]:
        """The layers that a row's name or origin tells of, apart from a region's ends."""
        if name.startswith(COPIES):
            return []
        words = {*self.words.findall(REGION.sub(" ", name)), *ORIGIN.findall(origin)}
        return sorted(self.places[word] for word in words if word in self.places)


def _named(nodes: Sequence[WeightedLayer]) -> _Named:
    counts = Counter(node.name for node in nodes)
    places = {node.name: at for at, node in enumerate(nodes) if counts[node.name] == 1}
    # The longest first, since a name may be the beginning of another.
    written = "|".join(re.escape(name) for name in sorted(counts, key=len, reverse=True))
    ambiguous = frozenset(at for at, node in enumerate(nodes) if counts[node.name] > 1)
    return _Named(len(nodes), places, ambiguous, re.compile(f"{BEFORE}(?:{written}){BEHIND}"))


def _regions(
    rows: Sequence[tuple[str, str]], members: Sequence[Sequence[int]], named: _Named
) -> dict[int, list[int]]:
    """The layers of each compiled region, by its row; none where they cannot be told.

    A region takes what lies between its ends and is named nowhere else. An end that is no weighted
    layer could be anywhere, so then it goes as far as it can. Regions that reach for the same layer
    leave all of theirs.

    Args:
        rows: name and origin of each row; a region whose origin is known needs no ends.
        members: of each row, what its name or origin tells of.
    """
    regions = {
        place: (match[1], match[2] or match[1])
        for place, (name, origin) in enumerate(rows)
        if not name.startswith(COPIES)
        and not (origin and members[place])
        and (match := REGION.search(name))
    }
    inner = {at for place, inside in enumerate(members) if place not in regions for at in inside}
    ends = {
        place: {named.places[end] for end in pair if end in named.places} | {*members[place]}
        for place, pair in regions.items()
    }
    reach = {}
    for place, (first, last) in regions.items():
        elsewhere = inner.union(named.ambiguous, *(ends[at] for at in regions if at != place))
        stop = named.places.get(last, named.count - 1)
        between = range(named.places.get(first, 0), stop + 1)
        reach[place] = ({*between} - elsewhere) | (ends[place] - inner)
    claims = Counter(index for own in reach.values() for index in own)
    return {
        place: sorted(own) if all(claims[index] == 1 for index in own) else []
        for place, own in reach.items()
    }
