"""What TensorRT's `trtexec` exports, read without a device; 8.6 and 10.x write the same keys.

Samples are single inferences, never the tool's own summary.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgespiral.core.errors import MeasurementError
from edgespiral.measure.runtimes.agent_answer import finite_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgespiral.core.records import LayerLatency
    from edgespiral.measure.runtimes.tensorrt.weighted_layers import WeightedLayer

ORIGIN = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# A part of the network that was compiled or sent to the DLA as a whole, by its first and last node.
REGION = re.compile(r"\{ForeignNode\[(.+?)(?:\.\.\.(.+?))?\]\}")


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
    time that it has of their multiplications.

    Args:
        profile: the exported times.
        info: the exported layer information, which tells where a layer comes from.
        nodes: the model's weighted layers, in the order that they run.

    Raises:
        MeasurementError: a weighted layer is not among those that ran.
    """
    names = {node.name: index for index, node in enumerate(nodes)}
    origins = _origins(info)
    spent_ms = [0.0] * len(nodes)
    found: set[int] = set()
    for name, mean_ms in _rows(profile):
        inside = _members(name, origins.get(name, ""), names)
        total = sum(nodes[index].multiplications for index in inside)
        for index in inside:
            spent_ms[index] += mean_ms * nodes[index].multiplications / total
        found |= set(inside)
    missing = [node.name for index, node in enumerate(nodes) if index not in found]
    if missing:
        raise MeasurementError(f"trtexec's profile has no layer for {', '.join(missing[:3])}")
    return [node.timed(ms) for node, ms in zip(nodes, spent_ms, strict=True)]


def _rows(profile: object) -> list[tuple[str, float]]:
    try:
        rows = [row for row in profile if "name" in row]  # type: ignore[attr-defined]
        return [(str(row["name"]), finite_number(row["averageMs"])) for row in rows]
    except (TypeError, KeyError, ValueError) as error:
        raise MeasurementError("trtexec's profile cannot be read") from error


def _origins(info: object) -> dict[str, str]:
    layers: Any = info.get("Layers", []) if isinstance(info, dict) else []
    return {
        str(one["Name"]): str(one.get("Metadata", "")) for one in layers if isinstance(one, dict)
    }


def _members(name: str, origin: str, names: Mapping[str, int]) -> list[int]:
    words = {word.strip() for word in name.split(" + ")} | set(ORIGIN.findall(origin))
    found = {names[word] for word in words if word in names}
    region = REGION.search(name)
    if region and not found:
        first, last = names.get(region[1]), names.get(region[2] or region[1])
        start = 0 if first is None else first
        found = set(range(start, len(names) if last is None else last + 1))
    return sorted(found)
