"""Stores the weights of a LiteRT file in 8 bits: `round_weights.py model.tflite`.

The Python that runs it has litert-torch, which brings what rounds.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Of what can be rounded, depthwise convolutions are not: XNNPACK leaves these to slower kernels.
ROUNDED = ("CONV_2D", "FULLY_CONNECTED")


def main(model: Path) -> None:
    """One scale an output channel; no data is needed. The file takes its own place."""
    from ai_edge_quantizer import quantizer, recipe

    [every] = recipe.dynamic_wi8_afp32()
    chosen = [{**every, "operation": operation} for operation in ROUNDED]
    rounder = quantizer.Quantizer(str(model), chosen)
    rounder.quantize().export_model(str(model), overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
