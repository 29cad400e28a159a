"""Which layers of a model are of the operators that a runtime says it lacks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgespiral.core.errors import first_few
from edgespiral.core.onnx_graph import all_nodes, node_name
from edgespiral.measure.model_files import is_engine, read_proto

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

# Operators in a row, as runtimes write them: `Det-17, example.org.Whirl`, `torch.topk`.
ROW = r"((?:[\w.:]+(?:-\d+)?(?:, )?)+)"
LACKING = tuple(
    re.compile(words)
    for words in (
        # OpenVINO's.
        rf"No conversion rule found for operations: {ROW}",
        rf"Conversion is failed for: {ROW}",
        # ONNX Runtime's, by which pnnx reads files too.
        r"(\w+)\(-?\d+\) is not a registered function/op",
        # TensorRT's.
        r"No importer registered for op: (\w+)",
        # What the agent of ncnn says.
        rf"ncnn has no layer for {ROW}",
    )
)


def with_layers(reason: str, model: Path) -> str:
    """What a runtime says is wrong, with the layers whose operators it says that it lacks.

    Args:
        reason: in its own words.
        model: that it was given.

    Raises:
        ModelError: the model cannot be read.
    """
    rows = [row for words in LACKING for row in words.findall(reason)]
    if not rows or is_engine(model):
        return reason
    names = layers_of(set(re.findall(r"\w+", " ".join(rows))), model)
    if not names or all(name in reason for name in names):
        return reason
    return f"{reason}: {first_few(names)}"


def layers_of(operators: Collection[str], model: Path) -> list[str]:
    """The names of an ONNX file's nodes that are of these operators, in the order that they run.

    Args:
        operators: by ONNX's names, or by those that PyTorch has for the same (`grid_sample`).
        model: the file.

    Raises:
        ModelError: it cannot be read.
    """
    kinds = {_plain(operator) for operator in operators}
    nodes = all_nodes(read_proto(model).graph)
    names = (node_name(node) for node in nodes if _plain(node.op_type) in kinds)
    return list(dict.fromkeys(names))


def _plain(operator: str) -> str:
    return operator.replace("_", "").lower()
