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

    from torch import Tensor, nn

    Json = dict[str, Any]

# As exporters write it: aten._linalg_det.default, aten::linalg_det.
OPERATOR = re.compile(r"\baten(\.|::)\w+")
LONGEST_REASON = 300


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


def reason_of(error: Exception) -> str:
    """Of all that an error says, the line that names an operator, or else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    naming = (line for line in lines if OPERATOR.search(line))
    line = next(naming, next(iter(lines), ""))
    return f"{type(error).__name__}: {line}"[:LONGEST_REASON]
