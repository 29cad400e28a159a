"""What int8 costs and gives on host-cpu, beside ONNX Runtime's quantiser by itself, as JSON.

Usage: python bench/precision.py MODEL TEACHER.safetensors [--speedup 4] [--epochs 2] [--seeds 0]
           [--rows-only] [--json FILE]

Rows are files of one trained model: fp32, ours, `quantize_static` as it comes, and the same with
QLinear operators, unsigned activations and a scale per channel, which is what ONNX Runtime's int8
kernels give by hand. All are calibrated on the same samples and measured in alternation. Then the
model is pruned and quantised together, as a user would: `edgespiral compress --precision int8`.
The test split is read once a row, at its end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgespiral.core.system.files import write_text
from edgespiral.core.system.versions import versions
from edgespiral.data import load
from edgespiral.data.stratified import Sampled, stratified
from edgespiral.export.parity import file_score
from edgespiral.export.precision import ExportRequest, export_as, float_twin
from edgespiral.export.recipe import load_recipe
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.spiral.plan import load_plan
from edgespiral.spiral.run import load_teacher
from edgespiral.tasks.classification import CLASSIFICATION

if TYPE_CHECKING:
    from edgespiral.core.batches import DataSplits

DATA = "fashion-mnist"
ROUNDS = 120
BY_HAND: dict[str, Any] = {
    "quant_format": QuantFormat.QOperator,
    "activation_type": QuantType.QUInt8,
    "weight_type": QuantType.QInt8,
    "per_channel": True,
}


class Reader(CalibrationDataReader):
    """Samples as `quantize_static` asks for them."""

    def __init__(self, samples: Sampled) -> None:
        self._inputs = iter(samples.inputs)

    def get_next(self) -> dict[str, Any] | None:
        """The next sample by input name, or None at the end."""
        sample = next(self._inputs, None)
        return None if sample is None else {"input": sample.numpy()}


def files(model: str, weights: Path, splits: DataSplits, folder: Path) -> dict[str, Path]:
    """The rows' files; the first is fp32."""
    plan = load_plan(None, {"model": model, "data": DATA, "weights": str(weights), "speedup": 2})
    ours = folder / "ours.onnx"
    recipe = load_recipe("default")
    export_as(
        load_teacher(plan, splits),
        ours,
        splits,
        ExportRequest("int8", recipe=recipe, task=CLASSIFICATION),
    )
    prepared = folder / "prepared.onnx"
    quant_pre_process(float_twin(ours), prepared)
    samples = stratified(splits.train, recipe.samples, seed=recipe.seed, where=DATA)
    plain, by_hand = folder / "plain.onnx", folder / "by_hand.onnx"
    quantize_static(prepared, plain, Reader(samples))
    quantize_static(prepared, by_hand, Reader(samples), **BY_HAND)
    return {
        "fp32": float_twin(ours),
        "int8, EdgeSpiral": ours,
        "int8, quantize_static defaults": plain,
        "int8, quantize_static QLinear per channel": by_hand,
    }


def rows(found: dict[str, Path], splits: DataSplits) -> list[dict[str, Any]]:
    """Latency in alternation, accuracies, and size of each file."""
    reference, *others = found.values()
    with Session(load_profile("host-cpu")) as session:
        first, *_ = session.measure([reference], rounds=ROUNDS)
        compared = session.compare(reference, others, rounds=ROUNDS)
    ratios = [None, *(ratio for _, ratio in compared)]
    return [
        {
            "row": name,
            "latency_ms": (measured or first).stats.p50_ms,
            "speedup": ratio.model_dump() if ratio else None,
            "validation_percent": file_score(path, splits.validation, task=CLASSIFICATION),
            "test_percent": file_score(path, splits.test, task=CLASSIFICATION),
            "size_bytes": path.stat().st_size,
        }
        for (name, path), measured, ratio in zip(
            found.items(), [None, *(m for m, _ in compared)], ratios, strict=True
        )
    ]


def together(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Pruned and quantised in one run, as a user would."""
    with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
        out = Path(folder) / "run"
        command = [
            *(sys.executable, "-m", "edgespiral", "compress", args.model, "--data", DATA),
            *("--weights", str(args.weights), "--speedup", str(args.speedup), "--seed", str(seed)),
            *("--precision", "int8", "--epochs", str(args.epochs), "--out", str(out)),
            *("--latency-cache", str(out / "latency")),
        ]
        start = time.perf_counter()
        subprocess.run(command, check=False)
        wall_s = time.perf_counter() - start
        result = json.loads((out / "result.json").read_text())
    before, after = (result[name]["test_score"] for name in ("teacher", "student"))
    return {
        "row": f"pruned and int8, {args.speedup:g}x, {args.epochs:g} epochs",
        "seed": seed,
        "outcome": result["outcome"],
        "latency_ms": result["student"]["latency"]["stats"]["p50_ms"],
        "speedup": result["devices"][0]["speedup"],
        "validation_percent": result["student"]["validation_score"],
        "test_percent": after,
        "lost_points": before - after,
        "quantised_training": result["quantised_training"],
        "restored": result["restored"],
        "wall_s": wall_s,
    }


def main() -> None:
    """One model's rows, added to the JSON file in place of those it had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--speedup", type=float, default=4.0)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rows-only", action="store_true", help="do not prune")
    parser.add_argument("--json", type=Path, default=Path("bench/results/precision.json"))
    args = parser.parse_args()
    splits = load(DATA)
    with tempfile.TemporaryDirectory(prefix="edgespiral-") as folder:
        found = rows(files(args.model, args.weights, splits, Path(folder)), splits)
    keep(args, found)
    for seed in () if args.rows_only else args.seeds:
        found.append(together(args, seed))
        keep(args, found)
    print(json.dumps(found, indent=1))


def keep(args: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    """Put the model's rows into the JSON file, in place of those it had."""
    before = json.loads(args.json.read_text())["models"] if args.json.exists() else {}
    models = {**before, args.model: found}
    text = json.dumps({"versions": versions(), "models": models}, indent=1)
    write_text(args.json, text + "\n")


if __name__ == "__main__":
    main()
