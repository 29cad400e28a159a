"""Which models a real TensorRT-family builder takes: prints the table of docs/targets.md.

Usage: python bench/engines.py [NAME ...] [--all] [--json FILE]

Each network, with random weights, is exported in float32, float16 and int8 (in the form for
TensorRT) and built with TensorRT for RTX by the bundled target, which needs no GPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from architectures import FAMILIES, export_smallest, lively

from edgespiral.core.errors import EdgeSpiralError
from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.export.onnx import export_onnx
from edgespiral.export.precision import convert_untrained
from edgespiral.measure.build import build_engine
from edgespiral.measure.engine_files import engine_path
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models import build

if TYPE_CHECKING:
    from edgespiral.core.records.schema import Precision

TARGET = "tensorrt-rtx"
PRECISIONS = ("fp32", "fp16", "int8")
# A member of each kind of layer that we export; --all are those of docs/architectures.md.
KINDS = ("efficientnet_b0", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "vit_b_32")
SMALL = ("resnet20", "mobilenetv2-small", "gru-sound")
TEXT = "lstm-text"


def export(name: str, path: Path) -> None:
    """Write a network in float32: the zoo's for 28 x 28 images or 32 tokens, others small."""
    torch.manual_seed(0)
    if name == TEXT:
        model = build(name, classes=10, input_shape=(32,), token_count=100).eval()
        export_onnx(model, path, input_shape=(32,), dtype=torch.int64)
    elif name in SMALL:
        model = build(name, classes=10, input_shape=(1, 28, 28)).eval()
        export_onnx(model, path, input_shape=(1, 28, 28))
    else:
        export_smallest(lively(name), path)


def one(session: Session, source: Path, precision: Precision) -> dict[str, Any]:
    """How one network in one precision was built, or why it was not."""
    start = time.perf_counter()
    try:
        model = convert_untrained(source, precision, "tensorrt")
        facts = build_engine(session, model, engine_path(model))
    except EdgeSpiralError as error:
        return {"refused": error.what}
    size_mb = engine_path(model).stat().st_size / 1e6
    seconds = round(time.perf_counter() - start, 1)
    unfused, warnings = list(facts.unfused or ()), list(facts.warnings)
    return {"seconds": seconds, "size_mb": size_mb, "unfused": unfused, "warnings": warnings}


def told(row: dict[str, Any]) -> str:
    """A table's cell."""
    if "refused" in row:
        return "no"
    left = f", {len(row['unfused'])} unfused" if row["unfused"] else ""
    return f"{row['size_mb']:.1f} MB, {row['seconds']:.1f} s{left}"


def main() -> None:
    """Build everything, print a row each and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="the smallest member of each family")
    parser.add_argument("--json", type=Path, default=Path("bench/results/engines.json"))
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    print(f"| network | {' | '.join(PRECISIONS)} |\n| --- | {'--- | ' * len(PRECISIONS)}")
    others = FAMILIES if arguments.all else KINDS
    for name in arguments.names or (*SMALL, TEXT, *others):
        with tempfile.TemporaryDirectory() as folder, Session(load_profile(TARGET)) as session:
            source = Path(folder) / "model.onnx"
            try:
                export(name, source)
                found[name] = {p: one(session, source, p) for p in PRECISIONS}
            except EdgeSpiralError as error:
                found[name] = {p: {"refused": error.what} for p in PRECISIONS}
        print(f"| {name} | {' | '.join(told(row) for row in found[name].values())} |", flush=True)
        record = {"versions": versions(), "networks": found}
        write_text(arguments.json, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
