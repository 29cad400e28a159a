"""The module that a program is to convert: put beside its request, and imported there.

The program runs in a process of its own and perhaps by another Python, so this needs PyTorch alone.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, fx, nn

    Json = dict[str, Any]

# As exporters write it: aten._linalg_det.default, aten::linalg_det, torchvision::nms.
OPERATOR = re.compile(r"\baten\.\w+|\b\w+::\w+")
# A line of the module's own code, in a stack as Python prints it.
CODE = re.compile(r'model\.py", line \d+, in .*\n\s*([^;\n]+)')
LONGEST_REASON, LONGEST_LINE, NAMED = 300, 200, 3


def given(request: Path) -> tuple[nn.Module, tuple[Tensor, ...], dict[str, Tensor], Json]:
    """What `write_module_request` has put beside a request.

    Returns:
        The module, examples of its inputs in a row, those that it takes by name, and the request.
    """
    import torch

    document: Json = json.loads(request.read_text(encoding="utf-8"))
    sys.path.insert(0, str(request.parent))
    # Of another request, which this process was given before.
    sys.modules.pop("model", None)
    from model import load  # type: ignore[import-not-found]

    torch.manual_seed(0)
    examples = [torch.randn(shape) for shape in document["shapes"]]
    if document["keywords"]:
        return load(), (), dict(zip(document["keywords"], examples, strict=True)), document
    return load(), tuple(examples), {}, document


def reason_of(error: Exception, request: Path) -> str:
    """The line of an error that names an operator, with its layers, or else the first line.

    Args:
        error: of what converts the module.
        request: as for `given`; only where the error names an operator is the module looked at.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    naming = (line for line in lines if OPERATOR.search(line))
    line = next(naming, next(iter(lines), ""))
    reason = f"{type(error).__name__}: {line}"
    layers = _layers_of(line, request) if OPERATOR.search(line) else []
    # Where it cannot be exported, what is said of it names the line that cannot be.
    layers = layers or CODE.findall(str(error))[-1:]
    if not layers:
        return reason[:LONGEST_REASON]
    more = f" and {len(layers) - NAMED} more" if len(layers) > NAMED else ""
    return f"{reason[:LONGEST_LINE]}: {', '.join(layers[:NAMED])}{more}"[:LONGEST_REASON]


def place_of(node: fx.Node) -> str:
    """The layer that a node of an exported module is of; of none, the line of code that it is."""
    layers = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    code = CODE.findall(node.meta.get("stack_trace") or "")
    return str(next(filter(None, reversed(layers)), "") or "".join(code[-1:]).strip())


def _layers_of(line: str, request: Path) -> list[str]:
    """The places in a module of the operators that a line names; none where it is not exported."""
    import torch

    try:
        module, examples, keywords, _ = given(request)
        exported = torch.export.export(module, examples, keywords)
        # Converters name operators as they are written, or as those that they are made of.
        programs = (exported, exported.run_decompositions())
    except Exception:  # a module's own code runs here, and can fail in any way
        return []
    for program in programs:
        nodes = [node for node in program.graph.nodes if _is_named(node, line)]
        if nodes:
            return list(dict.fromkeys(filter(None, map(place_of, nodes))))
    return []


def _is_named(node: fx.Node, line: str) -> bool:
    """Whether a line names the operator of a node."""
    namespace, _, name = str(getattr(node.target, "_schema", "")).partition("(")[0].partition("::")
    if node.op != "call_function" or not name:
        return False
    return bool(re.search(rf"\b{namespace}(\.|::){re.escape(name.partition('.')[0])}\b", line))
