"""Which runtime is the fastest for which network: each raced on this machine, one and two threads.

    python bench/runtimes.py --out bench/results/runtimes.json

Networks are raced one after the other and written as they come; what is in the file already is not
raced again, so the command can be broken off and given anew (`--fresh` begins from nothing). Their
weights are random: latency does not depend on them, as long as none is subnormal. `ratio` is how
many times as fast as ONNX Runtime in float32 with the same threads a row is, in pairs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet18

from edgespiral.core.statistics.stats import paired_ratio
from edgespiral.core.system.files import make_folder, write_text
from edgespiral.core.system.versions import versions
from edgespiral.export.onnx import export_onnx
from edgespiral.measure.profile import load_profile
from edgespiral.measure.racing.entrants import entrants
from edgespiral.models import build
from edgespiral.spiral.shipping.racing import made_up_inputs, raced

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgespiral.core.records.measurement import Race, RaceRow

    Json = dict[str, Any]

THREADS = (1, 2)


class Recurrent(nn.Module):
    """Two GRU layers over 50 steps of 40 features, and classes of the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(40, 128, num_layers=2, batch_first=True)
        self.head = nn.Linear(128, 12)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        states, _ = self.gru(sequence)
        return self.head(states[:, -1])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet18-224": (lambda: resnet18(weights=None), (1, 3, 224, 224)),
    "mobilenet_v2-224": (lambda: mobilenet_v2(weights=None), (1, 3, 224, 224)),
    "digits-resnet20": (
        lambda: build("resnet20", classes=10, input_shape=(1, 8, 8)),
        (1, 1, 8, 8),
    ),
    "gru-50x40": (Recurrent, (1, 50, 40)),
}


def rows_of(name: str, target: str) -> tuple[list[Json], str]:
    """What came of a race for a network, a row each, and the device's name."""
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval()
    with tempfile.TemporaryDirectory(prefix="edgespiral-bench-") as folder:
        path = Path(folder) / f"{name}.onnx"
        export_onnx(model, path, example=torch.randn(shape))
        lanes = entrants(load_profile(target), threads=THREADS)
        race = raced(path, lanes, made_up_inputs(path, {}), samples="made-up samples")
    won = race.won.measurement
    assert won is not None
    return [_row(name, row, race) for row in race.rows], won.fingerprint.device


def _row(name: str, row: RaceRow, race: Race) -> Json:
    facts: Json = {"model": name, "runtime": row.runtime, "precision": row.precision}
    facts |= {"threads": row.threads, "parity_db": row.parity.sqnr_db if row.parity else None}
    if row.measurement is None:
        return {**facts, "refused": row.refused}
    stats = row.measurement.stats
    return {
        **facts,
        "runtime_version": row.measurement.fingerprint.runtime_version,
        "p50_ms": stats.p50_ms,
        "p50_ci95_ms": [stats.p50_ci95_ms.low, stats.p50_ci95_ms.high],
        "load_ms": row.measurement.load_ms,
        "peak_memory_mib": row.measurement.peak_memory_mib,
        "ratio_to_onnxruntime_fp32": _ratio(row, race),
    }


def _ratio(row: RaceRow, race: Race) -> Json | None:
    for other in race.rows:
        alike = (other.runtime, other.threads) == ("onnxruntime", row.threads)
        if alike and other.measurement is not None and row.measurement is not None:
            ratio = paired_ratio(other.measurement.rounds_ms, row.measurement.rounds_ms)
            return {"value": ratio.value, "ci95": [ratio.ci95.low, ratio.ci95.high]}
    return None


def main() -> None:
    """Race what is not in the file yet, and write each network as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench/results/runtimes.json"))
    parser.add_argument("--target", default="host-cpu")
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    document: Json = {"rows": []}
    if given.out.is_file() and not given.fresh:
        document = json.loads(given.out.read_text(encoding="utf-8"))
    for name in given.models:
        if any(row["model"] == name for row in document["rows"]):
            print(f"{name}: there already")
            continue
        rows, device = rows_of(name, given.target)
        document["rows"] += rows
        document |= {"device": device, "versions": versions()}
        make_folder(given.out.parent)
        write_text(given.out, json.dumps(document, indent=1) + "\n")
        for row in rows:
            latency = f"{row['p50_ms']:.3f} ms" if "p50_ms" in row else row["refused"]
            print(f"{name} {row['runtime']} {row['precision']} x{row['threads']}: {latency}")


if __name__ == "__main__":
    main()
