"""Makes an ExecuTorch program of a module: `lowering.py request.json`, in a process of its own.

It imports `model.py` beside the request, exports it and hands to XNNPACK what that takes. What is
left to ExecuTorch's own kernels is written to `lowered.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Json = dict[str, Any]


def main(request: Path) -> None:
    """Write the program and what is to be known of it; what fails ends with one line."""
    sys.path.insert(0, str(request.parent))
    from given_module import reason_of  # type: ignore[import-not-found]

    try:
        _lower(request)
    except Exception as error:  # a module's own code runs here, and can fail in any way
        raise SystemExit(reason_of(error, request)) from None


def _lower(request: Path) -> None:
    """Write the program and what is to be known of it beside `request`."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from given_module import given

    folder = request.parent
    module, examples, keywords, _ = given(request)
    with torch.no_grad():
        exported = torch.export.export(module, examples, keywords)
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    graph = edge.exported_program().graph_module.graph
    (folder / "model.pte").write_bytes(edge.to_executorch().buffer)
    text = json.dumps({"left": _left(graph), "delegates": _has_delegate(graph)})
    (folder / "lowered.json").write_text(text, encoding="utf-8")


def _left(graph: Any) -> list[Json]:  # noqa: ANN401
    """The operators that no delegate runs, each with the layer that it is of."""
    from given_module import place_of

    left = []
    for node in graph.nodes:
        name = str(getattr(node.target, "_name", getattr(node.target, "name", node.target)))
        if node.op == "call_function" and "::" in name:
            left.append({"operator": name.partition("::")[2], "layer": place_of(node)})
    return left


def _has_delegate(graph: Any) -> bool:  # noqa: ANN401
    return any("delegate" in str(node.target) for node in graph.nodes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
