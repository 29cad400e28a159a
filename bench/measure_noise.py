"""How repeatable measurements are here: models against themselves and again in new processes.

    python bench/measure_noise.py --out bench/results/measure_noise.json

Each repeat measures every model COPIES times in one call. The error of a pair is how far the ratio
of a model to itself is from 1; coverage is the share of intervals that hold the 1; the spread of
the median is over the repeats, each of which is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.measure.profile import load_profile
from edgespiral.measure.session import Session
from edgespiral.models.catalog import build

MODELS = {"resnet20": (1, 28, 28), "mobilenet_v2": (3, 64, 64)}
COPIES = 4


def export(name: str, folder: Path) -> Path:
    """An untrained zoo model as an ONNX file."""
    path = folder / f"{name}.onnx"
    shape = MODELS[name]
    model = build(name, classes=10, input_shape=shape).eval()
    torch.onnx.export(model, (torch.zeros(1, *shape),), str(path), dynamo=False)
    return path


def noise(model: Path, target: str, repeats: int) -> dict[str, object]:
    """Figures of one model against itself."""
    errors, covered, medians, seconds = [], [], [], []
    for _ in range(repeats):
        with Session(load_profile(target)) as session:
            start = perf_counter()
            first, *others = session.measure([model] * COPIES)
            seconds.append(perf_counter() - start)
        ratios = [paired_ratio(first.rounds_ms, other.rounds_ms) for other in others]
        errors += [100 * abs(ratio.value - 1) for ratio in ratios]
        covered += [ratio.ci95.low <= 1 <= ratio.ci95.high for ratio in ratios]
        medians.append(first.stats.p50_ms)
    middle = statistics.median(medians)
    off = [100 * abs(value / middle - 1) for value in medians]
    return {
        "pairs": len(errors),
        "pair_error_percent": quantiles(errors),
        "interval_coverage_percent": 100 * statistics.fmean(covered),
        "median_ms": middle,
        "median_spread_percent": quantiles(off),
        "seconds_per_model": statistics.median(seconds) / COPIES,
    }


def quantiles(values: list[float]) -> dict[str, float]:
    """Middle, 90 % and largest."""
    p50, p90 = np.percentile(values, [50, 90]).tolist()
    return {"p50": p50, "p90": p90, "max": max(values)}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--target", default="host-cpu")
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = {n: noise(export(n, Path(folder)), given.target, given.repeats) for n in MODELS}
    result = {
        "schema_version": 1,
        "target": load_profile(given.target).model_dump(mode="json", by_alias=True),
        "load": {"before": load_before, "after": os.getloadavg()[0]},
        "models": found,
    }
    make_folder(given.out.parent)
    write_text(given.out, json.dumps(result, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
