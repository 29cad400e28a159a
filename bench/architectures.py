"""Which torchvision classifiers can be cut, by which engine: writes docs/architectures.md.

Usage: python bench/architectures.py [NAME ...] [--json FILE] [--markdown FILE]

Each network, with random weights, loses half of the channels of every group by each engine. It
counts as supported where the cut equals the masked model in double precision, the ONNX file
computes what PyTorch does, and ONNX Runtime on host-cpu measures it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from edgespiral.core.artifact import trace
from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.profile import load_profile
from edgespiral.core.versions import versions
from edgespiral.export.onnx import export_onnx
from edgespiral.export.parity import check_parity
from edgespiral.measure.session import Session
from edgespiral.spiral.cutting import Cuttable, cut_to

ENGINES = ("nni", "depgraph")
SIDES = (64, 96, 224)
# One network a family: the others differ in depth and width alone.
FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
    "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small",
    "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet50", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_32",
    "wide_resnet50_2",
)  # fmt: skip


def lively(name: str) -> nn.Module:
    """The network with random weights and batch norms such as training leaves."""
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": True}
    extra = options if name in ("googlenet", "inception_v3") else {}
    model = torchvision.models.get_model(name, **extra).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model


def smallest_side(model: nn.Module) -> int:
    """The first of `SIDES` that the network takes."""
    for side in SIDES:
        try:
            with torch.no_grad():
                model(torch.zeros(1, 3, side, side))
        except (RuntimeError, AssertionError, ValueError):
            continue
        return side
    raise ValueError("takes none of the sizes tried")


def halve(source: Cuttable, engine: str) -> nn.Module:
    """Cut half of every group's channels with one engine."""
    generator = torch.Generator().manual_seed(0)
    scores = {g.name: torch.rand(g.channels, generator=generator) for g in source.groups}
    widths = {g.name: g.sub_groups * max(1, g.units // 2) for g in source.groups}
    return cut_to(source, widths, scores, engine).model


def one(name: str, session: Session, folder: Path) -> dict[str, Any]:
    """What each engine makes of one network."""
    model = lively(name)
    shape = (3, smallest_side(model), smallest_side(model))
    row: dict[str, Any] = {"name": name, "side": shape[1], "engines": {}}
    before = folder / "before.onnx"
    try:
        source = Cuttable.of(trace(model), shape)
        export_onnx(model, before, input_shape=shape)
    except EdgeSpiralError as error:
        return {**row, "error": str(error)}
    row |= {"groups": len(source.groups), "branches": len(source.branches)}
    for engine in ENGINES:
        row["engines"][engine] = attempt(source, engine, shape, session, folder)
    return row


def attempt(
    source: Cuttable, engine: str, shape: tuple[int, ...], session: Session, folder: Path
) -> dict[str, Any]:
    """Cut, export, compare and measure; or why not."""
    start = time.perf_counter()
    try:
        smaller = halve(source, engine)
        seconds = time.perf_counter() - start
        after = folder / "after.onnx"
        export_onnx(smaller, after, input_shape=shape)
        check_parity(smaller, after, [torch.randn(1, *shape)])
        [(_, ratio)] = session.compare(folder / "before.onnx", [after], rounds=10)
    except EdgeSpiralError as error:
        return {"error": str(error)}
    return {"cut_s": round(seconds, 2), "speedup": round(ratio.value, 2)}


def cell(found: dict[str, Any] | None) -> str:
    """A table cell: the speed-up, or a number that a note explains."""
    if found is None or "error" in found:
        return "no"
    return f"{found['speedup']:.2f}x ({found['cut_s']:.1f} s)"


def markdown(rows: list[dict[str, Any]]) -> str:
    """The document."""
    lines = [
        "# Which architectures can be cut",
        "",
        "Written by `python bench/architectures.py`; do not edit.",
        "",
        "One network a torchvision family, random weights, half of every group's channels removed.",
        "A figure means: the cut equals the masked model in double precision, the ONNX export",
        "agrees with PyTorch, and this is the speed-up measured on `host-cpu` (in brackets, how",
        "long the cut took). Branches are residual branches that can be removed whole.",
        "",
        "| network | input | groups | branches | nni | depgraph |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    notes = []
    for row in rows:
        engines = row["engines"]
        lines.append(
            f"| {row['name']} | {row['side']} | {row.get('groups', '')} | "
            f"{row.get('branches', '')} | {cell(engines.get('nni'))} | "
            f"{cell(engines.get('depgraph'))} |"
        )
        reasons = [row] if "error" in row else [e for e in engines.values() if "error" in e]
        notes += [f"- {row['name']}: {reason['error']}" for reason in reasons]
    return "\n".join([*lines, "", "## Why not", "", *notes, ""])


def main(argv: list[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=FAMILIES)
    parser.add_argument("--json", type=Path, default=Path("bench/results/architectures.json"))
    parser.add_argument("--markdown", type=Path, default=Path("docs/architectures.md"))
    asked = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    rows = []
    with (
        Session(load_profile("host-cpu")) as session,
        tempfile.TemporaryDirectory(prefix="edgespiral-") as folder,
    ):
        for name in asked.names:
            rows.append(one(name, session, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps({"versions": versions(), "rows": rows}, indent=1) + "\n")
    asked.markdown.write_text(markdown(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
